//! Whether the host offers what a module imports, and the module exports what the host runs.

use dormouse_model::ValType;
use dormouse_model::lowered::LoweredImport;
use dormouse_model::shape::{self, Import};
use wasmparser::TypeRef;

use super::scan::{self, Scan};
use super::types::model_types;
use crate::error::{ComponentError, Error, ImportKind, List};
use crate::options::Offer;

/// Checks imports, exports and memories, and gives the imported functions in order. `interfaces`
/// has those that the host offers to components.
pub(crate) fn check(
    scan: &Scan,
    host: &Offer<'_>,
    interfaces: &[&str],
) -> Result<Vec<Import>, Error> {
    let is_exported = |wanted| scan.exports.iter().any(|(name, ..)| name == wanted);
    if is_exported(shape::ASYNCIFY_STATE) {
        return Err(Error::AlreadyResumable);
    }
    let mut imports = Vec::new();
    for import in &scan.imports {
        let offered = offered(scan, import, host);
        imports.push(offered.map_err(|error| of_component(error, interfaces))?);
    }
    if let Some(index) = scan.memories.iter().position(|memory| memory.shared) {
        return Err(Error::Unsupported {
            what: format!("memory {index}, which is shared between threads,"),
            why: "other threads could change it during the snapshot; build without threads",
        });
    }
    if let Some(index) = scan.memories.iter().position(|memory| memory.memory64) {
        return Err(Error::Unsupported {
            what: format!("memory {index}, which has 64-bit addresses,"),
            why: "WASI preview1 is defined for 32-bit addresses only",
        });
    }
    if !is_exported("_start") {
        return Err(Error::NoEntry);
    }
    Ok(imports)
}

/// The error of an import in the words of components, where it is a component's.
fn of_component(error: Error, interfaces: &[&str]) -> Error {
    let Error::UnknownImport { module, name, .. } = &error else {
        return error;
    };
    match LoweredImport::parse(module, name) {
        Some(LoweredImport::Function(function)) => ComponentError::NotOffered {
            function: function.name,
            interface: function.interface,
            offered: List(interfaces.iter().map(|&name| name.to_owned()).collect()),
        }
        .into(),
        _ => error,
    }
}

/// What the host offers for an import.
fn offered(scan: &Scan, import: &scan::Import, host: &Offer<'_>) -> Result<Import, Error> {
    let unknown = |kind| Error::UnknownImport {
        kind,
        module: import.module.clone(),
        name: import.name.clone(),
    };
    let ty = match import.ty {
        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => ty,
        TypeRef::Memory(_) => return Err(unknown(ImportKind::Memory)),
        TypeRef::Table(_) => return Err(unknown(ImportKind::Table)),
        TypeRef::Global(_) => return Err(unknown(ImportKind::Global)),
        TypeRef::Tag(_) => return Err(unknown(ImportKind::Tag)),
    };
    let unknown_function = || unknown(ImportKind::Function);
    let found = scan.func_type(ty).ok_or_else(unknown_function)?;
    let (params, results) = (model_types(found.params()), model_types(found.results()));
    let known = host(&import.module, &import.name, &params).ok_or_else(unknown_function)?;
    if params != known.params || results != known.results {
        return Err(Error::ImportType {
            module: import.module.clone(),
            name: import.name.clone(),
            found: signature(&params, &results),
            expected: signature(&known.params, &known.results),
        });
    }
    Ok(Import {
        module: import.module.clone(),
        name: import.name.clone(),
        params,
        results,
        blocks: known.blocks,
    })
}

/// Whether a module imports exactly the functions that are stated, in this order and with these
/// types. Engines define the host's functions by the types stated.
pub(crate) fn imports_are(scan: &Scan, stated: &[Import]) -> bool {
    let is = |found: &scan::Import, stated: &Import| {
        let (TypeRef::Func(ty) | TypeRef::FuncExact(ty)) = found.ty else {
            return false;
        };
        let has_types = scan.func_type(ty).is_some_and(|ty| {
            model_types(ty.params()) == stated.params && model_types(ty.results()) == stated.results
        });
        // A host call has one result at most.
        has_types
            && stated.results.len() <= 1
            && found.module == stated.module
            && found.name == stated.name
    };
    let mut pairs = scan.imports.iter().zip(stated);
    scan.imports.len() == stated.len() && pairs.all(|(found, stated)| is(found, stated))
}

/// A function type for messages, such as `(i32, i64) -> (i32)`.
fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| {
        let names: Vec<String> = types
            .iter()
            .map(|ty| format!("{ty:?}").to_lowercase())
            .collect();
        names.join(", ")
    };
    format!("({}) -> ({})", list(params), list(results))
}
