//! The standard streams, and the end of the program.

use super::*;
use dormouse_model::{Limit, Limits};

const STREAMS: &str = "wasi:io/streams";

impl Guest {
    fn stdout(&mut self) -> u64 {
        self.value("wasi:cli/stdout", "get-stdout", &[])
    }

    fn stdin(&mut self) -> u64 {
        self.value("wasi:cli/stdin", "get-stdin", &[])
    }

    /// A method of an output stream whose argument is a list of bytes.
    fn write(&mut self, name: &str, stream: u64, bytes: &[u8]) {
        self.put(DATA, bytes);
        let arguments = [stream, DATA.into(), bytes.len() as u64, RESULT.into()];
        self.done(
            STREAMS,
            &format!("[method]output-stream.{name}"),
            &arguments,
        );
    }

    fn read(&mut self, name: &str, stream: u64, length: u64) -> Outcome {
        let arguments = [stream, length, RESULT.into()];
        self.call(STREAMS, &format!("[method]input-stream.{name}"), &arguments)
    }

    /// Whether the result is an error, and which.
    fn stream_error(&self) -> Option<u8> {
        (self.u8_at(RESULT) == 1).then(|| self.u8_at(RESULT + 4))
    }
}

const CLOSED: Option<u8> = Some(1);
const FAILED: Option<u8> = Some(0);

#[test]
fn output_goes_where_the_streams_lead() {
    let mut guest = Guest::new();
    let stdout = guest.stdout();
    guest.done(
        STREAMS,
        "[method]output-stream.check-write",
        &[stdout, RESULT.into()],
    );
    assert_eq!(
        (guest.stream_error(), guest.u64_at(RESULT + 8)),
        (None, 65536)
    );
    guest.write("write", stdout, b"hello ");
    assert_eq!(guest.stream_error(), None);
    guest.write("blocking-write-and-flush", stdout, b"world");
    guest.done(
        STREAMS,
        "[method]output-stream.write-zeroes",
        &[stdout, 2, RESULT.into()],
    );
    guest.done(
        STREAMS,
        "[method]output-stream.flush",
        &[stdout, RESULT.into()],
    );
    guest.done(
        STREAMS,
        "[method]output-stream.blocking-flush",
        &[stdout, RESULT.into()],
    );
    assert_eq!(guest.output(), b"hello world\0\0");
    let large = [stdout, 0, 4097, RESULT.into()];
    let message = guest.trap(
        STREAMS,
        "[method]output-stream.blocking-write-and-flush",
        &large,
    );
    assert!(message.starts_with("Buffer too large for blocking-write-and-flush"));
    let zeroes = [stdout, 65537, RESULT.into()];
    let message = guest.trap(STREAMS, "[method]output-stream.write-zeroes", &zeroes);
    assert_eq!(
        message,
        "cannot write more zeroes than `check_write` allows"
    );
}

#[test]
fn input_ends_closed_and_can_be_skipped_and_spliced() {
    let mut guest = Guest::with_input(Input::Bytes(b"0123456789".to_vec()));
    let (stdin, stdout) = (guest.stdin(), guest.stdout());
    assert_eq!(guest.read("read", stdin, 3), Outcome::Done(None));
    assert_eq!(
        (guest.stream_error(), guest.list_at(RESULT + 4)),
        (None, b"012".to_vec())
    );
    assert_eq!(guest.read("blocking-skip", stdin, 2), Outcome::Done(None));
    assert_eq!(guest.u64_at(RESULT + 8), 2);
    let arguments = [stdout, stdin, 4, RESULT.into()];
    guest.done(STREAMS, "[method]output-stream.blocking-splice", &arguments);
    assert_eq!((guest.stream_error(), guest.u64_at(RESULT + 8)), (None, 4));
    assert_eq!(guest.output(), b"5678");
    assert_eq!(guest.read("read", stdin, 0), Outcome::Done(None));
    assert_eq!(
        (guest.stream_error(), guest.list_at(RESULT + 4)),
        (None, Vec::new())
    );
    assert_eq!(
        guest.read("blocking-read", stdin, u64::MAX),
        Outcome::Done(None)
    );
    assert_eq!(guest.list_at(RESULT + 4), b"9");
    assert_eq!(guest.read("blocking-read", stdin, 1), Outcome::Done(None));
    assert_eq!(guest.stream_error(), CLOSED);
}

#[test]
fn a_read_waits_for_a_pipe() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    let mut guest = Guest::with_input(Input::File(reader));
    let stdin = guest.stdin();
    assert_eq!(guest.read("read", stdin, 5), Outcome::Done(None));
    assert_eq!(guest.list_at(RESULT + 4), b"");
    let Outcome::Block(wait) = guest.read("blocking-read", stdin, 5) else {
        panic!("there is nothing to read");
    };
    assert!(!guest.ctx.is_ready(&wait));
    std::io::Write::write_all(&mut writer, b"line").expect("room");
    assert!(guest.ctx.is_ready(&wait));
    let arguments = [stdin, 5, RESULT.into()];
    let name = "[method]input-stream.blocking-read";
    assert_eq!(
        guest.again(STREAMS, name, &arguments, Some(&wait)),
        Outcome::Done(None)
    );
    assert_eq!(guest.list_at(RESULT + 4), b"line");
}

#[test]
fn an_error_tells_what_happened() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let mut guest = Guest::with(|_, bindings| bindings.stdout = Output::File(full));
    let stdout = guest.stdout();
    guest.write("write", stdout, b"x");
    assert_eq!(guest.stream_error(), FAILED);
    let error = guest.u32_at(RESULT + 8);
    let arguments = [error.into(), RESULT.into()];
    guest.done("wasi:io/error", "[method]error.to-debug-string", &arguments);
    assert_eq!(
        guest.text_at(RESULT),
        "No space left on device (os error 28)"
    );
    let dropped = guest.drop("wasi:io/error", "error", error.into());
    assert_eq!(dropped, Outcome::Done(Some(u64::MAX)));
}

#[test]
fn output_is_counted() {
    let limits = Limits::default().with(["output=5".parse().expect("a limit")]);
    let mut guest = Guest::with(|_, bindings| bindings.limits = limits);
    let stdout = guest.stdout();
    guest.write("write", stdout, b"12345");
    assert_eq!(
        (guest.stream_error(), guest.ctx.take_reached()),
        (None, None)
    );
    guest.write("write", stdout, b"6");
    assert_eq!(guest.stream_error(), FAILED);
    let reached = guest.ctx.take_reached().expect("a limit");
    assert_eq!(reached.setting.limit, Limit::Output);
    assert_eq!(guest.output(), b"12345");
}

#[test]
fn a_program_ends_by_its_code() {
    let mut guest = Guest::new();
    let mut exit = |name, code| guest.call("wasi:cli/exit", name, &[code]);
    assert_eq!(exit("exit", 0), Outcome::Exit(0));
    assert_eq!(exit("exit", 1), Outcome::Exit(1));
    assert_eq!(exit("exit-with-code", 77), Outcome::Exit(77));
    guest.done("wasi:cli/environment", "initial-cwd", &[RESULT.into()]);
    assert_eq!(guest.u8_at(RESULT), 0);
    for (interface, name) in [
        ("wasi:cli/terminal-stdin", "get-terminal-stdin"),
        ("wasi:cli/terminal-stdout", "get-terminal-stdout"),
        ("wasi:cli/terminal-stderr", "get-terminal-stderr"),
    ] {
        guest.put(RESULT, &[9]);
        guest.done(interface, name, &[RESULT.into()]);
        assert_eq!(guest.u8_at(RESULT), 0, "{name}: no terminal");
    }
}
