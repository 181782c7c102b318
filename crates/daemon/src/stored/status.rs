//! What is known of a task, beside its state.

use serde::{Deserialize, Serialize};

use super::fields::numbered_fields;
use super::history::History;
use crate::model::{MonotonicTime, MoveId, TaskId, TaskTrace, Timestamp, Wait, When};

/// What is known of a task, beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When it was submitted.
    pub submitted: Timestamp,
    /// When it last changed its state for one that is stored.
    pub changed: Timestamp,
    /// What it waits for, if it has run.
    pub wait: Option<Wait>,
    /// When that ends, or when it is to start, by the daemon's steady clock.
    pub wakes: Option<MonotonicTime>,
    /// How often it was started.
    pub runs: u64,
    /// How often it was put to sleep.
    pub sleeps: u64,
    /// What the guest ended with, the last time.
    pub exit_code: Option<u32>,
    /// Why it failed, or why it was paused.
    pub error: Option<String>,
    /// The task whose exported snapshot it was submitted with, as `DAEMON/ID@VERSION`.
    pub forked_from: Option<String>,
    /// Addresses at which a connection wakes it.
    pub listens: Vec<String>,
    /// How many sockets may wake it, those addresses among them.
    pub watched: u32,
    /// Where it has moved to, if it has left this daemon.
    pub moved_to: Option<MovedTo>,
    /// What it was at the daemon that it moved here from, as `DAEMON/ID@VERSION`.
    pub came_from: Option<String>,
    /// How often it was started anew in a row.
    pub restarts: u32,
    /// The same as `wakes` by the wall clock; the first of the two counts.
    pub wall: Option<Timestamp>,
    /// For which time of its schedule it was last started, by the wall clock.
    pub last: Option<Timestamp>,
    /// Its schedule begins after this time of the wall clock.
    pub begins: Option<Timestamp>,
    /// Its last runs.
    pub history: History,
    /// The tasks that answer the requests of its connections, one for each.
    pub connections: Vec<TaskId>,
    /// The task that has accepted the connection whose requests it answers.
    pub accepted_by: Option<TaskId>,
    /// Nothing has come of a next request on that connection.
    pub awaits_request: bool,
    /// By what its spans are joined.
    pub trace: Option<TaskTrace>,
}

impl Status {
    /// When it is to go on by itself.
    pub(crate) fn when(&self) -> When {
        When {
            steady: self.wakes,
            wall: self.wall,
        }
    }

    /// The same, or now.
    pub(crate) fn when_or(&self, now: MonotonicTime) -> When {
        let when = self.when();
        match when.is_never() {
            true => When::steady(now),
            false => when,
        }
    }

    /// One that never ran is to start when it would have.
    pub(crate) fn keep_due(&mut self, due: Option<MonotonicTime>) {
        if self.when().is_never() {
            self.wakes = due;
        }
    }

    /// It is stopped, to go on elsewhere or later. If sockets would have ended its wait, nobody
    /// watches them until it has run again, so that it goes on at once then.
    pub(crate) fn stop(&mut self, due: Option<MonotonicTime>) {
        match self.watched {
            0 => self.keep_due(due),
            _ => (self.wakes, self.wall) = (None, None),
        }
        self.listens.clear();
        self.watched = 0;
    }

    /// It waits for nothing any more.
    pub(crate) fn clear_wait(&mut self) {
        (self.wait, self.wakes, self.wall) = (None, None, None);
        self.listens.clear();
        self.watched = 0;
    }
}

numbered_fields!(Status {
    0 => submitted,
    1 => changed,
    2 => wait,
    3 => wakes,
    4 => wall,
    5 => runs,
    6 => sleeps,
    7 => exit_code,
    8 => error,
    9 => forked_from,
    10 => listens,
    11 => watched,
    12 => moved_to,
    13 => came_from,
    14 => restarts,
    15 => last,
    16 => begins,
    17 => history,
    18 => connections,
    19 => accepted_by,
    20 => awaits_request,
    21 => trace,
});

/// Where a task has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedTo {
    /// Which daemon has it now.
    pub daemon: String,
    /// Where that daemon is.
    pub address: String,
    /// The task's ID there.
    pub task: u64,
    /// The other daemon has said that it knows.
    pub confirmed: bool,
    /// The move.
    pub move_id: Option<MoveId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Deadline, TraceContext};
    use crate::stored::encoding::{from_bytes, to_bytes};
    use crate::stored::history::Run;

    const NOW: u64 = 1_800_000_000_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;

    fn at(nanoseconds: u64) -> Timestamp {
        Timestamp::from_nanos(nanoseconds)
    }

    fn context(number: u8) -> TraceContext {
        TraceContext {
            trace_id: [number; 16],
            span_id: [number; 8],
            sampled: true,
        }
    }

    #[test]
    fn a_trace_takes_a_few_bytes_of_a_sleepers_status() {
        let traced = Status {
            trace: Some(TaskTrace {
                origin: context(1),
                last_run: Some(context(2)),
            }),
            ..asleep()
        };
        let length = |status| to_bytes(status).expect("it encodes").len();
        // Two contexts of 25 bytes, the field's number, and what MessagePack puts around them.
        let more = length(&traced) - length(&asleep());
        assert!(more <= 2 * 25 + 8, "{more}");
    }

    /// What a task has that sleeps for the second time.
    fn asleep() -> Status {
        Status {
            submitted: at(NOW),
            changed: at(NOW + 1),
            wait: Some(Wait::Poll {
                deadline: Some(Deadline::Monotonic(MonotonicTime::from_nanos(HOUR))),
                fds: Vec::new(),
            }),
            wakes: Some(MonotonicTime::from_nanos(NOW + HOUR)),
            runs: 1,
            sleeps: 2,
            ..Status::default()
        }
    }

    #[test]
    fn a_sleepers_status_reads_back_and_is_short() {
        let bytes = to_bytes(&asleep()).expect("it encodes");
        assert_eq!(from_bytes::<Status>(&bytes).expect("it decodes"), asleep());
        // Three times of nine bytes each, a deadline, and one byte for each field's number.
        assert!(bytes.len() <= 72, "{}", bytes.len());
    }

    #[test]
    fn default_status_encodes_to_two_bytes() {
        let bytes = to_bytes(&Status::default()).expect("it encodes");
        assert_eq!(bytes.len(), 2, "the form and an empty map");
    }

    /// Every field has a number of its own: none is lost, and none is read as another.
    #[test]
    fn every_field_reads_back() {
        let status = Status {
            exit_code: Some(7),
            error: Some("why".into()),
            forked_from: Some("a/1@2".into()),
            listens: vec!["127.0.0.1:80".into()],
            watched: 3,
            moved_to: Some(MovedTo {
                task: 4,
                move_id: Some(MoveId([5; 16])),
                ..MovedTo::default()
            }),
            came_from: Some("b/1@2".into()),
            restarts: 6,
            wall: Some(at(NOW + 8)),
            last: Some(at(NOW + 9)),
            begins: Some(at(NOW + 10)),
            history: History {
                started: Some(at(NOW + 11)),
                runs: vec![Run::default()],
            },
            connections: vec![TaskId(12)],
            accepted_by: Some(TaskId(13)),
            awaits_request: true,
            trace: Some(TaskTrace {
                origin: context(14),
                last_run: Some(context(15)),
            }),
            ..asleep()
        };
        let bytes = to_bytes(&status).expect("it encodes");
        assert_eq!(from_bytes::<Status>(&bytes).expect("it decodes"), status);
        let cut = &bytes[..bytes.len() - 1];
        assert!(from_bytes::<Status>(cut).is_err());
    }

    #[test]
    fn a_field_of_another_build_is_refused() {
        let error = from_bytes::<Status>(&[1, 0x81, 99, 1]).expect_err("it has no field 99");
        assert!(error.to_string().contains("field 99"), "{error}");
    }
}
