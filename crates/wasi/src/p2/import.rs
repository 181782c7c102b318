//! The imports of a flattened component, looked up once and called often.

use dormouse_model::ValType::{self, I32, I64};
use dormouse_model::lowered::allocations::MAX_BLOCKS;
use dormouse_model::lowered::{Builtin, Handle, LoweredImport, Resource, StringEncoding};

use super::function::Function;
use super::handles::MAX_INSTANCES;
use super::host_type::{HostType, ResourceType};

/// An import of a flattened component that the host offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import(pub(super) Target);

/// What answers an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A function of an interface.
    Function {
        function: Function,
        /// The component instance that calls it.
        instance: u32,
        encoding: StringEncoding,
    },
    /// Something that the canonical ABI asks for.
    Builtin(Builtin),
    /// Something that the canonical ABI asks for, with a handle.
    Handle {
        operation: Operation,
        /// The component instance that has the handle.
        instance: u32,
        ty: ResourceType,
    },
}

/// What is done with a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    New,
    Rep,
    Drop,
    Lend,
    /// To the table of this instance.
    TransferOwn(u32),
    /// To the table of this instance.
    TransferBorrow(u32),
}

impl Import {
    /// The import, if the host offers it.
    pub fn find(import: &LoweredImport) -> Option<Self> {
        let target = match import {
            LoweredImport::Function(lowered) => Target::Function {
                function: Function::find(&lowered.interface, &lowered.name)?,
                instance: lowered.instance,
                encoding: lowered.encoding,
            },
            LoweredImport::Builtin(builtin) => match handle(builtin) {
                Some((operation, handle)) => Target::Handle {
                    operation,
                    instance: handle.instance,
                    ty: resource_type(&handle.resource)?,
                },
                None => Target::Builtin(builtin.clone()),
            },
        };
        let import = Self(target);
        let exists = import
            .instances()
            .iter()
            .all(|number| *number < MAX_INSTANCES);
        exists.then_some(import)
    }

    /// The component instances that it names.
    fn instances(&self) -> Vec<u32> {
        match &self.0 {
            Target::Function { instance, .. } => vec![*instance],
            Target::Builtin(Builtin::NextRequest { instance }) => vec![*instance],
            Target::Builtin(_) => Vec::new(),
            Target::Handle {
                operation: Operation::TransferOwn(to) | Operation::TransferBorrow(to),
                instance,
                ..
            } => vec![*instance, *to],
            Target::Handle { instance, .. } => vec![*instance],
        }
    }

    /// The types of its parameters.
    pub fn params(&self) -> Vec<ValType> {
        match &self.0 {
            Target::Function { function, .. } => function.params(),
            Target::Handle { .. } => vec![I32],
            Target::Builtin(builtin) => match builtin {
                Builtin::NextAllocations { .. } => vec![I32; MAX_BLOCKS],
                Builtin::Exit => vec![I32],
                _ => Vec::new(),
            },
        }
    }

    /// The types of its results; at most one.
    pub fn results(&self) -> Vec<ValType> {
        match &self.0 {
            Target::Function { function, .. } => function.results(),
            Target::Handle {
                operation: Operation::Drop,
                ..
            } => vec![I64],
            Target::Handle { .. } => vec![I32],
            Target::Builtin(Builtin::NextAllocations { .. } | Builtin::NextRequest { .. }) => {
                vec![I64]
            }
            Target::Builtin(Builtin::IsServing) => vec![I32],
            Target::Builtin(_) => Vec::new(),
        }
    }

    /// Whether it is what the canonical ABI asks for, and no call that the program makes.
    pub fn is_of_abi(&self) -> bool {
        !matches!(self.0, Target::Function { .. }) && !self.waits_for_requests()
    }

    /// Whether it waits for a request that the program is to answer.
    pub fn waits_for_requests(&self) -> bool {
        matches!(self.0, Target::Builtin(Builtin::NextRequest { .. }))
    }

    /// Whether it asks if the program is to answer requests: a program that imports it can also do
    /// something else.
    pub fn asks_whether_to_serve(&self) -> bool {
        matches!(self.0, Target::Builtin(Builtin::IsServing))
    }

    /// Whether a call changes nothing, so that it may be made again.
    pub fn only_looks(&self) -> bool {
        match &self.0 {
            Target::Function { function, .. } => {
                matches!(function.name(), "poll" | "[method]pollable.block")
            }
            Target::Builtin(_) | Target::Handle { .. } => false,
        }
    }

    /// Whether a call may act on what is outside of the guest's own state, or look at it. A stream may
    /// be anything, so that standard output counts as well.
    pub fn reaches_outside(&self) -> bool {
        const INSIDE: [&str; 4] = ["wasi:cli/", "wasi:clocks/", "wasi:random/", "wasi:io/poll"];
        match &self.0 {
            Target::Function { function, .. } => {
                let interface = function.interface();
                !INSIDE.iter().any(|inside| interface.starts_with(inside))
            }
            Target::Builtin(_) | Target::Handle { .. } => self.waits_for_requests(),
        }
    }

    /// Whether a call may ever have to wait. `sockets` says whether the guest can have connections.
    pub fn may_suspend(&self, sockets: bool) -> bool {
        match &self.0 {
            Target::Function { function, .. } => function.may_suspend(sockets),
            Target::Builtin(_) | Target::Handle { .. } => self.waits_for_requests(),
        }
    }
}

/// What a builtin does with a handle, if it is about one.
fn handle(builtin: &Builtin) -> Option<(Operation, &Handle)> {
    Some(match builtin {
        Builtin::ResourceNew(of) => (Operation::New, of),
        Builtin::ResourceRep(of) => (Operation::Rep, of),
        Builtin::ResourceDrop(of) => (Operation::Drop, of),
        Builtin::Lend(of) => (Operation::Lend, of),
        Builtin::TransferOwn { from, to } => (Operation::TransferOwn(*to), from),
        Builtin::TransferBorrow { from, to } => (Operation::TransferBorrow(*to), from),
        Builtin::EnterCall
        | Builtin::ExitCall
        | Builtin::NextAllocations { .. }
        | Builtin::Exit
        | Builtin::IsServing
        | Builtin::NextRequest { .. }
        | Builtin::Trap(_) => return None,
    })
}

fn resource_type(resource: &Resource) -> Option<ResourceType> {
    match resource {
        Resource::Own(number) => Some(ResourceType::Guest(*number)),
        Resource::Host { interface, name } => {
            HostType::find(interface, name).map(ResourceType::Host)
        }
    }
}
