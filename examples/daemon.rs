//! A thousand naps in a store of your own program: submitted, asleep on the disk, and woken.
//!
//! `cargo run --example daemon`

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "an example is short"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse::Error;
use dormouse::daemon::{Daemon, Options};
use dormouse::model::{TaskSpec, TaskState};
use dormouse::store::Sqlite;

const NAPS: usize = 1000;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Sqlite::open(folder.path())?);
    let daemon = Daemon::start(store, Options::default())?;

    let wasm = include_bytes!("../wasm/bin/ex_nap.wasm").to_vec();
    let module = daemon.add_module(wasm).await?;
    let nap = TaskSpec {
        module: Some(module.into()),
        program: Some("nap".into()),
        ..TaskSpec::default()
    };
    let started = Instant::now();
    let ids = daemon.submit(vec![nap; NAPS]).await?;
    println!("{NAPS} naps were submitted in {:.0?}", started.elapsed());

    let count = |wanted: TaskState| {
        let states = daemon.metrics().states().into_iter();
        states
            .filter(|(state, _)| *state == wanted)
            .map(|(_, count)| count)
            .sum::<u64>()
    };
    while count(TaskState::Exited) < NAPS as u64 {
        println!(
            "{:.1?}: {} asleep in the store",
            started.elapsed(),
            count(TaskState::Hibernated)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if let Some(Ok(first)) = ids.into_iter().next() {
        for piece in daemon.output(first, 0, 1 << 20).await?.pieces {
            print!(
                "task {first}: {}",
                String::from_utf8_lossy(&piece.entry.bytes)
            );
        }
    }
    daemon.close().await;
    Ok(())
}
