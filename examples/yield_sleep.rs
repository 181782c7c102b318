//! A sleep that is too long for a process: the task goes to a file, everything is dropped, and a
//! new runtime goes on from the file.
//!
//! `cargo run --example yield_sleep`

#![allow(
    clippy::expect_used,
    clippy::iter_over_hash_type,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::path::Path;
use std::time::Duration;

use dormouse::{
    Ended, EngineKind, Error, Limits, Policy, Restore, Runtime, RuntimeOptions, Setup, Snapshot,
    Task,
};

const ENGINE: EngineKind = EngineKind::Wasmtime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let file = std::env::temp_dir().join("yield_sleep.snapshot");
    begin(&file).await?;
    println!(
        "asleep in {}: nothing of it is in this process any more",
        file.display()
    );
    go_on(&file).await?;
    // A snapshot is a value: it stays until somebody removes it.
    let _ = std::fs::remove_file(&file);
    Ok(())
}

/// Runs until the guest wants to sleep for more than a second.
async fn begin(file: &Path) -> Result<(), Error> {
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"), &dormouse::quiet)?;
    let mut task = Task::new(
        &runtime,
        &program,
        ENGINE,
        Setup::default(),
        &dormouse::quiet,
    )?;
    let policy = Policy::After(Duration::from_secs(1));
    assert_eq!(dormouse::run(&mut task, policy).await?, Ended::Suspended);
    dormouse::write_snapshot(file, &task.freeze()?.encode()?)
}

/// Waits out what is left of the sleep, and goes on.
async fn go_on(file: &Path) -> Result<(), Error> {
    let limits = Limits::default();
    let snapshot = Snapshot::decode(&dormouse::read_snapshot(file, &limits)?, &limits)?;
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let program = runtime.load_snapshot(&snapshot)?;
    let restore = Restore::default();
    let mut task = Task::thaw(
        &runtime,
        &program,
        ENGINE,
        &snapshot,
        restore,
        &dormouse::quiet,
    )?;
    assert_eq!(
        dormouse::run(&mut task, Policy::Never).await?,
        Ended::Exited(0)
    );
    Ok(())
}
