//! What is told to an OpenTelemetry collector: spans of what is done with tasks, and the lines that
//! guests write. Nothing here waits: what a collector does not take in time is dropped and counted.
//!
//! | file | what stands there |
//! | --- | --- |
//! | `options` | by what it is switched on, and who tells |
//! | `sender` | what sends spans and lines, and which are wanted |
//! | `queue` | items on their way to a collector, bounded in number and bytes |
//! | `labels` | what is told of a task with each span and line |
//! | `spans` | the spans of a task's run |
//! | `submitted`, `moved` | the span of a submission, and of a move |
//! | `lines`, `record` | what guests write, as log records |
//!
//! A task's run, from where it is loaded until it is asleep or over, is a trace of its own, linked to
//! the submission and to the run before; the first run is a child of the submission. Viewers and
//! stores of traces are made for traces of minutes: see "Why is a task not one trace?" in
//! RATIONALE.md.

mod labels;
mod lines;
mod moved;
mod options;
mod queue;
mod record;
mod sender;
mod spans;
mod submitted;

pub(crate) use self::labels::TaskLabels;
pub(crate) use self::lines::LineLog;
pub(crate) use self::moved::MoveTold;
pub use self::options::{
    Bytes, HttpError, Post, Request, Response, TelemetryError, TelemetryOptions,
};
pub use self::sender::Telemetry;
pub(crate) use self::spans::{RunBegins, RunSpan, RunTimes};
pub(crate) use self::submitted::Submission;
