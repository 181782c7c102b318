//! The same source, settings and version give the same bytes, on whatever number of processors.

use dormouse_test_support::{assert_ended, guest, said};

use crate::support::Place;

/// In different languages, with exceptions and tables among them.
const GUESTS: [&str; 5] = [
    "c_hello_sleep",
    "eh_setjmp",
    "eh_throw",
    "rs_vec",
    "wat_loops",
];

/// What `dormouse build` writes with an empty cache and so many threads.
fn built(guest_name: &str, transform: &str, threads: &str) -> Vec<u8> {
    let place = Place::new();
    let file = place.output("resumable.wasm");
    let mut command = place.command();
    command
        .env("RAYON_NUM_THREADS", threads)
        .env("BINARYEN_CORES", threads)
        .args(["build", "--preempt", "--transform", transform, "--output"])
        .arg(&file)
        .arg(guest(guest_name));
    let output = command.output().expect("it runs");
    assert_ended(&output, 0, &said(&output), &[]);
    std::fs::read(file).expect("it was written")
}

#[test]
fn the_number_of_processors_changes_no_byte() {
    for name in GUESTS {
        for transform in ["two-version", "native", "plain"] {
            let one = built(name, transform, "1");
            for threads in ["2", "7"] {
                assert!(
                    one == built(name, transform, threads),
                    "{name}, {transform}, {threads}"
                );
            }
        }
    }
}
