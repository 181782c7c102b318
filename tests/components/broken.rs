//! Components that are made up, or damaged: each is taken or refused, in bounds, and none is a bug.

use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use dormouse::instrument::{self, ComponentError, Error};
use dormouse_test_support::{component, guest};

use super::text::{HOST, IMPORTS, LIBC, TELL, command};

/// The time that a component of some KiB may take on a machine that is loaded.
const MOST: Duration = Duration::from_secs(60);

/// Flattens what may be no component, and fails where that is a bug.
fn flatten(what: &str, bytes: &[u8]) -> Option<Error> {
    let began = Instant::now();
    let error = instrument::flatten(bytes).err();
    assert!(began.elapsed() < MOST, "{what} takes {:?}", began.elapsed());
    let is_bug = matches!(
        error,
        Some(
            Error::Internal(_)
                | Error::Component(ComponentError::Internal(_) | ComponentError::Crashed { .. })
        )
    );
    assert!(!is_bug, "{what}: {}", error.expect("it is a bug"));
    error
}

#[test]
fn components_that_are_made_up_are_taken_or_refused() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut valid = 0;
    for round in 0..300 {
        let mut bytes = vec![0; 4096];
        rng.fill(&mut bytes);
        let config = wasm_smith::Config {
            memory64_enabled: false,
            threads_enabled: false,
            gc_enabled: false,
            ..wasm_smith::Config::default()
        };
        let made = wasm_smith::Component::new(config, &mut Unstructured::new(&bytes));
        let component = made.expect("there are enough bytes").to_bytes();
        let what = format!("component {round}");
        let refused = flatten(&what, &component).expect("it has nothing to run");
        // The same without an entry, in this process.
        if let Error::Component(ComponentError::NoRun { .. }) = refused {
            valid += 1;
            let module = instrument::flatten_any(&component);
            let module = module.unwrap_or_else(|error| panic!("{what}: {error}"));
            wasmparser::validate(&module).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    assert!(valid > 30, "only {valid} were valid");
}

#[test]
fn damaged_components_are_taken_or_refused() {
    let hello = std::fs::read(guest("c_hello_sleep")).expect("a guest");
    let own = command(&format!(
        r#"{LIBC} {HOST}
           (core module $main {IMPORTS} {TELL}
             (func (export "run") (result i32) (call $greet (i32.const 2) (i32.const 8)) (i32.const 0)))
           (core instance $main (instantiate $main (with "libc" (instance $libc))
             (with "host" (instance $host))))"#
    ));
    let components = [
        component(&hello).expect("it can be wrapped"),
        wat::parse_str(own).expect("the text is right"),
    ];
    let mut rng = fastrand::Rng::with_seed(2);
    let mut taken = 0;
    for (number, component) in components.iter().enumerate() {
        for round in 0..400 {
            let mut damaged = component.clone();
            for _ in 0..rng.usize(1..4) {
                let place = rng.usize(8..damaged.len());
                match rng.u8(..4) {
                    0 => damaged[place] ^= 1 << rng.u8(..8),
                    1 => damaged[place] = rng.u8(..),
                    2 => drop(damaged.drain(place..(place + rng.usize(1..9)).min(damaged.len()))),
                    _ => damaged.insert(place, rng.u8(..)),
                }
                if damaged.len() < 16 {
                    break;
                }
            }
            let what = format!("component {number}, damaged in round {round}");
            taken += usize::from(flatten(&what, &damaged).is_none());
        }
    }
    // Some damage is in names, or in data.
    assert!((10..600).contains(&taken), "{taken} were taken");
}
