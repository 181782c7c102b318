//! The threads that renew the lease, look for dead nodes, and learn what tasks need. What one waits
//! for is not in the way of the others.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::info::Load;
use super::member::Member;
use crate::store::Error;
use crate::throttled_log::{note_recovered, warn_throttled};

/// How often the lease is renewed.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How long after a beat that failed the next one is tried.
const BEAT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often tasks are looked for whose node is none any more.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How often it is asked which classes of tasks there are.
const LEARN_EVERY: Duration = Duration::from_millis(500);

/// After so many questions it is looked once more what this node has of that which tasks need.
const LOOK_AGAIN_AFTER: u32 = 4;

/// Topics of the log.
const BEATING: &str = "beat";
const SWEEPING: &str = "sweep";
const LEARNING: &str = "classes";

/// Starts all of them. They end when `load` gives nothing any more, since the daemon has gone. `lost` is
/// called once this node is fenced.
pub(crate) fn start(
    member: &Arc<Member>,
    load: impl Fn() -> Option<Load> + Send + 'static,
    lost: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let (dead, found) = channel();
    let (alive, ended) = channel();
    let beating = member.clone();
    std::thread::Builder::new()
        .name("beat".into())
        .spawn(move || {
            beat(&beating, &load, lost, &dead);
            // The last thread ends with this one.
            drop(alive);
        })?;
    let sweeping = member.clone();
    std::thread::Builder::new()
        .name("sweep".into())
        .spawn(move || sweep(&sweeping, &found))?;
    let learning = member.clone();
    std::thread::Builder::new()
        .name("classes".into())
        .spawn(move || learn(&learning, &ended))?;
    Ok(())
}

fn beat(member: &Member, load: &dyn Fn() -> Option<Load>, lost: impl FnOnce(), dead: &Sender<()>) {
    while let Some(load) = load() {
        let began = Instant::now();
        let pause = match member.beat(load) {
            Ok(()) => {
                note_recovered(BEATING, "this node's lease is renewed");
                if member.knows_of_dead() {
                    // The other thread ends with this one.
                    let _ = dead.send(());
                }
                BEAT_EVERY.saturating_sub(began.elapsed())
            }
            Err(Error::Lost) => {
                member.gate.shut();
                return lost();
            }
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(BEATING, &reason, || {
                    format!("this node's lease is not renewed: {reason}")
                });
                BEAT_AGAIN_AFTER
            }
        };
        std::thread::sleep(pause);
    }
}

fn learn(member: &Member, ended: &Receiver<()>) {
    let mut asked = 0u32;
    while ended.recv_timeout(LEARN_EVERY) == Err(RecvTimeoutError::Timeout) {
        asked = asked.wrapping_add(1);
        match member.learn_classes(asked.is_multiple_of(LOOK_AGAIN_AFTER)) {
            Ok(()) => note_recovered(LEARNING, "what tasks need can be read"),
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(LEARNING, &reason, || {
                    format!("what tasks need cannot be read: {reason}")
                });
            }
        }
    }
}

fn sweep(member: &Member, found: &Receiver<()>) {
    loop {
        match found.recv_timeout(SWEEP_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Whatever was told while this was busy is answered by one look.
        while found.try_recv().is_ok() {}
        match member.free_dead() {
            Ok(0) => note_recovered(SWEEPING, "dead nodes can be looked for"),
            Ok(freed) => log::warn!("{freed} tasks of nodes that have died go on elsewhere"),
            Err(error) => {
                let reason = error.to_string();
                warn_throttled(SWEEPING, &reason, || {
                    format!("dead nodes cannot be looked for: {reason}")
                });
            }
        }
    }
}
