//! What must become of tasks when the host fails.
//!
//! `tests/daemon/faults.rs` meets the faults that a test can make for real. Here is every answer
//! that the system has, at every place where a task comes into memory or is frozen.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::faults::{Stage, mend, put};
use crate::daemon::Daemon;
use crate::daemon::info::TaskInfo;
use crate::model::TaskSpec;
use crate::model::error::{Error, ErrorKind};
use crate::model::{Digest, TaskId, TaskState, Timestamp};
use crate::options::Options;
use crate::store::Sqlite;

/// A daemon with a task that sleeps twice, at each fault.
struct Trial {
    daemon: Arc<Daemon>,
    module: Digest,
    identity: String,
    _data: tempfile::TempDir,
}

impl Trial {
    async fn new(identity: &str, hibernate_after: Duration) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Sqlite::open(data.path()).expect("a store"));
        let options = Options {
            hibernate_after,
            identity: identity.into(),
            ..Options::default()
        };
        let daemon = Daemon::start(store, options).expect("it starts");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm/bin/ex_sleeper.wasm");
        let source = std::fs::read(path).expect("a guest");
        let module = daemon.add_module(source).await.expect("a module");
        Self {
            daemon,
            module,
            identity: identity.into(),
            _data: data,
        }
    }

    async fn submit(&self, seconds: &str) -> TaskId {
        let spec = TaskSpec {
            module: Some(self.module.into()),
            program: Some("sleeper".into()),
            args: [seconds, "0", "2"].map(String::from).into(),
            ..TaskSpec::default()
        };
        let mut told = self.daemon.submit(vec![spec]).await.expect("it is stored");
        told.remove(0).expect("it is taken")
    }

    /// Waits until the task is as it should be. What never comes ends with the test's own end.
    async fn until(&self, id: TaskId, is: impl Fn(&TaskInfo) -> bool) -> TaskInfo {
        loop {
            let info = self.daemon.task(id).await.expect("it is there");
            if is(&info) {
                return info;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn exits(&self, id: TaskId) {
        let info = self.until(id, |info| info.state.is_final()).await;
        assert_eq!(
            (info.state, info.status.exit_code, info.trouble),
            (TaskState::Exited, Some(0), None)
        );
        let output = self.daemon.output(id, 0, u64::MAX).await.expect("output");
        let text: Vec<u8> = output
            .pieces
            .into_iter()
            .flat_map(|p| p.entry.bytes)
            .collect();
        assert_eq!(String::from_utf8_lossy(&text).lines().count(), 2);
        self.daemon.remove(id).await.expect("it is over");
    }

    /// One answer of the system's at one place. Says whether it passes.
    async fn meet(&self, stage: Stage, errno: Errno) -> bool {
        let passes = Error::new(ErrorKind::Internal, std::io::Error::from(errno)).passes();
        let text = std::io::Error::from(errno).to_string();
        put(&self.identity, stage, errno);
        let id = self.submit("0.1").await;
        let met = self.until(id, |info| {
            info.trouble.is_some() || info.state == TaskState::Paused
        });
        let info = met.await;
        match info.trouble {
            Some(trouble) => {
                assert!(passes || stage == Stage::Suspend, "{stage:?} {text}");
                assert!(trouble.error.contains(&text), "{trouble:?}");
                assert!(
                    trouble.since > Timestamp::EPOCH
                        && trouble.next > trouble.since
                        && trouble.tries > 0
                );
                assert_ne!(info.state, TaskState::Paused);
                assert!(mend(&self.identity, stage) > 0);
            }
            None => {
                assert!(!passes && stage != Stage::Suspend, "{stage:?} {text}");
                let error = info.status.error.unwrap_or_default();
                assert!(error.contains(&text), "{error}");
                assert_eq!(mend(&self.identity, stage), 1, "it is not tried again");
                self.daemon.resume(id).await.expect("it is paused");
            }
        }
        self.exits(id).await;
        passes
    }
}

async fn meet_all(stage: Stage) {
    let trial = Trial::new(&format!("{stage:?}"), Duration::ZERO).await;
    let known = (1..134).map(Errno::from_raw_os_error);
    let known = known.filter(|errno| {
        !std::io::Error::from(*errno)
            .to_string()
            .starts_with("Unknown error")
    });
    let (mut passing, mut lasting) = (0, 0);
    for errno in known {
        match trial.meet(stage, errno).await {
            true => passing += 1,
            false => lasting += 1,
        }
    }
    assert!(passing > 30 && lasting > 80, "{passing} {lasting}");
    trial.daemon.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_system_at_a_start_is_waited_out_or_pauses() {
    meet_all(Stage::Start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_system_at_a_wake_is_waited_out_or_pauses() {
    meet_all(Stage::Wake).await;
}

/// One that cannot be serialized cannot be paused either: it stays in memory, and is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_system_at_a_suspend_is_waited_out() {
    meet_all(Stage::Suspend).await;
}

/// Its wait has an hour to go, so that nothing but the next try puts it to sleep.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_could_not_be_written_down_is_when_it_can() {
    let trial = Trial::new("an hour", Duration::ZERO).await;
    put(&trial.identity, Stage::Suspend, Errno::NOMEM);
    let id = trial.submit("3600").await;
    let info = trial.until(id, |info| info.trouble.is_some()).await;
    assert_eq!(info.status.sleeps, 0);
    let refused = trial.daemon.pause(id).await.expect_err("it cannot be");
    assert_eq!(refused.kind(), ErrorKind::Task, "{refused}");
    mend(&trial.identity, Stage::Suspend);
    let info = trial.until(id, |info| info.trouble.is_none()).await;
    assert_eq!((info.state, info.status.sleeps), (TaskState::Hibernated, 1));
    trial.daemon.close().await;
}
