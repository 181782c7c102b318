//! Every function with every sort of nonsense, and states that make no sense: a trap or an error,
//! never a panic.

use super::*;
use crate::p2::Function;
use crate::p2::host_type::HostType;
use crate::tests::numbers::{Numbers, edge};
use dormouse_model::lowered::Trap;

/// What a call may be given: a handle, an address, at an edge, or anything.
fn argument(numbers: &mut Numbers) -> u64 {
    let number = numbers.next();
    match numbers.next() % 8 {
        0..=3 => number % 16,
        4..=5 => (number % MEMORY as u64) & !7,
        6 => edge(number, MEMORY),
        _ => number,
    }
}

/// A number as it may stand in a state.
fn number_in_state(numbers: &mut Numbers) -> u64 {
    match numbers.below(4) {
        0 => u32::MAX.into(),
        1 => numbers.next() % 1024,
        _ => numbers.next() % 32,
    }
}

/// Any import of a component's.
fn any_import(numbers: &mut Numbers, functions: &[Function]) -> Import {
    let instance = numbers.below(2) as u32;
    let of = |numbers: &mut Numbers| Handle {
        instance,
        resource: match numbers.below(3) {
            0 => Resource::Own(numbers.below(2) as u32),
            _ => {
                let all = HostType::ALL;
                let (interface, name) = all[numbers.below(all.len())].name();
                Resource::Host {
                    interface: format!("{interface}@0.2.1"),
                    name: name.into(),
                }
            }
        },
    };
    let import = match numbers.below(12) {
        0 => Builtin::ResourceNew(of(numbers)).into(),
        1 => Builtin::ResourceRep(of(numbers)).into(),
        2 => Builtin::ResourceDrop(of(numbers)).into(),
        3 => Builtin::Lend(of(numbers)).into(),
        4 => Builtin::TransferOwn {
            from: of(numbers),
            to: 1,
        }
        .into(),
        5 => Builtin::TransferBorrow {
            from: of(numbers),
            to: 1,
        }
        .into(),
        6 => match numbers.below(5) {
            0 => Builtin::EnterCall,
            1 => Builtin::ExitCall,
            2 => Builtin::Exit,
            3 => Builtin::Trap(Trap::CannotEnter),
            _ => Builtin::NextAllocations { memory: 0 },
        }
        .into(),
        _ => {
            let function = functions[numbers.below(functions.len())];
            LoweredImport::from(LoweredFunction {
                interface: format!("{}@0.2.1", function.interface()),
                name: function.name().into(),
                instance,
                memory: Some(0),
                encoding: StringEncoding::ALL[numbers.below(3)],
            })
        }
    };
    Import::find(&import).unwrap_or_else(|| panic!("{import}"))
}

#[test]
fn no_argument_makes_a_call_panic() {
    let mut numbers = Numbers::new(0x5EED);
    let functions: Vec<Function> = Function::all().collect();
    let mut guest = Guest::new();
    for round in 0..60_000u32 {
        if round.is_multiple_of(500) {
            guest = Guest::with_input(Input::Bytes(b"some input".to_vec()));
            std::fs::write(guest.host.path().join("a"), "content").expect("a file");
            numbers.fill(&mut guest.memory);
        }
        let import = any_import(&mut numbers, &functions);
        let mut arguments: Vec<u64> = import
            .params()
            .iter()
            .map(|_| argument(&mut numbers))
            .collect();
        if numbers.below(50) == 0 {
            arguments.pop();
        }
        let mut call = |woken: Option<&Wait>| {
            guest
                .ctx
                .call_component(&import, &arguments, &mut guest.memory, woken)
        };
        match call(None) {
            Outcome::Block(wait) => {
                assert!(import.may_suspend(true), "{import:?} gave {wait:?}");
                call(Some(&wait));
                guest.ctx.is_ready(&wait);
                guest.ctx.remaining(&wait);
                guest.ctx.wakes_at(&wait);
                guest.ctx.sources(&wait);
            }
            Outcome::Done(value) => {
                assert_eq!(value.is_some(), !import.results().is_empty(), "{import:?}");
            }
            Outcome::Exit(_) | Outcome::Trap(_) => {}
        }
        if round.is_multiple_of(250) {
            guest.sleep();
        }
    }
}

/// All numbers in a value.
fn collect_integers<'a>(value: &'a mut rmpv::Value, found: &mut Vec<&'a mut rmpv::Value>) {
    match value {
        rmpv::Value::Integer(_) => found.push(value),
        rmpv::Value::Array(items) => {
            for item in items {
                collect_integers(item, found);
            }
        }
        rmpv::Value::Map(entries) => {
            for (_, item) in entries {
                collect_integers(item, found);
            }
        }
        _ => {}
    }
}

/// Anybody may have written a snapshot.
#[test]
fn no_state_makes_a_call_panic() {
    let mut numbers = Numbers::new(0x0BAD_5EED);
    let functions: Vec<Function> = Function::all().collect();
    let mut guest = Guest::new();
    for _ in 0..20 {
        guest.value("wasi:cli/stdin", "get-stdin", &[]);
        guest.value("wasi:clocks/monotonic-clock", "subscribe-duration", &[5]);
    }
    guest.builtin(Builtin::EnterCall, &[0]);
    let import = guest.import("wasi:cli/environment", "get-environment");
    guest
        .ctx
        .call_component(&import, &[RESULT.into()], &mut guest.memory, None);
    let state = guest.state().expect("a state");
    let component = rmp_serde::to_vec_named(&state.component).expect("plain data");
    let component = rmpv::decode::read_value(&mut &component[..]).expect("what was written");
    let mut restored = 0;
    for _ in 0..3_000 {
        let mut damaged = component.clone();
        let mut integers = Vec::new();
        collect_integers(&mut damaged, &mut integers);
        for _ in 0..1 + numbers.below(4) {
            let index = numbers.below(integers.len());
            *integers[index] = number_in_state(&mut numbers).into();
        }
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &damaged).expect("plain data");
        let Ok(component) = rmp_serde::from_slice(&bytes) else {
            continue;
        };
        let state = StateV1 {
            component,
            ..state.clone()
        };
        let bindings = bindings(&guest.host, &guest.output);
        let options = RestoreOptions::default();
        let Ok(mut ctx) = Ctx::restore(state, bindings, options, guest.clock.clone()) else {
            continue;
        };
        restored += 1;
        for _ in 0..50 {
            let import = any_import(&mut numbers, &functions);
            let params = import.params();
            let arguments: Vec<u64> = params.iter().map(|_| numbers.next() % 16).collect();
            ctx.call_component(&import, &arguments, &mut guest.memory, None);
        }
        ctx.save().expect("plain data");
    }
    assert!(
        restored > 500,
        "{restored} of the damaged states could be read"
    );
}

#[test]
fn no_memory_at_all_is_a_trap() {
    let mut guest = Guest::new();
    guest.memory = Vec::new();
    let message = guest.trap("wasi:cli/environment", "get-environment", &[0]);
    assert!(message.contains("do not lie in memory"), "{message}");
    for function in Function::all() {
        let import = guest.import(function.interface(), function.name());
        let arguments = vec![0; import.params().len()];
        guest.ctx.call_component(&import, &arguments, &mut [], None);
    }
}
