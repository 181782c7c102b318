//! Snapshot files taken apart, changed, and put together with the right lengths and digests.

use dormouse_model::Digest;
use serde_json::Value;

/// How long the file's header is, in bytes.
pub const HEADER: usize = 56;
/// How long a row of the table of sections is, in bytes.
pub const ROW: usize = 32;

/// The number of the section that says what the snapshot is.
pub const META: u32 = 1;
/// The number of the section with the module.
pub const MODULE: u32 = 2;
/// The number of the section with the instance's state but its memories.
pub const INSTANCE: u32 = 3;
/// The number of the section with WASI's state.
pub const WASI: u32 = 4;

/// Nothing larger is unpacked to be changed, in bytes.
const MAX_UNPACKED: u64 = 4 << 20;

/// A section as it is in the file.
#[derive(Clone)]
pub struct Section {
    /// What is in it: [`META`], [`MODULE`] and so on.
    pub number: u32,
    /// 0 for none, 1 for zstd.
    pub compression: u32,
    /// How long it is unpacked, as the file says.
    pub length: u64,
    /// As stored.
    pub bytes: Vec<u8>,
}

impl Section {
    /// Unpacked; `None` where that fails.
    pub fn plain(&self) -> Option<Vec<u8>> {
        match self.compression {
            0 => Some(self.bytes.clone()),
            _ => zstd::bulk::decompress(&self.bytes, self.length.min(MAX_UNPACKED) as usize).ok(),
        }
    }

    /// Puts these bytes in, packed as dormouse would read them.
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
    file_with_gap(sections, usize::MAX, 0)
}

/// A file of these sections, with so many bytes of nobody's before the section at `gap`; behind
/// the last one, where there is no such section.
pub fn file_with_gap(sections: &[Section], gap: usize, bytes: usize) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    file[..8].copy_from_slice(b"dormouse");
    file[8] = 1;
    file[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    let mut content = Vec::new();
    let start = HEADER + ROW * sections.len();
    for (place, section) in sections.iter().enumerate() {
        if place == gap {
            content.resize(content.len() + bytes, 0xaa);
        }
        file.extend(section.number.to_le_bytes());
        file.extend(section.compression.to_le_bytes());
        file.extend(((start + content.len()) as u64).to_le_bytes());
        file.extend((section.bytes.len() as u64).to_le_bytes());
        file.extend(section.length.to_le_bytes());
        content.extend(&section.bytes);
    }
    if gap >= sections.len() {
        content.resize(content.len() + bytes, 0xaa);
    }
    file.extend(content);
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
pub fn changed(plain: &[u8], change: impl Fn(&mut Value)) -> Option<Vec<u8>> {
    let mut map: Value = rmp_serde::from_slice(plain).ok()?;
    if !map.is_object() {
        return None;
    }
    change(&mut map);
    rmp_serde::to_vec_named(&map).ok()
}
