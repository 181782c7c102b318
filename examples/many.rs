//! Two hundred guests on one thread, asleep at the same time: all of them take about one sleep.
//!
//! `cargo run --example many`

#![allow(
    clippy::expect_used,
    clippy::iter_over_hash_type,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::time::Instant;

use dormouse::{
    Bindings, Ended, EngineKind, Error, Output, Policy, Runtime, RuntimeOptions, Setup, Task,
};

const GUESTS: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"), &dormouse::quiet)?;
    let start = Instant::now();
    let local = tokio::task::LocalSet::new();
    for _ in 0..GUESTS {
        let setup = Setup {
            bindings: Bindings {
                stdout: Output::Null,
                ..Bindings::default()
            },
            ..Setup::default()
        };
        let engine = EngineKind::Wasmtime;
        let mut task = Task::new(&runtime, &program, engine, setup, &dormouse::quiet)?;
        local.spawn_local(async move {
            let ended = dormouse::run(&mut task, Policy::Never).await;
            assert!(matches!(ended, Ok(Ended::Exited(0))), "{ended:?}");
        });
    }
    local.await;
    println!(
        "{GUESTS} guests that sleep 3 s each took {:.1?}",
        start.elapsed()
    );
    Ok(())
}
