//! `dormouse resume`: of a snapshot file in this process, or of a daemon's tasks.

use crate::cli::args::Resume;
use crate::cli::exit::{Done, Failure, USAGE};
use crate::cli::guest::grants::GuestGrants;
#[cfg(feature = "server")]
use crate::cli::guest::grants::flags;
use crate::cli::guest::session::{self, Session};
use crate::cli::module_file;
use crate::cli::output::say;
use crate::cli::parse::guest::engine;
use crate::cli::progress::Bar;
use crate::cli::snapshot_file::{self, Destination};
use crate::model::Limits;
#[cfg(feature = "server")]
use crate::model::spec::Policy;
use crate::snapshot::{Error as Unread, InFile, Opened, Seal, Unseal};
use crate::task::{Runtime, Snapshot, Task};

/// A flag that was given and has no meaning for a daemon's task.
#[cfg(feature = "server")]
fn only_for_files(command: &Resume) -> Option<&'static str> {
    let spec = command.spec();
    let suspends = |policy| policy != Policy::Never;
    let more = ["--limit", "--on-limit"];
    let of_guest = flags(&spec).into_iter().map(|(flag, _)| flag);
    let mut of_guest = of_guest.filter(|flag| !more.contains(flag));
    let given = [
        ("--clocks", spec.clocks.is_some()),
        ("--random", spec.random.is_some()),
        ("--engine", spec.engine.is_some()),
        ("--suspend", spec.suspend.policy.is_some_and(suspends)),
        ("--checkpoint", command.suspension.checkpoint.is_some()),
        ("--slim", spec.suspend.slim),
        ("--sign-key", command.sealing.sign_key.is_some()),
        ("--encrypt-to", !command.sealing.encrypt_to.is_empty()),
        ("--verify-key", !command.opening.verify_key.is_empty()),
        ("--decrypt-key", !command.opening.decrypt_key.is_empty()),
        ("--module", command.module.is_some()),
        ("--output", command.output.is_some()),
        ("--accept-changed-files", spec.accept_changed_files),
    ];
    let given = given.into_iter().find(|(_, given)| *given);
    of_guest.next().or_else(|| given.map(|(flag, _)| flag))
}

pub(crate) fn resume(command: Resume) -> Result<Done, Failure> {
    #[cfg(feature = "server")]
    if let Some(ids) = tasks(&command)? {
        let (remote, limits) = (&command.remote, &command.limits);
        return super::daemon::tasks::resume(remote, &ids, &command.filter, limits);
    }
    let done = resume_file(command)?;
    session::tell_end(done);
    Ok(done)
}

/// The daemon's tasks that were given; `None` where a file was.
#[cfg(feature = "server")]
fn tasks(command: &Resume) -> Result<Option<Vec<String>>, Failure> {
    let mut ids = Vec::new();
    for given in &command.snapshots {
        match super::daemon::task_ref::parse(given, &command.remote)? {
            Some(id) => ids.push(id.to_string()),
            None if command.snapshots.len() > 1 => {
                let text = format!(
                    "{} is a file, and only a daemon's tasks can be resumed several at once ({})",
                    given.display(),
                    super::daemon::task_ref::RULE
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
    let spec = command.spec();
    let Some(snapshot) = command.snapshots.into_iter().next() else {
        return Err(Failure::new(USAGE, "give a snapshot to resume"));
    };
    let limits = spec.limits(&Limits::default());
    let keys = command.opening.load()?;
    // A file that needs no keys is not read into memory as a whole.
    let in_file = match keys.is_empty() {
        true => InFile::open(&snapshot, &limits)
            .map_err(|error| snapshot_file::unreadable(&snapshot, error))?,
        false => None,
    };
    let (opened, saved) = match &in_file {
        Some(found) => (Opened::default(), found.head.clone()),
        None => {
            let opened = snapshot_file::read(&snapshot, &keys, &limits)?;
            let saved = snapshot_file::decode(&snapshot, &opened, &limits)?;
            (opened, saved)
        }
    };
    let mut seal = command.sealing.load()?;
    if opened.encrypted {
        seal = seal.or_for(&keys);
    }
    tell_origin_and_signatures(&opened, &saved, &keys, &seal);
    let at_file = |error| snapshot_file::at(&snapshot, error);
    let runtime = Runtime::builder()
        .transform(command.suspension.transform)
        .limits(limits)
        .build()?;
    let bar = Bar::new(&snapshot.display().to_string());
    let program = match &command.module {
        Some(module) => runtime.load_beside(&module_file::read(module)?, &saved, &bar),
        None => runtime.load_snapshot(&saved),
    }
    .map_err(at_file)?;
    let grants = GuestGrants::open(spec.clone())?;
    let (_, bindings) = grants.bindings()?;
    let engine = engine(spec.engine)?;
    let mut pages: Box<dyn std::io::Read> = match &in_file {
        Some(found) => Box::new(
            found
                .pages()
                .map_err(|e| at_file(Unread::Pages(e).into()))?,
        ),
        None => Box::new(saved.pages.as_slice()),
    };
    let task = Task::builder(&runtime, &program)
        .engine(engine)
        .bindings(bindings)
        .restore_options((&spec).into())
        .progress(&bar)
        .resume_from(&saved, &mut pages)
        .map_err(at_file)?;
    drop(pages);
    let preparation = bar.finish();
    session::drive(Session {
        task,
        policy: spec.suspend.policy.unwrap_or_default(),
        checkpoint: command.suspension.checkpoint.map(|span| span.0),
        destination: Destination {
            path: command.output.unwrap_or(snapshot),
            slim: spec.suspend.slim,
            seal,
        },
        grants,
        preparation,
    })
}

/// Tells the user what may surprise about the resumed snapshot: that its signature was not
/// verified, that the next snapshot will not be signed, that a daemon may run the same task.
fn tell_origin_and_signatures(opened: &Opened, saved: &Snapshot, keys: &Unseal, next: &Seal) {
    if let Some(signer) = &opened.signer {
        if !keys.verifies() {
            say!("signed by {signer}, by its own word; --verify-key checks whose it is");
        }
        if !next.signs() {
            say!("the next snapshot will not be signed; --sign-key signs it");
        }
    }
    if let Some(origin) = &saved.meta.origin {
        say!("this is a copy of task {origin}, which may go on in its daemon as well");
    }
}
