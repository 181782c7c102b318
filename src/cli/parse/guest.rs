//! What a guest is given: its engine, directories, variables and directories in memory.

use std::str::FromStr;

use crate::cli::exit::{Failure, MISSING};
use crate::model::spec::{Access, ByteSize, EngineKind, Mount, Tmpfs};

/// The engine that was asked for, else the first that this build has.
pub(crate) fn engine(wanted: Option<EngineKind>) -> Result<EngineKind, Failure> {
    wanted
        .or_else(|| EngineKind::available().next())
        .ok_or_else(|| Failure::new(MISSING, "this build has no engine"))
}

/// A variable of the guest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// With this value.
    Value(String, String),
    /// With the value that it has here.
    Here(String),
}

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some(("", _)) => Err("write NAME=VALUE or NAME"),
            Some((name, value)) => Ok(Self::Value(name.into(), value.into())),
            None if text.is_empty() => Err("write NAME=VALUE or NAME"),
            None => Ok(Self::Here(text.into())),
        }
    }
}

/// A directory from `HOST[::GUEST][:ro]`, as in `wasmtime run` but for the end.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let ends = [(":ro", Access::ReadOnly), (":rw", Access::ReadWrite)];
    let found = ends.iter().find_map(|(end, access)| {
        let rest = text.strip_suffix(end)?;
        Some((rest, *access))
    });
    let (plain, access) = found.unwrap_or((text, Access::Kept));
    let (host, guest) = plain.split_once("::").unwrap_or((plain, plain));
    match host.is_empty() || guest.is_empty() {
        true => Err("write HOST or HOST::GUEST, with :ro at the end to let it only read".into()),
        false => Ok(Mount {
            host: host.into(),
            guest: guest.into(),
            access,
        }),
    }
}

/// A directory in memory from `GUEST[=SIZE]`.
pub(crate) fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (guest, size) = match text.rsplit_once('=') {
        Some((guest, size)) => (guest, Some(size.parse::<ByteSize>())),
        None => (text, None),
    };
    match (guest.is_empty(), size.transpose()) {
        (false, Ok(size)) => Ok(Tmpfs {
            guest: guest.into(),
            size,
        }),
        _ => Err("write GUEST or GUEST=SIZE, such as /tmp=16M".into()),
    }
}
