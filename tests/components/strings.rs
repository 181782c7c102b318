//! Strings between instances, in all pairs of encodings, right ones and wrong ones; and strings
//! that the host gives.

use super::text::{HOST, IMPORTS, LIBC, TELL, command, composition, escaped, inner};
use super::{Outcome, compare, compare_resumable};

const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

/// Set in the length of a string that may be Latin-1 and is UTF-16.
const UTF16_TAG: u32 = 1 << 31;

/// A string as it lies in a memory: its length as it is given, and its bytes.
type Encoded = (u32, Vec<u8>);

fn utf8(text: &str) -> Encoded {
    (text.len() as u32, text.as_bytes().to_vec())
}

fn units(units: &[u16]) -> Encoded {
    let bytes = units.iter().flat_map(|unit| unit.to_le_bytes());
    (units.len() as u32, bytes.collect())
}

fn utf16(text: &str) -> Encoded {
    units(&text.encode_utf16().collect::<Vec<_>>())
}

fn tagged((length, bytes): Encoded) -> Encoded {
    (length | UTF16_TAG, bytes)
}

/// The forms in which a text may lie in a memory.
fn forms(encoding: &str, text: &str) -> Vec<Encoded> {
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    match encoding {
        "utf8" => vec![utf8(text)],
        "utf16" => vec![utf16(text)],
        _ => {
            let latin1 = latin1.map(|bytes| (bytes.len() as u32, bytes));
            latin1.into_iter().chain([tagged(utf16(text))]).collect()
        }
    }
}

/// One component gives another a string at this address, and the other tells the host what has
/// come.
fn passed(from: &str, to: &str, address: u32, (length, bytes): &Encoded) -> String {
    let width = match to {
        "utf8" => "(i32.const 0)",
        "utf16" => "(i32.const 1)",
        _ => "(i32.shr_u (local.get $length) (i32.const 31))",
    };
    let callee = inner("callee");
    let bytes = escaped(bytes);
    let length = *length as i32;
    composition(&format!(
        r#"{callee}
            (core module $m {IMPORTS} {TELL}
              (func (export "take") (param $address i32) (param $length i32)
                (call $number (local.get $address))
                (call $number (local.get $length))
                (call $bytes (local.get $address)
                  (i32.shl (i32.and (local.get $length) (i32.const 0x7fffffff)) {width}))
                (call $tell_memory)))
            (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "host" (instance $host))))
            (func (export "take") (param "value" string) (canon lift (core func $m "take")
              (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))
              string-encoding={to})))
          (instance $callee (instantiate $callee (with "api" (instance $api))))
          (component $main
          (import "take" (func $callee (param "value" string)))
          {LIBC}
          (core func $take (canon lower (func $callee) (memory (core memory $libc "memory"))
            string-encoding={from}))
          (core module $main
            (import "libc" "memory" (memory 4))
            (import "callee" "take" (func $take (param i32 i32)))
            (data (i32.const {address}) "{bytes}")
            (func (export "run") (result i32)
              (call $take (i32.const {address}) (i32.const {length})) (i32.const 0)))
          (core instance $main (instantiate $main (with "libc" (instance $libc))
            (with "callee" (instance (export "take" (func $take))))))
          (func (export "run") (result (result)) (canon lift (core func $main "run"))))
          (instance $main (instantiate $main (with "take" (func $callee "take"))))"#
    ))
}

/// The last bytes of a memory, so that a string ends with it.
fn at_the_end((_, bytes): &Encoded) -> u32 {
    (4 << 16) - bytes.len() as u32
}

#[test]
fn strings_arrive_in_every_encoding() {
    let long = "0123456789abcdef".repeat(20);
    let texts = [
        "",
        "a",
        "ascii of some length, more than eight bytes",
        "é",
        "ascii and then é, ÿ and \u{80}",
        "\u{100}",
        "日本",
        "ends with 𝄞",
        "𝄞 begins",
        "a\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\u{d7ff}\u{e000}",
        "ÿÿÿÿÿÿÿÿÿÿ then Ā",
        &long,
    ];
    let mut components = Vec::new();
    for from in ENCODINGS {
        for to in ENCODINGS {
            for (place, text) in texts.iter().enumerate() {
                for (form, encoded) in forms(from, text).iter().enumerate() {
                    let name = format!("{from} to {to}, text {place}, form {form}");
                    components.push((name.clone(), passed(from, to, 1024, encoded)));
                    let end = at_the_end(encoded) & !1;
                    components.push((
                        format!("{name}, at the end"),
                        passed(from, to, end, encoded),
                    ));
                }
            }
        }
    }
    for (outcome, (name, _)) in compare(&components).iter().zip(&components) {
        assert_eq!(outcome.end, "ok", "{name}");
        assert_eq!(outcome.log.len(), 5, "{name}");
    }
}

#[test]
fn what_is_no_string_traps() {
    let mut wrong: Vec<(&str, u32, Encoded)> = Vec::new();
    for bytes in [
        &b"\x80"[..],
        b"a\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xc2a",
        b"\xc3\xff",
        b"\xe0\x80\x80",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x9d\x84",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"12345678\x80",
        b"1234567\xc3",
        b"\xc3\xa9\xe2\x82\xac\xc3",
    ] {
        wrong.push(("utf8", 1024, (bytes.len() as u32, bytes.to_vec())));
    }
    for bad in [
        &[0xd800][..],
        &[0xdc00],
        &[0xd800, 0xd800],
        &[0xdc00, 0xd800],
        &[0x61, 0xdbff],
        &[0xdbff, 0x61],
        &[0xe9, 0xdfff],
        &[0x61, 0xe9, 0x100, 0xd83d],
    ] {
        wrong.push(("utf16", 1024, units(bad)));
        wrong.push(("latin1+utf16", 1024, tagged(units(bad))));
    }
    // Outside of the memory, not aligned, too long.
    wrong.push(("utf8", 4 << 16, (1, vec![])));
    wrong.push(("utf8", (4 << 16) - 1, (2, vec![])));
    wrong.push(("utf8", 16, (u32::MAX, vec![])));
    wrong.push(("utf16", 1025, utf16("ab")));
    wrong.push(("utf16", (4 << 16) - 2, (2, vec![])));
    wrong.push(("utf16", 1024, (1 << 31, vec![])));
    wrong.push(("latin1+utf16", 1025, (2, b"ab".to_vec())));
    wrong.push(("latin1+utf16", 1025, tagged(utf16("ab"))));
    let mut components = Vec::new();
    for (place, (from, address, encoded)) in wrong.iter().enumerate() {
        for to in ENCODINGS {
            let name = format!("{from} to {to}, number {place}");
            components.push((name, passed(from, to, *address, encoded)));
        }
    }
    for (outcome, (name, _)) in compare(&components).iter().zip(&components) {
        assert!(outcome.end.starts_with("trap: "), "{name}: {outcome:?}");
    }
}

/// A program that asks the host for lists of strings.
fn greeted(times: &[u32]) -> String {
    let calls = times.iter().map(|times| {
        format!(
            r#"(call $greet (i32.const {times}) (i32.const 1024))
               (call $number (i32.load (i32.const 1024)))
               (call $number (i32.load (i32.const 1028)))"#
        )
    });
    let calls: String = calls.collect();
    command(&format!(
        r#"{LIBC} {HOST}
           (core module $main {IMPORTS} {TELL}
             (func (export "run") (result i32) {calls} (call $tell_memory)
               (call $text (i32.load (i32.const 4096)) (i32.load (i32.const 4100)))
               (i32.const 0)))
           (core instance $main (instantiate $main (with "libc" (instance $libc))
             (with "host" (instance $host))))"#
    ))
}

#[test]
fn the_hosts_lists_and_strings_are_allocated_in_their_order() {
    let outcomes = compare_resumable(&[("greeted".into(), greeted(&[1, 0, 4, 9]))]);
    let Outcome { log, end } = &outcomes[0];
    assert_eq!(end, "ok");
    assert_eq!(log.last(), Some(&serde_json::json!(["text", "hello"])));
}
