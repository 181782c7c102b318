//! Modules as bytes: whether they can have connections, how they are unpacked and checked.

use wasmparser::{ComponentImport, Parser, Payload, SectionLimited};

use super::error::TaskError;
use crate::model::Digest;
use crate::model::error::Error;
use crate::wasi;

/// Whether a module or a component can have connections: it has to accept them, or to open sockets.
pub(super) fn has_connections(wasm: &[u8]) -> bool {
    let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    if Parser::is_component(wasm) {
        let mut imports = payloads.filter_map(|payload| match payload {
            Payload::ComponentImportSection(imports) => Some(imports),
            _ => None,
        });
        return imports.any(|section| section.into_iter().flatten().any(opens_sockets));
    }
    let imports = payloads.filter_map(|payload| match payload {
        Payload::ImportSection(imports) => Some(imports),
        _ => None,
    });
    let sources = [wasi::Function::SockAccept, wasi::Function::SockOpen];
    imports
        .flat_map(SectionLimited::into_imports)
        .flatten()
        .any(|import| {
            let name = import.name.strip_suffix("_v2").unwrap_or(import.name);
            sources.iter().any(|source| source.name() == name)
        })
}

/// Whether an import of a component is an interface by which connections are made.
fn opens_sockets(import: ComponentImport<'_>) -> bool {
    ["wasi:sockets/tcp-create-socket@", "wasi:http/"]
        .iter()
        .any(|interface| import.name.name.starts_with(interface))
}

/// Bytes of the code section of a module; none where it has none or cannot be read.
pub(super) fn code_bytes(wasm: &[u8]) -> u64 {
    let mut sections = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    let size = sections.find_map(|payload| match payload {
        Payload::CodeSectionStart { size, .. } => Some(size),
        _ => None,
    });
    size.unwrap_or_default().into()
}

/// Whether a module is the one that it is said to be.
pub(super) fn check_digest(wasm: &[u8], stated: &Digest) -> Result<(), Error> {
    match Digest::of(wasm) == *stated {
        true => Ok(()),
        false => {
            let text = "it has another digest than stated";
            Err(TaskError::DamagedModule(text.into()).into())
        }
    }
}

/// How long a compressed module says it is when it is unpacked.
pub(super) fn stated_length(packed: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(packed).ok()?
}

/// Unpacks a compressed module of exactly the length that is stated.
pub(super) fn unpack(packed: &[u8], length: u64) -> Result<Vec<u8>, Error> {
    unpack_exactly(packed, length).map_err(|what| TaskError::DamagedModule(what).into())
}

/// Unpacks bytes of exactly the length that is stated, or says what is wrong with them.
pub(super) fn unpack_exactly(packed: &[u8], length: u64) -> Result<Vec<u8>, String> {
    let damaged = |e: String| format!("it cannot be decompressed: {e}");
    // Checked before memory is asked for.
    if stated_length(packed) != Some(length) {
        return Err(damaged("it has another length than stated".into()));
    }
    // What follows the frame would travel on with it.
    if zstd::zstd_safe::find_frame_compressed_size(packed).ok() != Some(packed.len()) {
        return Err(damaged("it is followed by something else".into()));
    }
    let length = usize::try_from(length).map_err(|e| damaged(e.to_string()))?;
    zstd::bulk::decompress(packed, length).map_err(|e| damaged(e.to_string()))
}

/// Whether a module that a store keeps is whole.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_packed(packed: &[u8], stated: &Digest) -> Result<(), Error> {
    let wasm = unpack(packed, stated_length(packed).unwrap_or_default())?;
    check_digest(&wasm, stated)
}
