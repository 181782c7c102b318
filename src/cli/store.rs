//! `dormouse store`: looks after the store in a daemon's data directory, whether the daemon runs or not.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::client::data_directory;
use super::exit::{DAEMON, Done, Failure, WRITE};
use super::text::{self, out, say};
use crate::error::Error;
use crate::scheduler::check_store;
use crate::store::Sqlite;

/// What a daemon has in its data directory beside the store, and needs to be the same daemon.
const OTHERS: [&str; 4] = ["daemon-id", "token", "peer.pem", "peers.json"];

#[derive(Debug, clap::Args)]
pub(super) struct Store {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Look whether everything in the store is whole, and say what is not. Changes nothing.
    Check(Place),
    /// Give room that is not used back to the disk.
    Compact(Place),
    /// Write a copy of the data directory that `dormouse serve --data` takes.
    Backup {
        #[command(flatten)]
        place: Place,
        /// A directory to make for the copy, or one that is empty.
        to: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The daemon's data directory. If left out, `dormouse` in the user's data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(data_directory)
    }
}

pub(super) fn store(command: &Store) -> Result<Done, Failure> {
    match &command.command {
        StoreCommand::Check(place) => check(&place.path()),
        StoreCommand::Compact(place) => compact(&place.path()),
        StoreCommand::Backup { place, to } => backup(&place.path(), to),
    }
}

fn check(data: &Path) -> Result<Done, Failure> {
    let store = Sqlite::look(data).map_err(Error::from)?;
    let mut findings = store.check().map_err(Error::from)?;
    let tell = |finding: &str| {
        if !text::as_json() {
            out!("{finding}");
        }
    };
    findings.iter().for_each(|finding| tell(finding));
    let checked = check_store(&store, &mut |finding| {
        tell(finding);
        findings.push(finding.into());
    });
    if text::as_json() {
        text::result(&json!({
            "tasks": checked.tasks,
            "snapshots": checked.snapshots,
            "modules": checked.modules,
            "findings": findings,
        }));
    }
    match findings.len() {
        0 if text::as_json() => Ok(Done::Guest(0)),
        0 => {
            say!(
                "the store in {} is whole: {} tasks, {} snapshots, {} modules",
                data.display(),
                checked.tasks,
                checked.snapshots,
                checked.modules
            );
            Ok(Done::Guest(0))
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
    if text::as_json() {
        text::result(&json!({ "before": done.before, "after": done.after }));
        return Ok(Done::Guest(0));
    }
    say!(
        "the store in {} had {}, and has {} now",
        data.display(),
        text::bytes(done.before),
        text::bytes(done.after)
    );
    Ok(Done::Guest(0))
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
        .and_then(|()| others(data, to).map_err(failed));
    if let Err(failure) = copied {
        for name in OTHERS {
            // Of those that were not copied there is none.
            let _ = fs::remove_file(to.join(name));
        }
        if made {
            // It is empty where the store's copy failed, and else says that something is there.
            let _ = fs::remove_dir(to);
        }
        return Err(failure);
    }
    if text::as_json() {
        text::result(&json!({ "backup": to.to_string_lossy() }));
        return Ok(Done::Guest(0));
    }
    say!(
        "a copy of {} is in {}; `dormouse serve --data` takes it. It holds the token and the guests' memory",
        data.display(),
        to.display()
    );
    Ok(Done::Guest(0))
}

/// Copies the small files, each to the disk.
fn others(data: &Path, to: &Path) -> io::Result<()> {
    for name in OTHERS {
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
