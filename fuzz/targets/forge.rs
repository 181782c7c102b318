//! Snapshot files taken apart, changed, and put together with the right lengths and digests.

use dormouse::Digest;
use serde_json::{Value, json};

/// Changes bytes at random, up to a length: libFuzzer's own way, or the test's.
pub type Base<'a> = &'a mut dyn FnMut(&mut Vec<u8>, usize);

const HEADER: usize = 56;
const ROW: usize = 32;
pub const META: u32 = 1;
pub const MODULE: u32 = 2;
pub const INSTANCE: u32 = 3;
pub const WASI: u32 = 4;
/// Nothing larger is unpacked to be changed.
const MOST: usize = 4 << 20;

/// A section as it is in the file.
#[derive(Clone)]
pub struct Section {
    pub number: u32,
    pub compression: u32,
    pub length: u64,
    pub bytes: Vec<u8>,
}

impl Section {
    pub fn plain(&self) -> Option<Vec<u8>> {
        match self.compression {
            0 => Some(self.bytes.clone()),
            _ => zstd::bulk::decompress(&self.bytes, self.length.min(MOST as u64) as usize).ok(),
        }
    }

    pub fn set(&mut self, plain: &[u8]) {
        self.length = plain.len() as u64;
        // The module is always compressed.
        if self.number == MODULE {
            self.compression = 1;
            self.bytes = zstd::bulk::compress(plain, 1).expect("memory is compressed");
        } else {
            self.compression = 0;
            self.bytes = plain.to_vec();
        }
    }
}

/// The sections of a file that has some; damaged ones are cut to what is there.
pub fn sections(file: &[u8]) -> Vec<Section> {
    let u32_at = |at: usize| {
        let bytes = file.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    };
    let u64_at = |at: usize| {
        let bytes = file.get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let count = u32_at(12).unwrap_or(0).min(16) as usize;
    let section = |place: usize| {
        let row = HEADER + ROW * place;
        let start = u64_at(row + 8)?.min(file.len() as u64) as usize;
        let stored = u64_at(row + 16)?.min((file.len() - start) as u64) as usize;
        Some(Section {
            number: u32_at(row)?,
            compression: u32_at(row + 4)?,
            length: u64_at(row + 24)?,
            bytes: file[start..start + stored].to_vec(),
        })
    };
    (0..count).map_while(section).collect()
}

/// A file of these sections.
pub fn file(sections: &[Section]) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    file[..8].copy_from_slice(b"dormouse");
    file[8] = 1;
    file[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    let mut offset = HEADER + ROW * sections.len();
    for section in sections {
        file.extend(section.number.to_le_bytes());
        file.extend(section.compression.to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        file.extend((section.bytes.len() as u64).to_le_bytes());
        file.extend(section.length.to_le_bytes());
        offset += section.bytes.len();
    }
    for section in sections {
        file.extend(&section.bytes);
    }
    sealed(file)
}

/// With the right length and digest.
pub fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    if file.len() < HEADER {
        return file;
    }
    let length = file.len() as u64;
    file[16..24].copy_from_slice(&length.to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file[..24]).update(&file[HEADER..]);
    file[24..HEADER].copy_from_slice(hasher.finalize().as_bytes());
    file
}

/// Makes the file name the module that it holds.
pub fn name_module(sections: &mut [Section]) {
    let module = sections.iter().find(|section| section.number == MODULE);
    let Some(digest) = module
        .and_then(Section::plain)
        .map(|wasm| Digest::of(&wasm))
    else {
        return;
    };
    let stated = serde_json::to_value(digest).unwrap_or(Value::Null);
    change(sections, META, |meta| meta["module"] = stated.clone());
}

/// Changes one of the maps.
pub fn change(sections: &mut [Section], number: u32, change: impl Fn(&mut Value)) {
    for section in sections.iter_mut().filter(|s| s.number == number) {
        let Some(plain) = section.plain() else {
            continue;
        };
        if let Some(bytes) = changed(&plain, &change) {
            section.set(&bytes);
        }
    }
}

/// A MessagePack map, changed; `None` where it is none, or holds raw bytes.
fn changed(plain: &[u8], change: impl Fn(&mut Value)) -> Option<Vec<u8>> {
    let mut map: Value = rmp_serde::from_slice(plain).ok()?;
    if !map.is_object() {
        return None;
    }
    change(&mut map);
    rmp_serde::to_vec_named(&map).ok()
}

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
