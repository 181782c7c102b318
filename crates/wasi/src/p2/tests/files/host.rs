//! What differs between the host and memory: what may only be read, limits, and how files come back.

use super::*;
use crate::{Access, Stream};
use dormouse_model::{Limit, Limits};

#[test]
fn a_directory_that_may_only_be_read_stays_as_it_is() {
    let mut guest = Guest::with(|_, bindings| bindings.dirs[0].access = Access::ReadOnly);
    std::fs::write(guest.host.path().join("f"), "content").expect("a file");
    let dir = guest.root();
    assert_eq!(guest.open(dir, "f", 0, WRITE), Err(READ_ONLY));
    assert_eq!(guest.open(dir, "new", CREATE, WRITE), Err(READ_ONLY));
    assert_eq!(
        guest.path_call("create-directory-at", dir, "d"),
        Err(READ_ONLY)
    );
    assert_eq!(guest.path_call("unlink-file-at", dir, "f"), Err(READ_ONLY));
    let file = guest.open(dir, "f", 0, READ).expect("a file");
    assert_eq!(guest.write_file(file, b"x", 0), Err(READ_ONLY));
    assert_eq!(guest.stream("append-via-stream", &[file]), Err(READ_ONLY));
    assert_eq!(
        guest.read_file(file, 9, 0),
        Ok((b"content".to_vec(), false))
    );
    guest.method("get-flags", &[dir, RESULT.into()]);
    assert_eq!(guest.u8_at(RESULT + 1), 1);
    guest.sleep();
}

#[test]
fn nothing_passes_between_the_host_and_memory() {
    let mut guest = Guest::with(|config, _| {
        config.tmpfs = vec![TmpDir {
            guest: "/tmp".into(),
            limit: 4096,
        }];
    });
    let directories = guest.directories();
    let (host, memory) = (directories[0].0, directories[1].0);
    let file = guest.open(host, "a", CREATE, WRITE).expect("a file");
    let renamed = guest.paths_call("rename-at", &[&[host], &[memory]], ["a", "a"]);
    assert_eq!(renamed, Err(CROSS_DEVICE));
    let linked = guest.paths_call("link-at", &[&[host, 0], &[memory]], ["a", "a"]);
    assert_eq!(linked, Err(CROSS_DEVICE));
    assert_eq!(guest.write_file(file, &[0; 8192], 0), Ok(8192));
    let small = guest.open(memory, "b", CREATE, WRITE).expect("a file");
    let first = guest.write_file(small, &[0; 8192], 0).expect("some room");
    assert!(first < 4096);
    assert_eq!(
        guest.write_file(small, &[0; 8192], first),
        Err(INSUFFICIENT_SPACE)
    );
    let refused = guest.ctx.last_refusal().expect("a refusal");
    assert_eq!(refused.setting.limit, Limit::Tmpfs);
}

#[test]
fn limits_hold() {
    let limits = Limits::default().with([
        "files=6".parse().expect("a limit"),
        "writes=10".parse().expect("a limit"),
    ]);
    let mut guest = Guest::with(|_, bindings| bindings.limits = limits);
    let dir = guest.root();
    let file = guest.open(dir, "a", CREATE, WRITE).expect("a file");
    guest.open(dir, "a", 0, READ).expect("a file");
    assert_eq!(guest.open(dir, "b", CREATE, WRITE), Err(IO));
    assert!(!guest.host.path().join("b").exists());
    let refused = guest.ctx.last_refusal().expect("a refusal");
    assert_eq!(refused.setting.limit, Limit::Files);
    assert_eq!(guest.write_file(file, b"0123456789", 0), Ok(10));
    assert_eq!(guest.write_file(file, b"x", 0), Err(8), "too large");
    assert!(guest.ctx.take_reached().is_some());
}

/// Preview1's door and this one lead to the same descriptors.
#[test]
fn a_state_has_the_files_among_the_descriptors() {
    let mut guest = Guest::new();
    let dir = guest.root();
    let file = guest.open(dir, "a", CREATE, READ | WRITE).expect("a file");
    guest.write_file(file, b"before", 0).expect("room");
    let state = guest.state().expect("a state");
    let kinds: Vec<_> = state.fds.iter().map(|fd| &fd.kind).collect();
    assert!(matches!(kinds[0], crate::FdKindV1::Stream(Stream::Stdin)));
    assert!(matches!(kinds[3], crate::FdKindV1::Preopen(name) if name == "/"));
    assert!(matches!(kinds[4], crate::FdKindV1::File(file) if file.path == "a"));
    std::fs::write(guest.host.path().join("a"), "changed meanwhile").expect("a file");
    let bindings = bindings(&guest.host, &guest.output);
    let restored = Ctx::restore(
        state,
        bindings,
        RestoreOptions::default(),
        guest.clock.clone(),
    );
    assert!(matches!(restored, Err(Error::FileChanged { .. })));
    // A directory is listed to the end over a suspend.
    let names: Vec<String> = (0..5).map(|number| format!("n{number}")).collect();
    for name in &names {
        guest.open(dir, name, CREATE, WRITE).expect("a file");
    }
    guest.method("read-directory", &[dir, RESULT.into()]);
    let stream = guest.u32_at(RESULT + 4).into();
    let mut found = Vec::new();
    for _ in 0..6 {
        guest.sleep();
        let name = "[method]directory-entry-stream.read-directory-entry";
        guest.done(TYPES, name, &[stream, RESULT.into()]);
        found.push(guest.text_at(RESULT + 12));
    }
    assert_eq!((found[0].as_str(), &found[1..]), ("a", &names[..]));
}
