//! A current-thread tokio runtime whose own work goes on while a guest sleeps.
//!
//! `cargo run --example ticker`

#![allow(
    clippy::expect_used,
    clippy::iter_over_hash_type,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::time::Duration;

use dormouse::{Ended, EngineKind, Error, Policy, Runtime, RuntimeOptions, Setup, Task};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"), &dormouse::quiet)?;
    let engine = EngineKind::Wasmtime;
    let mut task = Task::new(
        &runtime,
        &program,
        engine,
        Setup::default(),
        &dormouse::quiet,
    )?;

    // While the guest sleeps it is unwound, and this thread is free.
    let ticker = tokio::spawn(async {
        for tick in 1.. {
            tokio::time::sleep(Duration::from_millis(500)).await;
            println!("tick {tick}");
        }
    });
    let ended = dormouse::run(&mut task, Policy::Never).await?;
    ticker.abort();
    assert_eq!(ended, Ended::Exited(0));
    Ok(())
}
