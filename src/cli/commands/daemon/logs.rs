//! `dormouse logs`: what a task has written.

use std::io::{BufRead, BufReader, Write};

use ureq::http::Method;

use super::wire_task;
use crate::cli::args::daemon::Logs;
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{DAEMON, Done, Failure, OK};
use crate::cli::output::{self, escape, say, streams};
use crate::daemon::http::wire;
use crate::store::Stream;

pub(super) fn logs(command: &Logs) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let mut query = vec![format!("follow={}", command.follow)];
    if let Some(lines) = command.tail {
        query.push(format!("tail={lines}"));
    }
    if let Some(since) = command.since {
        query.push(format!("since={}", escaped(&since.to_string())));
    }
    let task = escaped(&command.id);
    let path = format!("/v1/tasks/{task}/logs?{}", query.join("&"));
    let mut response = client.send(Method::GET, &path, "application/json", Vec::new())?;
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut timestamps = Timetimestamps::default();
    for line in BufReader::new(reader).lines() {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(DAEMON, format!("the daemon's answer broke off: {error}"))
        };
        let line = line.map_err(|error| broken(&error))?;
        let output: wire::Output = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        let written = match output::as_json() {
            // One object on a line, as the API sends them.
            true => output::print(&escape::json(&line)),
            false => {
                let bytes = match command.timestamps {
                    true => timestamps.stamped(&output),
                    false => output.bytes(),
                };
                write(output.stream, &bytes)
            }
        };
        if !written {
            // The reader of our output has gone: it has seen enough.
            return OK;
        }
    }
    let task: wire::Task = client.get(&format!("/v1/tasks/{task}"))?;
    if let Some(to) = &task.moved_to {
        say!(
            "task {} has moved, with its output: it is {} now",
            task.id,
            wire_task::location(to)
        );
    }
    OK
}

fn write(stream: Stream, bytes: &[u8]) -> bool {
    let written = match stream {
        Stream::Stdout => {
            let mut stdout = streams::stdout();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Stream::Stderr => std::io::stderr().write_all(bytes),
    };
    written.is_ok()
}

/// Puts times in front of lines, of stdout and of stderr separately.
#[derive(Default)]
struct Timetimestamps {
    /// Whether the last output of stdout, and of stderr, ended in the middle of a line.
    mid_line: [bool; 2],
}

impl Timetimestamps {
    fn stamped(&mut self, output: &wire::Output) -> Vec<u8> {
        let mid_line = &mut self.mid_line[usize::from(output.stream == Stream::Stderr)];
        let mut stamped = Vec::new();
        for line in output.bytes().split_inclusive(|byte| *byte == b'\n') {
            if !*mid_line {
                stamped.extend_from_slice(output.time.as_bytes());
                stamped.push(b' ');
            }
            stamped.extend_from_slice(line);
            *mid_line = !line.ends_with(b"\n");
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_time_of_its_beginning() {
        let mut timestamps = Timetimestamps::default();
        let mut stamped = |stream, time: &str, text: &str| {
            let output = wire::Output {
                sequence: None,
                stream,
                time: time.into(),
                text: Some(text.into()),
                base64: None,
            };
            String::from_utf8(timestamps.stamped(&output)).expect("it is text")
        };
        assert_eq!(stamped(Stream::Stdout, "1", "a\nb"), "1 a\n1 b");
        assert_eq!(stamped(Stream::Stderr, "2", "x\n"), "2 x\n");
        assert_eq!(stamped(Stream::Stdout, "3", "c\n\nd\n"), "c\n3 \n3 d\n");
        assert_eq!(stamped(Stream::Stdout, "4", ""), "");
    }
}
