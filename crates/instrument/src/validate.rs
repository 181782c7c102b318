//! What can be snapshotted, and the reason where it cannot.

use wasmparser::{
    FuncValidatorAllocations, Operator, Parser, TypeRef, ValidPayload, Validator, WasmFeatures,
};

use super::callgraph::CallGraph;
use super::scan::Scan;
use super::{Error, depth};
use crate::model;
use crate::model::shape::{self, Import};

/// The proposals that modules may use. Threads are here so that a refusal can name the memory.
pub(super) fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::THREADS
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
}

/// Checks that the bytes are a valid core module within [`features`].
pub(super) fn well_formed(wasm: &[u8]) -> Result<(), Error> {
    if !wasm.starts_with(b"\0asm") {
        let start = String::from_utf8_lossy(&wasm[..wasm.len().min(16)]).into_owned();
        return Err(Error::NotWasm(match wasm.is_empty() {
            true => "the file is empty".into(),
            false => format!("it starts with {start:?} instead of \"\\0asm\""),
        }));
    }
    if Parser::is_component(wasm) {
        return Err(Error::Component);
    }
    let error = match depth::validate(wasm, features()) {
        Ok(()) => return Ok(()),
        Err(depth::Failure::TooDeep { function, offset }) => {
            return Err(Error::Unsupported {
                what: format!(
                    "function {function}, nested more than {} levels deep at byte {offset},",
                    depth::MOST
                ),
                why: "Binaryen, which rewrites it, could not follow; split the function",
            });
        }
        Err(depth::Failure::Invalid(error)) => error,
    };
    // With everything allowed it tells apart what is wrong from what is only too new.
    let all = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm);
    Err(match all {
        Err(error) => Error::malformed(error),
        Ok(_) => Error::Unsupported {
            what: format!("a module with this ({error})"),
            why: "it uses a WebAssembly proposal whose state dormouse cannot write down",
        },
    })
}

/// Checks imports, exports and memories, and gives the imported functions in order.
pub(super) fn interface(scan: &Scan, host: &super::Offer<'_>) -> Result<Vec<Import>, Error> {
    if scan
        .exports
        .iter()
        .any(|(name, ..)| name == shape::ASYNCIFY_STATE)
    {
        return Err(Error::AlreadyResumable);
    }
    let mut imports = Vec::new();
    for import in &scan.imports {
        imports.push(host_import(scan, import, host)?);
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
    if !scan.exports.iter().any(|(name, ..)| name == "_start") {
        return Err(Error::NoEntry);
    }
    Ok(imports)
}

fn host_import(
    scan: &Scan,
    import: &super::scan::Import,
    host: &super::Offer<'_>,
) -> Result<Import, Error> {
    let unknown = |kind| Error::UnknownImport {
        kind,
        module: import.module.clone(),
        name: import.name.clone(),
    };
    let ty = match import.ty {
        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => ty,
        TypeRef::Memory(_) => return Err(unknown("memory")),
        TypeRef::Table(_) => return Err(unknown("table")),
        TypeRef::Global(_) => return Err(unknown("global")),
        TypeRef::Tag(_) => return Err(unknown("tag")),
    };
    let found = scan.func_type(ty).ok_or_else(|| unknown("function"))?;
    let (params, results) = (val_types(found.params()), val_types(found.results()));
    let known = host(&import.module, &import.name, &params);
    let known = known.ok_or_else(|| unknown("function"))?;
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

/// Whether a module imports exactly these functions, in this order and with these types. Engines
/// make the host's functions by the types stated.
pub(super) fn imports_are(scan: &Scan, stated: &[Import]) -> bool {
    let is = |found: &super::scan::Import, stated: &Import| {
        let (TypeRef::Func(ty) | TypeRef::FuncExact(ty)) = found.ty else {
            return false;
        };
        let has_types = scan.func_type(ty).is_some_and(|ty| {
            val_types(ty.params()) == stated.params && val_types(ty.results()) == stated.results
        });
        // A host call gives back one number at most.
        has_types
            && stated.results.len() <= 1
            && found.module == stated.module
            && found.name == stated.name
    };
    scan.imports.len() == stated.len()
        && scan
            .imports
            .iter()
            .zip(stated)
            .all(|(found, stated)| is(found, stated))
}

/// Checks what Binaryen's asyncify would abort on: all of it, but only where it matters.
pub(super) fn bodies(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    let mut holds_references = false;
    for (defined, body) in scan.bodies.iter().enumerate() {
        let function = scan.imported_functions + defined as u32;
        let name = || scan.function_name(function);
        let suspends = graph.may_suspend(function);
        if let Some(offset) = body.parameters
            && suspends
        {
            return Err(Error::Unsupported {
                what: format!(
                    "`{}`, with a block with parameters at byte {offset},",
                    name()
                ),
                why: "Binaryen 117, which rewrites it, does not know these; build without the \
                      multi-value feature",
            });
        }
        if !suspends {
            continue;
        }
        if let Some((ty, offset)) = &body.reference_local {
            return Err(Error::Unsupported {
                what: format!("`{}`, with a local of type {ty} at byte {offset},", name()),
                why: "a reference held across a suspend cannot be written down",
            });
        }
        let ty = scan.func_type(scan.functions[function as usize]);
        if ty.is_some_and(|ty| ty.params().iter().copied().any(is_reference)) {
            return Err(Error::Unsupported {
                what: format!("`{}`, which has a parameter that is a reference,", name()),
                why: "a reference held across a suspend cannot be written down",
            });
        }
        holds_references |= body.references;
    }
    match holds_references {
        true => operand_references(wasm, scan, graph),
        false => Ok(()),
    }
}

/// Refuses a function that has a reference on its operand stack at a call that may suspend.
fn operand_references(wasm: &[u8], scan: &Scan, graph: &CallGraph) -> Result<(), Error> {
    let mut validator = Validator::new_with_features(features());
    let mut function = scan.imported_functions;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(Error::malformed)?;
        let ValidPayload::Func(to_validate, body) =
            validator.payload(&payload).map_err(Error::malformed)?
        else {
            continue;
        };
        let this = function;
        function += 1;
        if !graph.may_suspend(this) {
            continue;
        }
        let mut checked = to_validate.into_validator(FuncValidatorAllocations::default());
        let mut reader = body.get_binary_reader();
        checked.read_locals(&mut reader).map_err(Error::malformed)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(Error::malformed)?;
            if let Some(arguments) = suspending_call(&operator, scan, graph) {
                let height = checked.operand_stack_height() as usize;
                let held = (arguments..height)
                    .filter_map(|depth| checked.get_operand_type(depth).flatten())
                    .any(is_reference);
                if held {
                    return Err(Error::Unsupported {
                        what: format!(
                            "`{}`, which holds a reference during the call at byte {offset},",
                            scan.function_name(this)
                        ),
                        why: "a reference held across a suspend cannot be written down",
                    });
                }
            }
            checked.op(offset, &operator).map_err(Error::malformed)?;
        }
    }
    Ok(())
}

/// For a call that may suspend, how many operands it takes off the stack.
fn suspending_call(operator: &Operator<'_>, scan: &Scan, graph: &CallGraph) -> Option<usize> {
    match operator {
        Operator::Call { function_index } => {
            let ty = scan.func_type(scan.functions[*function_index as usize])?;
            graph
                .may_suspend(*function_index)
                .then_some(ty.params().len())
        }
        // Asyncify takes every indirect call in an instrumented function as one that may suspend.
        Operator::CallIndirect { type_index, .. } => {
            Some(scan.func_type(*type_index)?.params().len() + 1)
        }
        _ => None,
    }
}

/// The types in the project's own words.
pub(super) fn val_types(types: &[wasmparser::ValType]) -> Vec<model::ValType> {
    types.iter().map(|ty| val_type(*ty)).collect()
}

/// The type in the project's own words.
pub(super) fn val_type(ty: wasmparser::ValType) -> model::ValType {
    match ty {
        wasmparser::ValType::I32 => model::ValType::I32,
        wasmparser::ValType::I64 => model::ValType::I64,
        wasmparser::ValType::F32 => model::ValType::F32,
        wasmparser::ValType::F64 => model::ValType::F64,
        wasmparser::ValType::V128 => model::ValType::V128,
        wasmparser::ValType::Ref(ty) if ty.is_func_ref() => model::ValType::FuncRef,
        wasmparser::ValType::Ref(_) => model::ValType::ExternRef,
    }
}

/// An exception's is made a number (`exceptions.rs`).
fn is_reference(ty: wasmparser::ValType) -> bool {
    matches!(ty, wasmparser::ValType::Ref(_)) && !super::exceptions::is_exception(ty)
}

fn signature(params: &[model::ValType], results: &[model::ValType]) -> String {
    let list = |types: &[model::ValType]| {
        let names: Vec<String> = types
            .iter()
            .map(|ty| format!("{ty:?}").to_lowercase())
            .collect();
        names.join(", ")
    };
    format!("({}) -> ({})", list(params), list(results))
}
