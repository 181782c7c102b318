//! `dormouse logs`: what a task has written.

use std::io::{BufRead, BufReader, Write};

use ureq::http::Method;

use super::args::Logs;
use super::client::{Client, segment};
use super::exit::{DAEMON, Done, Failure};
use super::text::{self, say};
use crate::server::wire;
use crate::store::Stream;

pub(super) fn logs(command: &Logs) -> Result<Done, Failure> {
    let client = Client::new(command.remote.url.as_deref())?;
    let mut query = vec![format!("follow={}", command.follow)];
    if let Some(lines) = command.tail {
        query.push(format!("tail={lines}"));
    }
    if let Some(since) = command.since {
        query.push(format!("since={}", segment(&since.to_string())));
    }
    let task = segment(&command.id);
    let path = format!("/v1/tasks/{task}/logs?{}", query.join("&"));
    let mut response = client.send(Method::GET, &path, "application/json", Vec::new())?;
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut stamps = Stamps::default();
    for line in BufReader::new(reader).lines() {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(DAEMON, format!("the daemon's answer broke off: {error}"))
        };
        let line = line.map_err(|error| broken(&error))?;
        let output: wire::Output = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        let written = match text::as_json() {
            // One on a line, as the API gives them.
            true => text::print(&text::escaped(&line)),
            false => {
                let bytes = match command.timestamps {
                    true => stamps.stamped(&output),
                    false => output.bytes(),
                };
                write(output.stream, &bytes)
            }
        };
        if !written {
            // Who reads has seen enough.
            return Ok(Done::Guest(0));
        }
    }
    let task: wire::Task = client.get(&format!("/v1/tasks/{task}"))?;
    if let Some(to) = &task.moved_to {
        say!(
            "task {} has moved, with its output: it is {} now",
            task.id,
            super::tasks::there(to)
        );
    }
    Ok(Done::Guest(0))
}

fn write(stream: Stream, bytes: &[u8]) -> bool {
    let written = match stream {
        Stream::Stdout => {
            let mut stdout = super::log::stdout();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        }
        Stream::Stderr => std::io::stderr().write_all(bytes),
    };
    written.is_ok()
}

/// Puts times in front of lines. Each of the two streams has lines of its own.
#[derive(Default)]
struct Stamps {
    /// Whether stdout and stderr stand in the middle of a line.
    amid: [bool; 2],
}

impl Stamps {
    fn stamped(&mut self, output: &wire::Output) -> Vec<u8> {
        let amid = &mut self.amid[usize::from(output.stream == Stream::Stderr)];
        let mut stamped = Vec::new();
        for line in output.bytes().split_inclusive(|byte| *byte == b'\n') {
            if !*amid {
                stamped.extend_from_slice(output.time.as_bytes());
                stamped.push(b' ');
            }
            stamped.extend_from_slice(line);
            *amid = !line.ends_with(b"\n");
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_time_of_its_beginning() {
        let mut stamps = Stamps::default();
        let mut stamped = |stream, time: &str, text: &str| {
            let output = wire::Output {
                place: None,
                stream,
                time: time.into(),
                text: Some(text.into()),
                base64: None,
            };
            String::from_utf8(stamps.stamped(&output)).expect("it is text")
        };
        assert_eq!(stamped(Stream::Stdout, "1", "a\nb"), "1 a\n1 b");
        assert_eq!(stamped(Stream::Stderr, "2", "x\n"), "2 x\n");
        assert_eq!(stamped(Stream::Stdout, "3", "c\n\nd\n"), "c\n3 \n3 d\n");
        assert_eq!(stamped(Stream::Stdout, "4", ""), "");
    }
}
