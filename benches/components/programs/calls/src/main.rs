//! `calls KIND COUNT`: makes a host call so many times, and prints what all of them gave.

use wasi::cli::{environment, stdout};
use wasi::clocks::monotonic_clock;
use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

/// Bytes of a read.
const READ: u64 = 4096;
/// Bytes of the file that is read again and again.
const FILE: u64 = 4 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let kind = arguments[1].as_str();
    let count: u64 = arguments[2].parse().expect("a count");
    let total = match kind {
        "now" => now(count),
        "write" => write(count),
        "print" => print(count),
        "read" => read(count),
        "stream" => stream(count),
        "environment" => get_environment(count),
        other => panic!("there is no {other}"),
    };
    eprintln!("{kind}: {total}");
}

/// How often the clock did not go back.
fn now(count: u64) -> u64 {
    let mut last = monotonic_clock::now();
    let mut total = 0;
    for _ in 0..count {
        let now = monotonic_clock::now();
        total += u64::from(now >= last);
        last = now;
    }
    total
}

/// A line of 64 bytes.
fn line() -> [u8; 64] {
    let mut line = [b'x'; 64];
    line[63] = b'\n';
    line
}

/// Bytes that were written to standard output, a line each time, with one question for each write of
/// how many may be written.
fn write(count: u64) -> u64 {
    let line = line();
    let out = stdout::get_stdout();
    for _ in 0..count {
        while out.check_write().expect("it is open") < line.len() as u64 {
            out.subscribe().block();
        }
        out.write(&line).expect("it is written");
    }
    out.blocking_flush().expect("it is written");
    count * line.len() as u64
}

/// The same, each written and flushed in one call.
fn print(count: u64) -> u64 {
    let line = line();
    let out = stdout::get_stdout();
    for _ in 0..count {
        out.blocking_write_and_flush(&line).expect("it is written");
    }
    count * line.len() as u64
}

fn file() -> Descriptor {
    let (directory, _) = &preopens::get_directories()[0];
    let flags = (PathFlags::empty(), OpenFlags::empty(), DescriptorFlags::READ);
    directory
        .open_at(flags.0, "file", flags.1, flags.2)
        .expect("a file")
}

/// Bytes that were read from a file, at one place after another.
fn read(count: u64) -> u64 {
    let file = file();
    let mut total = 0;
    for place in 0..count {
        let (bytes, _) = file.read(READ, place * READ % FILE).expect("bytes");
        total += bytes.len() as u64;
    }
    total
}

/// Bytes that were read from a stream of a file, which begins again at its end.
fn stream(count: u64) -> u64 {
    let file = file();
    let mut stream = file.read_via_stream(0).expect("a stream");
    let mut total = 0;
    for place in 0..count {
        if place % (FILE / READ) == 0 {
            stream = file.read_via_stream(0).expect("a stream");
        }
        total += stream.blocking_read(READ).expect("bytes").len() as u64;
    }
    total
}

/// Bytes of all variables' names and values.
fn get_environment(count: u64) -> u64 {
    let mut total = 0;
    for _ in 0..count {
        let variables = environment::get_environment();
        let bytes = variables.iter().map(|(name, value)| name.len() + value.len());
        total += bytes.sum::<usize>() as u64;
    }
    total
}
