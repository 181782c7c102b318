//! A module as its list of sections, so that entries can be appended without decoding the rest.

use std::borrow::Cow;
use std::ops::Range;

use wasm_encoder::{Encode, NameMap, NameSection, Section, SectionId};
use wasmparser::{BinaryReader, CustomSectionReader, Parser};

use super::encode::content;
use crate::error::Error;

/// Magic and version of a core module.
const HEADER: &[u8; 8] = b"\0asm\x01\0\0\0";

/// The longest encoding of a `u32`, in bytes.
pub(crate) const MAX_LEB128: usize = 5;

/// A section of a module or a component as it stands in the file.
pub struct RawSection<'a> {
    /// The number of its kind.
    id: u8,
    /// Where it begins, with its number and its size, in bytes from the beginning of the module.
    pub start: usize,
    content: &'a [u8],
}

impl<'a> RawSection<'a> {
    /// The name and the content of a custom section.
    pub fn custom(&self) -> Option<(&'a str, &'a [u8])> {
        if self.id != SectionId::Custom as u8 {
            return None;
        }
        let reader = BinaryReader::new(self.content, 0);
        let section = CustomSectionReader::new(reader).ok()?;
        Some((section.name(), section.data()))
    }
}

/// The sections of a core module, or the outermost ones of a component, in file order. No section is
/// looked into, so that this takes as long for a large module as for a small one.
///
/// # Errors
/// [`Error::Invalid`] if the bytes begin as neither. A section that reaches beyond the end of the
/// bytes is an error too, and the last that is given.
pub fn sections(wasm: &[u8]) -> Result<impl Iterator<Item = Result<RawSection<'_>, Error>>, Error> {
    // The parser says what is wrong with the header.
    Parser::new(0).parse(wasm, true).map_err(Error::malformed)?;
    let mut reader = BinaryReader::new(wasm, 0);
    reader.read_bytes(HEADER.len()).map_err(Error::malformed)?;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        if failed || reader.eof() {
            return None;
        }
        let section = read_section(&mut reader, wasm.len());
        failed = section.is_err();
        Some(section.map_err(Error::malformed))
    }))
}

fn read_section<'a>(
    reader: &mut BinaryReader<'a>,
    wasm_bytes: usize,
) -> Result<RawSection<'a>, wasmparser::BinaryReaderError> {
    let start = wasm_bytes - reader.bytes_remaining();
    let id = reader.read_u8()?;
    let size = reader.read_var_u32()?;
    let content = reader.read_bytes(size as usize)?;
    Ok(RawSection { id, start, content })
}

/// The sections of a core module, in file order, each with its raw content. What is not changed is
/// not copied: a large module is most of the memory that its rewriting takes.
pub(crate) struct Sections<'a> {
    list: Vec<(u8, Cow<'a, [u8]>)>,
}

impl<'a> Sections<'a> {
    /// Splits a module that has passed validation.
    pub(crate) fn split(wasm: &'a [u8]) -> Result<Self, Error> {
        let list = sections(wasm)?
            .map(|section| section.map(|section| (section.id, Cow::Borrowed(section.content))))
            .collect::<Result<_, _>>()?;
        Ok(Self { list })
    }

    /// Removes all sections of this kind.
    pub(crate) fn remove(&mut self, id: SectionId) {
        self.list.retain(|(section, _)| *section != id as u8);
    }

    /// Puts a section in place of the one of its kind, or adds it where the order of sections asks
    /// for it.
    pub(crate) fn replace(&mut self, section: &impl Section) {
        self.replace_content(section.id(), content(section));
    }

    /// Puts bodies that are encoded already, with their number in front, in place of the module's.
    pub(crate) fn replace_code(&mut self, content: Vec<u8>) {
        self.replace_content(SectionId::Code as u8, content);
    }

    fn replace_content(&mut self, wanted: u8, content: Vec<u8>) {
        if let Some((_, old)) = self.list.iter_mut().find(|(section, _)| *section == wanted) {
            *old = content.into();
            return;
        }
        let position = self
            .list
            .iter()
            .position(|(section, _)| *section != 0 && order(*section) > order(wanted))
            .unwrap_or(self.list.len());
        self.list.insert(position, (wanted, content.into()));
    }

    /// Appends the entries of a section to the module's own of that kind.
    pub(crate) fn append(&mut self, section: &impl Section) -> Result<(), Error> {
        let added = content(section);
        let mut reader = BinaryReader::new(&added, 0);
        let count = reader.read_var_u32().map_err(Error::malformed)?;
        let entries = &added[added.len() - reader.bytes_remaining()..];
        if count == 0 {
            return Ok(());
        }
        let old = self.raw(section.id()).unwrap_or(&[0]);
        let mut reader = BinaryReader::new(old, 0);
        let before = reader.read_var_u32().map_err(Error::malformed)?;
        let rest = &old[old.len() - reader.bytes_remaining()..];
        let mut content = Vec::with_capacity(old.len() + entries.len() + MAX_LEB128);
        (before + count).encode(&mut content);
        content.extend_from_slice(rest);
        content.extend_from_slice(entries);
        self.replace_content(section.id(), content);
        Ok(())
    }

    /// Puts the entries of a section of another module, which is given as its raw content, in front
    /// of the module's own of that kind.
    pub(crate) fn prepend(&mut self, id: SectionId, content: &[u8]) -> Result<(), Error> {
        let entries = |content: &[u8]| -> Result<(u32, usize), Error> {
            let mut reader = BinaryReader::new(content, 0);
            let count = reader.read_var_u32().map_err(Error::malformed)?;
            Ok((count, content.len() - reader.bytes_remaining()))
        };
        let own = self.content(id).unwrap_or(&[0]);
        let (count, start) = entries(content)?;
        let (own_count, own_start) = entries(own)?;
        let mut joined = Vec::with_capacity(content.len() + own.len() + MAX_LEB128);
        (count + own_count).encode(&mut joined);
        joined.extend_from_slice(&content[start..]);
        joined.extend_from_slice(&own[own_start..]);
        self.replace_content(id as u8, joined);
        Ok(())
    }

    /// Adds a custom section at the end.
    pub(crate) fn add_custom(&mut self, name: &str, data: &[u8]) {
        let mut content = Vec::with_capacity(name.len() + data.len() + MAX_LEB128);
        name.encode(&mut content);
        content.extend_from_slice(data);
        self.list.push((SectionId::Custom as u8, content.into()));
    }

    /// Puts names of functions in place of all custom sections.
    pub(crate) fn set_function_names(&mut self, names: &NameMap) {
        self.remove(SectionId::Custom);
        let mut section = NameSection::new();
        section.functions(names);
        self.list
            .push((SectionId::Custom as u8, content(&section).into()));
    }

    /// Adds a custom section in front of the code.
    pub(crate) fn add_before_code(&mut self, section: &impl Section) {
        let code = |(section, _): &(u8, Cow<'_, [u8]>)| *section == SectionId::Code as u8;
        let position = self.list.iter().position(code).unwrap_or(self.list.len());
        self.list
            .insert(position, (SectionId::Custom as u8, content(section).into()));
    }

    /// The raw content of a section.
    pub(crate) fn content(&self, id: SectionId) -> Option<&[u8]> {
        self.raw(id as u8)
    }

    fn raw(&self, id: u8) -> Option<&[u8]> {
        let found = self.list.iter().find(|(section, _)| *section == id);
        found.map(|(_, content)| &content[..])
    }

    /// What stands around the content of the code section, which takes so many bytes.
    pub(crate) fn around_code(&self, code_bytes: usize) -> AroundCode {
        let mut around = AroundCode::default();
        let mut is_behind = false;
        for (id, content) in &self.list {
            if *id == SectionId::Code as u8 {
                around.before.push(*id);
                code_bytes.encode(&mut around.before);
                is_behind = true;
                continue;
            }
            let part = match is_behind {
                true => &mut around.behind,
                false => &mut around.before,
            };
            part.push(*id);
            content.encode(part);
        }
        around
    }

    /// Where the content of the code section stands in the module that was split, if it is that
    /// one's.
    pub(crate) fn code_in(&self, wasm: &[u8]) -> Option<Range<usize>> {
        let content = self.content(SectionId::Code)?;
        let start = (content.as_ptr() as usize).checked_sub(wasm.as_ptr() as usize)?;
        let range = start..start.checked_add(content.len())?;
        (range.end <= wasm.len()).then_some(range)
    }

    /// The module as bytes.
    pub(crate) fn join(self) -> Vec<u8> {
        let size: usize = self
            .list
            .iter()
            .map(|(_, content)| 1 + MAX_LEB128 + content.len())
            .sum();
        let mut wasm = Vec::with_capacity(HEADER.len() + size);
        wasm.extend_from_slice(HEADER);
        for (id, content) in self.list {
            wasm.push(id);
            content.encode(&mut wasm);
        }
        wasm
    }
}

/// A module without the content of its code section.
#[derive(Default)]
pub(crate) struct AroundCode {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl AroundCode {
    /// The module as bytes. `buffer` holds the content of the code section at `code`: it is most of
    /// a large module, and is moved within the buffer, not copied to another.
    pub(crate) fn join(self, mut buffer: Vec<u8>, code: Range<usize>) -> Vec<u8> {
        buffer.truncate(code.end);
        buffer.reserve_exact(HEADER.len() + self.before.len() + self.behind.len());
        buffer.extend_from_slice(&self.behind);
        let before = HEADER.iter().chain(&self.before).copied();
        buffer.splice(..code.start, before);
        buffer
    }
}

/// The rank of a section in a module. Sections are ordered by their numbers, with two exceptions:
/// the data count (12) comes before the code (10), and the tags (13) before the globals (6).
fn order(id: u8) -> u8 {
    match id {
        12 => 19,
        13 => 11,
        id => 2 * id,
    }
}
