//! A whole snapshot from a stranger: decoded, its module loaded, the task thawed, looked at and frozen again.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use dormouse::model::Limit;
use dormouse::{Digest, Limits, Program, Snapshot, fuzzing};

use dormouse_test_support::forge;

use super::mutate::{Base, mutate_map};
use super::wasi;

static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
    let mut limits = Limits::default();
    limits.set(Limit::Snapshot, Some(16 << 20));
    limits
});

/// Machine code of forged modules is made so often, and kept so often.
const PROGRAMS: usize = 200;

pub fn run(data: &[u8]) {
    let mut sections = forge::sections(data);
    let file = match sections.is_empty() {
        true => forge::sealed(data.to_vec()),
        false => {
            forge::name_module(&mut sections);
            forge::file(&sections)
        }
    };
    let Ok(snapshot) = Snapshot::decode(&file, &LIMITS) else {
        return;
    };
    let Some(program) = program(&snapshot) else {
        return;
    };
    let host = wasi::host();
    let before = wasi::open();
    let thawed = host.builder(&program).resume(&snapshot);
    let Ok(mut task) = thawed else { return };
    host.check_open(&before);
    let _ = (task.is_ready(), task.remaining(), task.wakes_at());
    let mut parked = task.parked().expect("a task that was resumed is parked");
    let Ok(frozen) = parked.freeze() else { return };
    wasi::check_state(&frozen.wasi);
    let bytes = frozen.encode().expect("our own snapshot can be written");
    let again = Snapshot::decode(&bytes, &Limits::default()).expect("and read");
    assert_eq!(again, frozen);
}

/// The module of a snapshot. Loading writes it to a cache, so that known ones are kept here.
fn program(snapshot: &Snapshot) -> Option<Arc<Program>> {
    static KNOWN: Mutex<Option<HashMap<Digest, Arc<Program>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_with(HashMap::new);
    if let Some(program) = known.get(&snapshot.meta.module) {
        return Some(program.clone());
    }
    let program = wasi::host().runtime.load_snapshot(snapshot).ok()?;
    let wasm = program.wasm().expect("it was checked");
    fuzzing::check_resumable(wasm).expect("it was checked");
    if known.len() < PROGRAMS {
        known.insert(snapshot.meta.module, program.clone());
        return Some(program);
    }
    // Compiling is slow: enough of them have been.
    None
}

pub fn mutate(data: Vec<u8>, most: usize, random: &mut fastrand::Rng, base: Base<'_>) -> Vec<u8> {
    let mut sections = forge::sections(&data);
    if sections.is_empty() {
        let mut data = data;
        base(&mut data, most);
        return data;
    }
    for _ in 0..=random.u8(..2) {
        let place = random.usize(..sections.len());
        let section = &mut sections[place];
        let Some(mut plain) = section.plain() else {
            continue;
        };
        match section.number {
            forge::META | forge::INSTANCE | forge::WASI => {
                mutate_map(&mut plain, most, random, base);
            }
            // Most changes to a module are found by its validation.
            forge::MODULE if random.u8(..4) > 0 => continue,
            _ => base(&mut plain, most),
        }
        section.set(&plain);
    }
    let mut file = forge::file(&sections);
    file.truncate(most);
    file
}
