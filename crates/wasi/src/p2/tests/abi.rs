//! Layouts and flat types by hand, from the examples and rules of the canonical ABI; strings in each
//! encoding; the order of allocations.

use super::*;
use crate::p2::abi::{
    ComponentType, Flat, Image, Lift, Lifting, Lower, enumeration, flags, record, variant,
};
use crate::p2::handles::Handles;
use crate::p2::stop::{Called, Stop};
use dormouse_model::ValType::{self, I32, I64};

record! { Lift Lower:
    #[derive(Debug, PartialEq)]
    struct Mixed {
        small: u8,
        r#type: u64,
        list_of_text: Vec<String>,
    }
}

enumeration! {
    enum Sort {
        RegularFile,
        Directory,
    }
}

flags! {
    struct Bits {
        READ = 0,
        MUTATE_DIRECTORY = 1,
    }
}

variant! { Lift Lower:
    #[derive(Debug, PartialEq)]
    enum Choice {
        Nothing(()) = 0,
        SmallOne(u32) = 1,
        Large(u64) = 2,
        Pair((u8, u16)) = 3,
    }
}

fn layout<T: ComponentType>() -> (u32, u32, Vec<ValType>) {
    let mut types = Vec::new();
    T::flatten(&mut types);
    assert_eq!(types.len(), T::FLAT);
    (T::SIZE, T::ALIGN, types)
}

#[test]
fn sizes_alignments_and_flat_types_are_those_of_the_specification() {
    assert_eq!(layout::<u8>(), (1, 1, vec![I32]));
    assert_eq!(layout::<u64>(), (8, 8, vec![I64]));
    assert_eq!(layout::<char>(), (4, 4, vec![I32]));
    assert_eq!(layout::<String>(), (8, 4, vec![I32, I32]));
    assert_eq!(layout::<Vec<u64>>(), (8, 4, vec![I32, I32]));
    assert_eq!(layout::<(u8, u16, u8)>(), (6, 2, vec![I32; 3]));
    assert_eq!(layout::<(u8, u64)>(), (16, 8, vec![I32, I64]));
    assert_eq!(layout::<Option<u8>>(), (2, 1, vec![I32, I32]));
    assert_eq!(layout::<Option<u64>>(), (16, 8, vec![I32, I64]));
    assert_eq!(layout::<Result<(), ()>>(), (1, 1, vec![I32]));
    // The places of the cases are joined.
    assert_eq!(layout::<Result<u32, u64>>(), (16, 8, vec![I32, I64]));
    assert_eq!(layout::<Result<String, u8>>(), (12, 4, vec![I32; 3]));
    assert_eq!(layout::<Mixed>(), (24, 8, vec![I32, I64, I32, I32]));
    assert_eq!(layout::<Choice>(), (16, 8, vec![I32, I64, I32]));
    assert_eq!(layout::<Sort>(), (1, 1, vec![I32]));
    assert_eq!(layout::<Bits>(), (1, 1, vec![I32]));
}

#[test]
fn types_are_described_as_interfaces_write_them() {
    assert_eq!(
        Mixed::describe(),
        "record{small: u8, type: u64, list-of-text: list<string>}"
    );
    assert_eq!(Sort::describe(), "enum{regular-file, directory}");
    assert_eq!(Bits::describe(), "flags{read, mutate-directory}");
    assert_eq!(
        Choice::describe(),
        "variant{nothing, small-one(u32), large(u64), pair(tuple<u8, u16>)}"
    );
    assert_eq!(
        <Result<(), Option<u8>>>::describe(),
        "result<_, option<u8>>"
    );
}

fn lift<T: Lift>(memory: &[u8], encoding: StringEncoding, flat: &[u64]) -> Called<T> {
    let mut from = Lifting {
        memory,
        encoding,
        handles: &mut Handles::default(),
        instance: 0,
        copied: 0,
    };
    T::lift(&mut from, &mut Flat(flat))
}

fn load<T: Lift>(memory: &[u8], at: u32) -> Called<T> {
    let mut from = Lifting {
        memory,
        encoding: StringEncoding::Utf8,
        handles: &mut Handles::default(),
        instance: 0,
        copied: 0,
    };
    T::load(&mut from, at)
}

/// Stores a value at 0, with everything that it points to from 1024 on, and gives the memory and
/// each allocation.
fn store<T: Lower>(value: T, encoding: StringEncoding) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut handles = Handles::default();
    let mut memory = vec![0xAA; 4096];
    let mut image = Image::new(&mut handles, 0, encoding, T::SIZE);
    value.store(&mut image, Image::ROOT).expect("no trap");
    let mut allocations = Vec::new();
    if let Some(mut pending) = image.write(&mut memory, 0) {
        let (mut blocks, mut heap) = ([0; MAX_BLOCKS], 1024u32);
        loop {
            let request = pending.next(&mut memory, &blocks).expect("no trap");
            if request == NO_BLOCKS {
                break;
            }
            for (block, (align, size)) in blocks.iter_mut().zip(requested(request)) {
                allocations.push((align, size));
                let at = heap.next_multiple_of(align);
                *block = at.into();
                heap = at + size;
            }
        }
    }
    (memory, allocations)
}

fn is_trap<T: std::fmt::Debug>(called: Called<T>) -> bool {
    matches!(called, Err(Stop::Trap(_)))
}

#[test]
fn what_is_stored_is_loaded_again() {
    let value = || Mixed {
        small: 7,
        r#type: u64::MAX - 1,
        list_of_text: vec!["".into(), "漢字".into(), "x".into()],
    };
    let (memory, allocations) = store(value(), StringEncoding::Utf8);
    // The list comes before its elements. Also what is empty is allocated.
    assert_eq!(allocations, [(4, 24), (1, 0), (1, 6), (1, 1)]);
    assert_eq!(load::<Mixed>(&memory, 0), Ok(value()));
    for choice in [
        || Choice::Nothing(()),
        || Choice::SmallOne(5),
        || Choice::Large(1 << 40),
        || Choice::Pair((1, 2)),
    ] {
        let (memory, _) = store(choice(), StringEncoding::Utf8);
        assert_eq!(load::<Choice>(&memory, 0), Ok(choice()));
    }
    let (memory, _) = store((Sort::Directory, true, 'é'), StringEncoding::Utf8);
    // What lies between the values stays as it was.
    assert_eq!(memory[..8], [1, 1, 0xAA, 0xAA, 0xE9, 0, 0, 0]);
    assert_eq!(load(&memory, 0), Ok((Sort::Directory, true, 'é')));
    let (memory, _) = store(Choice::SmallOne(1), StringEncoding::Utf8);
    let (before, after) = ([1, 0xAA, 0xAA, 0xAA], [1, 0, 0, 0, 0xAA, 0xAA, 0xAA, 0xAA]);
    assert_eq!((&memory[..4], &memory[8..16]), (&before[..], &after[..]));
    let (memory, _) = store(vec![(1u8, 2u16)], StringEncoding::Utf8);
    assert_eq!(memory[1024..1028], [1, 0xAA, 2, 0]);
}

#[test]
fn flat_values_are_cut_to_their_type_and_joined_places_hold_each_case() {
    let flat = |flat: &[u64]| lift::<Choice>(&[], StringEncoding::Utf8, flat);
    assert_eq!(flat(&[0, 9, 9]), Ok(Choice::Nothing(())));
    assert_eq!(flat(&[1, u64::MAX, 0]), Ok(Choice::SmallOne(u32::MAX)));
    assert_eq!(flat(&[2, 1 << 40, 0]), Ok(Choice::Large(1 << 40)));
    assert_eq!(flat(&[3, 0x1_02, 0x1_0003]), Ok(Choice::Pair((2, 3))));
    assert!(is_trap(flat(&[4, 0, 0])));
    // What follows a variant is not taken for its payload.
    let pair = lift::<(Option<u64>, u8)>(&[], StringEncoding::Utf8, &[0, 77, 5]);
    assert_eq!(pair, Ok((None, 5)));
    let flag = lift::<Bits>(&[], StringEncoding::Utf8, &[0xFF]);
    assert_eq!(flag, Ok(Bits::READ.with(Bits::MUTATE_DIRECTORY, true)));
    assert!(is_trap(lift::<Sort>(&[], StringEncoding::Utf8, &[2])));
    assert_eq!(lift::<bool>(&[], StringEncoding::Utf8, &[2]), Ok(true));
    assert!(is_trap(lift::<char>(&[], StringEncoding::Utf8, &[0xD800])));
    assert!(is_trap(lift::<char>(
        &[],
        StringEncoding::Utf8,
        &[0x11_0000]
    )));
}

#[test]
fn strings_pass_in_each_encoding() {
    const TAG: u32 = 1 << 31;
    for (text, encoding, align, size, length) in [
        ("aü漢", StringEncoding::Utf8, 1, 6, 6),
        ("aü漢", StringEncoding::Utf16, 2, 6, 3),
        ("aü漢", StringEncoding::Latin1OrUtf16, 2, 6, 3 | TAG),
        ("aü", StringEncoding::Latin1OrUtf16, 2, 2, 2),
        ("𝄞", StringEncoding::Utf16, 2, 4, 2),
        ("", StringEncoding::Utf16, 2, 0, 0),
    ] {
        let (memory, allocations) = store(text.to_string(), encoding);
        assert_eq!(allocations, [(align, size)], "{text} {encoding}");
        let word = |at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().expect("four"));
        assert_eq!(word(4), length, "{text} {encoding}");
        let flat = [word(0).into(), word(4).into()];
        assert_eq!(lift::<String>(&memory, encoding, &flat), Ok(text.into()));
    }
}

#[test]
fn bad_pointers_and_bad_texts_end_the_guest() {
    let memory = [0xFF; 16];
    for (encoding, at, length) in [
        (StringEncoding::Utf8, 0, 1),
        (StringEncoding::Utf8, 10, 7),
        (StringEncoding::Utf8, 17, 0),
        (StringEncoding::Utf8, u32::MAX, u32::MAX),
        // Odd, and a lone surrogate.
        (StringEncoding::Utf16, 1, 1),
        (StringEncoding::Utf16, 0, 9),
        (StringEncoding::Latin1OrUtf16, 0, 9 | 1 << 31),
    ] {
        let flat = [at.into(), length.into()];
        let called = lift::<String>(&memory, encoding, &flat);
        assert!(is_trap(called), "{encoding} {at} {length}");
    }
    let surrogate = [0x00, 0xD8];
    assert!(is_trap(lift::<String>(
        &surrogate,
        StringEncoding::Utf16,
        &[0, 1]
    )));
    let list = |at, length| lift::<Vec<u64>>(&memory, StringEncoding::Utf8, &[at, length]);
    assert_eq!(list(8, 1), Ok(vec![u64::MAX]));
    assert!(is_trap(list(4, 1)));
    assert!(is_trap(list(8, 2)));
    assert!(is_trap(list(0, u32::MAX.into())));
}

/// Many lists may lie in one place.
#[test]
fn overlapping_lists_do_not_make_the_host_copy_without_end() {
    let size = 1u32 << 20;
    let mut memory = vec![0; 2 * size as usize];
    for index in 0..200 {
        memory[index * 8..][..4].copy_from_slice(&size.to_le_bytes());
        memory[index * 8 + 4..][..4].copy_from_slice(&size.to_le_bytes());
    }
    let texts = |count| lift::<Vec<String>>(&memory, StringEncoding::Utf8, &[0, count]);
    assert_eq!(texts(100).map(|texts| texts.len()), Ok(100));
    assert!(is_trap(texts(200)));
}

#[test]
fn a_result_is_written_when_all_its_blocks_have_addresses() {
    let mut guest = Guest::new();
    guest.done("wasi:cli/environment", "get-arguments", &[RESULT.into()]);
    assert_eq!(guest.allocations, [(4, 16), (1, 7), (1, 8)]);
    let list = guest.u32_at(RESULT);
    assert_eq!((list, guest.u32_at(RESULT + 4)), (HEAP, 2));
    assert_eq!(guest.text_at(list), "program");
    assert_eq!(guest.text_at(list + 8), "a ü 漢");
}

/// A suspend may fall between two allocations.
#[test]
fn a_result_waits_in_a_snapshot() {
    let mut guest = Guest::new();
    let import = guest.import("wasi:cli/environment", "get-environment");
    let outcome = guest
        .ctx
        .call_component(&import, &[RESULT.into()], &mut guest.memory, None);
    assert_eq!(outcome, Outcome::Done(None));
    let mut requests = Vec::new();
    let mut blocks = [0; MAX_BLOCKS];
    loop {
        guest.sleep();
        match guest.builtin(Builtin::NextAllocations { memory: 0 }, &blocks) {
            Outcome::Done(Some(NO_BLOCKS)) => break,
            Outcome::Done(Some(request)) => {
                for (block, wanted) in blocks.iter_mut().zip(requested(request)) {
                    requests.push(wanted);
                    *block = u64::from(HEAP) + 100 * requests.len() as u64;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(requests, [(4, 32), (1, 4), (1, 5), (1, 5), (1, 0)]);
    let list = guest.u32_at(RESULT);
    assert_eq!(list, HEAP + 100);
    let texts = [0, 8, 16, 24].map(|offset| guest.text_at(list + offset));
    assert_eq!(texts, ["NAME", "value", "EMPTY", ""]);
    // The guest allocates where it may not.
    guest
        .ctx
        .call_component(&import, &[RESULT.into()], &mut guest.memory, None);
    let next = Builtin::NextAllocations { memory: 0 };
    assert!(matches!(
        guest.builtin(next.clone(), &[0; MAX_BLOCKS]),
        Outcome::Done(Some(_))
    ));
    assert!(matches!(
        guest.builtin(next, &[MEMORY as u64, 0, 0, 0]),
        Outcome::Trap(_)
    ));
}

#[test]
fn a_result_belongs_in_memory_and_aligned() {
    let mut guest = Guest::new();
    let misaligned = guest.trap("wasi:cli/environment", "get-arguments", &[2]);
    assert!(misaligned.contains("not aligned"), "{misaligned}");
    let end = MEMORY as u64 - 4;
    let outside = guest.trap("wasi:cli/environment", "get-arguments", &[end]);
    assert!(outside.contains("do not lie in memory"), "{outside}");
}
