//! Strings on their way from one memory into another, as WebAssembly.
//!
//! An adapter has checked that both strings lie within their memories and are aligned, and has
//! allocated enough. Lengths count code units of the string that they are of. A string
//! that is not valid traps.

use wasm_encoder::{Function, ValType};

use super::assembler::Code;
use super::callees::Signature;
use super::plan::Transcode;

/// Set in the length of a string that may be Latin-1 and is UTF-16.
const UTF16_TAG: i32 = i32::MIN;

/// The parameters of all of them, in their order.
const SOURCE: u32 = 0;
const SOURCE_LENGTH: u32 = 1;
const TARGET: u32 = 2;
/// Where the target's length is given.
const TARGET_LENGTH: u32 = 3;
/// Where only characters of one byte may be written.
const FIRST_PASS: u32 = 4;
/// Where a part of the target holds Latin-1 already.
const LATIN1_BYTES: u32 = 4;

/// The variables of all of them.
const LOCALS: u32 = 8;
/// The next code unit to read.
const FROM: u32 = 5;
/// How many are left to read.
const LEFT: u32 = 6;
/// Where the next code unit is written.
const TO: u32 = 7;
/// The character on its way.
const CHARACTER: u32 = 8;
/// A code unit or a size.
const UNIT: u32 = 9;
/// Of all code units, the bits that any of them has.
const BITS: u32 = 10;
/// How many code units are read of characters that are written.
const READ: u32 = 11;
/// How many code units there is room for.
const ROOM: u32 = 12;

/// The type of a function that moves a string so.
pub(super) fn signature(transcode: Transcode) -> Signature {
    let (params, results) = match transcode {
        Transcode::CopyUtf8
        | Transcode::CopyUtf16
        | Transcode::CopyLatin1
        | Transcode::Latin1ToUtf16 => (3, 0),
        Transcode::Utf8ToUtf16 | Transcode::Utf16ToCompactProbablyUtf16 => (3, 1),
        Transcode::Utf8ToLatin1 | Transcode::Utf16ToLatin1 => (3, 2),
        Transcode::Utf8ToCompactUtf16 | Transcode::Utf16ToCompactUtf16 => (5, 1),
        Transcode::Latin1ToUtf8 | Transcode::Utf16ToUtf8 => (5, 2),
    };
    (vec![ValType::I32; params], vec![ValType::I32; results])
}

/// The function. The memories are those of the flattened module, as is the function that traps.
pub(super) fn function(transcode: Transcode, from: u32, to: u32, trap: Option<u32>) -> Function {
    let (params, _) = signature(transcode);
    // All have the same variables, whatever they have for parameters.
    let unused = FROM - params.len() as u32;
    let mut function = Function::new([(unused + LOCALS, ValType::I32)]);
    let mut code = Code::new(&mut function, from, to, trap);
    code.set(FROM, SOURCE);
    code.set(LEFT, SOURCE_LENGTH);
    code.set(TO, TARGET);
    match transcode {
        Transcode::CopyUtf8 => code.copy_utf8(),
        Transcode::CopyUtf16 => code.copy_utf16(),
        Transcode::CopyLatin1 => code.copy(1),
        Transcode::Latin1ToUtf16 => code.latin1_to_utf16(),
        Transcode::Latin1ToUtf8 => code.write_all_utf8(Code::latin1_character),
        Transcode::Utf16ToUtf8 => code.write_all_utf8(Code::utf16_character),
        Transcode::Utf8ToUtf16 => code.utf8_to_utf16(),
        Transcode::Utf8ToLatin1 => code.utf8_to_latin1(),
        Transcode::Utf16ToLatin1 => code.utf16_to_latin1(),
        Transcode::Utf8ToCompactUtf16 => {
            code.inflate();
            code.utf8_to_utf16();
        }
        Transcode::Utf16ToCompactUtf16 => {
            code.inflate();
            code.utf16_to_utf16();
            code.written(1);
        }
        Transcode::Utf16ToCompactProbablyUtf16 => code.utf16_to_compact(),
    }
    code.end();
    function
}

impl Code<'_> {
    fn copy_utf8(&mut self) {
        self.while_left(|code| {
            // Eight characters of one byte at once.
            code.left_below(8);
            code.not().if_();
            code.get(FROM).are_all_ascii().if_();
            code.add(FROM, 8);
            code.add(LEFT, -8);
            // To the next round.
            code.br(2).end().end();
            code.utf8_character();
        });
        self.copy(1);
    }

    fn copy_utf16(&mut self) {
        self.while_left(Self::utf16_character);
        self.copy(2);
    }

    /// Copies all of the source, whose code units have `width` bytes.
    fn copy(&mut self, width: i32) {
        self.get(TARGET).get(SOURCE).get(SOURCE_LENGTH);
        self.num(width).times().copy_memory();
    }

    fn latin1_to_utf16(&mut self) {
        self.while_left(|code| {
            code.latin1_character();
            code.write_unit();
        });
    }

    /// Gives how many code units were written, from the start of the target.
    fn utf8_to_utf16(&mut self) {
        self.while_left(|code| {
            code.utf8_character();
            code.write_utf16();
        });
        self.written(1);
    }

    fn utf16_to_utf16(&mut self) {
        self.while_left(|code| {
            code.utf16_character();
            code.write_utf16();
        });
    }

    /// Gives how many code units were read, and how many written, of those characters that there
    /// was room for.
    fn write_all_utf8(&mut self, character: fn(&mut Self)) {
        self.set(ROOM, TARGET_LENGTH);
        self.block();
        self.while_left(|code| {
            character(code);
            // The first pass ends at a character of more than one byte.
            code.get(FIRST_PASS).not().not();
            code.get(CHARACTER).num(0x80).ge().and().br_if(2);
            code.utf8_size();
            code.get(UNIT).get(ROOM).gt().br_if(2);
            code.write_utf8();
            code.get(ROOM).get(UNIT).minus().put(ROOM);
            code.get(SOURCE_LENGTH).get(LEFT).minus().put(READ);
        });
        self.end();
        self.get(READ);
        self.written(0);
    }

    /// Gives how many code units were read, and how many written, up to one that Latin-1 lacks.
    fn utf8_to_latin1(&mut self) {
        self.block();
        self.while_left(|code| {
            code.get(FROM).load8(0).tee(CHARACTER);
            code.num(0x80).lt().if_();
            code.advance(1, 1);
            code.else_();
            // Only U+0080 to U+00FF, which take two bytes. Others, and what is no string, are left.
            code.get(CHARACTER).num(0xfe).and().num(0xc2);
            code.ne().br_if(3);
            code.left_below(2);
            code.br_if(3);
            code.get(FROM).load8(1).tee(UNIT);
            code.num(0xc0).and().num(0x80).ne().br_if(3);
            code.get(CHARACTER).num(0x03).and().num(6).shl();
            code.get(UNIT).num(0x3f).and().or().put(CHARACTER);
            code.advance(2, 2);
            code.end();
            code.write_byte(0);
            code.add(TO, 1);
        });
        self.end();
        self.get(SOURCE_LENGTH).get(LEFT).minus();
        self.written(0);
    }

    /// Gives how many code units were read, and how many written, up to one that Latin-1 lacks.
    fn utf16_to_latin1(&mut self) {
        self.block();
        self.while_left(|code| {
            code.get(FROM).load16(0).tee(CHARACTER);
            code.num(0xff).gt().br_if(2);
            code.advance(2, 1);
            code.write_byte(0);
            code.add(TO, 1);
        });
        self.end();
        self.get(SOURCE_LENGTH).get(LEFT).minus();
        self.written(0);
    }

    /// Gives the length, with the tag where the string stays UTF-16.
    fn utf16_to_compact(&mut self) {
        self.while_left(|code| {
            code.utf16_character();
            code.get(BITS).get(CHARACTER).or().put(BITS);
            code.write_utf16();
        });
        self.get(BITS).num(0xff).gt();
        self.if_number();
        self.get(SOURCE_LENGTH).num(UTF16_TAG).or();
        self.else_();
        // Each code unit's first byte is the character.
        self.set(FROM, TARGET);
        self.set(TO, TARGET);
        self.set(LEFT, SOURCE_LENGTH);
        self.while_left(|code| {
            code.get(FROM).reload8(0).put(CHARACTER);
            code.advance(2, 1);
            code.write_byte(0);
            code.add(TO, 1);
        });
        self.get(SOURCE_LENGTH).end();
    }

    /// Makes UTF-16 of the Latin-1 at the target's start, and goes on behind it.
    fn inflate(&mut self) {
        self.set(READ, LATIN1_BYTES);
        self.block().loop_();
        self.get(READ).not().br_if(1);
        self.add(READ, -1);
        // From the end, so that no byte is overwritten before it is read.
        self.get(TARGET).get(READ).num(1).shl().plus();
        self.get(TARGET).get(READ).plus();
        self.reload8(0).store16(0);
        self.br(0).end().end();
        self.get(TARGET).get(LATIN1_BYTES).num(1).shl();
        self.plus().put(TO);
    }

    /// Gives how many code units were written, of 2 to the power of `shift` bytes.
    fn written(&mut self, shift: i32) {
        self.get(TO).get(TARGET).minus().num(shift).shr();
    }

    /// Repeats instructions while code units are left. Within them, 0 is the next round's label,
    /// and 1 the end's.
    fn while_left(&mut self, instructions: impl FnOnce(&mut Self)) {
        self.block().loop_();
        self.get(LEFT).not().br_if(1);
        instructions(self);
        self.br(0).end().end();
    }

    fn latin1_character(&mut self) {
        self.get(FROM).load8(0).put(CHARACTER);
        self.advance(1, 1);
    }

    /// Reads a character, or traps.
    fn utf8_character(&mut self) {
        self.get(FROM).load8(0).tee(CHARACTER);
        self.num(0x80).lt().if_();
        self.advance(1, 1);
        self.else_();
        // 80 to BF continue a character; C0 and C1 would begin one that takes one byte.
        self.get(CHARACTER).num(0xc2).lt();
        self.trap_if();
        self.get(CHARACTER).num(0xe0).lt().if_();
        self.continued(0x1f, 1);
        self.else_();
        self.get(CHARACTER).num(0xf0).lt().if_();
        self.continued(0x0f, 2);
        self.get(CHARACTER).num(0x800).lt();
        self.trap_if();
        self.get(CHARACTER).num(!0x7ff).and().num(0xd800).eq();
        self.trap_if();
        self.else_();
        self.get(CHARACTER).num(0xf4).gt();
        self.trap_if();
        self.continued(0x07, 3);
        self.get(CHARACTER).num(0x1_0000).minus().num(0x10_0000);
        self.ge();
        self.trap_if();
        self.end().end().end();
    }

    /// Reads the rest of a character, of whose first byte these bits count.
    fn continued(&mut self, bits: i32, rest: i32) {
        self.left_below(rest + 1);
        self.trap_if();
        self.get(CHARACTER).num(bits).and().put(CHARACTER);
        for position in 1..=rest {
            self.get(FROM).load8(position as u64).tee(UNIT);
            self.num(0xc0).and().num(0x80).ne();
            self.trap_if();
            self.get(CHARACTER).num(6).shl();
            self.get(UNIT).num(0x3f).and().or().put(CHARACTER);
        }
        self.advance(rest + 1, rest + 1);
    }

    /// Reads a character, or traps.
    fn utf16_character(&mut self) {
        self.get(FROM).load16(0).put(CHARACTER);
        self.advance(2, 1);
        self.get(CHARACTER).num(0xf800).and().num(0xd800);
        self.eq().if_();
        // A pair of surrogates: a high one, and a low one.
        self.get(CHARACTER).num(0xdc00).ge();
        self.trap_if();
        self.get(LEFT).not();
        self.trap_if();
        self.get(FROM).load16(0).tee(UNIT);
        self.num(0xfc00).and().num(0xdc00).ne();
        self.trap_if();
        self.advance(2, 1);
        self.get(CHARACTER).num(0xd800).minus().num(10).shl();
        self.get(UNIT).num(0xdc00).minus().or();
        self.num(0x1_0000).plus().put(CHARACTER);
        self.end();
    }

    fn write_utf16(&mut self) {
        self.get(CHARACTER).num(0x1_0000).lt().if_();
        self.write_unit();
        self.else_();
        self.get(CHARACTER).num(0x1_0000).minus().put(CHARACTER);
        self.get(TO).get(CHARACTER).num(10).shr();
        self.num(0xd800).or().store16(0);
        self.get(TO).get(CHARACTER).num(0x3ff).and();
        self.num(0xdc00).or().store16(2);
        self.add(TO, 4);
        self.end();
    }

    /// Writes a character that is one code unit of UTF-16.
    fn write_unit(&mut self) {
        self.get(TO).get(CHARACTER).store16(0);
        self.add(TO, 2);
    }

    /// Notes how many bytes the character takes.
    fn utf8_size(&mut self) {
        self.num(1);
        for first in [0x80, 0x800, 0x1_0000] {
            self.get(CHARACTER).num(first).ge().plus();
        }
        self.put(UNIT);
    }

    /// Writes a character whose size is noted.
    fn write_utf8(&mut self) {
        self.get(UNIT).num(1).eq().if_();
        self.write_byte(0);
        self.else_();
        for size in 2..=4 {
            self.get(UNIT).num(size).eq().if_();
            for position in 0..size {
                let shift = 6 * (size - 1 - position);
                let (bits, mark) = match position {
                    // As many ones as there are bytes, and a zero.
                    0 => (0xff, (0xf00 >> size) & 0xff),
                    _ => (0x3f, 0x80),
                };
                self.get(TO).get(CHARACTER).num(shift).shr();
                self.num(bits).and().num(mark).or();
                self.store8(position as u64);
            }
            self.end();
        }
        self.end();
        self.get(TO).get(UNIT).plus().put(TO);
    }

    fn write_byte(&mut self, position: u64) {
        self.get(TO).get(CHARACTER).store8(position);
    }

    /// Whether fewer code units are left than this.
    fn left_below(&mut self, units: i32) {
        self.get(LEFT).num(units).lt();
    }

    /// Goes on behind `bytes` bytes of the source, which are `units` code units.
    fn advance(&mut self, bytes: i32, units: i32) {
        self.add(FROM, bytes);
        self.add(LEFT, -units);
    }
}
