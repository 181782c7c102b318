//! A task among many: its ID, its states, and what leads from one to another.
//!
//! ```text
//!            start            hibernate
//!   Ready ----------> Running ----------> Hibernated <----. resume
//!    ^ ^               |   |                 |  |          |
//!    | |     preempt   |   | park     wake   |  | pause    |
//!    | `---------------'   v                 |  v          |
//!    |      wake         Parked  ------------+->Paused ----'
//!    +---------------------'  (instance kept)|
//!    `---------------------------------------'
//!   Running --exit--> Exited      any but the last two --fail--> Failed
//!   Exited, Failed --rearm--> Hibernated, where the task has a schedule
//!   any but the last two --move--> Moving --commit--> Moved, to another daemon's store
//!                                    `--hibernate, pause--> as it was: it stays
//!   Arriving --hibernate, pause--> from another daemon's store: it is ours
//!   Moved --rearm--> Hibernated, where the other daemon says that it has lost it
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A task's ID: unique in one store, counted from 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a task's name looks like, as messages and documents say it.
pub const NAME_RULE: &str = "a name begins with a letter or a digit, goes on with letters, digits, '.', '_' and '-', \
     has at most 100 bytes, and is more than digits";

/// Refuses a name that could be taken for a number, a file or a flag, or that does not fit into a
/// line.
///
/// # Errors
/// Says what a name looks like.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let begins = name.starts_with(char::is_alphanumeric);
    let digits = name.chars().all(char::is_numeric);
    match begins && !digits && name.len() <= 100 && name.chars().all(plain) {
        true => Ok(()),
        false => Err(format!("{name:?} cannot be a task's name: {NAME_RULE}")),
    }
}

/// Refuses a pattern that no name can be like: one is a name in which `*` stands for any characters
/// and `?` for one.
///
/// # Errors
/// Says what a pattern looks like.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "._-*?".contains(c);
    match !pattern.is_empty() && pattern.len() <= 200 && pattern.chars().all(plain) {
        true => Ok(()),
        false => Err(format!(
            "{pattern:?} is like no task's name: write one with '*' for any characters and '?' for one, such as 'web-*'"
        )),
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Could go on, and waits for a worker.
    Ready,
    /// On a worker.
    Running,
    /// Waits with its instance in memory.
    Parked,
    /// Waits as a snapshot in the store, or for its first start.
    Hibernated,
    /// Kept as a snapshot until told otherwise.
    Paused,
    /// Ended by itself.
    Exited,
    /// Trapped, could not be resumed, or was killed.
    Failed,
    /// Stopped, and on its way to another daemon; still ours.
    Moving,
    /// Came from another daemon, which has not given it up yet.
    Arriving,
    /// Belongs to another daemon now.
    Moved,
}

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker takes it.
    Start,
    /// A worker puts it back in the queue, so that others get their turn.
    Preempt,
    /// It waits, and its instance is kept.
    Park,
    /// Its snapshot is stored and its instance freed.
    Hibernate,
    /// Its wait is over.
    Wake,
    /// Its snapshot is stored, and it is kept until told otherwise.
    Pause,
    /// It may go on after a pause.
    Resume,
    /// The guest ended.
    Exit,
    /// The guest trapped, could not be resumed, or was killed.
    Fail,
    /// Its schedule starts it anew at a later time, or it is back from a daemon that has lost it.
    Rearm,
    /// Its snapshot is stored, and it is to go to another daemon.
    Move,
    /// The other daemon holds it, and it is that one's from now on.
    CommitMove,
}

impl TaskState {
    /// All states, in the order of a task's life.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Running,
        Self::Parked,
        Self::Hibernated,
        Self::Paused,
        Self::Exited,
        Self::Failed,
        Self::Moving,
        Self::Arriving,
        Self::Moved,
    ];

    /// The state after an event, or `None` where the event cannot happen.
    pub fn after(self, event: Event) -> Option<Self> {
        use TaskState::{
            Arriving, Exited, Failed, Hibernated, Moved, Moving, Parked, Paused, Ready, Running,
        };
        Some(match (self, event) {
            (Ready, Event::Start) => Running,
            (Running, Event::Preempt) => Ready,
            (Running, Event::Park) => Parked,
            (Running | Parked | Moving | Arriving, Event::Hibernate) => Hibernated,
            (Parked | Hibernated, Event::Wake) => Ready,
            (Ready | Running | Parked | Hibernated | Moving | Arriving, Event::Pause) => Paused,
            (Paused, Event::Resume) => Hibernated,
            (Running, Event::Exit) => Exited,
            (Ready | Running | Parked | Hibernated | Paused, Event::Fail) => Failed,
            (Exited | Failed | Moved, Event::Rearm) => Hibernated,
            (Ready | Running | Parked | Hibernated | Paused, Event::Move) => Moving,
            (Moving, Event::CommitMove) => Moved,
            _ => return None,
        })
    }

    /// Whether the task is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Exited | Self::Failed | Self::Moved)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Hibernated => "hibernated",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Moving => "moving",
            Self::Arriving => "arriving",
            Self::Moved => "moved",
        })
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|state| state.to_string() == text);
        found.ok_or_else(|| {
            format!(
                "no state is called {text:?}; there are ready, running, parked, hibernated, \
                 paused, exited, failed, moving, arriving, moved"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 12] = [
        Event::Start,
        Event::Preempt,
        Event::Park,
        Event::Hibernate,
        Event::Wake,
        Event::Pause,
        Event::Resume,
        Event::Exit,
        Event::Fail,
        Event::Rearm,
        Event::Move,
        Event::CommitMove,
    ];

    #[test]
    fn names_are_no_numbers_no_files_and_no_flags() {
        let longest = "n".repeat(100);
        for name in [
            "a",
            "7a",
            "nap",
            "web-1.2_b",
            "x.wasm",
            "übung",
            "日本",
            "1.5",
            &longest,
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let longer = "n".repeat(101);
        let wrong = [
            "",
            ".",
            "..",
            "...",
            "......",
            ".nap",
            "-",
            "-1",
            "-nap",
            "--preempt",
            "_nap",
            "7",
            "007",
            "99999999999999999999999999",
            "٣",
            "१२",
            "a/b",
            "/",
            "a b",
            " a",
            "a\n",
            "a\0",
            "\u{1b}[2J",
            "a\u{202e}b",
            "a*",
            "a?",
            "a:b",
            "a\u{200d}",
            &longer,
        ];
        for name in wrong {
            let error = check_name(name).expect_err(name);
            assert!(
                error.contains(NAME_RULE) && !error.chars().any(char::is_control),
                "{error}"
            );
            assert!(!error.contains('\u{202e}'), "{error}");
        }
    }

    #[test]
    fn every_state_can_be_reached_and_left() {
        for state in TaskState::ALL {
            let reached = TaskState::ALL
                .iter()
                .flat_map(|from| EVENTS.map(|event| from.after(event)))
                .any(|to| to == Some(state));
            // What arrives begins so.
            let reached = reached || state == TaskState::Arriving;
            assert!(reached, "{state}");
            assert!(
                EVENTS.iter().any(|event| state.after(*event).is_some()),
                "{state}"
            );
        }
    }

    #[test]
    fn what_is_over_only_starts_anew() {
        for state in TaskState::ALL.into_iter().filter(|state| state.is_final()) {
            for event in EVENTS {
                let rearmed = (event == Event::Rearm).then_some(TaskState::Hibernated);
                assert_eq!(state.after(event), rearmed, "{state} {event:?}");
            }
        }
    }

    #[test]
    fn only_a_worker_ends_a_guest() {
        for state in TaskState::ALL {
            assert_eq!(
                state.after(Event::Exit).is_some(),
                state == TaskState::Running
            );
        }
    }

    #[test]
    fn names_read_back() {
        for state in TaskState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
    }
}
