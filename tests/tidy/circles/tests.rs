//! Made-up files with circles and without.

use super::circles;

fn made_up(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| (format!("src/{path}"), text.to_string()))
        .collect();
    circles("src/room", &files)
}

#[test]
fn circles_of_files_are_found() {
    let root = ("room/mod.rs", "mod a; mod b; mod c; pub use a::A;");
    let wrong: [&[(&str, &str)]; 10] = [
        // By name, by module, through a re-export, through a chain.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use crate::room::a::A; pub struct B;"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b; fn f() { b::g() }"),
            ("room/b.rs", "fn g() { super::a::f() }"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B;"),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::c::{self, C}; pub struct B;"),
            ("room/c.rs", "use super::{A as First}; pub struct C;"),
        ],
        // A file and the one in the folder of its name.
        &[
            root,
            ("room/a.rs", "mod part; use part::P; pub struct A;"),
            ("room/a/part.rs", "use super::A; pub struct P;"),
        ],
        &[
            root,
            ("room/a.rs", "mod part; pub use part::P; pub struct A(P);"),
            ("room/a/part.rs", "use super::A; pub struct P;"),
        ],
        // By a path that is no import.
        &[
            root,
            ("room/a.rs", "pub struct A(pub crate::room::b::B);"),
            (
                "room/b.rs",
                "pub(in crate::room) struct B(Box<super::a::A>);",
            ),
        ],
        // The room's own file.
        &[
            ("room/mod.rs", "mod a; pub struct R; fn f() { a::g() }"),
            ("room/a.rs", "pub fn g() { super::R }"),
        ],
        // All names of a module.
        &[
            ("room/mod.rs", "mod a; mod b; pub use a::*;"),
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B;"),
        ],
        // A macro.
        &[
            root,
            (
                "room/a.rs",
                "macro_rules! say { () => {} } pub(super) use say; use super::b::B;",
            ),
            ("room/b.rs", "use super::a::say; pub struct B;"),
        ],
    ];
    for files in wrong {
        assert_eq!(made_up(files).len(), 1, "{files:?}");
    }
    let right: [&[(&str, &str)]; 7] = [
        // Re-exports alone are no use.
        &[
            root,
            ("room/a.rs", "pub struct A;"),
            ("room/b.rs", "use super::A;"),
        ],
        &[
            root,
            ("room/a.rs", "mod part; mod other; pub use part::P;"),
            ("room/a/part.rs", "use super::other::O; pub struct P;"),
            ("room/a/other.rs", "pub struct O;"),
        ],
        // Test code, comments and strings.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            (
                "room/b.rs",
                "pub struct B;\n// super::a::A\n#[cfg(test)]\nmod tests { use super::super::a::A; }",
            ),
        ],
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            ("room/b/tests.rs", "use crate::room::a::A;"),
            (
                "room/b.rs",
                "pub struct B; const X: &str = \"super::a::A\";",
            ),
        ],
        // Who may use something.
        &[
            ("room/mod.rs", "mod a; fn f() { a::g() }"),
            (
                "room/a.rs",
                "pub(in crate::room) fn g() {} pub(in super) use std::b::B;",
            ),
        ],
        // Foreign names, and those of other rooms.
        &[
            root,
            ("room/a.rs", "use super::b::B; pub struct A;"),
            (
                "room/b.rs",
                "use std::a::A; use other::room::a; pub struct B; fn f() { Self::A }",
            ),
        ],
        &[
            ("room/mod.rs", "mod a;"),
            ("room/a.rs", "use crate::other::O; pub struct A;"),
            ("other.rs", "use crate::room::a::A; pub struct O;"),
        ],
    ];
    for files in right {
        assert_eq!(made_up(files), Vec::<String>::new(), "{files:?}");
    }
    let found = made_up(&[
        root,
        ("room/a.rs", "use super::b::B;\npub struct A;"),
        ("room/b.rs", "\nuse crate::room::a::A; pub struct B;"),
    ]);
    let steps = "src/room/a.rs:1: `super::b::B` of src/room/b.rs\n    src/room/b.rs:2: `crate::room::a::A` of src/room/a.rs";
    assert!(found[0].contains(steps), "{}", found[0]);
}

#[test]
fn circles_of_folders_are_found() {
    let root = ("room/mod.rs", "mod a; mod b;");
    let (a, b) = (("room/a/mod.rs", ""), ("room/b/mod.rs", ""));
    let wrong: [&[(&str, &str)]; 3] = [
        &[
            root,
            a,
            b,
            ("room/a/x.rs", "use crate::room::b::y::Y; pub struct X;"),
            ("room/a/z.rs", "pub struct Z;"),
            ("room/b/y.rs", "pub struct Y;"),
            ("room/b/w.rs", "use crate::room::a::z::Z;"),
        ],
        // A folder and a file beside it.
        &[
            root,
            a,
            ("room/a/x.rs", "use crate::room::b::Y; pub struct X;"),
            ("room/a/z.rs", "pub struct Z;"),
            ("room/b.rs", "use crate::room::a::z::Z; pub struct Y;"),
        ],
        // Folders of a folder.
        &[
            ("room/mod.rs", "mod deep;"),
            ("room/deep/mod.rs", "mod a; mod b;"),
            ("room/deep/a/mod.rs", ""),
            ("room/deep/b/mod.rs", ""),
            ("room/deep/a/x.rs", "use crate::room::deep::b::y::Y;"),
            ("room/deep/a/z.rs", "pub struct Z;"),
            ("room/deep/b/y.rs", "pub struct Y;"),
            ("room/deep/b/w.rs", "use crate::room::deep::a::z::Z;"),
        ],
    ];
    for files in wrong {
        let found = made_up(files);
        assert_eq!(found.len(), 1, "{files:?}: {found:?}");
        assert!(
            found[0].starts_with("a circle of folders in src/room"),
            "{found:?}"
        );
    }
    let right: [&[(&str, &str)]; 2] = [
        &[
            root,
            a,
            b,
            ("room/a/x.rs", "use crate::room::b::y::Y; pub struct X;"),
            ("room/b/y.rs", "use super::w::W; pub struct Y;"),
            ("room/b/w.rs", "pub struct W;"),
        ],
        // A file and the folder of its name are one part, and a folder's own file joins its parts.
        &[
            ("room/mod.rs", "mod a; use a::x::X; pub struct R;"),
            ("room/a.rs", "mod x; pub struct A(x::X);"),
            ("room/a/x.rs", "pub struct X;"),
        ],
    ];
    for files in right {
        assert_eq!(made_up(files), Vec::<String>::new(), "{files:?}");
    }
}
