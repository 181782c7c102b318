//! The host's resources: what the handles of components stand for. All of it is plain data.

use serde::{Deserialize, Serialize};

use super::abi::HostResource;
use super::host_type::HostType;

macro_rules! resources {
    ($($name:ident,)*) => {
        /// A resource of the host's.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum Resource {
            /// The deadline of a pollable. No handle stands for it.
            Timer(Timer),
            $($name($name),)*
        }

        $(
            impl HostResource for $name {
                const TYPE: HostType = HostType::$name;
            }

            impl From<$name> for Resource {
                fn from(resource: $name) -> Self {
                    Self::$name(resource)
                }
            }

            impl Kind for $name {
                fn of(resource: &Resource) -> Option<&Self> {
                    match resource {
                        Resource::$name(found) => Some(found),
                        _ => None,
                    }
                }

                fn of_mut(resource: &mut Resource) -> Option<&mut Self> {
                    match resource {
                        Resource::$name(found) => Some(found),
                        _ => None,
                    }
                }
            }
        )*
    };
}

/// One kind of resources.
pub(crate) trait Kind: HostResource + Into<Resource> {
    /// The resource, if it is of this kind.
    fn of(resource: &Resource) -> Option<&Self>;

    /// The resource, if it is of this kind.
    #[allow(dead_code, reason = "streams of files and sockets change")]
    fn of_mut(resource: &mut Resource) -> Option<&mut Self>;
}

resources! {
    Error,
    Pollable,
    InputStream,
    OutputStream,
    TerminalInput,
    TerminalOutput,
}

/// A moment that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timer {
    /// When the guest's monotonic clock shows this many nanoseconds.
    pub(crate) due: u64,
}

/// An error of the system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Error {
    /// Its number.
    pub(crate) errno: i32,
}

/// Something that a guest can wait for: its parent, which is a stream, a socket or a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pollable;

/// A stream to read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InputStream {
    /// Standard input.
    Stdin,
}

/// A stream to write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// That standard input is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalInput;

/// That an output stream is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalOutput;
