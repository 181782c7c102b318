//! Which tasks were being run when the daemon died, and in how many deaths in a row.
//!
//! While a worker has a task, the task's ID stands in a file. It is written without a flush,
//! because it has to outlive the process only, not the machine: a wake-up costs one system call,
//! and nothing waits for a disk. The next daemon reads from the file what the last one was running.
//! A task that was being run in so many deaths in a row (`--set-aside-after`), without being stored
//! in between, is paused, so that the daemon can start. A task that was stored in between is paused
//! after four times as many deaths.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::journal::tenure::Tenure;
use crate::model::error::Error;
use crate::model::{TaskId, TaskState, When};
use crate::store::{Change, Store, Update};
use crate::stored::damaged::Stored;
use crate::stored::encoding::to_bytes;
use crate::time::clocks::Time;

/// A task that was stored between the deaths is paused only after this many times as many.
const MORE_DEATHS_WITH_PROGRESS: u32 = 4;

/// The file has places for this many numbers. A task that finds no free place is not noted.
const PLACES_IN_FILE: usize = 4096;

/// In how many deaths in a row a task was being run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Deaths {
    /// Since it was last stored.
    same: u32,
    all: u32,
    /// The task's version at the last of them.
    version: u64,
}

impl Deaths {
    /// Counts one more death, at which the task had this version.
    fn add(&mut self, version: u64) {
        self.same = match self.version == version {
            true => self.same.saturating_add(1),
            false => 1,
        };
        self.all = self.all.saturating_add(1);
        self.version = version;
    }
}

/// What the last daemon was running, with what is known of deaths before that.
#[derive(Default)]
pub(crate) struct Found(BTreeMap<TaskId, Deaths>);

/// The marks of one daemon.
#[derive(Default)]
pub(crate) struct CrashMarks {
    file: Option<File>,
    /// The file with the numbers of deaths.
    counts: Option<PathBuf>,
    /// Places of the file that are free.
    free: Mutex<Vec<usize>>,
    /// The daemon ends regularly, whatever still runs.
    ended: AtomicBool,
}

impl CrashMarks {
    /// Opens the file, and reads what the last daemon left in it. Without a path nothing is noted.
    pub(crate) fn open(path: Option<PathBuf>) -> (Self, Found) {
        let Some(path) = path else {
            return Default::default();
        };
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .and_then(|file| {
                let mut bytes = vec![0; 8 * PLACES_IN_FILE];
                let mut read = 0;
                while let more @ 1.. = file.read_at(&mut bytes[read..], read as u64)? {
                    read += more;
                }
                file.write_all_at(&vec![0; 8 * PLACES_IN_FILE], 0)?;
                Ok((file, bytes))
            });
        let (file, bytes) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                log::warn!(
                    "{}: {error}; a task that makes the daemon die will not be noticed",
                    path.display()
                );
                return Default::default();
            }
        };
        let counts = path.with_extension("counts");
        let text = fs::read_to_string(&counts).unwrap_or_default();
        let before: BTreeMap<TaskId, Deaths> = text
            .lines()
            .filter_map(|line| {
                let numbers = line.split(' ').map(str::parse::<u64>);
                let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
                let &[id, same, all, version] = numbers.as_slice() else {
                    return None;
                };
                let deaths = Deaths {
                    same: u32::try_from(same).ok()?,
                    all: u32::try_from(all).ok()?,
                    version,
                };
                Some((TaskId(id), deaths))
            })
            .collect();
        let ids = bytes.chunks_exact(8).filter_map(|chunk| {
            let id = u64::from_le_bytes(chunk.try_into().ok()?);
            (id > 0).then_some(TaskId(id))
        });
        // A task that is not in the file was not being run this time, which ends its row of deaths.
        let now = ids.map(|id| (id, before.get(&id).copied().unwrap_or_default()));
        let found = Found(now.collect());
        let marks = Self {
            file: Some(file),
            counts: Some(counts),
            free: Mutex::new((0..PLACES_IN_FILE).rev().collect()),
            ended: AtomicBool::new(false),
        };
        (marks, found)
    }

    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock()
    }

    /// Notes that a worker has the task, until the mark is dropped.
    pub(crate) fn mark(&self, id: TaskId) -> CrashMark<'_> {
        let index = self.file.as_ref().and_then(|_| self.free().pop());
        let mark = CrashMark { marks: self, index };
        mark.write(id.0);
        mark
    }

    /// The daemon ends regularly: tasks that are still being run are not to blame.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(file) = &self.file {
            // If this fails, one death too many is counted.
            let _ = file.write_all_at(&vec![0; 8 * PLACES_IN_FILE], 0);
        }
        self.note(&Found::default());
    }

    /// The daemon has been running for long: earlier deaths do not count any longer.
    pub(crate) fn forget(&self) {
        self.note(&Found::default());
    }

    /// Remembers how often the daemon has died with each task.
    fn note(&self, Found(found): &Found) {
        let Some(path) = &self.counts else { return };
        let written = match found.is_empty() {
            true => match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            false => {
                let lines = found.iter().map(|(id, deaths)| {
                    let Deaths { same, all, version } = deaths;
                    format!("{id} {same} {all} {version}\n")
                });
                fs::write(path, lines.collect::<String>())
            }
        };
        if let Err(error) = written {
            log::warn!("{}: {error}", path.display());
        }
    }

    /// Pauses the tasks with which the daemon has died too often, and remembers the others.
    pub(crate) fn set_aside(
        &self,
        store: &dyn Store,
        tenure: &Tenure,
        time: &Time,
        most: u32,
        mut found: Found,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        let mut aside = Vec::new();
        for (id, deaths) in &mut found.0 {
            let Some(row) = store.task(*id)? else {
                continue;
            };
            deaths.add(row.version);
            let count = deaths.all;
            log::warn!("the daemon died while it ran task {id}, {count} times in a row");
            if most == 0
                || (deaths.same < most && count < most.saturating_mul(MORE_DEATHS_WITH_PROGRESS))
            {
                continue;
            }
            aside.push(*id);
            let stored = Stored::of(&row);
            // A damaged task is not run anyway.
            if row.state != TaskState::Hibernated || stored.damage.is_some() {
                continue;
            }
            let mut status = stored.status;
            status.changed = time.wall();
            status.keep_due(row.due);
            status.error = Some(format!(
                "the daemon died {count} times in a row while it ran this task, and goes on without it; look at the \
                 task's memory and at the daemon's log, then `dormouse resume {id}` tries it again, and `dormouse rm \
                 {id}` removes it"
            ));
            changes.push(Change::Update(Update::of(
                &row,
                TaskState::Paused,
                When::NEVER,
                to_bytes(&status)?,
            )));
        }
        if !changes.is_empty() {
            let now = time.stamp();
            let stored = tenure.lease(&now);
            match stored.and_then(|lease| store.commit(&lease, &now, &changes)) {
                Ok(_) => {}
                // The daemon starts on a full disk too. The tasks are paused at its next start.
                Err(error) if error.passes() => {
                    log::warn!("tasks cannot be set aside for now: {error}");
                    aside.clear();
                }
                Err(error) => return Err(error.into()),
            }
        }
        found.0.retain(|id, _| !aside.contains(id));
        self.note(&found);
        Ok(())
    }
}

/// The mark of a task that a worker has.
pub(crate) struct CrashMark<'a> {
    marks: &'a CrashMarks,
    index: Option<usize>,
}

impl CrashMark<'_> {
    fn write(&self, number: u64) {
        if let (Some(index), Some(file)) = (self.index, &self.marks.file)
            && !self.marks.ended.load(Ordering::SeqCst)
        {
            // The place exists already, so that a full disk cannot make this fail.
            let _ = file.write_all_at(&number.to_le_bytes(), 8 * index as u64);
        }
    }
}

impl Drop for CrashMark<'_> {
    fn drop(&mut self) {
        self.write(0);
        if let Some(index) = self.index {
            self.marks.free().push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_are_counted_and_others_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = || Some(folder.path().join("running"));
        // Each has version 7, but for the first, which has another each time.
        let mut version = 100;
        let mut count = |ids: &[u64]| {
            let (marks, mut found) = CrashMarks::open(path());
            for (id, deaths) in &mut found.0 {
                version += 1;
                deaths.add(if id.0 == 1 { version } else { 7 });
            }
            marks.note(&found);
            for id in ids {
                // As if the process died.
                std::mem::forget(marks.mark(TaskId(*id)));
            }
            drop(marks.mark(TaskId(99)));
            let counts = found.0.iter();
            counts
                .map(|(id, deaths)| (id.0, deaths.same, deaths.all))
                .collect::<Vec<_>>()
        };
        assert_eq!(count(&[1, 2]), []);
        assert_eq!(count(&[1, 2, 3]), [(1, 1, 1), (2, 1, 1)]);
        assert_eq!(count(&[1, 2]), [(1, 1, 2), (2, 2, 2), (3, 1, 1)]);
        assert_eq!(count(&[1, 3]), [(1, 1, 3), (2, 3, 3)]);
        // Who was not there begins anew.
        assert_eq!(count(&[2]), [(1, 1, 4), (3, 1, 1)]);
        assert_eq!(count(&[1]), [(2, 1, 1)]);
        let (marks, _) = CrashMarks::open(path());
        let mark = marks.mark(TaskId(1));
        marks.end();
        drop(mark);
        assert_eq!(count(&[]), []);
        assert!(CrashMarks::open(None).1.0.is_empty());
    }
}
