//! No path leads out of the directory that the host gave.

use std::os::unix::fs::symlink;

use super::*;

/// The answer to a path that leads out of its directory, as Wasmtime gives it.
const ESCAPE: Errno = Errno::Perm;

/// A directory beside the guest's own, and links that lead there.
fn guest_with_neighbour() -> (Guest, TempDir) {
    let guest = Guest::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let inside = guest.host.path();
    std::fs::create_dir(inside.join("d")).unwrap();
    std::fs::write(inside.join("d/f"), "").unwrap();
    symlink(outside.path(), inside.join("absolute")).unwrap();
    let name = outside.path().file_name().unwrap();
    symlink(
        std::path::Path::new("..").join(name),
        inside.join("relative"),
    )
    .unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    (guest, outside)
}

#[test]
fn nothing_outside_is_opened() {
    let (mut guest, outside) = guest_with_neighbour();
    let absolute = outside.path().join("secret").to_string_lossy().into_owned();
    let paths = [
        "..",
        "../",
        "d/../..",
        "absolute/secret",
        "relative/secret",
        "/",
        absolute.as_str(),
    ];
    for path in paths {
        assert_eq!(guest.open(path, 0, READ, 0), Err(ESCAPE), "{path}");
        assert_eq!(guest.open(path, DIRECTORY, READ, 0), Err(ESCAPE), "{path}");
        let created = guest.open(&format!("{path}/new"), CREAT, WRITE, 0);
        assert!(created.is_err(), "{path}: {created:?}");
        for function in [
            Function::PathCreateDirectory,
            Function::PathRemoveDirectory,
            Function::PathUnlinkFile,
        ] {
            let errno = guest.path_call(function, &format!("{path}/secret"));
            assert_ne!(errno, Errno::Success, "{function:?} {path}");
        }
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(guest.open("d/../d/f", 0, READ, 0).is_ok());
}

#[test]
fn nothing_leaves_by_rename_or_link() {
    let (mut guest, outside) = guest_with_neighbour();
    guest.put(PATH, b"d/f");
    for target in ["../f", "absolute/f", "relative/f"] {
        guest.put(OTHER_PATH, target.as_bytes());
        let (root, path, other) = (u64::from(ROOT), u64::from(PATH), u64::from(OTHER_PATH));
        let length = target.len() as u64;
        let renamed = [root, path, 3, root, other, length];
        assert_eq!(
            guest.errno(Function::PathRename, &renamed),
            ESCAPE,
            "{target}"
        );
        let linked = [root, 0, path, 3, root, other, length];
        assert_eq!(guest.errno(Function::PathLink, &linked), ESCAPE, "{target}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(guest.host.path().join("d/f").exists());
}

#[test]
fn paths_have_the_errnos_of_linux() {
    let (mut guest, _outside) = guest_with_neighbour();
    assert_eq!(guest.open("loop", 0, READ, 0), Err(Errno::Loop));
    assert_eq!(
        guest.open_at(ROOT, 0, "absolute", 0, READ, 0),
        Err(Errno::Loop)
    );
    assert_eq!(
        guest.open(&"x".repeat(300), 0, READ, 0),
        Err(Errno::Nametoolong)
    );
    assert_eq!(guest.open("", 0, READ, 0), Err(Errno::Noent));
    assert_eq!(guest.open("d/f/g", 0, READ, 0), Err(Errno::Notdir));
    assert_eq!(
        guest.path_call(Function::PathRemoveDirectory, "d"),
        Errno::Notempty
    );
    assert_eq!(
        guest.path_call(Function::PathRemoveDirectory, "d/f"),
        Errno::Notdir
    );
    assert_eq!(guest.path_call(Function::PathUnlinkFile, "d"), Errno::Isdir);
    assert_eq!(
        guest.path_call(Function::PathCreateDirectory, "d"),
        Errno::Exist
    );
    guest.put(PATH, &[0xff, 0xfe]);
    let arguments = [u64::from(ROOT), u64::from(PATH), 2];
    assert_eq!(
        guest.errno(Function::PathUnlinkFile, &arguments),
        Errno::Ilseq
    );
    let arguments = [u64::from(ROOT), u64::from(u32::MAX), 2];
    assert_eq!(
        guest.errno(Function::PathUnlinkFile, &arguments),
        Errno::Fault
    );
}
