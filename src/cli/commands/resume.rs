//! `dormouse resume`: of a snapshot file in this process, or of a daemon's tasks.

#[cfg(feature = "server")]
use clap::Arg;

use crate::cli::args::Resume;
#[cfg(feature = "server")]
use crate::cli::args::daemon::{Filter, Remote};
#[cfg(feature = "server")]
use crate::cli::args::given::flags_of;
#[cfg(feature = "server")]
use crate::cli::args::limits::LimitFlags;
use crate::cli::exit::{Done, Failure, USAGE};
use crate::cli::guest::grants::GuestGrants;
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

/// A flag that was given and has no meaning for a daemon's task: any but those that say which
/// tasks, and those that give them more.
#[cfg(feature = "server")]
fn only_for_files(command: &Resume) -> Option<String> {
    let for_tasks = [
        flags_of::<Remote>(),
        flags_of::<Filter>(),
        flags_of::<LimitFlags>(),
    ]
    .concat();
    let is_for_tasks = |flag: &Arg| {
        for_tasks
            .iter()
            .any(|known| known.get_id() == flag.get_id())
    };
    // That is what a daemon does with the policy: nothing.
    let waits = command.suspension.suspend == Some(Policy::Never);
    let allowed = |flag: &Arg| is_for_tasks(flag) || (waits && flag.get_id() == "suspend");
    let mut flags = flags_of::<Resume>().into_iter();
    let found = flags.find(|flag| command.given.has(flag) && !allowed(flag))?;
    found.get_long().map(|name| format!("--{name}"))
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
        .transform(command.suspension.transform.name)
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

#[cfg(test)]
#[cfg(feature = "server")]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    fn refused(words: &[&str]) -> Option<String> {
        let words = ["dormouse", "resume"].iter().chain(words).chain(&["7"]);
        match Args::try_parse_from(words).expect("flags").command {
            Command::Resume(resume) => only_for_files(&resume),
            other => panic!("{other:?}"),
        }
    }

    /// `--transform` was taken for a daemon's task, and did nothing.
    #[test]
    fn every_flag_of_a_snapshot_file_is_refused_for_a_task() {
        let values = [
            ("--tcplisten", "127.0.0.1:0"),
            ("--http", "127.0.0.1:0"),
            ("--allow-connect", "*:53"),
            ("--allow-listen", "*:53"),
            ("--clocks", "virtual"),
            ("--random", "seed=7"),
            ("--engine", "wasmtime"),
            ("--suspend", "always"),
            ("--checkpoint", "5s"),
            ("--transform", "plain"),
        ];
        let for_tasks = [
            "--url",
            "--tls-ca",
            "--tenant",
            "--limit",
            "--on-limit",
            "--state",
            "--name",
        ];
        let mut tried = 0;
        for flag in flags_of::<Resume>() {
            let name = format!("--{}", flag.get_long().expect("a flag"));
            if for_tasks.contains(&name.as_str()) {
                continue;
            }
            let value = values.iter().find(|(known, _)| *known == name);
            let value = value.map_or("/x", |(_, value)| value);
            let words = match flag.get_action().takes_values() {
                true => vec![name.as_str(), value],
                // It needs the other one.
                false if name == "--require-signature" => vec![&name, "--verify-key", "/x"],
                false => vec![name.as_str()],
            };
            let found = refused(&words);
            let is_named = found.as_deref().is_some_and(|flag| words.contains(&flag));
            assert!(is_named, "{words:?}: {found:?}");
            tried += 1;
        }
        assert!(tried > 15, "{tried}");
        assert_eq!(refused(&["--limit=cpu=5s", "--on-limit=end"]), None);
        assert_eq!(refused(&["--suspend=never", "--url=http://x"]), None);
    }
}
