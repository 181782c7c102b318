//! Random changes of what a snapshot holds.

use dormouse_test_support::forge::changed;
use serde_json::{Value, json};

/// Changes bytes at random, up to a length: libFuzzer's own way, or the test's.
pub type Base<'a> = &'a mut dyn FnMut(&mut Vec<u8>, usize);

/// MessagePack with a value in it exchanged, doubled or gone; any bytes where it is none.
pub fn mutate_map(plain: &mut Vec<u8>, most: usize, random: &mut fastrand::Rng, base: Base<'_>) {
    let mut seed = random.fork();
    let structured = seed.u8(..4) > 0;
    let changed = structured
        .then(|| {
            let seed = std::cell::RefCell::new(seed);
            changed(plain, |map| {
                let mut seed = seed.borrow_mut();
                for _ in 0..=seed.u8(..3) {
                    mutate_value(map, &mut seed);
                }
            })
        })
        .flatten();
    match changed {
        Some(bytes) => *plain = bytes,
        None => base(plain, most),
    }
}

/// Texts that have meant harm somewhere.
const TEXTS: [&str; 16] = [
    "",
    ".",
    "..",
    "/",
    "../..",
    "/etc/passwd",
    "/work",
    "work",
    "a/../../b",
    "link",
    "sub/../link",
    "/proc/self/root",
    "\0",
    "127.0.0.1:1",
    "wasmedge",
    "\u{9b}2J",
];

fn mutate_value(value: &mut Value, random: &mut fastrand::Rng) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let place = random.usize(..map.len());
            let name = map.keys().nth(place).cloned().unwrap_or_default();
            match random.u8(..24) {
                0 => drop(map.remove(&name)),
                1 => drop(map.insert("extra".into(), json!(1))),
                _ => mutate_value(&mut map[&name], random),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let place = random.usize(..items.len());
            match random.u8(..10) {
                0 => drop(items.remove(place)),
                1 => items.insert(place, items[place].clone()),
                2 => {
                    let other = random.usize(..items.len());
                    items.swap(place, other);
                }
                _ => mutate_value(&mut items[place], random),
            }
        }
        Value::Number(number) => {
            let old = number.as_u64().unwrap_or(0);
            *value = match random.u8(..8) {
                0 => json!(0),
                1 => json!(u64::MAX),
                2 => json!(u64::from(u32::MAX)),
                3 => json!(i64::MAX),
                4 => json!(-1),
                5 => json!(1u64 << random.u32(..64)),
                6 => json!(old.wrapping_add(1)),
                _ => json!(old ^ (1 << random.u32(..64))),
            }
        }
        Value::String(_) => *value = json!(TEXTS[random.usize(..TEXTS.len())]),
        Value::Bool(held) => *held = !*held,
        Value::Null => *value = json!(random.u8(..4)),
        other => {
            *other = match random.u8(..3) {
                0 => json!([0, 0]),
                1 => json!({ "Preopen": "/work" }),
                _ => Value::Null,
            }
        }
    }
}
