//! Strings, in each of the three encodings.
//!
//! The host lowers a text as if it had it in the guest's encoding already. So the guest allocates
//! once, in the size that the text has. For UTF-16 and Latin-1 Wasmtime allocates more at first and
//! then has the block cut off.

use super::image::{Image, Place};
use super::lifting::{Flat, Lifting};
use super::types::{ComponentType, Lift, Lower, PointerPair, layout_of};
use crate::p2::stop::{Called, trap};
use dormouse_model::lowered::StringEncoding;

/// In the length of a text in Latin-1 or UTF-16: it is in UTF-16.
const UTF16_TAG: u32 = 1 << 31;
/// The most bytes that a text may have.
const MAX_STRING_BYTES: usize = (1 << 31) - 1;

impl ComponentType for String {
    layout_of!(PointerPair);

    fn describe() -> String {
        "string".into()
    }
}

impl Lift for String {
    fn lift(from: &mut Lifting<'_>, flat: &mut Flat<'_>) -> Called<Self> {
        let pair = PointerPair::lift(from, flat)?;
        read(from, pair)
    }

    fn load(from: &mut Lifting<'_>, at: u32) -> Called<Self> {
        let pair = PointerPair::load(from, at)?;
        read(from, pair)
    }
}

fn read(from: &mut Lifting<'_>, (at, length): PointerPair) -> Called<String> {
    let units = match from.encoding {
        StringEncoding::Utf8 => {
            return match std::str::from_utf8(from.bytes(at, length.into(), 1)?) {
                Ok(text) => Ok(text.to_string()),
                Err(error) => trap(format!("a string is not UTF-8: {error}")),
            };
        }
        StringEncoding::Latin1OrUtf16 if length & UTF16_TAG == 0 => {
            let bytes = from.bytes(at, length.into(), 2)?;
            return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
        }
        StringEncoding::Latin1OrUtf16 => length & !UTF16_TAG,
        StringEncoding::Utf16 => length,
    };
    utf16(from.bytes(at, u64::from(units) * 2, 2)?)
}

fn utf16(bytes: &[u8]) -> Called<String> {
    let (units, _) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    match char::decode_utf16(units).collect() {
        Ok(text) => Ok(text),
        Err(error) => trap(format!("a string is not UTF-16: {error}")),
    }
}

impl Lower for String {
    fn store(self, image: &mut Image<'_>, at: Place) -> Called<()> {
        let is_latin1 = || self.chars().all(|letter| u32::from(letter) < 0x100);
        let units = || self.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (bytes, align): (Vec<u8>, u32) = match image.encoding {
            StringEncoding::Utf8 => return write(self.into_bytes(), 1, 0, image, at),
            StringEncoding::Latin1OrUtf16 if is_latin1() => {
                let bytes = self.chars().map(|letter| letter as u8);
                return write(bytes.collect(), 2, 0, image, at);
            }
            StringEncoding::Utf16 | StringEncoding::Latin1OrUtf16 => (units(), 2),
        };
        let tag = match image.encoding {
            StringEncoding::Latin1OrUtf16 => UTF16_TAG,
            _ => 0,
        };
        write(bytes, align, tag, image, at)
    }
}

/// Puts an encoded text into the image. `tag` is what its length is marked with.
fn write(bytes: Vec<u8>, align: u32, tag: u32, image: &mut Image<'_>, at: Place) -> Called<()> {
    if bytes.len() > MAX_STRING_BYTES {
        return trap(format!("a string of {} bytes is too long", bytes.len()));
    }
    let is_utf16 = tag != 0 || image.encoding == StringEncoding::Utf16;
    // The length counts units of the encoding, and was checked to fit.
    let length = match is_utf16 {
        true => bytes.len() as u32 / 2,
        false => bytes.len() as u32,
    };
    image.allocate_bytes(at, align, bytes);
    image.put(at.after(4), &(length | tag).to_le_bytes());
    Ok(())
}
