//! Tests of the host side of components, as a component makes its calls: by core values, in its
//! memory.

mod abi;
mod files;
mod garbage;
mod handles;
mod http;
mod poll;
mod sockets;
mod streams;
mod wit;

use std::sync::{Arc, Mutex, PoisonError};

use dormouse_model::clock::SimClock;
use dormouse_model::lowered::allocations::{MAX_BLOCKS, NO_BLOCKS, requested};
use dormouse_model::lowered::{
    Builtin, Handle, LoweredFunction, LoweredImport, Resource, StringEncoding,
};
use dormouse_model::spec::{Clocks, Randomness};
use dormouse_model::{Timestamp, Wait};
use tempfile::TempDir;

use super::{Import, Outcome};
use crate::{Bindings, Config, Ctx, Error, HostDir, Input, Output, RestoreOptions, StateV1};

const MEMORY: usize = 1 << 20;
/// Where the guest wants results.
const RESULT: u32 = 64;
/// Where the guest keeps what it passes.
const DATA: u32 = 4096;
/// From here on the guest allocates.
const HEAP: u32 = 1 << 18;

/// A component's instance, with one directory, `/`, and captured output.
struct Guest {
    ctx: Ctx,
    memory: Vec<u8>,
    clock: Arc<SimClock>,
    output: Arc<Mutex<Vec<u8>>>,
    host: TempDir,
    encoding: StringEncoding,
    /// The next address that is allocated.
    heap: u32,
    /// Alignment and size of each allocation.
    allocations: Vec<(u32, u32)>,
}

impl Guest {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    fn with_input(input: Input) -> Self {
        let mut input = Some(input);
        Self::with(|_, bindings| bindings.stdin = input.take().unwrap_or_default())
    }

    fn with(change: impl FnOnce(&mut Config, &mut Bindings)) -> Self {
        let host = tempfile::tempdir().expect("a temporary directory");
        let now = Timestamp::from_nanos(1_700_000_000_123_456_789);
        let clock = Arc::new(SimClock::at(now));
        let output = Arc::default();
        let mut bindings = bindings(&host, &output);
        let mut config = Config {
            args: vec!["program".into(), "a ü 漢".into()],
            env: vec![("NAME".into(), "value".into()), ("EMPTY".into(), "".into())],
            ..Config::default()
        };
        change(&mut config, &mut bindings);
        let ctx = Ctx::new(config, bindings, clock.clone()).expect("a context");
        Self {
            ctx,
            memory: vec![0; MEMORY],
            clock,
            output,
            host,
            encoding: StringEncoding::Utf8,
            heap: HEAP,
            allocations: Vec::new(),
        }
    }

    fn import(&self, interface: &str, name: &str) -> Import {
        let import = LoweredImport::from(LoweredFunction {
            interface: format!("{interface}@0.2.6"),
            name: name.into(),
            instance: 0,
            memory: Some(0),
            encoding: self.encoding,
        });
        Import::find(&import).unwrap_or_else(|| panic!("{import} is not offered"))
    }

    fn call(&mut self, interface: &str, name: &str, arguments: &[u64]) -> Outcome {
        self.again(interface, name, arguments, None)
    }

    fn again(
        &mut self,
        interface: &str,
        name: &str,
        arguments: &[u64],
        woken: Option<&Wait>,
    ) -> Outcome {
        let import = self.import(interface, name);
        let outcome = self
            .ctx
            .call_component(&import, arguments, &mut self.memory, woken);
        if let Outcome::Done(_) = outcome {
            self.allocate_for_result();
        }
        outcome
    }

    fn builtin(&mut self, builtin: Builtin, arguments: &[u64]) -> Outcome {
        let import = Import::find(&builtin.into()).expect("a builtin");
        self.ctx
            .call_component(&import, arguments, &mut self.memory, None)
    }

    /// What the thunk around a lowered function does.
    fn allocate_for_result(&mut self) {
        let mut blocks = [0; MAX_BLOCKS];
        loop {
            let next = Builtin::NextAllocations { memory: 0 };
            match self.builtin(next, &blocks) {
                Outcome::Done(Some(NO_BLOCKS)) => return,
                Outcome::Done(Some(request)) => {
                    for (block, (align, size)) in blocks.iter_mut().zip(requested(request)) {
                        self.allocations.push((align, size));
                        let at = self.heap.next_multiple_of(align);
                        *block = at.into();
                        self.heap = at + size;
                    }
                }
                other => panic!("result.next gave {other:?}"),
            }
        }
    }

    /// A call that must be done at once, and gives no core value.
    fn done(&mut self, interface: &str, name: &str, arguments: &[u64]) {
        assert_eq!(
            self.call(interface, name, arguments),
            Outcome::Done(None),
            "{interface}#{name}"
        );
    }

    /// A call that must be done at once, and gives a core value.
    fn value(&mut self, interface: &str, name: &str, arguments: &[u64]) -> u64 {
        match self.call(interface, name, arguments) {
            Outcome::Done(Some(value)) => value,
            other => panic!("{interface}#{name} gave {other:?}"),
        }
    }

    fn wait(&mut self, interface: &str, name: &str, arguments: &[u64]) -> Wait {
        match self.call(interface, name, arguments) {
            Outcome::Block(wait) => wait,
            other => panic!("{interface}#{name} gave {other:?}"),
        }
    }

    fn trap(&mut self, interface: &str, name: &str, arguments: &[u64]) -> String {
        match self.call(interface, name, arguments) {
            Outcome::Trap(message) => message,
            other => panic!("{interface}#{name} gave {other:?}"),
        }
    }

    /// Drops a handle of one of the host's resources.
    fn drop(&mut self, interface: &str, name: &str, handle: u64) -> Outcome {
        let handle_of = Handle {
            instance: 0,
            resource: Resource::Host {
                interface: format!("{interface}@0.2.0"),
                name: name.into(),
            },
        };
        self.builtin(Builtin::ResourceDrop(handle_of), &[handle])
    }

    fn put(&mut self, address: u32, bytes: &[u8]) {
        self.memory[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn bytes(&self, address: u32, length: u32) -> &[u8] {
        &self.memory[address as usize..][..length as usize]
    }

    fn u8_at(&self, address: u32) -> u8 {
        self.bytes(address, 1)[0]
    }

    fn u32_at(&self, address: u32) -> u32 {
        u32::from_le_bytes(self.bytes(address, 4).try_into().expect("four bytes"))
    }

    fn u64_at(&self, address: u32) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().expect("eight bytes"))
    }

    /// The bytes of the list or the string whose address and length are here.
    fn list_at(&self, address: u32) -> Vec<u8> {
        let (at, length) = (self.u32_at(address), self.u32_at(address + 4));
        self.bytes(at, length).to_vec()
    }

    fn text_at(&self, address: u32) -> String {
        String::from_utf8(self.list_at(address)).expect("a text")
    }

    fn output(&self) -> Vec<u8> {
        let output = self.output.lock();
        output.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state through bytes, as a snapshot carries it.
    fn state(&mut self) -> Result<StateV1, Error> {
        let bytes = rmp_serde::to_vec_named(&self.ctx.save()?).expect("plain data");
        Ok(rmp_serde::from_slice(&bytes).expect("what was just written"))
    }

    fn sleep(&mut self) {
        let state = self.state().expect("a state");
        let bindings = bindings(&self.host, &self.output);
        let options = RestoreOptions::default();
        self.ctx =
            Ctx::restore(state, bindings, options, self.clock.clone()).expect("the same state");
    }
}

fn bindings(host: &TempDir, output: &Arc<Mutex<Vec<u8>>>) -> Bindings {
    Bindings {
        stdin: Input::Null,
        stdout: Output::Capture(output.clone()),
        stderr: Output::Null,
        dirs: vec![HostDir {
            guest: "/".into(),
            host: host.path().into(),
            access: crate::Access::Kept,
        }],
        ..Bindings::default()
    }
}
