//! A sleep that is too long for a process: the task goes to a file, everything is dropped, and a
//! new runtime goes on from the file.
//!
//! `cargo run --example yield_sleep`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::path::Path;
use std::time::Duration;

use dormouse::{Ended, Error, Limits, Policy, Runtime, Snapshot, Task, snapshot};

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
    let runtime = Runtime::new()?;
    let program = runtime.load(include_bytes!("../wasm/bin/ex_nap.wasm"))?;
    let mut task = Task::builder(&runtime, &program).start()?;
    match task.run(Policy::After(Duration::from_secs(1))).await? {
        Ended::Suspended(mut parked) => snapshot::write(file, &parked.freeze()?.encode()?),
        Ended::Exited(code) => panic!("it exited with {code} and did not sleep"),
    }
}

/// Waits out what is left of the sleep, and goes on.
async fn go_on(file: &Path) -> Result<(), Error> {
    let limits = Limits::default();
    let snapshot = Snapshot::decode(&snapshot::read(file, &limits)?, &limits)?;
    let runtime = Runtime::new()?;
    let program = runtime.load_snapshot(&snapshot)?;
    let mut task = Task::builder(&runtime, &program).resume(&snapshot)?;
    assert_eq!(task.run(Policy::Never).await?.exit_code(), Some(0));
    Ok(())
}
