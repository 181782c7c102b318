//! The host calls that WASI answers: those of preview1, and those of a component.

use std::fmt;

use crate::engine::Guest;
use crate::instrument::HostFunction;
use crate::model::lowered::{Builtin, LoweredImport};
use crate::model::{ValType, Wait};
use crate::wasi::{self, p2};

/// An import that WASI answers.
#[derive(Clone, Debug)]
pub(super) enum WasiImport {
    /// A function of preview1, or of the socket extension.
    Preview1(wasi::Function),
    /// A function of WASI 0.2, or one that the canonical ABI asks for.
    Component {
        import: p2::Import,
        /// Which of the guest's memories it works on.
        memory: Option<usize>,
    },
}

/// What a call comes to.
#[derive(Debug)]
pub(super) enum Answer {
    /// The guest goes on with these bits, if the function has a result.
    Done(u64),
    Block(Wait),
    Exit(u32),
    /// The guest has broken a rule, and ends.
    Trap(String),
}

impl WasiImport {
    /// The function of WASI behind an import. `params` tells apart functions of one name.
    pub(super) fn find(module: &str, name: &str, params: &[ValType]) -> Option<Self> {
        if module == wasi::Function::MODULE {
            return wasi::Function::find(name, params).map(Self::Preview1);
        }
        let lowered = LoweredImport::parse(module, name)?;
        let memory = match &lowered {
            LoweredImport::Function(function) => function.memory,
            LoweredImport::Builtin(Builtin::NextAllocations { memory }) => Some(*memory),
            LoweredImport::Builtin(_) => None,
        };
        Some(Self::Component {
            import: p2::Import::find(&lowered)?,
            memory: memory.map(|index| index as usize),
        })
    }

    /// What a module is offered. `connections` says whether it can have any: output waits for a
    /// peer only where there can be one.
    pub(super) fn host_function(&self, connections: bool) -> HostFunction {
        match self {
            Self::Preview1(function) => HostFunction {
                params: function.params().to_vec(),
                results: match function.has_result() {
                    true => vec![ValType::I32],
                    false => Vec::new(),
                },
                blocks: function.may_block(connections),
            },
            Self::Component { import, .. } => HostFunction {
                params: import.params(),
                results: import.results(),
                blocks: import.may_suspend(connections),
            },
        }
    }

    /// Whether a call changes nothing, so that it can be made to learn what it waits for, and made
    /// again. A read takes bytes out of a buffer.
    pub(super) fn has_no_effect(&self) -> bool {
        match self {
            Self::Preview1(function) => matches!(
                function,
                wasi::Function::PollOneoff | wasi::Function::EpollOneoff
            ),
            Self::Component { import, .. } => import.only_looks(),
        }
    }

    /// Whether a call may act on what is outside of the guest's own state, or look at it.
    pub(super) fn reaches_outside(&self, wasi: &wasi::Ctx, arguments: &[u64]) -> bool {
        match self {
            Self::Preview1(function) => wasi.reaches_outside(*function, arguments),
            Self::Component { import, .. } => import.reaches_outside(),
        }
    }

    /// Whether the guest may unwind before the call is made.
    ///
    /// Not at `path_open`: almost every open returns at once. An open of a named pipe without a
    /// reader blocks by itself, and the guest unwinds there as at any blocking call. An answer to a
    /// datagram is sent first: the socket knows whom it answers, and a snapshot does not;
    /// `unwind_always` says that it is to be tried all the same.
    pub(super) fn may_unwind_before(&self, unwind_always: bool) -> bool {
        match self {
            Self::Preview1(wasi::Function::PathOpen) => false,
            Self::Preview1(wasi::Function::SockSendTo) => unwind_always,
            Self::Preview1(_) | Self::Component { .. } => true,
        }
    }

    /// Makes the call. `memory` is the one that calls of preview1 work on.
    pub(super) fn call(
        &self,
        wasi: &mut wasi::Ctx,
        arguments: &[u64],
        guest: &mut dyn Guest,
        memory: Option<usize>,
        woken: Option<&Wait>,
    ) -> Answer {
        match self {
            Self::Preview1(function) => {
                let memory = memory_at(guest, memory);
                match wasi.call(*function, arguments, memory, woken) {
                    wasi::Outcome::Done(errno) => Answer::Done(u64::from(errno.raw())),
                    wasi::Outcome::Block(wait) => Answer::Block(wait),
                    wasi::Outcome::Exit(code) => Answer::Exit(code),
                }
            }
            Self::Component { import, memory } => {
                let memory = memory_at(guest, *memory);
                match wasi.call_component(import, arguments, memory, woken) {
                    p2::Outcome::Done(bits) => Answer::Done(bits.unwrap_or_default()),
                    p2::Outcome::Block(wait) => Answer::Block(wait),
                    p2::Outcome::Exit(code) => Answer::Exit(code),
                    p2::Outcome::Trap(message) => Answer::Trap(message),
                }
            }
        }
    }
}

impl fmt::Display for WasiImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preview1(function) => f.write_str(function.name()),
            Self::Component { import, .. } => write!(f, "{import:?}"),
        }
    }
}

/// One of the guest's memories; empty where it has none.
pub(super) fn memory_at(guest: &mut dyn Guest, index: Option<usize>) -> &mut [u8] {
    match index {
        Some(index) => guest.memory(index),
        None => &mut [],
    }
}
