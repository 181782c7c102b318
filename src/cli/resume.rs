//! `dormouse resume`.

use std::path::Path;

use super::args::Resume;
use super::exit::{Done, Failure, USAGE};
use super::guest::{self, Given, Session};
use super::keys;
use super::progress::Bar;
use super::run::{engine, read_module};
use crate::error::{Error, ErrorKind};
use crate::model::Limits;
#[cfg(feature = "server")]
use crate::scheduler::Policy;
use crate::snapshot::{self, Error as Unread, InFile, Opened, Unseal};
use crate::task::{Restore, Runtime, RuntimeOptions, Snapshot, Task};
use crate::wasi::RestoreOptions;

/// A snapshot file, out of its envelope if it has one.
pub(super) fn read_file(path: &Path, keys: &Unseal, limits: &Limits) -> Result<Opened, Failure> {
    let file = snapshot::read(path, limits).map_err(|error| unread(path, error))?;
    keys.open(file, limits).map_err(|error| at(path, error))
}

/// The snapshot itself, which has to be there.
pub(super) fn decode(path: &Path, opened: &Opened, limits: &Limits) -> Result<Snapshot, Failure> {
    let file = opened.snapshot.as_ref().ok_or(snapshot::Error::Encrypted);
    file.map_err(Error::from)
        .and_then(|file| Snapshot::decode(file, limits))
        .map_err(|error| at(path, error))
}

fn unread(path: &Path, error: Error) -> Failure {
    match error.kind() {
        // It names the file itself.
        ErrorKind::Read => error.into(),
        _ => at(path, error),
    }
}

/// An error that has to do with this file.
pub(super) fn at(path: &Path, error: Error) -> Failure {
    let failure = Failure::from(error);
    let message = format!("{}: {}", path.display(), failure.message);
    Failure::new(failure.code, message)
}

/// A flag that was given and means nothing for a task of a daemon's.
#[cfg(feature = "server")]
fn only_for_files(command: &Resume) -> Option<&'static str> {
    let common = &command.common;
    let given = [
        ("--dir", !common.dirs.is_empty()),
        ("--tcplisten", !common.tcplisten.is_empty()),
        ("--allow-connect", !common.reach.allow_connect.is_empty()),
        ("--allow-listen", !common.reach.allow_listen.is_empty()),
        ("--clocks", common.reach.clocks.is_some()),
        ("--random", common.reach.random.is_some()),
        ("--engine", common.engine.is_some()),
        ("--suspend", common.suspend != Policy::Never),
        ("--checkpoint", common.checkpoint.is_some()),
        ("--slim", common.slim),
        ("--sign-key", common.sealing.sign_key.is_some()),
        ("--encrypt-to", !common.sealing.encrypt_to.is_empty()),
        ("--verify-key", !command.opening.verify_key.is_empty()),
        ("--decrypt-key", !command.opening.decrypt_key.is_empty()),
        ("--module", command.module.is_some()),
        ("--output", command.output.is_some()),
        ("--accept-changed-files", command.accept_changed_files),
    ];
    given
        .iter()
        .find(|(_, given)| *given)
        .map(|(flag, _)| *flag)
}

pub(super) fn resume(command: Resume) -> Result<Done, Failure> {
    #[cfg(feature = "server")]
    if let Some(ids) = tasks(&command)? {
        let (remote, bounds) = (&command.remote, &command.common.bounds);
        return super::tasks::resume(remote, &ids, &command.which, bounds);
    }
    let done = resume_file(command)?;
    guest::tell_end(done);
    Ok(done)
}

/// The tasks of a daemon's that are to go on; `None` where a file is.
#[cfg(feature = "server")]
fn tasks(command: &Resume) -> Result<Option<Vec<String>>, Failure> {
    let mut ids = Vec::new();
    for given in &command.snapshots {
        match super::tasks::is_task(given, &command.remote)? {
            Some(id) => ids.push(id.to_string()),
            None if command.snapshots.len() > 1 => {
                let text = format!(
                    "{} is a file, and only tasks of a daemon's can be resumed several at once ({})",
                    given.display(),
                    super::tasks::WHICH
                );
                return Err(Failure::new(USAGE, text));
            }
            None => return Ok(None),
        }
    }
    if let Some(flag) = only_for_files(command) {
        let what = match ids.first() {
            Some(id) => format!(
                "{id} is a task of the daemon's, which goes on with what it was submitted with"
            ),
            None => "tasks of the daemon's go on with what they were submitted with".into(),
        };
        let text = format!(
            "{flag} is for a snapshot file, and {what}; only --limit and --on-limit give more"
        );
        return Err(Failure::new(USAGE, text));
    }
    Ok(Some(ids))
}

/// Goes on with a snapshot file, in this process.
fn resume_file(command: Resume) -> Result<Done, Failure> {
    let Some(snapshot) = command.snapshots.into_iter().next() else {
        return Err(Failure::new(USAGE, "give a snapshot to resume"));
    };
    let limits = command.common.bounds.limits();
    let keys = keys::unseal(&command.opening)?;
    // One that needs no keys is not read into memory as a whole.
    let in_file = match keys.is_empty() {
        true => InFile::open(&snapshot, &limits).map_err(|error| unread(&snapshot, error))?,
        false => None,
    };
    let (opened, saved) = match &in_file {
        Some(found) => (Opened::default(), found.head.clone()),
        None => {
            let opened = read_file(&snapshot, &keys, &limits)?;
            let saved = decode(&snapshot, &opened, &limits)?;
            (opened, saved)
        }
    };
    let mut seal = keys::seal(&command.common.sealing)?;
    if opened.encrypted {
        seal = seal.or_for(&keys);
    }
    keys::tell(&opened, &keys, &seal);
    if let Some(origin) = &saved.meta.origin {
        super::text::say!("this is a copy of task {origin}, which may go on in its daemon as well");
    }
    let at_file = |error| at(&snapshot, error);
    let runtime = Runtime::new(RuntimeOptions {
        transform: command.common.transform,
        limits,
        ..RuntimeOptions::default()
    })?;
    let bar = Bar::new(&snapshot.display().to_string());
    let program = match &command.module {
        Some(module) => runtime.load_beside(&read_module(module)?, &saved, &bar),
        None => runtime.load_snapshot(&saved),
    }
    .map_err(at_file)?;
    let given = Given::new(&command.common)?;
    let restore = Restore {
        bindings: given.bindings()?,
        options: RestoreOptions {
            accept_changed_files: command.accept_changed_files,
        },
        limits,
        ..Restore::default()
    };
    let engine = engine(command.common.engine)?;
    let mut pages: Box<dyn std::io::Read> = match &in_file {
        Some(found) => Box::new(
            found
                .pages()
                .map_err(|e| at_file(Unread::Pages(e).into()))?,
        ),
        None => Box::new(saved.pages.as_slice()),
    };
    let task = Task::thaw_from(
        &runtime, &program, engine, &saved, &mut pages, restore, &bar,
    )
    .map_err(at_file)?;
    drop(pages);
    let making = bar.finish();
    guest::drive(Session {
        task,
        policy: command.common.suspend,
        checkpoint: command.common.checkpoint.map(|span| span.0),
        snapshot: command.output.unwrap_or(snapshot),
        slim: command.common.slim,
        given,
        seal,
        making,
    })
}
