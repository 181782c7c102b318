//! What happens when a component is instantiated: core modules are, one after another, each with
//! its imports. This is all that flattening has to know of a component.

use std::borrow::Cow;

use dormouse_model::lowered::{Handle, StringEncoding};
use wasm_encoder::ValType;

use crate::error::ComponentError;

/// A component as a list of core instances.
pub(super) struct Plan<'a> {
    /// The core modules: those in the component, and the adapters between its instances.
    pub modules: Vec<Module<'a>>,
    /// The core instances, in the order in which they are instantiated.
    pub instances: Vec<Instance>,
    /// Functions that are no core function of an instance.
    pub trampolines: Vec<Trampoline>,
    /// The types of the handles that adapters move, by the numbers that they have there.
    pub handles: Vec<HandleType>,
    /// What the program does; or why there is nothing to run.
    pub entry: Result<Entry, ComponentError>,
}

/// A core module.
pub(super) struct Module<'a> {
    /// Its bytes.
    pub wasm: Cow<'a, [u8]>,
    /// Whether it holds adapters.
    pub is_adapter: bool,
}

/// A core instance.
pub(super) struct Instance {
    /// Its module, by its position.
    pub module: usize,
    /// What each of the module's imports is, in the order of the imports.
    pub arguments: Vec<Definition>,
}

/// What an import is, or an option of the canonical ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Definition {
    /// Something of an earlier core instance.
    Item(Item),
    /// Whether this component instance may call others now, as a global.
    MayLeave(u32),
    /// A trampoline, by its position.
    Trampoline(usize),
}

/// Something of a core instance. The index is that of its module, which may have imported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Item {
    /// The core instance, by its position.
    pub instance: usize,
    /// What it is.
    pub kind: Kind,
    /// Its index among those of its kind.
    pub index: u32,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Function,
    Table,
    Memory,
    Global,
    Tag,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = 5;
}

/// A function that is no core function of an instance.
pub(super) enum Trampoline {
    /// A function of the host.
    Lower(Lower),
    /// Moves a string from one memory into another.
    Transcode {
        transcode: Transcode,
        from: Item,
        to: Item,
    },
    /// Makes a handle.
    ResourceNew(Handle),
    /// Gives a resource's representation.
    ResourceRep(Handle),
    /// Drops a handle, and runs the destructor of a resource that it owned.
    ResourceDrop(Handle, Option<Definition>),
    /// What adapters call, with constants as arguments.
    Adapter(AdapterCall),
}

/// A function of the host, as an instance calls it.
pub(super) struct Lower {
    pub interface: String,
    pub name: String,
    /// The component instance that calls.
    pub instance: u32,
    pub memory: Option<Item>,
    /// Allocates memory for the result, where it needs any.
    pub realloc: Option<Definition>,
    pub encoding: StringEncoding,
    pub params: Vec<ValType>,
    pub results: Vec<ValType>,
}

/// What adapters call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdapterCall {
    TransferOwn,
    TransferBorrow,
    EnterCall,
    ExitCall,
    Trap,
}

/// How a string is moved. The lengths are in code units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transcode {
    CopyUtf8,
    CopyUtf16,
    CopyLatin1,
    Latin1ToUtf16,
    Latin1ToUtf8,
    Utf16ToCompactProbablyUtf16,
    Utf16ToCompactUtf16,
    Utf16ToLatin1,
    Utf16ToUtf8,
    Utf8ToCompactUtf16,
    Utf8ToLatin1,
    Utf8ToUtf16,
}

/// The type of some handles.
#[derive(Clone)]
pub(super) enum HandleType {
    /// Handles of one instance.
    Of {
        handle: Handle,
        /// Whether this instance defines the resource.
        is_owner: bool,
    },
    /// Of a resource that no instance has.
    Abstract,
}

/// What the program does: it runs, or it handles HTTP requests. A component that can do both is told
/// by the host which of them.
pub(super) enum Entry {
    /// By `wasi:cli/run`.
    Run(Exported),
    /// By `wasi:http/incoming-handler`.
    Serve(Exported),
    /// The first by `wasi:cli/run`, the second by `wasi:http/incoming-handler`.
    Both { run: Exported, serve: Exported },
}

impl Entry {
    /// What is called to run the program, and to handle a request.
    pub fn functions(&self) -> (Option<&Exported>, Option<&Exported>) {
        match self {
            Self::Run(run) => (Some(run), None),
            Self::Serve(serve) => (None, Some(serve)),
            Self::Both { run, serve } => (Some(run), Some(serve)),
        }
    }
}

/// The function of an interface that the component exports.
pub(super) struct Exported {
    pub function: Definition,
    pub post_return: Option<Definition>,
    /// The component instance that it is of.
    pub instance: u32,
    /// The component instance whose table has the handles that it is given.
    pub table: u32,
}
