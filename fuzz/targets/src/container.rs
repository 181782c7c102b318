//! The file: header, section table, sections. What is read must come out the same when it is written again.

use std::sync::LazyLock;

use dormouse::model::{Limit, Limits};
use dormouse::{Snapshot, fuzzing};

use dormouse_test_support::forge;

use super::mutate::{Base, mutate_map};

/// Small, so that a bomb shows as memory that the fuzzer does not have.
static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
    let mut limits = Limits::default();
    limits.set(Limit::Snapshot, Some(16 << 20));
    limits
});

pub fn run(data: &[u8]) {
    decode(data);
    decode(&forge::sealed(data.to_vec()));
    // The same bytes as a store has them.
    if let Ok(snapshot) = Snapshot::unflatten(data) {
        let flat = snapshot.flatten().expect("what was read can be written");
        let again = Snapshot::unflatten(&flat).expect("what was written can be read");
        assert_eq!(snapshot, again);
    }
    let base = &data[..data.len() / 2];
    if let Ok(flat) = fuzzing::unpack(&data[data.len() / 2..], base, LIMITS.value(Limit::Snapshot))
    {
        assert!(flat.len() as u64 <= LIMITS.value(Limit::Snapshot));
    }
}

fn decode(file: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(file, &LIMITS) else {
        return;
    };
    let bytes = snapshot.encode().expect("what was read can be written");
    let again = Snapshot::decode(&bytes, &LIMITS).expect("what was written can be read");
    assert_eq!(snapshot, again);
}

pub fn mutate(data: Vec<u8>, most: usize, random: &mut fastrand::Rng, base: Base<'_>) -> Vec<u8> {
    let mut sections = forge::sections(&data);
    let place = random.usize(..sections.len().max(1));
    if sections.is_empty() || random.u8(..4) == 0 {
        let mut data = data;
        base(&mut data, most);
        return data;
    }
    match random.u8(..8) {
        0 => sections[place].number = random.u32(..9),
        1 => sections[place].compression = random.u32(..3),
        2 => sections[place].length = 1 << random.u32(..64),
        3 => {
            let section = sections[place].clone();
            sections.push(section);
        }
        4 => drop(sections.remove(place)),
        5 => base(&mut sections[place].bytes, most),
        _ => {
            if let Some(mut plain) = sections[place].plain() {
                mutate_map(&mut plain, most, random, base);
                sections[place].set(&plain);
            }
        }
    }
    let mut file = forge::file(&sections);
    file.truncate(most);
    file
}
