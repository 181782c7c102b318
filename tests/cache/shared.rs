//! Two processes that want the same module.

use dormouse_test_support::guest;

use crate::support::{BINARYEN, Place};

/// What the guest ends with.
const CODE: Option<i32> = Some(3);

/// What a lock says is shown by the one who waits, and both have the same result.
#[test]
fn the_work_is_done_once_and_shown_to_both() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let mut first = place.start(&["-v", "run", BINARYEN, &module]);
    first.until("resumable asyncify");
    let mut second = place.start(&["run", BINARYEN, &module]);
    let line = second.until("another process makes go_chan.wasm resumable: about ");
    let seconds = line.split("about ").nth(1).expect("how long");
    let seconds = seconds.split(' ').next().expect("a number");
    assert!(
        seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0),
        "{line}"
    );
    let (code, output, _) = first.end();
    let (other_code, other_output, said) = second.end();
    assert_eq!((code, other_code), (CODE, CODE), "{said}");
    assert_eq!(output, other_output);
    assert!(
        said.contains("go_chan.wasm is resumable now: it took "),
        "{said}"
    );
    assert!(!said.contains("making go_chan.wasm resumable"), "{said}");
    let files = place.files();
    let modules = files.iter().filter(|name| name.ends_with(".wasm.zst"));
    assert_eq!(modules.count(), 1, "{files:?}");
    let unfinished = |name: &&String| name.ends_with(".lock") || name.contains(".new-");
    assert_eq!(files.iter().find(unfinished), None, "{files:?}");
}

/// A build waits for a run as well, and takes its result.
#[test]
fn a_build_takes_what_a_run_makes() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let out = place.output("out.wasm").display().to_string();
    let mut first = place.start(&["-v", "run", BINARYEN, &module]);
    first.until("resumable asyncify");
    let mut second = place.start(&["-v", "build", BINARYEN, &module, "-o", &out]);
    second.until("another process makes go_chan.wasm resumable");
    let (code, report, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        report.contains(" may be on the stack at a suspend"),
        "{report}"
    );
    assert!(!said.contains("resumable asyncify"), "{said}");
    assert_eq!(first.end().0, CODE);
}

/// The first is killed, and cannot say so: the system frees its lock.
#[test]
fn who_waits_takes_over_from_one_that_was_killed() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let mut first = place.start(&["-v", "run", BINARYEN, &module]);
    first.until("resumable asyncify");
    let mut second = place.start(&["run", BINARYEN, &module]);
    second.until("another process makes go_chan.wasm resumable");
    first.send("KILL");
    let (code, _, _) = first.end();
    assert_eq!(code, None);
    second.until("making go_chan.wasm resumable: once");
    second.until("go_chan.wasm is resumable now");
    let (code, output, said) = second.end();
    assert_eq!(code, CODE, "{said}");
    assert!(!output.is_empty());
    place.until_unused();
    let files = place.files();
    let unfinished = |name: &&String| name.ends_with(".lock") || name.contains(".new-");
    assert_eq!(files.iter().find(unfinished), None, "{files:?}");
}
