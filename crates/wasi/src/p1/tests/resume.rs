//! States that go through bytes and continue: what is found again, what is refused.

use std::time::SystemTime;

use super::*;
use crate::guest::fdflags::APPEND;
use crate::{DeletedV1, FdKindV1, FdV1, FileV1};

#[test]
fn an_open_file_goes_on_where_it_was() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    guest.write(fd, b"hello").unwrap();
    guest.seek(fd, 1, 0);
    guest.sleep().unwrap();
    assert_eq!(guest.read(fd, 10).unwrap(), b"ello");
    assert_eq!(guest.write(fd, b"!"), Ok(1));
    assert_eq!(
        std::fs::read(guest.host.path().join("a")).unwrap(),
        b"hello!"
    );
    assert_eq!(guest.write(1, b"out"), Ok(3));
    assert_eq!(guest.output(), b"out");
}

#[test]
fn a_renamed_file_is_found() {
    let mut guest = Guest::new();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    let dir = guest.open("d", DIRECTORY, READ, 0).unwrap();
    guest.write(fd, b"hello").unwrap();
    std::fs::rename(guest.host.path().join("d"), guest.host.path().join("e")).unwrap();
    std::fs::rename(guest.host.path().join("a"), guest.host.path().join("e/b")).unwrap();
    guest.sleep().unwrap();
    guest.seek(fd, 0, 0);
    assert_eq!(guest.read(fd, 10).unwrap(), b"hello");
    assert!(guest.open_at(dir, 1, "b", 0, READ, 0).is_ok());
}

#[test]
fn a_directory_that_was_renamed_itself_is_found() {
    let outer = tempfile::tempdir().unwrap();
    let (before, after) = (outer.path().join("before"), outer.path().join("after"));
    std::fs::create_dir(&before).unwrap();
    let mut guest = Guest::new();
    let bound = |host: &std::path::Path| Bindings {
        stdin: Input::Null,
        dirs: vec![HostDir {
            guest: "/".into(),
            host: host.into(),
            access: crate::Access::Kept,
        }],
        ..Bindings::default()
    };
    guest.ctx = Ctx::new(Config::default(), bound(&before), guest.clock.clone()).unwrap();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    guest.write(fd, b"hello").unwrap();
    std::fs::rename(&before, &after).unwrap();
    let state = guest.state().unwrap();
    let options = RestoreOptions::default();
    guest.ctx = Ctx::restore(state, bound(&after), options, guest.clock.clone()).unwrap();
    assert_eq!(guest.tell(fd), Ok(5));
}

#[test]
fn a_deleted_file_travels_by_content() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    let other = guest.open("a", 0, WRITE, u32::from(APPEND)).unwrap();
    guest.write(fd, b"hello").unwrap();
    guest.seek(fd, 2, 0);
    assert_eq!(
        guest.path_call(Function::PathUnlinkFile, "a"),
        Errno::Success
    );
    let state = guest.state().unwrap();
    assert_eq!(state.deleted.len(), 1, "one content for both");
    guest.go_on(state, RestoreOptions::default()).unwrap();
    assert_eq!(guest.read(fd, 10).unwrap(), b"llo");
    // Still one file, still appending, still not for reading.
    assert_eq!(guest.write(other, b"!"), Ok(1));
    assert_eq!(guest.read(other, 1), Err(Errno::Badf));
    assert_eq!(guest.read(fd, 10).unwrap(), b"!");
    assert_eq!(std::fs::read_dir(guest.host.path()).unwrap().count(), 0);
    guest.sleep().unwrap();
    guest.seek(fd, 0, 0);
    assert_eq!(guest.read(fd, 10).unwrap(), b"hello!");
}

#[test]
fn a_file_is_found_by_its_other_name() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    guest.write(fd, b"hello").unwrap();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    let (own, other) = (guest.host.path().join("a"), guest.host.path().join("d/b"));
    std::fs::hard_link(&own, &other).unwrap();
    std::fs::remove_file(&own).unwrap();
    guest.sleep().unwrap();
    guest.write(fd, b"!").unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"hello!");
}

#[test]
fn what_cannot_be_found_again_is_refused_by_name() {
    let mut guest = Guest::new();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    let dir = guest.open("d", DIRECTORY, READ, 0).unwrap();
    std::fs::remove_dir(guest.host.path().join("d")).unwrap();
    let error = guest.ctx.save().unwrap_err();
    assert!(
        matches!(&error, Error::DeletedNotFile(path) if path == "/d"),
        "{error}"
    );
    assert_eq!(
        guest.errno(Function::FdClose, &[u64::from(dir)]),
        Errno::Success
    );

    guest.open("a", CREAT, WRITE, 0).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(guest.host.path().join("a"), elsewhere.path().join("a")).unwrap();
    let error = guest.ctx.save().unwrap_err();
    assert!(matches!(&error, Error::MovedOut(_)), "{error}");
}

#[test]
fn a_deleted_file_that_is_too_large_is_named() {
    let mut guest = Guest::new();
    let fd = guest.open("huge", CREAT, WRITE, 0).unwrap();
    let arguments = [u64::from(fd), 1 << 31];
    assert_eq!(
        guest.errno(Function::FdFilestatSetSize, &arguments),
        Errno::Success
    );
    guest.path_call(Function::PathUnlinkFile, "huge");
    let error = guest.ctx.save().unwrap_err().to_string();
    assert!(error.contains("/huge"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let mut guest = Guest::new();
    guest.open("a", CREAT, WRITE, 0).unwrap();
    let state = guest.state().unwrap();
    std::fs::remove_file(guest.host.path().join("a")).unwrap();
    let error = guest.go_on(state, RestoreOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::FileMissing { path, .. } if path == "/a"),
        "{error}"
    );
    assert!(!guest.host.path().join("a").exists(), "nothing is created");
}

#[test]
fn a_changed_file_is_refused_unless_accepted() {
    let mut guest = Guest::new();
    let path = guest.host.path().join("a");
    std::fs::write(&path, "before").unwrap();
    let fd = guest.open("a", 0, READ, 0).unwrap();
    let state = guest.state().unwrap();
    let changed = |result: Result<(), Error>| matches!(result, Err(Error::FileChanged { .. }));

    // The same content with another time is the same file, as `cp` makes it.
    let touch = |seconds| {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    touch(1000);
    guest
        .go_on(state.clone(), RestoreOptions::default())
        .unwrap();
    std::fs::write(&path, "beforf").unwrap();
    touch(2000);
    assert!(changed(
        guest.go_on(state.clone(), RestoreOptions::default())
    ));
    std::fs::write(&path, "longer than before").unwrap();
    assert!(changed(
        guest.go_on(state.clone(), RestoreOptions::default())
    ));
    let accept_changed_files = true;
    let options = RestoreOptions {
        accept_changed_files,
    };
    guest.go_on(state, options).unwrap();
    assert_eq!(guest.read(fd, 100).unwrap(), b"longer than before");
}

#[test]
fn a_listing_survives_in_the_middle() {
    let mut guest = Guest::new();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    for name in ["d/a", "d/b", "d/c", "a", "b", "c"] {
        std::fs::write(guest.host.path().join(name), "").unwrap();
    }
    let dir = guest.open("d", DIRECTORY, READ, 0).unwrap();
    for (fd, folder) in [(dir, "d"), (ROOT, "")] {
        let (all, _) = guest.readdir(fd, 4096, 0);
        guest.sleep().unwrap();
        // As a guest does that deletes what it lists.
        let gone = &all[all.len() - 2].0;
        std::fs::remove_file(guest.host.path().join(folder).join(gone)).unwrap();
        let (rest, _) = guest.readdir(fd, 4096, all[all.len() - 2].1);
        assert_eq!(rest, all[all.len() - 1..], "in {folder:?}");
    }
}

#[test]
fn all_missing_directories_are_told_at_once() {
    let mut guest = Guest::new();
    let names = ["/data", "/etc"];
    let dirs = names.map(|name| HostDir {
        guest: name.into(),
        host: guest.host.path().into(),
        access: crate::Access::Kept,
    });
    let bindings = Bindings {
        dirs: dirs.into(),
        ..Bindings::default()
    };
    guest.ctx = Ctx::new(Config::default(), bindings, guest.clock.clone()).unwrap();
    let state = guest.ctx.save().unwrap();
    let error = guest.go_on(state, RestoreOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::MissingPreopen { guests } if *guests == names),
        "{error}"
    );
}

#[test]
fn closed_and_moved_descriptors_stay_so() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, WRITE, 0).unwrap();
    assert_eq!(
        guest.errno(Function::FdRenumber, &[u64::from(fd), 1]),
        Errno::Success
    );
    assert_eq!(
        guest.errno(Function::FdClose, &[u64::from(ROOT)]),
        Errno::Success
    );
    guest.sleep().unwrap();
    assert_eq!(guest.write(1, b"x"), Ok(1));
    assert_eq!(guest.output(), b"");
    assert_eq!(guest.open("a", 0, READ, 0), Err(Errno::Badf));
}

#[test]
fn rights_stay_narrowed() {
    let mut guest = Guest::new();
    let fd = guest.open("a", CREAT, READ | WRITE, 0).unwrap();
    let narrowed = [u64::from(fd), READ, 0];
    assert_eq!(
        guest.errno(Function::FdFdstatSetRights, &narrowed),
        Errno::Success
    );
    guest.sleep().unwrap();
    // It was given up, which the specification calls ENOTCAPABLE.
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
    let widened = [u64::from(fd), READ | WRITE, 0];
    assert_eq!(
        guest.errno(Function::FdFdstatSetRights, &widened),
        Errno::Notcapable
    );
}

/// Whoever gives a snapshot away may have written anything into it.
#[test]
fn a_forged_state_gets_nothing_more() {
    let mut guest = Guest::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::create_dir(guest.host.path().join("d")).unwrap();
    std::fs::write(guest.host.path().join("a"), "").unwrap();
    let fd = guest.open("a", 0, READ, 0).unwrap();
    let good = guest.state().unwrap();
    let refused = |guest: &mut Guest, what: &str, forge: &dyn Fn(&mut FdV1)| {
        let mut state = good.clone();
        let index = state.fds.iter().position(|open| open.fd == fd).unwrap();
        forge(&mut state.fds[index]);
        let accept_changed_files = true;
        let options = RestoreOptions {
            accept_changed_files,
        };
        assert!(guest.go_on(state, options).is_err(), "{what}");
    };
    let escape = outside.path().to_string_lossy().into_owned();
    for forged in ["../x", "..", "d", escape.as_str()] {
        refused(&mut guest, forged, &|open| {
            if let FdKindV1::File(FileV1 { path, .. }) = &mut open.kind {
                *path = forged.into();
            }
        });
    }
    refused(&mut guest, "number", &|open| open.fd = u32::MAX);
    refused(&mut guest, "number in use", &|open| open.fd = 0);
    refused(&mut guest, "flags", &|open| open.flags = u16::MAX);
    refused(&mut guest, "rights", &|open| open.rights = u64::MAX);
    refused(&mut guest, "rights without access", &|open| {
        open.rights |= WRITE
    });
    refused(&mut guest, "inherited rights", &|open| {
        open.inheriting = u64::MAX
    });
    refused(&mut guest, "content", &|open| {
        open.kind = FdKindV1::Deleted(DeletedV1 {
            content: 7,
            offset: 0,
            access: (true, false).into(),
        });
    });
    refused(&mut guest, "offset", &|open| {
        if let FdKindV1::File(FileV1 { offset, .. }) = &mut open.kind {
            *offset = u64::MAX;
        }
    });
    let mut state = good.clone();
    state.args = vec!["a\0b".into()];
    assert!(guest.go_on(state, RestoreOptions::default()).is_err());
    guest.go_on(good, RestoreOptions::default()).unwrap();
}
