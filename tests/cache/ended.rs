//! A signal ends the work on a module, and leaves nothing: no file, no lock, no child process.

use std::time::Duration;

use dormouse_test_support::{engines, guest};

use crate::support::Place;

/// Ends a command by a signal so long after it has said the words.
fn ended_at(place: &Place, arguments: &[&str], words: &str, after: Duration, signal: (&str, i32)) {
    let before = place.files();
    let mut working = place.start(&[&["-v"], arguments].concat());
    working.until(words);
    std::thread::sleep(after);
    working.send(signal.0);
    let (code, output, said) = working.end();
    let what = format!("{arguments:?} at {words:?} + {after:?}: {said}");
    assert_eq!(code, Some(signal.1), "{what}");
    assert_eq!(output, "", "{what}");
    assert!(!said.contains("panicked"), "{what}");
    // Who waited for the child that was killed does not say why.
    assert!(!said.contains("cannot be"), "{what}");
    place.until_unused();
    assert_eq!(place.files(), before, "{what}");
}

/// Binaryen runs twice: asyncify, and then what it optimizes.
const OPTIMIZED: &str = "--transform=plain";

const MOMENTS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(700)];

#[test]
fn rewriting_ends_at_each_step_and_leaves_nothing() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let out = place.output("out.wasm").display().to_string();
    let commands = [
        vec!["run", OPTIMIZED, &module],
        vec!["build", OPTIMIZED, &module, "-o", &out],
    ];
    let mut signals = [("TERM", 143), ("INT", 130)].into_iter().cycle();
    for words in [
        "resumable reading",
        "resumable asyncify",
        "resumable optimizing",
    ] {
        for command in &commands {
            for after in MOMENTS {
                let signal = signals.next().expect("it goes on");
                ended_at(&place, command, words, after, signal);
            }
        }
    }
}

#[test]
fn compiling_ends_on_each_engine_and_leaves_nothing() {
    let place = Place::new();
    let module = guest("go_chan").display().to_string();
    let out = place.output("out.wasm").display().to_string();
    let built = place.start(&["build", &module, "-o", &out]);
    assert_eq!(built.end().0, Some(0));
    for engine in engines() {
        let command = ["run", "--engine", engine, &module];
        let words = format!("ready for {engine} compiling");
        for after in MOMENTS {
            ended_at(&place, &command, &words, after, ("TERM", 143));
        }
    }
}
