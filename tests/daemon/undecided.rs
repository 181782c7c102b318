//! Moves whose other side has lost what it knew, cannot have the task, or does not come back.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::halted::{given, held, stopped_at, taken};
use crate::neighbour::Neighbour;
use crate::side::{Side, pair, rounds};
use crate::support::folder;

const QUICK: [&str; 4] = ["--hibernate-after", "30ms", "--checkpoint", "50ms"];

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it is copied");
        }
    }
}

/// Removes all that a daemon knows of tasks; who it is stays.
fn forget(data: &Path) {
    for entry in std::fs::read_dir(data).expect("a directory").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("store.sqlite")
        {
            std::fs::remove_file(entry.path()).expect("it is removed");
        }
    }
}

/// Puts back what was there before.
fn set_back(data: &Path, copied: &Path) {
    forget(data);
    copy(copied, data);
}

/// Right after its link was cut, a task could not be moved: the target still held it, and refused its name. Nothing but
/// the new move can tell the target here: neither daemon gets through to the other to resolve the open move.
#[test]
fn a_move_after_a_cut_link_drops_what_the_target_holds() {
    let [a, b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = held(&a, &b, id);
    let asking = a.gate.stall(u64::MAX);
    let asks = || (a.gate.connections() >= asking).then_some(());
    b.daemon().until_that("the target asks", asks);
    let resolving = b.gate.stall(1);
    let (id, status) = halted.end_with(&b);
    assert_eq!(status, Some(502));
    let tells = || (b.gate.connections() == resolving).then_some(());
    a.daemon().until_that("the source tells", tells);
    assert_eq!(b.states(), ["arriving"]);
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    assert_eq!(b.gate.connections(), resolving + 1, "the move has one link");
    b.goes_on(b.only());
}

/// Wherever in a move the target loses what it held, the source goes on with the task.
#[test]
fn a_target_that_has_lost_what_it_held_gives_it_back() {
    let [a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let (mut last, mut reclaimed) = (0, 0);
    for at in 1.. {
        // An older copy of its directory, or nothing at all.
        let older = (at % 2 == 0).then(folder);
        if let Some(older) = &older {
            b.kill();
            copy(b.data.path(), older.path());
            b.start();
        }
        let Ok(moving) = stopped_at(&a, &b, id, at) else {
            break;
        };
        std::thread::sleep(Duration::from_millis(40));
        b.daemon().kill_now();
        b.gate.open();
        moving.join().expect("it ends");
        b.kill();
        let open = a.moves();
        if a.daemon().task(id)["state"] == "moved" && open.is_empty() {
            // It has confirmed that it has the task: what is lost then is lost.
            break;
        }
        reclaimed += usize::from(open.iter().any(|one| one["phase"] == "committed"));
        match &older {
            Some(older) => set_back(b.data.path(), older.path()),
            None => forget(b.data.path()),
        }
        b.start();
        a.until_settled();
        b.until_settled();
        assert!(b.tasks().is_empty(), "record {at}: {:#?}", b.tasks());
        let now = a.goes_on(id);
        assert!(
            now > last,
            "record {at}: {now} rounds, and there were {last}"
        );
        last = now;
    }
    assert!(reclaimed > 0, "it was never lost after it had been given");
}

/// A target that is set back to when it held a task asks, and the source remembers that it gave the task up: what is in
/// the copy goes on. It was dropped before, and was nowhere then.
#[test]
fn a_target_set_back_to_when_it_held_a_task_goes_on_with_it() {
    let [a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = given(&a, &b, id);
    b.kill();
    let copied = folder();
    copy(b.data.path(), copied.path());
    let id = halted.end(&b);
    b.start();
    a.until_settled();
    b.until_settled();
    let there = b.only();
    b.goes_on(there);
    b.kill();
    set_back(b.data.path(), copied.path());
    b.start();
    b.until_settled();
    b.goes_on(there);
    assert_eq!(a.daemon().task(id)["state"], "moved");
}

/// Nobody but an operator can say what becomes of a task whose source has lost what it knew.
#[test]
fn a_source_that_has_lost_what_it_knew_takes_no_task_along() {
    let [mut a, b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = held(&a, &b, id);
    let before = rounds(&b.daemon().output(b.only())).len();
    a.kill();
    halted.end(&b);
    forget(a.data.path());
    a.start();
    let why = b.daemon().until_that("it says why", || {
        let open = b.moves();
        let why = open.first()?["why"].as_str()?.to_string();
        why.contains("knows nothing of the task").then_some(why)
    });
    assert_eq!(b.states(), ["arriving"], "{why}");
    let (code, said) = b.says(&["decide", "walker", "--keep"]);
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("knows nothing of the task"), "{said}");
    let (code, said) = b.says(&["decide", "walker", "--keep", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(b.goes_on(b.only()) > before);
    assert!(a.tasks().is_empty());
}

/// The source does not come back for long; when it does, it learns that the task is not its own any more, before it runs
/// it.
#[test]
fn an_operator_keeps_a_task_whose_source_is_gone() {
    let [mut a, b] = pair(&QUICK);
    let id = a.begin("walker");
    assert_eq!(
        b.says(&["decide", "1", "--keep"]).0,
        Some(78),
        "no such task"
    );
    assert_eq!(b.says(&["decide", "1"]).0, Some(64), "neither of the two");
    let (code, said) = a.says(&["decide", "walker", "--keep"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("no move that is open"), "{said}");
    let halted = held(&a, &b, id);
    a.kill();
    let id = halted.end(&b);
    let (code, said) = b.says(&["moves"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "task 1 (walker)",
        "not said that the move is committed",
        &a.gate.address,
        "--keep",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = b.says(&["decide", "walker", "--keep"]);
    assert_eq!(code, Some(79), "{said}");
    for part in ["both run it", "--force", &a.gate.address] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(b.states(), ["arriving"]);
    let (code, said) = b.says(&["decide", "walker", "--keep", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    b.goes_on(b.only());
    a.start();
    a.until_settled();
    let left = a.daemon().task(id);
    assert_eq!(left["state"], "moved", "{left}");
    assert_eq!(left["moved_to"]["task"], b.only(), "{left}");
    b.until_settled();
    b.goes_on(b.only());
}

/// Where the two cannot speak when the source comes back, both run the task; as soon as they can, the source's is set
/// aside and says so.
#[test]
fn a_task_that_is_there_twice_is_found_out() {
    let [mut a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = held(&a, &b, id);
    a.kill();
    let id = halted.end(&b);
    let (code, said) = b.says(&["decide", "walker", "--keep", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    b.goes_on(b.only());
    b.kill();
    a.start();
    a.goes_on(id);
    assert_eq!(a.moves()[0]["phase"], "aborted");
    b.start();
    let why = a.set_aside(id);
    let resume = format!("resume {id}");
    for part in ["has this task too", &b.gate.address, &resume] {
        assert!(why.contains(part), "{part}: {why}");
    }
    a.until_settled();
    b.goes_on(b.only());
    // Who means it has both.
    assert_eq!(a.daemon().act(id, "resume").0, 200);
    a.goes_on(id);
}

#[test]
fn an_operator_drops_a_task_and_its_source_goes_on_with_it() {
    let [mut a, b] = pair(&QUICK);
    let id = a.begin("walker");
    let before = rounds(&a.daemon().output(id)).len();
    let halted = held(&a, &b, id);
    a.kill();
    let id = halted.end(&b);
    let (code, said) = b.says(&["decide", "walker", "--drop"]);
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("it is lost"), "{said}");
    let (code, said) = b.says(&["decide", "walker", "--drop", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(b.tasks().is_empty() && b.moves().is_empty());
    a.start();
    assert!(a.goes_on(id) > before);
    a.until_settled();
    assert!(b.tasks().is_empty());
}

/// The target of a task that was given up does not come back: the source's operator has it again, and the target drops
/// it if it comes back after all.
#[test]
fn an_operator_takes_back_what_was_given_to_a_daemon_that_is_gone() {
    let [a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = given(&a, &b, id);
    b.kill();
    let id = halted.end(&b);
    let (_, said) = a.says(&["moves"]);
    assert!(said.contains("has not confirmed that it has it"), "{said}");
    let (code, said) = a.says(&["decide", "walker", "--keep"]);
    assert_eq!(code, Some(79), "{said}");
    let (code, said) = a.says(&["decide", "walker", "--keep", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    a.goes_on(id);
    b.start();
    a.until_settled();
    b.until_settled();
    assert!(b.tasks().is_empty());
    a.goes_on(id);
}

/// The same, and the target had taken it.
#[test]
fn what_was_taken_back_and_taken_over_is_set_aside_by_the_source() {
    let [a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = taken(&a, &b, id);
    b.kill();
    let id = halted.end(&b);
    let (code, said) = a.says(&["decide", "walker", "--keep", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    a.goes_on(id);
    b.start();
    let why = a.set_aside(id);
    assert!(why.contains("has this task too"), "{why}");
    b.goes_on(b.only());
}

/// A task that is asleep in memory, as it was before it was to move.
fn undisturbed(side: &Side, id: u64, before: &Value) {
    let after = side.daemon().task(id);
    for key in ["state", "version", "runs", "sleeps"] {
        assert_eq!(after[key], before[key], "{key}: {after}");
    }
    assert!(side.moves().is_empty());
}

/// An engine that the other daemon lacks is said before anything stops, whether the module is there or not.
#[cfg(feature = "wasmedge")]
#[test]
fn an_engine_that_is_missing_there_is_said_before_anything_stops() {
    // A library of that name which is none of WasmEdge's.
    let libraries = folder();
    let libm = [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/aarch64-linux-gnu/libm.so.6",
    ];
    let libm = libm
        .iter()
        .find(|path| Path::new(path).exists())
        .expect("glibc's");
    std::fs::copy(libm, libraries.path().join("libwasmedge.so.0")).expect("it is copied");
    let folder = libraries.path().to_str().expect("UTF-8");
    let a = Side::new(&["--hibernate-after", "60s"]);
    let b = Side::new_in(&[("WASMEDGE_LIB_DIR", folder)], &["--engine", "wasmtime"]);
    a.trusts("other", &b, json!({}));
    b.trusts("other", &a, json!({}));
    for known in [false, true] {
        if known {
            b.daemon().upload("ex_sleeper");
        }
        let more = json!({"engine": "wasmedge"});
        let id = a.daemon().submit("ex_sleeper", &["0.1", "9", "9"], more);
        let before = a.daemon().until(id, "parked");
        let (code, said) = a.says(&["migrate", &id.to_string(), "other"]);
        assert_eq!(code, Some(79), "{said}");
        for part in ["cannot use wasmedge", "libwasmedge"] {
            assert!(said.contains(part), "known {known}: {said}");
        }
        undisturbed(&a, id, &before);
        assert!(b.tasks().is_empty());
        assert_eq!(a.daemon().act(id, "kill").0, 200);
    }
    // Its own engine it has.
    let more = json!({"engine": "wasmtime"});
    let id = a.daemon().submit("ex_sleeper", &["0.1", "9", "9"], more);
    a.daemon().until(id, "parked");
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
}

/// A daemon of another version is refused before anything stops, and is told nothing.
#[test]
fn a_daemon_of_another_version_is_refused_before_anything_stops() {
    let a = Side::new(&["--hibernate-after", "60s"]);
    let id = a
        .daemon()
        .submit("ex_sleeper", &["0.1", "9", "9"], json!({}));
    let before = a.daemon().until(id, "parked");
    let hello = |versions: [u32; 2], formats: Value| {
        json!({
            "versions": versions, "daemon": "feedbeef", "tool": "9.9.9", "address": "", "formats": formats
        })
    };
    let cases = [
        (
            hello([70, 71], json!({"snapshot": 1, "task": 1})),
            "is dormouse 9.9.9, which speaks versions 70 to 71",
        ),
        (
            hello([1, 1], json!({"snapshot": 9, "task": 1})),
            "keeps tasks in snapshot format 9 and task form 1",
        ),
        (
            hello([1, 1], json!({"snapshot": 1, "task": 7})),
            "keeps tasks in snapshot format 1 and task form 7",
        ),
    ];
    for (number, (hello, why)) in cases.into_iter().enumerate() {
        let neighbour = Neighbour::new(hello);
        let name = format!("n{number}");
        let peer = json!({
            "name": name, "fingerprint": neighbour.fingerprint, "address": neighbour.address
        });
        let (status, told) = a.daemon().json(Method::POST, "/v1/peers", &peer);
        assert_eq!(status, 200, "{told}");
        let (code, said) = a.says(&["migrate", &id.to_string(), &name]);
        assert_eq!(code, Some(79), "{said}");
        for part in [why, &neighbour.address, env!("CARGO_PKG_VERSION")] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(
            neighbour.asked.load(Ordering::Relaxed),
            0,
            "nothing else was said"
        );
        undisturbed(&a, id, &before);
    }
}

/// The source had given the task up, and then was gone: whatever the target's operator says, one has it in the end.
#[test]
fn a_source_that_gave_a_task_up_heeds_what_was_decided_there() {
    for keep in [true, false] {
        let [mut a, b] = pair(&QUICK);
        let id = a.begin("walker");
        let halted = given(&a, &b, id);
        a.kill();
        let id = halted.end(&b);
        let word = if keep { "--keep" } else { "--drop" };
        let (code, said) = b.says(&["decide", "walker", word, "--force"]);
        assert_eq!(code, Some(0), "{said}");
        if keep {
            b.goes_on(b.only());
        }
        a.start();
        a.until_settled();
        b.until_settled();
        match keep {
            true => {
                assert_eq!(a.daemon().task(id)["state"], "moved");
                b.goes_on(b.only());
            }
            false => {
                a.goes_on(id);
                assert!(b.tasks().is_empty());
            }
        }
    }
}

/// The source's operator leaves a task to a daemon that does not answer; it takes the task when it is back.
#[test]
fn what_was_left_to_a_daemon_that_is_gone_goes_on_there() {
    let [a, mut b] = pair(&QUICK);
    let id = a.begin("walker");
    let halted = given(&a, &b, id);
    b.kill();
    let id = halted.end(&b);
    let (code, said) = a.says(&["decide", &id.to_string(), "--drop", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    a.until_settled();
    b.start();
    b.until_settled();
    b.goes_on(b.only());
    assert_eq!(a.daemon().task(id)["state"], "moved");
}
