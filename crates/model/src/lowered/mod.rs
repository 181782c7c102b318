//! The functions that a flattened component imports, and their names.
//!
//! A component becomes one core module. What it imports from the host is a function together with
//! its canonical options: which instance's handles it takes, which memory its pointers lead into,
//! and how strings are encoded there. The name of the core import says all of it:
//!
//! ```
//! use dormouse_model::lowered::{LoweredFunction, LoweredImport, StringEncoding};
//!
//! let import = LoweredImport::from(LoweredFunction {
//!     interface: "wasi:io/streams@0.2.6".into(),
//!     name: "[method]input-stream.read".into(),
//!     instance: 0,
//!     memory: Some(1),
//!     encoding: StringEncoding::Utf8,
//! });
//! assert_eq!(import.module(), "wasi:io/streams@0.2.6");
//! assert_eq!(import.name(), "[method]input-stream.read instance=0 memory=1");
//! assert_eq!(LoweredImport::parse(import.module(), &import.name()), Some(import));
//! ```
//!
//! `instrument` writes these names, and the host reads them; neither knows the other. Beside the
//! functions of its interfaces a component needs a few that the canonical ABI asks for: they are
//! [`Builtin`]s of the module [`BUILTINS`].

pub mod allocations;
mod builtin;
mod text;

pub use builtin::{Builtin, Handle, Resource, Trap};
pub use text::WORLD;

use std::fmt;

/// The core module name of what the canonical ABI itself asks of the host.
pub const BUILTINS: &str = "dormouse:component";

/// Starts the export names of a flattened module's memories.
const MEMORY_EXPORT: &str = "dormouse:component/memory.";

/// The export name of a flattened module's memory, by its index.
pub fn memory_export(index: u32) -> String {
    format!("{MEMORY_EXPORT}{index}")
}

/// Whether an export is that of a flattened module's memory.
pub fn is_memory_export(name: &str) -> bool {
    name.strip_prefix(MEMORY_EXPORT)
        .is_some_and(|index| text::number(index).is_some())
}

/// A function import of a flattened component.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LoweredImport {
    /// A function of an interface that the component imports.
    Function(LoweredFunction),
    /// A function that the canonical ABI asks for.
    Builtin(Builtin),
}

/// A function of an interface, with the canonical options under which it is lowered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoweredFunction {
    /// The interface as the component names it, such as `wasi:io/streams@0.2.6`; or [`WORLD`].
    pub interface: String,
    /// The function's name there, such as `[method]input-stream.read` or `poll`.
    pub name: String,
    /// The component instance that calls it. Handles among the arguments and results are entries of
    /// this instance's table.
    pub instance: u32,
    /// The memory that pointers among the arguments lead into, by its index among the flattened
    /// module's memories. A function that takes and gives no pointers may have none.
    pub memory: Option<u32>,
    /// How strings are encoded in that memory.
    pub encoding: StringEncoding,
}

/// How strings are encoded in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StringEncoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, in little-endian order.
    Utf16,
    /// Latin-1; or UTF-16, where the top bit of the length is set.
    Latin1OrUtf16,
}

impl StringEncoding {
    /// All encodings.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Utf16, Self::Latin1OrUtf16];

    /// Its name, as in the canonical ABI's options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Utf16 => "utf16",
            Self::Latin1OrUtf16 => "latin1+utf16",
        }
    }
}

impl fmt::Display for StringEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl LoweredImport {
    /// Reads the two names of a core import. `None` where they are no names of a flattened
    /// component: each import has exactly one pair of names, and anything else is refused.
    pub fn parse(module: &str, name: &str) -> Option<Self> {
        if module == BUILTINS {
            return Builtin::parse(name).map(Self::Builtin);
        }
        LoweredFunction::parse(module, name).map(Self::Function)
    }

    /// The core import's module name.
    pub fn module(&self) -> &str {
        match self {
            Self::Function(function) => &function.interface,
            Self::Builtin(_) => BUILTINS,
        }
    }

    /// The core import's own name.
    pub fn name(&self) -> String {
        match self {
            Self::Function(function) => function.import_name(),
            Self::Builtin(builtin) => builtin.to_string(),
        }
    }
}

impl From<LoweredFunction> for LoweredImport {
    fn from(function: LoweredFunction) -> Self {
        Self::Function(function)
    }
}

impl From<Builtin> for LoweredImport {
    fn from(builtin: Builtin) -> Self {
        Self::Builtin(builtin)
    }
}

impl fmt::Display for LoweredImport {
    /// Both names, with a dot between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module(), self.name())
    }
}

impl LoweredFunction {
    /// The core import's own name: the function's, and the options.
    fn import_name(&self) -> String {
        let mut name = format!("{} instance={}", self.name, self.instance);
        if let Some(memory) = self.memory {
            name += &format!(" memory={memory}");
        }
        if self.encoding != StringEncoding::default() {
            name += &format!(" encoding={}", self.encoding);
        }
        name
    }

    /// Reads the options from the end, since the function's name may be any text.
    fn parse(interface: &str, name: &str) -> Option<Self> {
        let (rest, encoding) = match text::last_option(name, "encoding") {
            Some((rest, encoding)) => {
                let known = |known: &StringEncoding| known.as_str() == encoding;
                let encoding = StringEncoding::ALL.into_iter().find(known)?;
                // The default is left out.
                (encoding != StringEncoding::default()).then_some((rest, encoding))?
            }
            None => (name, StringEncoding::default()),
        };
        let (rest, memory) = match text::last_option(rest, "memory") {
            Some((rest, memory)) => (rest, Some(text::number(memory)?)),
            None => (rest, None),
        };
        let (name, instance) = text::last_option(rest, "instance")?;
        Some(Self {
            interface: interface.to_owned(),
            name: name.to_owned(),
            instance: text::number(instance)?,
            memory,
            encoding,
        })
    }
}

#[cfg(test)]
mod tests;
