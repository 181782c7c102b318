//! A component from a stranger: refused, or flattened to a core module that is valid. Limits end what takes
//! too much; nothing else ends the process that it is done in.

use arbitrary::Unstructured;
use dormouse::instrument::{ComponentError, Error, flatten, flatten_any};
use dormouse_test_support::{component, guest};

pub fn run(data: &[u8]) {
    let made;
    let component = match wasmparser::Parser::is_component(data) {
        true => data,
        false => {
            let mut unstructured = Unstructured::new(data);
            match wasm_smith::Component::new(wasm_smith::Config::default(), &mut unstructured) {
                Ok(component) => {
                    made = component.to_bytes();
                    &made
                }
                Err(_) => return,
            }
        }
    };
    match flatten(component) {
        Ok(module) => {
            let again = flatten_any(component).expect("it was flattened before");
            assert!(module == again, "other bytes the second time");
            wasmparser::validate(&module).expect("what was written is valid");
        }
        // Without an entry, everything else can be done.
        Err(Error::Component(
            ComponentError::NoRun { .. } | ComponentError::HttpHandler { .. },
        )) => match flatten_any(component) {
            Ok(module) => {
                wasmparser::validate(&module).expect("what was written is valid");
            }
            Err(ComponentError::Internal(what)) => panic!("{what}"),
            Err(_) => {}
        },
        Err(Error::Internal(what)) => panic!("{what}"),
        Err(Error::Component(
            error @ (ComponentError::Internal(_) | ComponentError::Crashed { .. }),
        )) => panic!("{error}"),
        Err(_) => {}
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let guests = ["wat_spin", "bug_slot", "bug_tables"];
    let guests = guests
        .iter()
        .filter_map(|name| std::fs::read(guest(name)).ok());
    let mut seeds: Vec<Vec<u8>> = guests.filter_map(|guest| component(&guest).ok()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    for length in [500, 1000, 2000, 4000] {
        seeds.push((0..length).map(|_| random.u8(..)).collect());
    }
    seeds
}
