//! Numbers of handles, loans, and the errors of handles that are used wrongly.

use super::*;
use crate::p2::handles::{Dropped, Handles};
use crate::p2::host_type::{HostType, ResourceType};
use crate::p2::stop::{Called, Stop};

const HOST: ResourceType = ResourceType::Host(HostType::InputStream);
const OWN: ResourceType = ResourceType::Guest(0);
const OTHER: ResourceType = ResourceType::Guest(1);

fn message<T: std::fmt::Debug>(called: Called<T>) -> String {
    match called {
        Err(Stop::Trap(message)) => message.into_owned(),
        other => panic!("{other:?} is no trap"),
    }
}

#[test]
fn numbers_begin_at_one_and_the_last_freed_comes_first() {
    let mut handles = Handles::default();
    for number in 1..=4 {
        assert_eq!(handles.insert_own(0, OWN, 10 + number), Ok(number));
    }
    for number in [2, 4] {
        assert_eq!(
            handles.remove(0, OWN, number),
            Ok(Dropped::Own(10 + number))
        );
    }
    let next: Vec<_> = (0..3).map(|_| handles.insert_own(0, HOST, 0)).collect();
    assert_eq!(next, [Ok(4), Ok(2), Ok(5)]);
    // Another instance has numbers of its own.
    assert_eq!(handles.insert_own(1, OWN, 0), Ok(1));
    assert_eq!(handles.rep(0, OWN, 1), Ok(11));
}

#[test]
fn a_handle_counts_for_its_type_and_instance_alone() {
    let mut handles = Handles::default();
    handles.insert_own(0, OWN, 5).expect("a handle");
    let wrong = message(handles.rep(0, OTHER, 1));
    assert!(wrong.contains("used with the wrong type"), "{wrong}");
    assert!(message(handles.remove(0, HOST, 1)).contains("wrong type"));
    for unknown in [0, 2, u32::MAX] {
        let unknown = message(handles.rep(0, OWN, unknown));
        assert!(unknown.contains("unknown handle index"), "{unknown}");
    }
    assert!(message(handles.rep(1, OWN, 1)).contains("unknown handle index"));
    assert_eq!(handles.remove(0, OWN, 1), Ok(Dropped::Own(5)));
    assert!(message(handles.remove(0, OWN, 1)).contains("unknown handle index"));
}

#[test]
fn what_is_lent_cannot_be_dropped_and_must_be_given_back() {
    let mut handles = Handles::default();
    handles.insert_own(0, OWN, 5).expect("a handle");
    handles.enter_call().expect("a call");
    let lent = handles.transfer_borrow(OWN, (0, 1), 1);
    assert_eq!(lent, Ok(1));
    assert_eq!(handles.rep(1, OWN, 1), Ok(5));
    let borrowed = message(handles.remove(0, OWN, 1));
    assert_eq!(borrowed, "cannot remove owned resource while borrowed");
    let moved = message(handles.clone().transfer_own(OWN, (1, 2), 1));
    assert_eq!(moved, "cannot lift own resource from a borrow");
    let remains = message(handles.clone().exit_call());
    assert_eq!(
        remains,
        "borrow handles still remain at the end of the call"
    );
    assert_eq!(handles.remove(1, OWN, 1), Ok(Dropped::Borrow));
    // The loan itself lasts for as long as the call.
    assert!(handles.clone().remove(0, OWN, 1).is_err());
    handles.exit_call().expect("nothing is borrowed");
    assert_eq!(handles.remove(0, OWN, 1), Ok(Dropped::Own(5)));
    assert!(handles.exit_call().is_err());
}

/// The instance that defines a type gets its representation.
#[test]
fn loans_of_calls_within_calls_end_with_theirs() {
    let mut handles = Handles::default();
    handles.insert_own(0, OWN, 5).expect("a handle");
    handles.enter_call().expect("a call");
    assert_eq!(handles.lend(0, OWN, 1), Ok(5));
    handles.enter_call().expect("a call");
    assert_eq!(handles.lend(0, OWN, 1), Ok(5));
    handles.exit_call().expect("nothing is borrowed");
    assert!(handles.clone().remove(0, OWN, 1).is_err());
    handles.exit_call().expect("nothing is borrowed");
    assert_eq!(handles.transfer_own(OWN, (0, 1), 1), Ok(1));
    assert!(message(handles.rep(0, OWN, 1)).contains("unknown handle index"));
    assert_eq!(handles.rep(1, OWN, 1), Ok(5));
}

#[test]
fn there_are_only_so_many_handles() {
    let mut handles = Handles::default();
    let last = (0..200_000).find_map(|_| handles.insert_own(0, OWN, 0).err());
    assert!(message::<()>(last.map_or(Ok(()), Err)).contains("limit exceeded"));
}

#[test]
fn builtins_do_what_they_say() {
    let mut guest = Guest::new();
    let of = |instance| Handle {
        instance,
        resource: Resource::Own(3),
    };
    assert_eq!(
        guest.builtin(Builtin::ResourceNew(of(0)), &[77]),
        Outcome::Done(Some(1))
    );
    assert_eq!(
        guest.builtin(Builtin::ResourceRep(of(0)), &[1]),
        Outcome::Done(Some(77))
    );
    assert_eq!(guest.builtin(Builtin::EnterCall, &[0]), Outcome::Done(None));
    let lend = Builtin::TransferBorrow { from: of(0), to: 1 };
    assert_eq!(guest.builtin(lend, &[1]), Outcome::Done(Some(1)));
    guest.sleep();
    // A loan has no destructor to run.
    assert_eq!(
        guest.builtin(Builtin::ResourceDrop(of(1)), &[1]),
        Outcome::Done(Some(u64::MAX))
    );
    assert_eq!(guest.builtin(Builtin::ExitCall, &[0]), Outcome::Done(None));
    let give = Builtin::TransferOwn { from: of(0), to: 1 };
    assert_eq!(guest.builtin(give, &[1]), Outcome::Done(Some(1)));
    assert_eq!(
        guest.builtin(Builtin::ResourceDrop(of(1)), &[1]),
        Outcome::Done(Some(77))
    );
    assert_eq!(guest.builtin(Builtin::Exit, &[9]), Outcome::Exit(9));
    let trap = dormouse_model::lowered::Trap::CannotLeave;
    let message = "cannot leave component instance".into();
    assert_eq!(
        guest.builtin(Builtin::Trap(trap), &[0]),
        Outcome::Trap(message)
    );
}

/// A pollable depends on its stream.
#[test]
fn a_parent_lives_as_long_as_its_children() {
    let mut guest = Guest::new();
    let stream = guest.value("wasi:cli/stdin", "get-stdin", &[]);
    let pollable = guest.value(
        "wasi:io/streams",
        "[method]input-stream.subscribe",
        &[stream],
    );
    assert_eq!((stream, pollable), (1, 2));
    guest.sleep();
    let children = guest.drop("wasi:io/streams", "input-stream", stream);
    assert_eq!(children, Outcome::Trap("resource has children".into()));
    let mut guest = Guest::new();
    let stream = guest.value("wasi:cli/stdin", "get-stdin", &[]);
    let pollable = guest.value(
        "wasi:io/streams",
        "[method]input-stream.subscribe",
        &[stream],
    );
    let done = Outcome::Done(Some(u64::MAX));
    assert_eq!(guest.drop("wasi:io/poll", "pollable", pollable), done);
    assert_eq!(guest.drop("wasi:io/streams", "input-stream", stream), done);
    let again = guest.drop("wasi:io/streams", "input-stream", stream);
    assert_eq!(again, Outcome::Trap("unknown handle index 1".into()));
}

#[test]
fn what_the_host_does_not_have_is_not_found() {
    let function = |interface: &str, name: &str, instance| {
        let import = LoweredImport::from(LoweredFunction {
            interface: interface.into(),
            name: name.into(),
            instance,
            memory: None,
            encoding: StringEncoding::Utf8,
        });
        Import::find(&import)
    };
    assert!(function("wasi:io/poll@0.2.99", "poll", 65535).is_some());
    assert!(function("wasi:io/poll@0.2.99", "poll", 65536).is_none());
    assert!(function("wasi:io/poll@0.3.0", "poll", 0).is_none());
    assert!(function("wasi:io/poll@0.2.0", "pool", 0).is_none());
    let unknown = Builtin::ResourceDrop(Handle {
        instance: 0,
        resource: Resource::Host {
            interface: "wasi:io/poll@0.2.0".into(),
            name: "pool".into(),
        },
    });
    assert!(Import::find(&unknown.into()).is_none());
}
