//! The names that functions had in the source, and the lists of versions that run only after a
//! resume.

use dormouse_model::shape;
use wasm_encoder::{Encode, NameMap};

use crate::analyze::scan::Scan;
use crate::module::names::{OSR, SLOW, original_function};
use crate::module::sections::Sections;

/// Gives functions their own names back. `scan` is that of the module, and `source` that of the one
/// that has these names.
pub(crate) fn restore(sections: &mut Sections<'_>, scan: &Scan, source: &Scan) {
    let mut working_names: Vec<(u32, &str)> = scan
        .names
        .iter()
        .map(|(index, name)| (*index, name.as_str()))
        .collect();
    working_names.sort_unstable();
    let mut names = NameMap::new();
    for (index, name) in &working_names {
        // All versions of a function have its own name.
        let own = name.split_once('$').map_or(*name, |(own, _)| own);
        match original_function(own) {
            Some(function) => match source.names.get(&function) {
                Some(name) => names.append(*index, name),
                None => continue,
            },
            None => names.append(*index, name),
        }
    }
    sections.set_function_names(&names);
    let matching = |matches: &dyn Fn(&str) -> bool| -> Vec<u32> {
        let found = working_names.iter().filter(|(_, name)| matches(name));
        found.map(|(index, _)| *index).collect()
    };
    let slow = matching(&|name| name.ends_with(SLOW));
    let osr = matching(&|name| name.contains(OSR));
    for (section, functions) in [(shape::SLOW_VERSIONS, slow), (shape::OSR_VERSIONS, osr)] {
        if !functions.is_empty() {
            let mut content = Vec::new();
            functions.encode(&mut content);
            sections.add_custom(section, &content);
        }
    }
}
