//! A current-thread tokio runtime whose own work goes on while a guest sleeps.
//!
//! `cargo run --example ticker`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::time::Duration;

use dormouse::{Error, Policy, Runtime, Task};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let runtime = Runtime::new()?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"))?;
    let mut task = Task::builder(&runtime, &program).start()?;

    // While the guest sleeps it is unwound, and this thread is free.
    let ticker = tokio::spawn(async {
        for tick in 1.. {
            tokio::time::sleep(Duration::from_millis(500)).await;
            println!("tick {tick}");
        }
    });
    let ended = task.run(Policy::Never).await?;
    ticker.abort();
    assert_eq!(ended.exit_code(), Some(0));
    Ok(())
}
