//! Standard streams and pipes.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::*;
use crate::guest::fdflags::NONBLOCK;
use dormouse_model::{FdInterest, Interest};

fn reads(fd: u32) -> Outcome {
    Outcome::Block(Wait::Poll {
        deadline: None,
        fds: vec![FdInterest {
            fd,
            interest: Interest::Read,
        }],
    })
}

fn pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
}

fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn an_empty_pipe_blocks_and_a_closed_one_ends() {
    let (reader, mut writer) = pipe();
    let mut guest = Guest::with_input(Input::File(reader));
    assert_eq!(guest.try_read(0, 10), reads(0));
    let Outcome::Block(wait) = reads(0) else {
        panic!("a read that blocks")
    };
    assert!(!guest.ctx.is_ready(&wait));
    assert_eq!(guest.ctx.sources(&wait).len(), 1);
    assert_eq!(guest.ctx.remaining(&wait), None);
    writer.write_all(b"ab").unwrap();
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.read(0, 1).unwrap(), b"a");
    assert_eq!(guest.read(0, 10).unwrap(), b"b");
    assert_eq!(guest.set_flags(0, u64::from(NONBLOCK)), Errno::Success);
    assert_eq!(guest.read(0, 10), Err(Errno::Again));
    drop(writer);
    assert_eq!(guest.read(0, 10).unwrap(), b"");
}

#[test]
fn input_follows_its_descriptor() {
    let (reader, _writer) = pipe();
    let mut guest = Guest::with_input(Input::File(reader));
    let fd = guest.open("a", CREAT, WRITE, 0).unwrap();
    let renumber = [0, u64::from(fd)];
    assert_eq!(guest.errno(Function::FdRenumber, &renumber), Errno::Success);
    assert_eq!(guest.try_read(fd, 10), reads(fd));
    assert_eq!(guest.try_read(0, 10), Outcome::Done(Errno::Badf));
}

#[test]
fn bytes_and_nothing_never_block() {
    let mut guest = Guest::with_input(Input::Bytes(b"abc".to_vec()));
    assert_eq!(guest.read(0, 2).unwrap(), b"ab");
    assert_eq!(guest.read(0, 2).unwrap(), b"c");
    assert_eq!(guest.read(0, 2).unwrap(), b"");
    assert_eq!(Guest::new().read(0, 2).unwrap(), b"");
}

/// A bad result pointer must not swallow input.
#[test]
fn input_is_not_lost_to_a_bad_pointer() {
    let mut guest = Guest::with_input(Input::Bytes(b"abc".to_vec()));
    let [list, count] = guest.buffers(&[(DATA, 3)]);
    let arguments = [0, list, count, MEMORY as u64];
    assert_eq!(guest.errno(Function::FdRead, &arguments), Errno::Fault);
    assert_eq!(guest.read(0, 3).unwrap(), b"abc");
}

#[test]
fn output_is_written_whole() {
    let mut guest = Guest::new();
    guest.put(DATA, b"abcdef");
    let [list, count] = guest.buffers(&[(DATA, 3), (DATA, 0), (DATA + 4, 2)]);
    let arguments = [1, list, count, u64::from(RESULT)];
    assert_eq!(guest.errno(Function::FdWrite, &arguments), Errno::Success);
    assert_eq!(
        (guest.u32_at(RESULT), guest.output()),
        (5, b"abcef".to_vec())
    );
    assert_eq!(guest.write(0, b"x"), Err(Errno::Badf));
    assert_eq!(guest.read(1, 1), Err(Errno::Badf));
}

#[test]
fn a_closed_pipe_is_told() {
    let (reader, writer) = pipe();
    let mut guest = Guest::new();
    guest.ctx.resources.streams.stdout = Output::File(writer);
    drop(reader);
    assert_eq!(guest.write(1, b"x"), Err(Errno::Pipe));
}

/// A guest may list 1024 buffers over the same bytes: 4 GiB out of 4 MiB.
#[test]
fn many_buffers_over_the_same_bytes_are_not_copied() {
    let mut guest = Guest::new();
    guest.memory = vec![0; 4 << 20];
    guest.ctx.resources.streams.stdout = Output::Null;
    let list = 1u32 << 16;
    for index in 0..1023 {
        guest.put(list + index * 8, &[0; 4]);
        guest.put(list + index * 8 + 4, &(4u32 << 20).to_le_bytes());
    }
    let arguments = [1, u64::from(list), 1023, u64::from(RESULT)];
    let start = std::time::Instant::now();
    assert_eq!(guest.errno(Function::FdWrite, &arguments), Errno::Success);
    // Copying takes seconds and 4 GiB.
    assert!(start.elapsed().as_millis() < 1000, "{:?}", start.elapsed());
}

/// Run on a thread of its own, because what is tested is that it comes back.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    let limit = std::time::Duration::from_secs(20);
    result
        .recv_timeout(limit)
        .expect("the call does not return")
}

#[test]
fn a_named_pipe_blocks_the_guest_and_not_the_host() {
    let mut guest = Guest::new();
    let path = guest.host.path().join("pipe");
    fifo(&path);
    let (mut guest, fd) = in_time(move || {
        let fd = guest.open("pipe", 0, READ, 0).unwrap();
        assert_eq!(guest.try_read(fd, 10), reads(fd));
        (guest, fd)
    });
    let Outcome::Block(wait) = reads(fd) else {
        panic!("a read that blocks")
    };
    assert!(!guest.ctx.is_ready(&wait));
    assert_eq!(guest.ctx.sources(&wait).len(), 1);
    assert_eq!(guest.tell(fd), Err(Errno::Spipe));

    // Suspended while it waits, it waits again.
    let mut guest = in_time(move || {
        guest.sleep().unwrap();
        guest
    });
    assert_eq!(guest.try_read(fd, 10), reads(fd));
    let mut writer = File::options().write(true).open(&path).unwrap();
    writer.write_all(b"hi").unwrap();
    assert!(guest.ctx.is_ready(&wait));
    assert_eq!(guest.read(fd, 10).unwrap(), b"hi");
    drop(writer);
    assert_eq!(guest.read(fd, 10).unwrap(), b"");
}
