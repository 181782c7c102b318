//! What the canonical ABI itself asks of the host: handle tables, allocations for results, traps.
//! Also what the program's entry asks, which no component imports.

use std::fmt;

use super::text::{self, WORLD};

/// A function that the canonical ABI asks for. Their core types stand with each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Builtin {
    /// `(representation: i32) -> i32`: a new handle that owns a resource of the guest's.
    ResourceNew(Handle),
    /// `(handle: i32) -> i32`: the representation of a resource.
    ResourceRep(Handle),
    /// `(handle: i32) -> i64`: drops a handle. The result is the representation of a resource of
    /// the guest's that was owned, and whose destructor the guest runs now; or -1.
    ResourceDrop(Handle),
    /// `(handle: i32) -> i32`: moves an owned resource from one instance's table into another's,
    /// and gives the handle there.
    TransferOwn {
        /// The handle as it is given.
        from: Handle,
        /// The instance whose table gets it.
        to: u32,
    },
    /// `(handle: i32) -> i32`: borrows a resource for the call that was entered last, and gives
    /// the handle in the other instance's table.
    TransferBorrow {
        /// The handle as it is given.
        from: Handle,
        /// The instance whose table gets a handle.
        to: u32,
    },
    /// `(handle: i32) -> i32`: borrows a resource for the call that was entered last, on behalf of
    /// the instance that defines the resource. That one gets the representation, and no handle.
    Lend(Handle),
    /// `()`: a call between instances begins, which borrows resources.
    EnterCall,
    /// `()`: that call ends. It traps where a borrowed handle was not dropped.
    ExitCall,
    /// `(block: i32, block: i32, block: i32, block: i32) -> i64`: the next blocks that the result of
    /// the last call needs, as [`allocations`](super::allocations) has it. The arguments are the
    /// blocks that were allocated for the request before it, as many as it asked for.
    NextAllocations {
        /// The memory that the result is written to.
        memory: u32,
    },
    /// `(code: i32)`: ends the program.
    Exit,
    /// `() -> i32`: whether the program is to answer HTTP requests.
    IsServing,
    /// `() -> i64`: waits for an HTTP request. The result is the handle of the request in its upper
    /// half, and that of where the response goes in its lower one; or -1, where none comes any
    /// more. That it is called again says that the request before has been handled.
    NextRequest {
        /// The instance whose table gets both handles.
        instance: u32,
    },
    /// `()`: traps for this reason.
    Trap(Trap),
}

/// A handle: an entry in an instance's table, of one type of resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The component instance whose table it is.
    pub instance: u32,
    /// The type of the resource.
    pub resource: Resource,
}

/// A type of resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// One that the host has.
    Host {
        /// The interface, such as `wasi:io/streams@0.2.6`; or [`WORLD`].
        interface: String,
        /// Its name there, such as `input-stream`.
        name: String,
    },
    /// One that an instance of the component defines, by its number in the component.
    Own(u32),
}

/// Why an adapter between two instances, or a thunk in front of the host, traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trap {
    /// An instance is called while it is being called.
    CannotEnter,
    /// An instance calls others where it must not: while values are lowered into it.
    CannotLeave,
    /// A value lies outside of its memory.
    MemoryOutOfBounds,
    /// A string lies outside of its memory, or is too long.
    StringOutOfBounds,
    /// A list lies outside of its memory, or is too long.
    ListOutOfBounds,
    /// A pointer is not aligned.
    UnalignedPointer,
    /// A `char` is no Unicode scalar value.
    InvalidChar,
    /// A variant has no such case.
    InvalidDiscriminant,
    /// A string is no UTF-8.
    InvalidUtf8,
    /// A string is no UTF-16.
    InvalidUtf16,
    /// An exception leaves the instance that has thrown it.
    UncaughtException,
}

impl Trap {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::CannotEnter,
        Self::CannotLeave,
        Self::MemoryOutOfBounds,
        Self::StringOutOfBounds,
        Self::ListOutOfBounds,
        Self::UnalignedPointer,
        Self::InvalidChar,
        Self::InvalidDiscriminant,
        Self::InvalidUtf8,
        Self::InvalidUtf16,
        Self::UncaughtException,
    ];

    /// Its name in an import's name.
    fn code(self) -> &'static str {
        match self {
            Self::CannotEnter => "cannot-enter",
            Self::CannotLeave => "cannot-leave",
            Self::MemoryOutOfBounds => "memory-out-of-bounds",
            Self::StringOutOfBounds => "string-out-of-bounds",
            Self::ListOutOfBounds => "list-out-of-bounds",
            Self::UnalignedPointer => "unaligned-pointer",
            Self::InvalidChar => "invalid-char",
            Self::InvalidDiscriminant => "invalid-discriminant",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::InvalidUtf16 => "invalid-utf16",
            Self::UncaughtException => "uncaught-exception",
        }
    }
}

impl fmt::Display for Trap {
    /// What the guest has done, in the words that Wasmtime has for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CannotEnter => "cannot enter component instance",
            Self::CannotLeave => "cannot leave component instance",
            Self::MemoryOutOfBounds => "out of bounds memory access",
            Self::StringOutOfBounds => "string content out-of-bounds",
            Self::ListOutOfBounds => "list content out-of-bounds",
            Self::UnalignedPointer => "unaligned pointer",
            Self::InvalidChar => "invalid `char` bit pattern",
            Self::InvalidDiscriminant => "invalid variant discriminant",
            Self::InvalidUtf8 => "invalid utf8 encoding",
            Self::InvalidUtf16 => "invalid utf16 encoding",
            Self::UncaughtException => "uncaught exception propagated out of component",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { interface, name } => write!(f, "{interface}/{name}"),
            Self::Own(number) => write!(f, "own:{number}"),
        }
    }
}

impl Resource {
    fn parse(text: &str) -> Option<Self> {
        if let Some(number) = text.strip_prefix("own:")
            && let Some(number) = text::number(number)
        {
            return Some(Self::Own(number));
        }
        let (interface, name) = text.rsplit_once('/')?;
        Some(Self::Host {
            interface: interface.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Whether the host has it.
    pub fn is_host(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    /// The host's resource that a component imports under this name, by itself.
    pub fn of_world(name: &str) -> Self {
        Self::Host {
            interface: WORLD.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Builtin {
    /// The core import's own name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle = |f: &mut fmt::Formatter<'_>, what: &str, handle: &Handle| {
            let Handle { instance, resource } = handle;
            write!(f, "{what} instance={instance} type={resource}")
        };
        let transfer = |f: &mut fmt::Formatter<'_>, what: &str, from: &Handle, to: &u32| {
            let Handle { instance, resource } = from;
            write!(f, "{what} from={instance} to={to} type={resource}")
        };
        match self {
            Self::ResourceNew(of) => handle(f, RESOURCE_NEW, of),
            Self::ResourceRep(of) => handle(f, RESOURCE_REP, of),
            Self::ResourceDrop(of) => handle(f, RESOURCE_DROP, of),
            Self::TransferOwn { from, to } => transfer(f, TRANSFER_OWN, from, to),
            Self::TransferBorrow { from, to } => transfer(f, TRANSFER_BORROW, from, to),
            Self::Lend(from) => handle(f, LEND, from),
            Self::EnterCall => f.write_str(ENTER_CALL),
            Self::ExitCall => f.write_str(EXIT_CALL),
            Self::NextAllocations { memory } => write!(f, "{NEXT_ALLOCATIONS} memory={memory}"),
            Self::Exit => f.write_str(EXIT),
            Self::IsServing => f.write_str(IS_SERVING),
            Self::NextRequest { instance } => write!(f, "{NEXT_REQUEST} instance={instance}"),
            Self::Trap(reason) => write!(f, "{TRAP} {}", reason.code()),
        }
    }
}

const RESOURCE_NEW: &str = "resource.new";
const RESOURCE_REP: &str = "resource.rep";
const RESOURCE_DROP: &str = "resource.drop";
const TRANSFER_OWN: &str = "resource.transfer-own";
const TRANSFER_BORROW: &str = "resource.transfer-borrow";
const LEND: &str = "resource.lend";
const ENTER_CALL: &str = "resource.enter-call";
const EXIT_CALL: &str = "resource.exit-call";
const NEXT_ALLOCATIONS: &str = "result.next";
const EXIT: &str = "exit";
const IS_SERVING: &str = "http.is-serving";
const NEXT_REQUEST: &str = "http.next-request";
const TRAP: &str = "trap";

impl Builtin {
    /// Reads the name of a core import of the module of builtins.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let Some((what, options)) = name.split_once(' ') else {
            return match name {
                ENTER_CALL => Some(Self::EnterCall),
                EXIT_CALL => Some(Self::ExitCall),
                EXIT => Some(Self::Exit),
                IS_SERVING => Some(Self::IsServing),
                _ => None,
            };
        };
        let handle = || {
            let (instance, rest) = text::first_option(options, "instance")?;
            Some(Handle {
                instance: text::number(instance)?,
                resource: Resource::parse(text::only_option(rest, "type")?)?,
            })
        };
        let transfer = || {
            let (from, rest) = text::first_option(options, "from")?;
            let (to, rest) = text::first_option(rest, "to")?;
            let from = Handle {
                instance: text::number(from)?,
                resource: Resource::parse(text::only_option(rest, "type")?)?,
            };
            Some((from, text::number(to)?))
        };
        match what {
            RESOURCE_NEW => handle().map(Self::ResourceNew),
            RESOURCE_REP => handle().map(Self::ResourceRep),
            RESOURCE_DROP => handle().map(Self::ResourceDrop),
            TRANSFER_OWN => transfer().map(|(from, to)| Self::TransferOwn { from, to }),
            TRANSFER_BORROW => transfer().map(|(from, to)| Self::TransferBorrow { from, to }),
            LEND => handle().map(Self::Lend),
            NEXT_ALLOCATIONS => {
                let memory = text::number(text::only_option(options, "memory")?)?;
                Some(Self::NextAllocations { memory })
            }
            NEXT_REQUEST => {
                let instance = text::number(text::only_option(options, "instance")?)?;
                Some(Self::NextRequest { instance })
            }
            TRAP => {
                let reason = Trap::ALL.into_iter().find(|trap| trap.code() == options);
                reason.map(Self::Trap)
            }
            _ => None,
        }
    }
}
