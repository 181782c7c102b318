//! What Wasmtime has a list of, as it is called here.

use dormouse_model::lowered::{self, Trap};
use wasm_encoder::ValType;
use wasmtime_environ::WasmValType;
use wasmtime_environ::component::{FixedEncoding, StringEncoding, Transcode};

use super::super::plan;

/// A type of values, where adapters may have values of it.
pub(super) fn core_type(ty: &WasmValType) -> Option<ValType> {
    match ty {
        WasmValType::I32 => Some(ValType::I32),
        WasmValType::I64 => Some(ValType::I64),
        WasmValType::F32 => Some(ValType::F32),
        WasmValType::F64 => Some(ValType::F64),
        WasmValType::V128 | WasmValType::Ref(_) => None,
    }
}

/// How strings are encoded.
pub(super) fn encoding(encoding: StringEncoding) -> lowered::StringEncoding {
    match encoding {
        StringEncoding::Utf8 => lowered::StringEncoding::Utf8,
        StringEncoding::Utf16 => lowered::StringEncoding::Utf16,
        StringEncoding::CompactUtf16 => lowered::StringEncoding::Latin1OrUtf16,
    }
}

/// How a string is moved.
pub(super) fn transcode(transcode: Transcode) -> plan::Transcode {
    match transcode {
        Transcode::Copy(FixedEncoding::Utf8) => plan::Transcode::CopyUtf8,
        Transcode::Copy(FixedEncoding::Utf16) => plan::Transcode::CopyUtf16,
        Transcode::Copy(FixedEncoding::Latin1) => plan::Transcode::CopyLatin1,
        Transcode::Latin1ToUtf16 => plan::Transcode::Latin1ToUtf16,
        Transcode::Latin1ToUtf8 => plan::Transcode::Latin1ToUtf8,
        Transcode::Utf16ToCompactProbablyUtf16 => plan::Transcode::Utf16ToCompactProbablyUtf16,
        Transcode::Utf16ToCompactUtf16 => plan::Transcode::Utf16ToCompactUtf16,
        Transcode::Utf16ToLatin1 => plan::Transcode::Utf16ToLatin1,
        Transcode::Utf16ToUtf8 => plan::Transcode::Utf16ToUtf8,
        Transcode::Utf8ToCompactUtf16 => plan::Transcode::Utf8ToCompactUtf16,
        Transcode::Utf8ToLatin1 => plan::Transcode::Utf8ToLatin1,
        Transcode::Utf8ToUtf16 => plan::Transcode::Utf8ToUtf16,
    }
}

/// The reason behind a number with which an adapter traps.
pub(crate) fn trap(code: u32) -> Option<Trap> {
    use wasmtime_environ::Trap as Code;
    Some(match Code::from_u8(u8::try_from(code).ok()?)? {
        Code::CannotEnterComponent => Trap::CannotEnter,
        Code::CannotLeaveComponent => Trap::CannotLeave,
        Code::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        Code::StringOutOfBounds => Trap::StringOutOfBounds,
        Code::ListOutOfBounds => Trap::ListOutOfBounds,
        Code::UnalignedPointer => Trap::UnalignedPointer,
        Code::InvalidChar => Trap::InvalidChar,
        Code::InvalidDiscriminant => Trap::InvalidDiscriminant,
        Code::UncaughtException => Trap::UncaughtException,
        _ => return None,
    })
}
