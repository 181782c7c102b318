//! `dormouse store`: checks, compacts and copies the store in a daemon's data directory, whether
//! the daemon runs or not.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::cli::args::daemon::{DataDir, Store, StoreCommand};
use crate::cli::data_dir::data_directory;
use crate::cli::exit::{DAEMON, Done, Failure, OK, WRITE};
use crate::cli::output::{self, format, out, say};
use crate::daemon::check_store;
use crate::error::Error;
use crate::store::Sqlite;

/// The files beside the store that make a copy the same daemon: its names and keys.
const IDENTITY_FILES: [&str; 4] = ["daemon-id", "token", "peer.pem", "peers.json"];

/// The data directory that is meant.
fn path(given: &DataDir) -> PathBuf {
    given.data.clone().unwrap_or_else(data_directory)
}

pub(super) fn store(command: &Store) -> Result<Done, Failure> {
    match &command.command {
        StoreCommand::Check(data) => check(&path(data)),
        StoreCommand::Compact(data) => compact(&path(data)),
        StoreCommand::Backup { data, to } => backup(&path(data), to),
    }
}

fn check(data: &Path) -> Result<Done, Failure> {
    let store = Arc::new(Sqlite::look(data).map_err(Error::from)?);
    let mut findings = store.check().map_err(Error::from)?;
    let tell = |finding: &str| {
        if !output::as_json() {
            out!("{finding}");
        }
    };
    findings.iter().for_each(|finding| tell(finding));
    let checked = check_store(store, &mut |finding| {
        tell(finding);
        findings.push(finding.into());
    });
    if output::as_json() {
        output::result(&json!({
            "tasks": checked.tasks,
            "snapshots": checked.snapshots,
            "modules": checked.modules,
            "findings": findings,
        }));
    }
    match findings.len() {
        0 if output::as_json() => OK,
        0 => {
            say!(
                "the store in {} is whole: {} tasks, {} snapshots, {} modules",
                data.display(),
                checked.tasks,
                checked.snapshots,
                checked.modules
            );
            OK
        }
        count => {
            let text = format!(
                "the store in {} is damaged in {count} places. Stop the daemon and restore a backup; or \
                 remove the tasks that are named, if it still starts",
                data.display()
            );
            Err(Failure::new(DAEMON, text))
        }
    }
}

fn compact(data: &Path) -> Result<Done, Failure> {
    let done = Sqlite::compact(data).map_err(Error::from)?;
    if output::as_json() {
        output::result(&json!({ "before": done.before, "after": done.after }));
        return OK;
    }
    say!(
        "the store in {} had {}, and has {} now",
        data.display(),
        format::bytes(done.before),
        format::bytes(done.after)
    );
    OK
}

fn backup(data: &Path, to: &Path) -> Result<Done, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            WRITE,
            format!("cannot write the backup {}: {error}", to.display()),
        )
    };
    let store = Sqlite::look(data).map_err(Error::from)?;
    let made = match fs::read_dir(to) {
        Ok(mut entries) => match entries.next() {
            Some(_) => {
                let full = io::Error::other("the directory is not empty; name a new one");
                return Err(failed(full));
            }
            None => false,
        },
        Err(_) => {
            let mut builder = DirBuilder::new();
            builder.mode(0o700).create(to).map_err(failed)?;
            true
        }
    };
    let copied = store
        .copy_to(to)
        .map_err(|error| Failure::from(Error::from(error)))
        .and_then(|()| copy_identity(data, to).map_err(failed));
    if let Err(failure) = copied {
        for name in IDENTITY_FILES {
            // Files that were not copied are not there.
            let _ = fs::remove_file(to.join(name));
        }
        if made {
            // It is empty where the store could not be copied; otherwise it stays, with what is in
            // it.
            let _ = fs::remove_dir(to);
        }
        return Err(failure);
    }
    if output::as_json() {
        output::result(&json!({ "backup": to.to_string_lossy() }));
        return OK;
    }
    say!(
        "a copy of {} is in {}; `dormouse serve --data` takes it. It holds the token and the guests' memory",
        data.display(),
        to.display()
    );
    OK
}

/// Copies [`IDENTITY_FILES`], and flushes each to the disk.
fn copy_identity(data: &Path, to: &Path) -> io::Result<()> {
    for name in IDENTITY_FILES {
        let bytes = match fs::read(data.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to.join(name))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
    }
    File::open(to)?.sync_all()
}
