//! Two hundred guests on one thread, asleep at the same time: all of them take about one sleep.
//!
//! `cargo run --example many`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::time::Instant;

use dormouse::wasi::Output;
use dormouse::{Error, Policy, Runtime, Task};

const GUESTS: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let runtime = Runtime::new()?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"))?;
    let start = Instant::now();
    let local = tokio::task::LocalSet::new();
    for _ in 0..GUESTS {
        let mut task = Task::builder(&runtime, &program)
            .stdout(Output::Null)
            .start()?;
        local.spawn_local(async move {
            let ended = task.run(Policy::Never).await.expect("it runs");
            assert_eq!(ended.exit_code(), Some(0));
        });
    }
    local.await;
    println!(
        "{GUESTS} guests that sleep 3 s each took {:.1?}",
        start.elapsed()
    );
    Ok(())
}
