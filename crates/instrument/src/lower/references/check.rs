//! Whether a module can be rewritten so that its references are numbers.

use std::collections::{BTreeSet, HashMap};

use wasmparser::{FuncType, ValType};

use super::constants::Constants;
use super::tables::Tables;
use super::types::lowered;
use crate::analyze::scan::Scan;
use crate::error::Error;

/// Why a module with references that the host may have made is refused.
const OF_THE_HOST: &str =
    "a reference held across a suspend cannot be serialized, which the host may have made here";

/// Why a module is refused in which numbers would make equal what is not.
const SAME_TYPES: &str = "a reference held across a suspend has to become a number, and a call \
                          through a table would then take functions of another type for its own";

/// Why a module is refused whose tables are not known.
const TABLES: &str = "a reference held across a suspend has to become a number, and an element \
                      segment does not fit into its table";

/// Why a module without a memory is refused. The host would take the first that is added for the
/// one in which the guest's arguments are.
const NO_MEMORY: &str = "a reference held across a suspend has to become a number, and the module \
                         has no memory";

/// Says why a module cannot be rewritten; `None` if it can.
pub(crate) fn obstacle(wasm: &[u8], scan: &Scan) -> Result<Option<&'static str>, Error> {
    let imported = 0..scan.imported_functions;
    let mut imported = imported.filter_map(|function| scan.type_of(function));
    if imported.any(has_references) {
        return Ok(Some(OF_THE_HOST));
    }
    if mixes_types(scan)? {
        return Ok(Some(SAME_TYPES));
    }
    let Some(tables) = Tables::of(wasm, scan, &Constants::of(wasm)?)? else {
        return Ok(Some(TABLES));
    };
    if scan.memories.is_empty() && !tables.changed.is_empty() {
        return Ok(Some(NO_MEMORY));
    }
    Ok(None)
}

/// Whether an indirect call has another type than a function whose reference is taken, and the same
/// where numbers stand for references.
fn mixes_types(scan: &Scan) -> Result<bool, Error> {
    let in_segments = scan.elements.iter().flat_map(|segment| &segment.functions);
    let functions: BTreeSet<u32> = in_segments.chain(&scan.referenced).copied().collect();
    let mut of_functions: HashMap<FuncTypes, Vec<&FuncType>> = HashMap::new();
    for ty in functions.iter().filter_map(|f| scan.type_of(*f)) {
        let known = of_functions.entry(lowered_types(ty)?).or_default();
        if !known.contains(&ty) {
            known.push(ty);
        }
    }
    let calls = scan.bodies.iter().flat_map(|body| &body.indirect);
    let called: BTreeSet<u32> = calls.map(|(ty, _)| *ty).collect();
    for ty in called.iter().filter_map(|ty| scan.func_type(*ty)) {
        let same = of_functions.get(&lowered_types(ty)?);
        if same.is_some_and(|same| same.iter().any(|other| *other != ty)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parameters and results where numbers stand for references.
type FuncTypes = (Vec<wasm_encoder::ValType>, Vec<wasm_encoder::ValType>);

fn lowered_types(ty: &FuncType) -> Result<FuncTypes, Error> {
    let all = |types: &[ValType]| types.iter().copied().map(lowered).collect();
    let params: Result<_, Error> = all(ty.params());
    let results: Result<_, Error> = all(ty.results());
    Ok((params?, results?))
}

fn has_references(ty: &FuncType) -> bool {
    let mut types = ty.params().iter().chain(ty.results());
    types.any(|ty| matches!(ty, ValType::Ref(_)))
}
