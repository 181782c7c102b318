//! What random calls do not show: a full directory, deleted files, forged bytes.

use super::*;

#[test]
fn a_full_directory_says_so_and_takes_what_there_is_room_for() {
    let mut side = Side::new(false, 4096);
    let fd = side.open(ROOT_FD, true, "a", 1, ALL, 0).expect("a file");
    let mut written = 0;
    while let Ok(count) = side.write(fd, &[7; 1000]) {
        written += count;
    }
    assert!((3000..4096).contains(&written), "{written}");
    assert_eq!(side.write(fd, b"x"), Err(Errno::Nospc));
    assert_eq!(
        side.path(Function::PathCreateDirectory, ROOT_FD, "d"),
        Errno::Nospc
    );
    assert_eq!(
        side.errno(Function::FdFilestatSetSize, &[u64::from(fd), 10]),
        Errno::Success
    );
    let start = [u64::from(fd), 10, 0, u64::from(RESULT)];
    assert_eq!(side.errno(Function::FdSeek, &start), Errno::Success);
    assert_eq!(side.write(fd, &[7; 1000]), Ok(1000));
    side.sleep().expect("it survives");
    assert_eq!(
        side.path(Function::PathUnlinkFile, ROOT_FD, "a"),
        Errno::Success
    );
    // It is open, so that its bytes are still taken.
    assert_eq!(
        side.open(ROOT_FD, true, "b", 1, ALL, 0)
            .and_then(|fd| side.write(fd, &[0; 3500])),
        Ok(2637)
    );
}

#[test]
fn empty_files_count_too() {
    let mut side = Side::new(false, 10_000);
    let made = (0..).take_while(|n| {
        side.path(Function::PathCreateDirectory, ROOT_FD, &format!("d{n}")) == Errno::Success
    });
    let made = made.count();
    assert!((40..60).contains(&made), "{made}");
}

#[test]
fn a_deleted_file_travels_with_its_offset() {
    let mut side = Side::new(false, 1 << 20);
    let fd = side.open(ROOT_FD, true, "a", 1, ALL, 0).expect("a file");
    assert_eq!(side.write(fd, b"hello"), Ok(5));
    assert_eq!(
        side.path(Function::PathUnlinkFile, ROOT_FD, "a"),
        Errno::Success
    );
    side.sleep().expect("it survives");
    assert_eq!(side.write(fd, b" world"), Ok(6));
    assert_eq!(
        side.errno(Function::FdSeek, &[u64::from(fd), 0, 0, u64::from(RESULT)]),
        Errno::Success
    );
    assert_eq!(side.read(fd, 100).expect("it reads"), b"hello world");
    assert_eq!(
        side.errno(Function::FdClose, &[u64::from(fd)]),
        Errno::Success
    );
    assert_eq!(
        side.ctx.resources.tmpfs[0].save().nodes.len(),
        1,
        "its bytes are gone"
    );
}

/// Bytes of a stranger's: each of these would lead somewhere that there is not.
#[test]
fn forged_directories_are_refused() {
    let mut side = Side::new(false, 1 << 20);
    side.path(Function::PathCreateDirectory, ROOT_FD, "d");
    side.path(Function::PathCreateDirectory, ROOT_FD, "d/e");
    let fd = side.open(ROOT_FD, true, "d/a", 1, ALL, 0).expect("a file");
    side.write(fd, b"hello").expect("it writes");
    let good = side.ctx.save().expect("it can be saved");
    type Change = fn(&mut crate::StateV1);
    fn dir(state: &mut crate::StateV1, index: usize) -> &mut Vec<(String, u64)> {
        match &mut state.tmpfs[0].nodes[index].body {
            crate::BodyV1::Dir(entries) => entries,
            other => panic!("{other:?}"),
        }
    }
    let changes: [(&str, Change); 12] = [
        ("no such inode", |s| dir(s, 0).push(("x".into(), 99))),
        ("a slash", |s| dir(s, 0).push(("x/y".into(), 4))),
        ("dots", |s| dir(s, 0).push(("..".into(), 4))),
        ("an empty name", |s| dir(s, 0).push((String::new(), 4))),
        ("a long name", |s| dir(s, 0).push(("x".repeat(300), 4))),
        ("doubled", |s| dir(s, 1).push(("a".into(), 4))),
        ("two names of a directory", |s| {
            dir(s, 0).push(("x".into(), 3))
        }),
        ("a ring", |s| {
            dir(s, 0).clear();
            dir(s, 2).push(("x".into(), 2));
        }),
        ("the root below itself", |s| dir(s, 2).push(("x".into(), 1))),
        ("no root", |s| drop(s.tmpfs[0].nodes.remove(0))),
        ("a number of the future", |s| s.tmpfs[0].next = 2),
        ("too much", |s| s.tmpfs[0].limit = 100),
    ];
    for (what, change) in changes {
        let mut state = good.clone();
        change(&mut state);
        let restored = Ctx::restore(
            state,
            bindings(None),
            RestoreOptions::default(),
            side.clock.clone(),
        );
        assert!(restored.is_err(), "{what}");
    }
    let mut state = good.clone();
    state.tmpfs.clear();
    let restored = Ctx::restore(
        state,
        bindings(None),
        RestoreOptions::default(),
        side.clock.clone(),
    );
    assert!(restored.is_err(), "descriptors without a directory");
    let mut less = bindings(None);
    less.limits.set(dormouse_model::Limit::Tmpfs, Some(100));
    let options = RestoreOptions::default();
    let restored = Ctx::restore(good, less, options, side.clock.clone());
    assert!(
        matches!(restored, Err(Error::Limit(_))),
        "the host allows less"
    );
}
