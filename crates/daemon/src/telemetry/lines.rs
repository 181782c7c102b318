//! What a guest writes, cut into lines.

use std::sync::Arc;

use crate::model::{Timestamp, TraceContext};
use crate::telemetry::labels::TaskLabels;
use crate::telemetry::record::Line;
use crate::telemetry::sender::Telemetry;

/// What a record takes beside its text, in bytes about.
const RECORD_BYTES: usize = 128;

/// A line that is longer becomes several records of so many bytes.
const LONGEST_LINE_BYTES: usize = 64 << 10;

/// The lines of one task in memory.
pub(crate) struct LineLog {
    telemetry: Arc<Telemetry>,
    labels: Arc<TaskLabels>,
    context: Option<TraceContext>,
    /// What has been written since the last end of a line, to standard output and standard error.
    begun: [Vec<u8>; 2],
}

impl LineLog {
    /// The lines of a task; `None` where nobody wants them.
    pub(crate) fn of(
        telemetry: &Arc<Telemetry>,
        labels: &Arc<TaskLabels>,
        context: Option<TraceContext>,
    ) -> Option<Self> {
        telemetry.lines.is_some().then(|| Self {
            telemetry: telemetry.clone(),
            labels: labels.clone(),
            context,
            begun: [Vec::new(), Vec::new()],
        })
    }

    /// Something was written.
    pub(crate) fn write(&mut self, is_stderr: bool, time: Timestamp, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let begun = &mut self.begun[usize::from(is_stderr)];
            let ends = part.last() == Some(&b'\n');
            begun.extend_from_slice(part);
            if ends || begun.len() >= LONGEST_LINE_BYTES {
                let text = std::mem::take(begun);
                self.tell(is_stderr, time, text);
            }
        }
    }

    /// Tells what stands in lines that have not ended: the task falls asleep, or is over.
    pub(crate) fn end(&mut self, time: Timestamp) {
        for is_stderr in [false, true] {
            let text = std::mem::take(&mut self.begun[usize::from(is_stderr)]);
            if !text.is_empty() {
                self.tell(is_stderr, time, text);
            }
        }
    }

    fn tell(&self, is_stderr: bool, time: Timestamp, mut text: Vec<u8>) {
        if text.ends_with(b"\n") {
            text.pop();
            if text.ends_with(b"\r") {
                text.pop();
            }
        }
        let bytes = text.len() + RECORD_BYTES;
        let line = Line {
            time,
            stream: if is_stderr { "stderr" } else { "stdout" },
            text,
            labels: self.labels.clone(),
            context: self.context,
        };
        if let Some(lines) = &self.telemetry.lines {
            lines.push(line, bytes);
        }
    }
}

impl std::fmt::Debug for LineLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineLog").finish_non_exhaustive()
    }
}
