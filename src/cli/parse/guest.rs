//! What a guest is given: its engine, directories, variables and directories in memory.

use crate::cli::exit::{Failure, MISSING, USAGE};
use crate::engine::EngineKind;
use crate::model::limits::parse_bytes;
use crate::model::{Limit, Limits};
use crate::wasi::{Access, HostDir, TmpDir};

/// The engine that was asked for, else the first that this build has.
pub(crate) fn engine(wanted: Option<EngineKind>) -> Result<EngineKind, Failure> {
    wanted
        .or_else(|| EngineKind::available().next())
        .ok_or_else(|| Failure::new(MISSING, "this build has no engine"))
}

/// Directories from `HOST[::GUEST][:ro]`, as in `wasmtime run` but for the end.
pub(crate) fn dirs(given: &[String]) -> Result<Vec<HostDir>, Failure> {
    let dirs: Vec<HostDir> = given
        .iter()
        .map(|text| dir(text))
        .collect::<Result<_, _>>()?;
    let doubled = |dir: &&HostDir| {
        let same = dirs.iter().filter(|other| other.guest == dir.guest);
        same.count() > 1
    };
    if let Some(dir) = dirs.iter().find(doubled) {
        let text = format!(
            "two directories are to be called {}: give one another name",
            dir.guest
        );
        return Err(Failure::new(USAGE, text));
    }
    Ok(dirs)
}

fn dir(text: &str) -> Result<HostDir, Failure> {
    let ends = [(":ro", Access::ReadOnly), (":rw", Access::ReadWrite)];
    let found = ends.iter().find_map(|(end, access)| {
        let rest = text.strip_suffix(end)?;
        Some((rest, *access))
    });
    let (plain, access) = found.unwrap_or((text, Access::Kept));
    let (host, guest) = plain.split_once("::").unwrap_or((plain, plain));
    match host.is_empty() || guest.is_empty() {
        true => Err(Failure::new(
            USAGE,
            format!(
                "--dir {text}: write HOST or HOST::GUEST, with :ro at the end to let it only read"
            ),
        )),
        false => Ok(HostDir {
            guest: guest.into(),
            host: host.into(),
            access,
        }),
    }
}

/// Directories in memory from `GUEST[=SIZE]`.
pub(crate) fn tmpfs(given: &[String], limits: &Limits) -> Result<Vec<TmpDir>, Failure> {
    given.iter().map(|text| tmp_dir(text, limits)).collect()
}

fn tmp_dir(text: &str, limits: &Limits) -> Result<TmpDir, Failure> {
    let largest = limits.value(Limit::Tmpfs);
    let (guest, size) = match text.rsplit_once('=') {
        Some((guest, size)) => (guest, parse_bytes(size)),
        None => (text, Some(largest)),
    };
    match (guest.is_empty(), size) {
        (false, Some(size)) if size > largest => {
            Err(limits.reached(Limit::Tmpfs).with(size).into())
        }
        (false, Some(size)) => Ok(TmpDir {
            guest: guest.into(),
            limit: size,
        }),
        _ => Err(Failure::new(
            USAGE,
            format!("--tmpfs {text}: write GUEST or GUEST=SIZE"),
        )),
    }
}

/// Variables from `NAME=VALUE`, or `NAME` for one of this process's own.
pub(crate) fn environment(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some(("", _)) => Err(Failure::new(
                USAGE,
                format!("--env {text}: write NAME=VALUE or NAME"),
            )),
            Some((name, value)) => Ok((name.into(), value.into())),
            None => std::env::var(text)
                .map(|value| (text.clone(), value))
                .map_err(|error| Failure::new(USAGE, format!("--env {text}: {error}"))),
        })
        .collect()
}
