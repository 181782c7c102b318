//! Files and directories on the host and in memory: what one gives, the other gives too.

use super::*;

#[test]
fn files_are_written_and_read_at_any_place() {
    in_both(|guest, dir| {
        let file = guest
            .open(dir, "a", CREATE | EXCLUSIVE, READ | WRITE)
            .expect("a file");
        assert_eq!(guest.write_file(file, b"hello world", 0), Ok(11));
        assert_eq!(guest.write_file(file, b"W", 6), Ok(1));
        assert_eq!(guest.read_file(file, 5, 6), Ok((b"World".to_vec(), false)));
        assert_eq!(guest.read_file(file, 5, 11), Ok((Vec::new(), true)));
        assert_eq!(
            guest
                .read_file(file, u64::MAX, 0)
                .map(|(bytes, _)| bytes.len()),
            Ok(11)
        );
        assert_eq!(guest.read_file(file, 1, u64::MAX), Err(INVALID));
        let (kind, size, _) = guest.stat(file).expect("a stat");
        assert_eq!((kind, size), (6, 11));
        guest.method("set-size", &[file, 5, RESULT.into()]);
        assert_eq!(guest.error(1), Ok(()));
        assert_eq!(guest.read_file(file, 99, 0), Ok((b"hello".to_vec(), false)));
        for name in ["sync", "sync-data"] {
            guest.method(name, &[file, RESULT.into()]);
            assert_eq!(guest.error(1), Ok(()));
        }
        guest.method("advise", &[file, 0, 0, 3, RESULT.into()]);
        assert_eq!(guest.error(1), Ok(()));
        guest.method("advise", &[dir, 0, 0, 3, RESULT.into()]);
        assert_eq!(guest.error(1), Err(BAD_DESCRIPTOR));
        assert_eq!(guest.open(dir, "a", CREATE | EXCLUSIVE, WRITE), Err(EXIST));
        assert_eq!(guest.open(dir, "b", 0, READ), Err(NO_ENTRY));
        assert_eq!(guest.open(dir, "", 0, READ), Err(NO_ENTRY));
        assert_eq!(guest.open(dir, "a\0", 0, READ), Err(INVALID));
        assert_eq!(guest.open(dir, "../a", 0, READ), Err(NOT_PERMITTED));
        assert_eq!(guest.open(dir, "a", DIRECTORY, READ), Err(NOT_DIRECTORY));
        assert_eq!(guest.open(dir, "b", DIRECTORY | CREATE, READ), Err(INVALID));
        assert_eq!(guest.open(file, "b", 0, READ), Err(NOT_DIRECTORY));
        assert_eq!(guest.open(dir, "a", 0, READ | 4), Err(UNSUPPORTED));
        // What is open to be read cannot be written.
        let read = guest.open(dir, "a", 0, READ).expect("a file");
        assert_eq!(guest.write_file(read, b"x", 0), Err(BAD_DESCRIPTOR));
        guest.method("set-size", &[read, 0, RESULT.into()]);
        assert_eq!(guest.error(1), Err(INVALID));
        let write = guest.open(dir, "a", TRUNCATE, WRITE).expect("a file");
        assert_eq!(guest.read_file(write, 1, 0), Err(BAD_DESCRIPTOR));
        assert_eq!(guest.stat(read).map(|(_, size, _)| size), Ok(0));
        for (open, flags) in [(file, 3), (read, 1), (write, 2)] {
            guest.method("get-flags", &[open, RESULT.into()]);
            assert_eq!((guest.error(1), guest.u8_at(RESULT + 1)), (Ok(()), flags));
        }
        guest.method("get-flags", &[dir, RESULT.into()]);
        assert_eq!(guest.u8_at(RESULT + 1), 1 | 32);
        guest.method("get-type", &[dir, RESULT.into()]);
        assert_eq!((guest.error(1), guest.u8_at(RESULT + 1)), (Ok(()), 3));
        assert_eq!(guest.read_file(dir, 1, 0), Err(BAD_DESCRIPTOR));
        assert_eq!(
            guest.stream("read-via-stream", &[dir, 0]),
            Err(IS_DIRECTORY)
        );
        assert_eq!(
            guest.stream("write-via-stream", &[dir, 0]),
            Err(BAD_DESCRIPTOR)
        );
    });
}

#[test]
fn names_come_and_go() {
    in_both(|guest, dir| {
        assert_eq!(guest.path_call("create-directory-at", dir, "d"), Ok(()));
        assert_eq!(guest.path_call("create-directory-at", dir, "d"), Err(EXIST));
        let sub = guest.open(dir, "d", DIRECTORY, READ).expect("a directory");
        guest.open(sub, "f", CREATE, WRITE).expect("a file");
        assert_eq!(
            guest.paths_call("link-at", &[&[sub, 0], &[dir]], ["f", "g"]),
            Ok(())
        );
        let follow = guest.paths_call("link-at", &[&[sub, FOLLOW], &[dir]], ["f", "h"]);
        assert_eq!(follow, Err(INVALID));
        assert_eq!(
            guest.paths_call("symlink-at", &[&[dir], &[]], ["d/f", "l"]),
            Ok(())
        );
        let absolute = guest.paths_call("symlink-at", &[&[dir], &[]], ["/d", "m"]);
        assert_eq!(absolute, Err(NOT_PERMITTED));
        let names = |names: &[(u8, &str)]| {
            let owned = names.iter().map(|(kind, name)| (*kind, name.to_string()));
            Ok(owned.collect::<Vec<_>>())
        };
        assert_eq!(guest.names(dir), names(&[(3, "d"), (6, "g"), (5, "l")]));
        let [at, length] = guest.text(DATA, "l");
        guest.method("readlink-at", &[dir, at, length, RESULT.into()]);
        assert_eq!(
            (guest.error(4), guest.text_at(RESULT + 4)),
            (Ok(()), "d/f".into())
        );
        // Without following a link, it is a link.
        for (follow, kind) in [(0, 5), (FOLLOW, 6)] {
            let [at, length] = guest.text(DATA, "l");
            guest.method("stat-at", &[dir, follow, at, length, RESULT.into()]);
            assert_eq!((guest.error(8), guest.u8_at(RESULT + 8)), (Ok(()), kind));
        }
        let [at, length] = guest.text(DATA, "l");
        let arguments = [dir, 0, at, length, 0, READ, RESULT.into()];
        guest.method("open-at", &arguments);
        assert_eq!(guest.error(4), Err(LOOP));
        assert_eq!(
            guest.paths_call("rename-at", &[&[dir], &[sub]], ["g", "h"]),
            Ok(())
        );
        assert_eq!(guest.names(sub), names(&[(6, "f"), (6, "h")]));
        assert_eq!(guest.path_call("remove-directory-at", dir, "d"), Err(25));
        assert_eq!(
            guest.path_call("unlink-file-at", dir, "d"),
            Err(IS_DIRECTORY)
        );
        for name in ["f", "h"] {
            assert_eq!(guest.path_call("unlink-file-at", sub, name), Ok(()));
        }
        assert_eq!(guest.path_call("remove-directory-at", dir, "d"), Ok(()));
        assert_eq!(guest.path_call("unlink-file-at", dir, "l"), Ok(()));
        assert_eq!(guest.names(dir), names(&[]));
        assert_eq!(guest.path_call("unlink-file-at", dir, "l"), Err(NO_ENTRY));
    });
}

#[test]
fn times_are_set_and_files_are_told_apart() {
    in_both(|guest, dir| {
        let (a, b) = (
            guest.open(dir, "a", CREATE, WRITE),
            guest.open(dir, "b", CREATE, WRITE),
        );
        let (a, b) = (a.expect("a file"), b.expect("a file"));
        let a2 = guest.open(dir, "a", 0, READ).expect("a file");
        let no_change = [0, 0, 0];
        let at = [2, 1_000_000_000, 5];
        let mut arguments = vec![a];
        arguments.extend(no_change);
        arguments.extend(at);
        arguments.push(RESULT.into());
        guest.method("set-times", &arguments);
        assert_eq!(guest.error(1), Ok(()));
        assert_eq!(guest.stat(a).map(|(.., time)| time), Ok(1_000_000_000));
        let [path, length] = guest.text(DATA, "b");
        let beyond = [2, u64::MAX, 0];
        let mut arguments = vec![dir, 0, path, length];
        arguments.extend(no_change);
        arguments.extend(beyond);
        arguments.push(RESULT.into());
        guest.method("set-times-at", &arguments);
        assert_eq!(guest.error(1), Err(OVERFLOW));
        let mut same = |one, other| {
            guest.value(TYPES, "[method]descriptor.is-same-object", &[one, other]) == 1
        };
        assert_eq!(
            (same(a, a2), same(a, b), same(dir, a)),
            (true, false, false)
        );
        let mut hash = |name: &str, arguments: &[u64]| {
            let mut arguments = arguments.to_vec();
            arguments.push(RESULT.into());
            guest.method(name, &arguments);
            assert_eq!(guest.error(8), Ok(()));
            (guest.u64_at(RESULT + 8), guest.u64_at(RESULT + 16))
        };
        let of_b = hash("metadata-hash", &[b]);
        assert_eq!(hash("metadata-hash-at", &[dir, 0, path, length]), of_b);
        assert_ne!(hash("metadata-hash", &[a]), of_b);
    });
}

#[test]
fn streams_move_through_a_file_each_at_its_own_place() {
    in_both(|guest, dir| {
        let file = guest.open(dir, "s", CREATE, READ | WRITE).expect("a file");
        let output = guest
            .stream("write-via-stream", &[file, 2])
            .expect("a stream");
        assert_eq!(guest.write_stream("write", output, b"abc"), None);
        assert_eq!(
            guest.write_stream("blocking-write-and-flush", output, b"def"),
            None
        );
        let append = guest
            .stream("append-via-stream", &[file])
            .expect("a stream");
        assert_eq!(guest.write_stream("write", append, b"!"), None);
        let input = guest
            .stream("read-via-stream", &[file, 1])
            .expect("a stream");
        let read = "[method]input-stream.read";
        guest.done(STREAMS, read, &[input, 4, RESULT.into()]);
        assert_eq!(guest.list_at(RESULT + 4), b"\0abc");
        // A stream keeps the file open, with its place, over a suspend.
        let done = Outcome::Done(Some(u64::MAX));
        assert_eq!(guest.drop(TYPES, "descriptor", file), done);
        guest.sleep();
        guest.done(
            STREAMS,
            "[method]input-stream.blocking-read",
            &[input, 99, RESULT.into()],
        );
        assert_eq!(guest.list_at(RESULT + 4), b"def!");
        guest.done(STREAMS, read, &[input, 99, RESULT.into()]);
        assert_eq!(
            (guest.u8_at(RESULT), guest.u8_at(RESULT + 4)),
            (1, 1),
            "closed"
        );
        assert_eq!(guest.write_stream("write", output, b"xyz"), None);
        assert_eq!(guest.write_stream("write", append, b"?"), None);
        let open = guest.ctx.save().expect("a state").fds.len();
        for (name, stream) in [
            ("output-stream", output),
            ("output-stream", append),
            ("input-stream", input),
        ] {
            assert_eq!(guest.drop(STREAMS, name, stream), done);
        }
        assert_eq!(guest.ctx.save().expect("a state").fds.len(), open - 1);
        let file = guest.open(dir, "s", 0, READ).expect("a file");
        assert_eq!(
            guest.read_file(file, 99, 0),
            Ok((b"\0\0abcdefxyz?".to_vec(), false))
        );
    });
}

/// The guest is told of the error of a write by the next call.
#[test]
fn an_error_of_a_stream_comes_with_the_next_call() {
    let mut guest = Guest::new();
    let dir = guest.root();
    guest.open(dir, "f", CREATE, WRITE).expect("a file");
    let file = guest.open(dir, "f", 0, READ).expect("a file");
    let output = guest
        .stream("write-via-stream", &[file, 0])
        .expect("a stream");
    assert_eq!(guest.write_stream("write", output, b"x"), None);
    let arguments = [output, DATA.into(), 1, RESULT.into()];
    let early = guest.trap(STREAMS, "[method]output-stream.write", &arguments);
    assert!(early.starts_with("write not permitted"), "{early}");
    let check = "[method]output-stream.check-write";
    guest.done(STREAMS, check, &[output, RESULT.into()]);
    assert_eq!(
        (guest.u8_at(RESULT), guest.u8_at(RESULT + 8)),
        (1, 0),
        "failed"
    );
    let error = guest.u32_at(RESULT + 12);
    guest.done(
        TYPES,
        "filesystem-error-code",
        &[error.into(), RESULT.into()],
    );
    assert_eq!(
        (guest.u8_at(RESULT), guest.u8_at(RESULT + 1)),
        (1, BAD_DESCRIPTOR)
    );
    guest.done(STREAMS, check, &[output, RESULT.into()]);
    assert_eq!(
        (guest.u8_at(RESULT), guest.u8_at(RESULT + 8)),
        (1, 1),
        "closed"
    );
    let blocking = guest
        .stream("write-via-stream", &[file, 0])
        .expect("a stream");
    assert_eq!(
        guest.write_stream("blocking-write-and-flush", blocking, b"x"),
        Some(0)
    );
}

#[test]
fn a_deleted_file_goes_on() {
    in_both(|guest, dir| {
        let file = guest
            .open(dir, "gone", CREATE, READ | WRITE)
            .expect("a file");
        guest.write_file(file, b"content", 0).expect("room");
        assert_eq!(guest.path_call("unlink-file-at", dir, "gone"), Ok(()));
        guest.sleep();
        assert_eq!(
            guest.read_file(file, 9, 0),
            Ok((b"content".to_vec(), false))
        );
    });
}
