//! A module as its list of sections, so that entries can be appended without decoding the rest.

use wasm_encoder::{Encode, SectionId};
use wasmparser::BinaryReader;

use super::Error;

/// Magic and version of a core module.
const HEADER: &[u8; 8] = b"\0asm\x01\0\0\0";

/// The sections of a core module, in file order, each with its raw content.
pub(super) struct Sections {
    list: Vec<(u8, Vec<u8>)>,
}

impl Sections {
    /// Splits a module that has passed validation.
    pub(super) fn split(wasm: &[u8]) -> Result<Self, Error> {
        let mut reader = BinaryReader::new(wasm, 0);
        reader.read_bytes(HEADER.len()).map_err(Error::malformed)?;
        let mut list = Vec::new();
        while !reader.eof() {
            let id = reader.read_u8().map_err(Error::malformed)?;
            let size = reader.read_var_u32().map_err(Error::malformed)?;
            let content = reader.read_bytes(size as usize).map_err(Error::malformed)?;
            list.push((id, content.to_vec()));
        }
        Ok(Self { list })
    }

    /// Drops the sections of this kind.
    pub(super) fn remove(&mut self, id: SectionId) {
        self.list.retain(|(section, _)| *section != id as u8);
    }

    /// Puts `content` in place of the section of this kind, or adds it where the order of sections
    /// asks for it.
    pub(super) fn replace(&mut self, id: SectionId, content: Vec<u8>) {
        let wanted = id as u8;
        if let Some((_, old)) = self.list.iter_mut().find(|(section, _)| *section == wanted) {
            *old = content;
            return;
        }
        let place = self
            .list
            .iter()
            .position(|(section, _)| *section != 0 && order(*section) > order(wanted))
            .unwrap_or(self.list.len());
        self.list.insert(place, (wanted, content));
    }

    /// Appends `count` encoded entries to the vector that the section holds.
    pub(super) fn append(
        &mut self,
        id: SectionId,
        count: u32,
        entries: &[u8],
    ) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let old = self.content(id).unwrap_or(&[0]);
        let mut reader = BinaryReader::new(old, 0);
        let before = reader.read_var_u32().map_err(Error::malformed)?;
        let rest = &old[old.len() - reader.bytes_remaining()..];
        let mut content = Vec::with_capacity(old.len() + entries.len() + 5);
        (before + count).encode(&mut content);
        content.extend_from_slice(rest);
        content.extend_from_slice(entries);
        self.replace(id, content);
        Ok(())
    }

    /// Adds a custom section at the end.
    pub(super) fn add_custom(&mut self, name: &str, data: &[u8]) {
        let mut content = Vec::with_capacity(name.len() + data.len() + 5);
        name.encode(&mut content);
        content.extend_from_slice(data);
        self.list.push((SectionId::Custom as u8, content));
    }

    /// Adds a custom section, by its raw content, in front of the code.
    pub(super) fn add_before_code(&mut self, content: Vec<u8>) {
        let code = |(section, _): &(u8, Vec<u8>)| *section == SectionId::Code as u8;
        let place = self.list.iter().position(code).unwrap_or(self.list.len());
        self.list.insert(place, (SectionId::Custom as u8, content));
    }

    /// The raw content of a section.
    pub(super) fn content(&self, id: SectionId) -> Option<&[u8]> {
        self.list
            .iter()
            .find(|(section, _)| *section == id as u8)
            .map(|(_, content)| content.as_slice())
    }

    /// The module as bytes.
    pub(super) fn join(&self) -> Vec<u8> {
        let size: usize = self.list.iter().map(|(_, content)| content.len() + 6).sum();
        let mut wasm = Vec::with_capacity(HEADER.len() + size);
        wasm.extend_from_slice(HEADER);
        for (id, content) in &self.list {
            wasm.push(*id);
            content.encode(&mut wasm);
        }
        wasm
    }
}

/// Where a section stands in a module: by number, but for the data count (12), which comes before
/// the code (10), and the tags (13), which come before the globals (6).
fn order(id: u8) -> u8 {
    match id {
        12 => 19,
        13 => 11,
        id => 2 * id,
    }
}
