//! Each import has one pair of names, and each pair of names is that of one import.

use super::*;

fn function(name: &str, memory: Option<u32>, encoding: StringEncoding) -> LoweredImport {
    LoweredImport::Function(LoweredFunction {
        interface: "wasi:filesystem/types@0.2.6".into(),
        name: name.into(),
        instance: 12,
        memory,
        encoding,
    })
}

/// Functions, with their names.
fn functions() -> Vec<(LoweredImport, &'static str)> {
    use StringEncoding::{Latin1OrUtf16, Utf8, Utf16};
    vec![
        (function("poll", None, Utf8), "poll instance=12"),
        (
            function("[method]descriptor.open-at", Some(1), Utf8),
            "[method]descriptor.open-at instance=12 memory=1",
        ),
        (
            function("a", Some(0), Utf16),
            "a instance=12 memory=0 encoding=utf16",
        ),
        (
            function("a", None, Latin1OrUtf16),
            "a instance=12 encoding=latin1+utf16",
        ),
        // A name may be any text, also one that looks like an option.
        (
            function("x instance=3 memory=4", Some(7), Utf8),
            "x instance=3 memory=4 instance=12 memory=7",
        ),
    ]
}

/// What the canonical ABI asks for, with its names.
fn builtins() -> Vec<(LoweredImport, &'static str)> {
    let stream = || Handle {
        instance: 0,
        resource: Resource::Host {
            interface: "wasi:io/streams@0.2.6".into(),
            name: "input-stream".into(),
        },
    };
    let own = || Handle {
        instance: 4,
        resource: Resource::Own(3),
    };
    vec![
        (
            Builtin::ResourceNew(own()).into(),
            "resource.new instance=4 type=own:3",
        ),
        (
            Builtin::ResourceRep(own()).into(),
            "resource.rep instance=4 type=own:3",
        ),
        (
            Builtin::ResourceDrop(stream()).into(),
            "resource.drop instance=0 type=wasi:io/streams@0.2.6/input-stream",
        ),
        (
            Builtin::TransferOwn {
                from: own(),
                to: 10,
            }
            .into(),
            "resource.transfer-own from=4 to=10 type=own:3",
        ),
        (
            Builtin::TransferBorrow {
                from: stream(),
                to: 1,
            }
            .into(),
            "resource.transfer-borrow from=0 to=1 type=wasi:io/streams@0.2.6/input-stream",
        ),
        (
            Builtin::Lend(own()).into(),
            "resource.lend instance=4 type=own:3",
        ),
        (Builtin::EnterCall.into(), "resource.enter-call"),
        (Builtin::ExitCall.into(), "resource.exit-call"),
        (
            Builtin::NextAllocations { memory: 2 }.into(),
            "result.next memory=2",
        ),
        (Builtin::Exit.into(), "exit"),
        (Builtin::IsServing.into(), "http.is-serving"),
        (
            Builtin::NextRequest { instance: 3 }.into(),
            "http.next-request instance=3",
        ),
        (Builtin::Trap(Trap::CannotLeave).into(), "trap cannot-leave"),
        (
            Builtin::ResourceDrop(Handle {
                instance: 0,
                resource: Resource::of_world("a resource"),
            })
            .into(),
            "resource.drop instance=0 type=$root/a resource",
        ),
    ]
}

#[test]
fn names_are_written_and_read() {
    for (import, name) in functions().into_iter().chain(builtins()) {
        assert_eq!(import.name(), name);
        assert_eq!(LoweredImport::parse(import.module(), name), Some(import));
    }
}

#[test]
fn memories_are_exported_by_their_index() {
    assert_eq!(memory_export(12), "dormouse:component/memory.12");
    assert!(is_memory_export(&memory_export(0)) && is_memory_export(&memory_export(u32::MAX)));
    for name in [
        "memory",
        "dormouse:component/memory.",
        "dormouse:component/memory.01",
        "",
    ] {
        assert!(!is_memory_export(name), "{name}");
    }
}

#[test]
fn every_reason_to_trap_has_names_of_its_own() {
    let mut texts = Vec::new();
    for reason in Trap::ALL {
        let import = LoweredImport::from(Builtin::Trap(reason));
        let read = LoweredImport::parse(BUILTINS, &import.name());
        assert_eq!(read, Some(import));
        texts.push(reason.to_string());
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), Trap::ALL.len());
}

#[test]
fn other_imports_are_none_of_a_component() {
    for (module, name) in [
        ("wasi_snapshot_preview1", "fd_write"),
        ("wasi:io/poll@0.2.6", "poll"),
        ("wasi:io/poll@0.2.6", ""),
        ("", ""),
        (BUILTINS, ""),
        (BUILTINS, " "),
        (BUILTINS, "poll instance=0"),
        (BUILTINS, "resource.drop"),
        (BUILTINS, "trap"),
        (BUILTINS, "trap because"),
        (BUILTINS, "result.next"),
        (BUILTINS, "exit now"),
        (BUILTINS, "http.is-serving instance=0"),
        (BUILTINS, "http.next-request"),
    ] {
        assert_eq!(LoweredImport::parse(module, name), None, "{module} {name}");
    }
}

/// Engines look imports up by their names, so that one import has one name only.
#[test]
fn a_name_that_would_be_written_otherwise_is_none() {
    for name in [
        "poll instance=",
        "poll instance=+1",
        "poll instance=01",
        "poll instance=-1",
        "poll instance=4294967296",
        "poll instance=1 ",
        "poll instance=1 memory=x",
        "poll memory=1",
        "poll memory=1 instance=0 ",
        "poll instance=1 encoding=utf8",
        "poll instance=1 encoding=UTF16",
        "poll instance=1 encoding=utf16 memory=0 ",
    ] {
        assert_eq!(LoweredImport::parse("a:b/c", name), None, "{name}");
    }
    for name in [
        "resource.new instance=0",
        "resource.new type=own:3 instance=0",
        "resource.new instance=0 type=",
        "resource.new instance=0 type=stream",
        "resource.new instance=00 type=own:3",
        "resource.new  instance=0 type=own:3",
        "resource.transfer-own from=0 type=own:3",
        "resource.transfer-own from=0 to= type=own:3",
        "result.next memory=-1",
        "resource.enter-call ",
    ] {
        assert_eq!(LoweredImport::parse(BUILTINS, name), None, "{name}");
    }
}

/// Whatever is read is written as it was, for names made of the pieces of names.
#[test]
fn what_is_read_is_written_as_it_was() {
    const PIECES: [&str; 24] = [
        "resource.new",
        "resource.drop",
        "resource.lend",
        "resource.transfer-own",
        "result.next",
        "http.next-request",
        "http.is-serving",
        "trap",
        "exit",
        "poll",
        " ",
        " ",
        "instance=0",
        "instance=17",
        "memory=1",
        "encoding=utf16",
        "from=1",
        "to=2",
        "type=own:0",
        "type=a:b/c@0.2.0/d",
        "=",
        "invalid-utf8",
        "0",
        "é",
    ];
    // A linear congruential generator, so that each run looks at the same names.
    let mut state: u64 = 1;
    let mut below = |limit: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let mut read = 0;
    for _ in 0..200_000 {
        let name: String = (0..1 + below(7))
            .map(|_| PIECES[below(PIECES.len())])
            .collect();
        for module in [BUILTINS, "a:b/c@0.2.1"] {
            if let Some(import) = LoweredImport::parse(module, &name) {
                assert_eq!((import.module(), import.name().as_str()), (module, &*name));
                read += 1;
            }
        }
    }
    assert!(read > 1000, "only {read} of the names were imports");
}
