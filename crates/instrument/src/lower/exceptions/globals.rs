//! The globals by which an exception travels from function to function.

use std::collections::HashMap;

use wasm_encoder::{GlobalSection, ValType};

use super::types::lowered;
use crate::analyze::scan::Scan;
use crate::error::Error;
use crate::module::encode::add_global;

/// The globals that are added behind the module's own. Tags share the globals of what they carry,
/// since one exception is on its way at a time.
pub(super) struct Globals {
    /// Holds which tag is on its way, and zero where none is.
    pub pending: u32,
    /// For each tag the global of each value that it carries.
    payloads: Vec<Vec<u32>>,
    /// The types of all added globals; the first is `pending`.
    types: Vec<ValType>,
    /// The one global that all tags carry their value in, if any does; `None` where some tag
    /// carries more than one `i32`, so that its exceptions cannot be packed into a number.
    packed: Option<Option<u32>>,
}

impl Globals {
    pub(super) fn new(scan: &Scan) -> Result<Self, Error> {
        let pending = scan.globals.len() as u32;
        let mut types = vec![ValType::I32];
        let mut known: HashMap<(usize, ValType), u32> = HashMap::new();
        let mut payloads = Vec::new();
        for (tag, ty) in scan.tags.iter().enumerate() {
            let carried = scan.func_type(*ty).map_or(&[][..], |ty| ty.params());
            let mut globals = Vec::new();
            for (position, ty) in carried.iter().enumerate() {
                let ty = lowered(*ty)?;
                if matches!(ty, ValType::Ref(_)) {
                    return Err(Error::Unsupported {
                        what: format!("exceptions with tag {tag}, which carries a reference,"),
                        why: "a reference on its way through a program cannot be serialized",
                    });
                }
                globals.push(*known.entry((position, ty)).or_insert_with(|| {
                    types.push(ty);
                    pending + types.len() as u32 - 1
                }));
            }
            payloads.push(globals);
        }
        let can_be_packed = |globals: &Vec<u32>| match globals[..] {
            [] => true,
            [global] => types[(global - pending) as usize] == ValType::I32,
            _ => false,
        };
        let packed = payloads.iter().all(can_be_packed);
        let packed = packed.then(|| payloads.iter().flatten().next().copied());
        Ok(Self {
            pending,
            payloads,
            types,
            packed,
        })
    }

    /// A tag's number in `pending`.
    pub(super) fn number(tag: u32) -> i32 {
        tag as i32 + 1
    }

    /// The globals of the values that a tag carries, in order.
    pub(super) fn payload(&self, tag: u32) -> &[u32] {
        &self.payloads[tag as usize]
    }

    /// The global of the value that a packed exception carries, if any tag carries one.
    pub(super) fn packed(&self) -> Result<Option<u32>, Error> {
        self.packed.ok_or(Error::Unsupported {
            what: "an exception that is held, or thrown once more,".into(),
            why: "one of the module's tags carries more than one i32, and a reference to its \
                  exception cannot be serialized",
        })
    }

    /// The added globals.
    pub(super) fn section(&self) -> GlobalSection {
        let mut section = GlobalSection::new();
        for ty in &self.types {
            add_global(&mut section, *ty);
        }
        section
    }
}
