//! `dormouse run`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::args::Run;
use super::exit::{Done, Failure, MISMATCH, MISSING, MODULE, NO_INPUT, USAGE};
use super::guest::{self, Given, Session};
use super::keys;
use super::progress::Bar;
use super::{bounds, rehearse};
use crate::engine::EngineKind;
use crate::instrument::Transform;
use crate::model::limits::parse_bytes;
use crate::model::{Digest, Limit, Limits};
use crate::task::{Runtime, RuntimeOptions, Setup, Task};
use crate::wasi::{Access, Config, HostDir, TmpDir};

pub(super) fn run(command: Run) -> Result<Done, Failure> {
    let done = run_module(command)?;
    guest::tell_end(done);
    Ok(done)
}

fn run_module(command: Run) -> Result<Done, Failure> {
    let Some((module, arguments)) = command.command.split_first() else {
        return Err(Failure::new(USAGE, "give a module to run"));
    };
    let known = by_digest(module)?;
    let source = match known {
        Some(_) => Vec::new(),
        None => read_module(Path::new(module))?,
    };
    check_digest(|| Digest::of(&source), known, command.digest.as_deref())?;
    let limits = command.common.bounds.limits();
    let runtime = Runtime::new(RuntimeOptions {
        transform: command.common.transform,
        preempt: preempt(command.preempt, command.common.transform)?,
        limits,
        ..RuntimeOptions::default()
    })?;
    let engine = engine(command.common.engine)?;
    let given = Given::new(&command.common)?;
    let seal = keys::seal(&command.common.sealing)?;
    let bar = Bar::new(&file_name(module));
    let program = match &known {
        Some(digest) => runtime.load_known(digest)?,
        None => runtime
            .load(&source, &bar)
            .map_err(|error| Failure::from(error).about(MODULE, module))?,
    };
    let setup = Setup {
        config: Config {
            args: std::iter::once(file_name(module))
                .chain(arguments.iter().cloned())
                .collect(),
            env: environment(&command.env)?,
            tmpfs: tmpfs(&command.tmpfs, &limits)?,
        },
        bindings: given.bindings()?,
        limits,
        ..Setup::default()
    };
    let task = Task::new(&runtime, &program, engine, setup, &bar)?;
    if command.rehearse {
        // Compiled before the guest starts, so that its time is not the guest's.
        let mut engines = rehearse::engines(engine, command.common.engine.is_some());
        let mut unable = Vec::new();
        engines.retain(|other| match program.compile(&runtime, *other, &bar) {
            Err(error) if *other != engine => {
                unable.push(error);
                false
            }
            // The first one's has been compiled for the task.
            _ => true,
        });
        let making = bar.finish();
        for error in unable {
            super::text::say!("rehearsing without it: {error}");
        }
        let done = rehearse::rehearse(&runtime, task, &engines, &given, limits);
        // Nothing else listens to signals meanwhile.
        drop(making);
        return done;
    }
    let making = bar.finish();
    guest::drive(Session {
        task,
        policy: command.common.suspend,
        checkpoint: command.common.checkpoint.map(|span| span.0),
        snapshot: command.snapshot,
        slim: command.common.slim,
        given,
        seal,
        making,
    })
}

/// Whether the module gets checks, if it is rewritten at all.
pub(super) fn preempt(wanted: bool, transform: Transform) -> Result<bool, Failure> {
    match wanted && transform == Transform::None {
        true => Err(Failure::new(
            USAGE,
            "--preempt rewrites the module, and --transform none does not; give one of them",
        )),
        false => Ok(wanted),
    }
}

/// No engine takes larger modules.
const MAX_MODULE: u64 = 1 << 30;

/// The module's bytes; of a file that is none, only its start.
pub(super) fn read_module(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(NO_INPUT, format!("cannot read {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(16)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.starts_with(b"\0asm") {
        file.take(MAX_MODULE)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    match bytes.len() as u64 > MAX_MODULE {
        true => {
            let text = format!(
                "{} has more than 1 GiB, too much for a module",
                path.display()
            );
            Err(Failure::new(MODULE, text))
        }
        false => Ok(bytes),
    }
}

/// How a module is named by its digest.
pub(super) const BY_DIGEST: &str = "blake3:";

/// The digest of a module that is named by it; `None` for a path.
pub(super) fn by_digest(module: &str) -> Result<Option<Digest>, Failure> {
    let Some(digest) = module.strip_prefix(BY_DIGEST) else {
        return Ok(None);
    };
    let digest = Digest::from_hex(&digest.to_ascii_lowercase());
    digest.map(Some).ok_or_else(|| {
        let text = format!("{module}: a digest has 64 hexadecimal digits, as `b3sum` prints them");
        Failure::new(USAGE, text)
    })
}

/// Fails where a module is not the one that is meant.
pub(super) fn check_digest(
    source: impl FnOnce() -> Digest,
    known: Option<Digest>,
    wanted: Option<&str>,
) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let found = known.unwrap_or_else(source).to_string();
    match Some(wanted) {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => Err(Failure::new(
            MISMATCH,
            format!(
                "the module is not the one that is meant: its BLAKE3 is {found}, and not {wanted}"
            ),
        )),
        _ => Ok(()),
    }
}

/// The engine asked for, else the first that this build has.
pub(super) fn engine(wanted: Option<EngineKind>) -> Result<EngineKind, Failure> {
    wanted
        .or_else(|| EngineKind::available().next())
        .ok_or_else(|| Failure::new(MISSING, "this build has no engine"))
}

/// Directories from `HOST[::GUEST][:ro]`, as in `wasmtime run` but for the end.
pub(super) fn dirs(given: &[String]) -> Result<Vec<HostDir>, Failure> {
    let dirs: Vec<HostDir> = given
        .iter()
        .map(|text| {
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
                    format!("--dir {text}: write HOST or HOST::GUEST, with :ro at the end to let it only read"),
                )),
                false => Ok(HostDir {
                    guest: guest.into(),
                    host: host.into(),
                    access,
                }),
            }
        })
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

/// Directories in memory from `GUEST[=SIZE]`.
pub(super) fn tmpfs(given: &[String], limits: &Limits) -> Result<Vec<TmpDir>, Failure> {
    given
        .iter()
        .map(|text| {
            let (guest, limit) = match text.rsplit_once('=') {
                Some((guest, size)) => (guest, parse_bytes(size)),
                None => (text.as_str(), Some(limits.value(Limit::Tmpfs))),
            };
            let usage =
                || Failure::new(USAGE, format!("--tmpfs {text}: write GUEST or GUEST=SIZE"));
            match (guest.is_empty(), limit) {
                (false, Some(limit)) if limit > limits.value(Limit::Tmpfs) => {
                    Err(bounds::failure(limits.reached(Limit::Tmpfs).with(limit)))
                }
                (false, Some(limit)) => Ok(TmpDir {
                    guest: guest.into(),
                    limit,
                }),
                _ => Err(usage()),
            }
        })
        .collect()
}

pub(super) fn environment(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
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

pub(super) fn file_name(module: &str) -> String {
    let name = Path::new(module).file_name();
    name.map_or_else(
        || module.to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
