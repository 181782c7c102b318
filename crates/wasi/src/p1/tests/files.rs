//! Opening, reading, writing, listing; layouts.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::*;
use crate::guest::fdflags::{APPEND, NONBLOCK, SYNC};

#[test]
fn a_file_is_written_and_read() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT | EXCL, READ | WRITE, 0).unwrap();
    assert_eq!(fd, 4);
    assert_eq!(guest.write(fd, b"hello"), Ok(5));
    assert_eq!(guest.tell(fd), Ok(5));
    assert_eq!(guest.seek(fd, -4, 1), Errno::Success);
    assert_eq!(guest.read(fd, 100).unwrap(), b"ello");
    assert_eq!(guest.seek(fd, -6, 2), Errno::Inval);
    assert_eq!(guest.open("a", CREAT | EXCL, READ, 0), Err(Errno::Exist));
    assert_eq!(guest.open("b", 0, READ, 0), Err(Errno::Noent));
}

#[test]
fn buffers_are_filled_one_after_another() {
    let mut guest = Guest::new();
    std::fs::write(guest.host.path().join("a"), "abcdef").unwrap();
    let fd = guest.open("a", 0, READ, 0).unwrap();
    let [list, count] = guest.buffers(&[(DATA, 2), (DATA + 100, 0), (DATA + 10, 3)]);
    let arguments = [u64::from(fd), list, count, u64::from(RESULT)];
    assert_eq!(guest.errno(Function::FdRead, &arguments), Errno::Success);
    assert_eq!(guest.u32_at(RESULT), 5);
    assert_eq!(
        (guest.bytes(DATA, 2), guest.bytes(DATA + 10, 3)),
        (&b"ab"[..], &b"cde"[..])
    );
}

/// Go asks for every right but four where it only wants to read.
#[test]
fn only_the_right_to_write_opens_for_writing() {
    let mut guest = Guest::new();
    std::fs::write(guest.host.path().join("a"), "").unwrap();
    let rights = rights::ALL & !(WRITE | rights::FD_DATASYNC | rights::FD_ALLOCATE);
    let fd = guest.open("a", 0, rights, 0).unwrap();
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Badf));
    let open = guest.ctx.save().unwrap().fds.pop().unwrap();
    let crate::FdKindV1::File(crate::FileV1 { access, .. }) = open.kind else {
        panic!("{open:?} is no file");
    };
    assert_eq!(
        (access.read, access.write),
        (true, false),
        "a read-only file could not be opened"
    );
}

#[test]
fn a_file_can_be_created_for_reading() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, READ, 0).unwrap();
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Badf));
    assert_eq!(guest.read(fd, 1).unwrap(), b"");
}

#[test]
fn unknown_flags_are_refused() {
    let mut guest = Guest::new();
    std::fs::write(guest.host.path().join("a"), "").unwrap();
    assert_eq!(guest.open("a", 1 << 4, READ, 0), Err(Errno::Inval));
    assert_eq!(guest.open("a", 0, READ, 1 << 5), Err(Errno::Inval));
    assert_eq!(guest.open_at(ROOT, 2, "a", 0, READ, 0), Err(Errno::Inval));
    assert_eq!(
        guest.open("a", DIRECTORY | CREAT, READ, 0),
        Err(Errno::Inval)
    );
}

#[test]
fn appending_goes_to_the_end() {
    let mut guest = Guest::new();
    let path = guest.host.path().join("a");
    std::fs::write(&path, "abc").unwrap();
    let fd = guest.open("a", 0, READ | WRITE, u32::from(APPEND)).unwrap();
    assert_eq!(guest.write(fd, b"de"), Ok(2));
    assert_eq!(guest.tell(fd), Ok(5));
    assert_eq!(guest.set_flags(fd, 0), Errno::Success);
    assert_eq!(guest.seek(fd, 0, 0), Errno::Success);
    assert_eq!(guest.write(fd, b"X"), Ok(1));
    assert_eq!(std::fs::read(&path).unwrap(), b"Xbcde");
}

#[test]
fn sync_flags_are_those_of_the_open() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, WRITE, 0).unwrap();
    assert_eq!(guest.set_flags(fd, u64::from(SYNC)), Errno::Inval);
    assert_eq!(guest.fdstat(fd).1, 0);
    let fd = guest.open("a", 0, WRITE, u32::from(SYNC)).unwrap();
    // What `fcntl(F_SETFL, fcntl(F_GETFL) | O_NONBLOCK)` asks for.
    assert_eq!(
        guest.set_flags(fd, u64::from(SYNC | NONBLOCK)),
        Errno::Success
    );
    assert_eq!(guest.fdstat(fd).1, SYNC | NONBLOCK);
}

#[test]
fn numbers_are_reused_lowest_first() {
    let mut guest = Guest::new();
    let fds: Vec<u32> = (0..3)
        .map(|_| guest.open("a", CREAT, WRITE, 0).unwrap())
        .collect();
    assert_eq!(fds, [4, 5, 6]);
    assert_eq!(guest.errno(Function::FdClose, &[4]), Errno::Success);
    assert_eq!(guest.errno(Function::FdClose, &[4]), Errno::Badf);
    assert_eq!(guest.errno(Function::FdRenumber, &[6, 4]), Errno::Badf);
    assert_eq!(guest.open("a", 0, READ, 0), Ok(4));
    assert_eq!(guest.errno(Function::FdRenumber, &[6, 4]), Errno::Success);
    assert_eq!(guest.fdstat(4).2 & WRITE, WRITE);
    assert_eq!(guest.errno(Function::FdTell, &[6, 64]), Errno::Badf);
    assert_eq!(guest.errno(Function::FdRenumber, &[4, 4]), Errno::Success);
}

#[test]
fn descriptors_are_limited_and_nothing_is_created_beyond() {
    let mut guest = Guest::new();
    let result = (0..2000).find_map(|_| guest.open("a", CREAT, WRITE, 0).err());
    assert_eq!(result, Some(Errno::Mfile));
    assert_eq!(guest.open("b", CREAT, WRITE, 0), Err(Errno::Mfile));
    assert!(!guest.host.path().join("b").exists());
}

#[test]
fn a_bad_result_pointer_changes_nothing() {
    let mut guest = Guest::new();
    let path = guest.host.path().join("a");
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    guest.put(DATA, b"abc");
    let [list, count] = guest.buffers(&[(DATA, 3)]);
    let outside = MEMORY as u64 - 2;
    let arguments = [u64::from(fd), list, count, outside];
    assert_eq!(guest.errno(Function::FdWrite, &arguments), Errno::Fault);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    std::fs::write(&path, "xyz").unwrap();
    assert_eq!(guest.errno(Function::FdRead, &arguments), Errno::Fault);
    assert_eq!(guest.tell(fd), Ok(0));
    let arguments = [u64::from(fd), 2, 0, outside];
    assert_eq!(guest.errno(Function::FdSeek, &arguments), Errno::Fault);
    assert_eq!(guest.tell(fd), Ok(0));
}

#[test]
fn filestat_has_its_layout() {
    let mut guest = Guest::new();
    let path = guest.host.path().join("a");
    std::fs::write(&path, "abc").unwrap();
    guest.put(PATH, b"a");
    let arguments = [u64::from(ROOT), 1, u64::from(PATH), 1, u64::from(DATA)];
    assert_eq!(
        guest.errno(Function::PathFilestatGet, &arguments),
        Errno::Success
    );
    let metadata = std::fs::metadata(&path).unwrap();
    let modified = metadata.mtime() as u64 * 1_000_000_000 + metadata.mtime_nsec() as u64;
    let fields = [
        (0, metadata.dev()),
        (8, metadata.ino()),
        (16, 4),
        (24, 1),
        (32, 3),
        (48, modified),
    ];
    for (offset, value) in fields {
        assert_eq!(guest.u64_at(DATA + offset), value, "at {offset}");
    }
}

/// `fd_filestat_set_times` and `fd_sync` on a directory, as `futimens` and databases do.
#[test]
fn directories_take_times_and_are_flushed() {
    let mut guest = Guest::new();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    let dir = guest.open("d", DIRECTORY, READ, 0).unwrap();
    for (fd, name) in [(dir, "d"), (ROOT, "")] {
        let arguments = [u64::from(fd), 0, 5_000_000_007, 4];
        assert_eq!(
            guest.errno(Function::FdFilestatSetTimes, &arguments),
            Errno::Success
        );
        let metadata = std::fs::metadata(guest.host.path().join(name)).unwrap();
        let since = metadata
            .modified()
            .unwrap()
            .duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(since.unwrap(), Duration::from_nanos(5_000_000_007));
        assert_eq!(
            guest.errno(Function::FdSync, &[u64::from(fd)]),
            Errno::Success
        );
    }
}

#[test]
fn a_directory_is_no_file() {
    let mut guest = Guest::new();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    assert_eq!(guest.open("d", 0, READ | WRITE, 0), Err(Errno::Isdir));
    // As the rest of a Go program's `os.Open`, which does not know yet what it opens.
    let dir = guest.open("d", 0, READ, 0).unwrap();
    assert_eq!(guest.fdstat(dir).0, 3);
    assert_eq!(guest.read(dir, 1), Err(Errno::Badf));
    assert_eq!(guest.seek(dir, 0, 0), Errno::Badf);
    std::fs::write(guest.host.path().join("f"), "").unwrap();
    assert_eq!(guest.open("f", DIRECTORY, READ, 0), Err(Errno::Notdir));
    assert_eq!(guest.open("f/", 0, READ, 0), Err(Errno::Notdir));
    assert_eq!(guest.open_at(dir, 1, "new", CREAT, WRITE, 0), Ok(5));
    assert!(guest.host.path().join("d/new").exists());
}

#[test]
fn a_listing_comes_in_pieces() {
    let mut guest = Guest::new();
    for name in ["one", "two", "three"] {
        std::fs::write(guest.host.path().join(name), "").unwrap();
    }
    let (all, used) = guest.readdir(ROOT, 4096, 0);
    let mut names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [".", "..", "one", "three", "two"]);
    assert!(used < 4096);
    // A full buffer says that there is more, even if the last entry is cut off.
    let (some, used) = guest.readdir(ROOT, 60, 0);
    assert_eq!((some.len(), used), (2, 60));
    let (rest, _) = guest.readdir(ROOT, 4096, some[1].1);
    assert_eq!(rest, all[2..]);
    // Entries removed on the way move nothing.
    std::fs::remove_file(guest.host.path().join(&rest[0].0)).unwrap();
    assert_eq!(guest.readdir(ROOT, 4096, rest[0].1).0, rest[1..]);
    assert_eq!(guest.readdir(ROOT, 4096, u64::from(u32::MAX)).1, 0);
}

#[test]
fn preopens_tell_their_names() {
    let mut guest = Guest::new();
    let arguments = [u64::from(ROOT), u64::from(DATA)];
    assert_eq!(
        guest.errno(Function::FdPrestatGet, &arguments),
        Errno::Success
    );
    assert_eq!((guest.u32_at(DATA), guest.u32_at(DATA + 4)), (0, 1));
    let arguments = [u64::from(ROOT), u64::from(DATA), 0];
    assert_eq!(
        guest.errno(Function::FdPrestatDirName, &arguments),
        Errno::Nametoolong
    );
    assert_eq!(guest.errno(Function::FdPrestatGet, &[4, 0]), Errno::Badf);
}

#[test]
fn the_errno_of_the_wrong_kind_is_wasmtimes() {
    let mut guest = Guest::new();
    assert_eq!(guest.seek(1, 0, 0), Errno::Spipe);
    assert_eq!(guest.errno(Function::FdTell, &[0, 64]), Errno::Spipe);
    assert_eq!(guest.errno(Function::FdSync, &[1]), Errno::Badf);
    assert_eq!(guest.errno(Function::FdAdvise, &[1, 0, 0, 0]), Errno::Badf);
    assert_eq!(guest.errno(Function::FdAdvise, &[3, 0, 0, 6]), Errno::Inval);
    assert_eq!(guest.errno(Function::SockShutdown, &[3, 0]), Errno::Notsock);
    assert_eq!(guest.errno(Function::SockShutdown, &[9, 0]), Errno::Badf);
    assert_eq!(
        guest.errno(Function::ClockTimeGet, &[2, 0, 64]),
        Errno::Badf
    );
    let empty = guest.open("a", TRUNC, WRITE, 0);
    assert_eq!(empty, Err(Errno::Noent));
}

/// The calls with a list of buffers at this address, of so many.
fn transfers(guest: &mut Guest, fd: u32, list: u64, count: u64) -> [Errno; 4] {
    let plain = [u64::from(fd), list, count, u64::from(RESULT)];
    let placed = [u64::from(fd), list, count, 0, u64::from(RESULT)];
    [
        guest.errno(Function::FdWrite, &plain),
        guest.errno(Function::FdPwrite, &placed),
        guest.errno(Function::FdRead, &plain),
        guest.errno(Function::FdPread, &placed),
    ]
}

/// The specification names no limit. A list that does not lie in memory is a fault before anything
/// is done.
#[test]
fn a_list_of_buffers_has_any_length() {
    let mut guest = Guest::new();
    guest.memory = vec![0; 64 << 20];
    let fd = guest.open("a", CREAT, READ | WRITE, 0).expect("a file");
    let list = 1_u64 << 20;
    // As many as fit: all of them empty, but the last one.
    let most = (guest.memory.len() as u64 - list) / 8;
    for count in [0, 1, 1024, 1025, most] {
        assert_eq!(transfers(&mut guest, fd, list, count), [Errno::Success; 4]);
        assert_eq!(guest.u32_at(RESULT), 0);
    }
    let last = (list + (most - 1) * 8) as u32;
    guest.put(last, &DATA.to_le_bytes());
    guest.put(last + 4, &3_u32.to_le_bytes());
    assert_eq!(transfers(&mut guest, fd, list, most), [Errno::Success; 4]);
    assert_eq!(guest.u32_at(RESULT), 3);
    for count in [most + 1, 1 << 29, (1 << 29) - 1, u64::from(u32::MAX)] {
        assert_eq!(transfers(&mut guest, fd, list, count), [Errno::Fault; 4]);
    }
    // Each of these holds all that a call can report.
    for entry in 0..3000 {
        guest.put(list as u32 + entry * 8 + 4, &(60_u32 << 20).to_le_bytes());
    }
    let reads = [u64::from(fd), list, 3000, 0, u64::from(RESULT)];
    let errno = guest.errno(Function::FdPread, &reads);
    assert_eq!((errno, guest.u32_at(RESULT)), (Errno::Success, 3));
}
