//! Modules and tasks come into a daemon, and copies of tasks out of it.

use std::sync::atomic::Ordering;

use crate::blobs::programs::{blob, told};
use crate::daemon::options::Submission;
use crate::daemon::{Daemon, blocking};
use crate::driver::Message;
use crate::driver::commands::Ask;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::{Digest, Limit, TaskId, TaskState, Timestamp, When};
use crate::spec::Spec;
use crate::store::{Change, Insert, Verdict};
use crate::stored::damaged::Stored;
use crate::stored::encoding::to_bytes;
use crate::stored::status::Status;
use crate::task::{ModuleRef, Snapshot, SnapshotExt as _};
use crate::time::calendar;

/// At most so many new tasks are on their way to the disk; more wait.
pub(super) const MOST_SUBMITTING: usize = 16_384;

impl Daemon {
    /// Makes a module resumable, compiles it and keeps it; returns the digest by which tasks name
    /// it.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub async fn add_module(&self, source: Vec<u8>) -> Result<Digest, Error> {
        self.add_module_as(source, false).await
    }

    /// Like [`add_module`](Self::add_module). With `preempt`, tasks that run the module can be
    /// suspended while they compute: their turns are short while others wait, and they are stored
    /// as often as others.
    ///
    /// # Errors
    /// Says why the module cannot be made resumable.
    pub async fn add_module_as(&self, source: Vec<u8>, preempt: bool) -> Result<Digest, Error> {
        let (programs, engine) = (self.programs.clone(), self.shared.options.engine);
        let (program, change) = blocking(move || programs.add(&source, preempt, engine)).await?;
        self.commit(vec![change]).await?;
        Ok(program.digest())
    }

    /// Finds a module that is here already, by the digest of its source or of its resumable form;
    /// returns the digest by which tasks name it.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn find_module(&self, digest: Digest, preempt: bool) -> Result<Digest, Error> {
        let (programs, engine) = (self.programs.clone(), self.shared.options.engine);
        let find = move || {
            let found = programs.find(&digest, preempt, engine)?;
            Ok((found.is_none() && programs.check(&digest).is_ok(), found))
        };
        match blocking(find).await? {
            (_, Some((program, change))) => {
                self.commit(vec![change]).await?;
                Ok(program.digest())
            }
            (true, None) => Ok(digest),
            (false, None) => Err(Refused::Unknown(digest).into()),
        }
    }

    /// Submits tasks. When this returns, they are stored. Returns for each its number, or why it
    /// was refused.
    ///
    /// # Errors
    /// Where none could be stored.
    pub async fn submit(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<TaskId, Error>>, Error> {
        self.check_open()?;
        let wanted = u32::try_from(submissions.len().min(MOST_SUBMITTING)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _permit = self.submitting.acquire_many(wanted).await;
        let mut inserts = Vec::with_capacity(submissions.len());
        let mut results: Vec<Result<TaskId, Error>> = Vec::with_capacity(submissions.len());
        let mut checked: Option<Digest> = None;
        for submission in submissions {
            let insert = self.plan(submission, &mut checked);
            match insert {
                Ok(insert) => {
                    results.push(Ok(insert.id));
                    inserts.push(insert);
                }
                Err(error) => results.push(Err(error)),
            }
        }
        let (names, dues): (Vec<_>, Vec<_>) = inserts
            .iter()
            .map(|insert| ((insert.id, insert.name.clone()), (insert.id, insert.due)))
            .unzip();
        let changes = inserts.into_iter().map(Change::Insert).collect();
        let verdicts = self.commit(changes).await?;
        let mut added = Vec::with_capacity(dues.len());
        for (((id, name), due), verdict) in names.into_iter().zip(dues).zip(verdicts) {
            let refused = match verdict {
                Verdict::Done => {
                    added.push(due);
                    self.shared.metrics.add(TaskState::Hibernated, 1);
                    self.shared.tell(id, Some(TaskState::Hibernated));
                    continue;
                }
                Verdict::NameTaken => Refused::NameTaken(name.unwrap_or_default()),
                Verdict::Conflict => Refused::NoModule("that the task names".into()),
            };
            for result in &mut results {
                if matches!(result, Ok(found) if *found == id) {
                    *result = Err(refused.into());
                    break;
                }
            }
        }
        self.shared.metrics.submitted.inc_by(added.len() as u64);
        self.send(Message::Added(added));
        Ok(results)
    }

    /// Refuses new tasks while the daemon is being drained.
    fn check_open(&self) -> Result<(), Refused> {
        match self.moving.is_draining() {
            true => Err(Refused::Draining),
            false => Ok(()),
        }
    }

    fn plan(&self, submission: Submission, checked: &mut Option<Digest>) -> Result<Insert, Error> {
        let Submission {
            module,
            spec,
            name,
            at,
        } = submission;
        let no_module = || Refused::Request("the task names no module".into()).at("module");
        let module = module.ok_or_else(no_module)?;
        if *checked != Some(module) {
            self.programs.check(&module)?;
            *checked = Some(module);
        }
        let due = self.check_fields(&spec, name.as_deref(), at)?;
        let now = self.shared.time.wall();
        let status = Status {
            submitted: now,
            changed: now,
            wall: due.wall.filter(|at| *at > now),
            begins: at.filter(|at| spec.every.is_some() && *at > now),
            ..Status::default()
        };
        Ok(Insert {
            id: TaskId(self.next.fetch_add(1, Ordering::Relaxed)),
            state: TaskState::Hibernated,
            due,
            name,
            module,
            spec: to_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: None,
        })
    }

    /// Refuses what no task can be given, whatever its module is; returns when the task would be
    /// due.
    fn check_fields(
        &self,
        spec: &Spec,
        name: Option<&str>,
        at: Option<Timestamp>,
    ) -> Result<When, Refused> {
        check_name(name)?;
        spec.check()?;
        let engine = spec.engine(self.shared.options.engine)?;
        let limits = spec.limits(&self.shared.options.limits);
        let most = limits.value(Limit::Tmpfs);
        if let Some(place) = spec.tmpfs.iter().position(|(_, size)| *size > most) {
            let reached = limits.reached(Limit::Tmpfs).with(spec.tmpfs[place].1);
            return Err(Refused::Request(reached.to_string()).at(format!("tmpfs[{place}].size")));
        }
        if !engine.is_available() {
            let text = format!("this daemon was built without {engine}");
            return Err(Refused::Request(text).at("engine"));
        }
        let time = &self.shared.time;
        match (&spec.every, at) {
            (Some(every), at) => {
                let after = at.unwrap_or(time.wall());
                let first = calendar::next_occurrence(every, after).map_err(|e| e.at("every"))?;
                let never = || Refused::Request(format!("{every:?} never holds")).at("every");
                Ok(When::wall(first.ok_or_else(never)?))
            }
            (None, Some(at)) => Ok(When::wall(at)),
            (None, None) => Ok(When::steady(time.now())),
        }
    }

    /// Refuses what [`submit`](Self::submit) would refuse, without looking at the module, and
    /// submits nothing.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub async fn check(&self, submission: &Submission) -> Result<(), Error> {
        let Submission { spec, name, at, .. } = submission;
        self.check_open()?;
        self.check_fields(spec, name.as_deref(), *at)?;
        match name {
            Some(name) if self.find(name).await.is_ok() => {
                Err(Refused::NameTaken(name.clone()).into())
            }
            _ => Ok(()),
        }
    }

    /// A new task from a snapshot, which goes on as soon as its wait is over.
    ///
    /// # Errors
    /// Says what is wrong with the snapshot.
    pub async fn import(
        &self,
        bytes: Vec<u8>,
        mut spec: Spec,
        name: Option<String>,
    ) -> Result<TaskId, Error> {
        check_name(name.as_deref())?;
        spec.check()?;
        self.check_open()?;
        let limits = spec.limits(&self.shared.options.limits);
        let (programs, bases, engine) = (
            self.programs.clone(),
            self.bases.clone(),
            spec.engine(self.shared.options.engine)?,
        );
        let work = move || {
            let mut snapshot = Snapshot::decode(&bytes, &limits)?;
            let program = programs.runtime().load_snapshot(&snapshot)?;
            program.compile(programs.runtime(), engine, &told(&program.digest()))?;
            let program = programs.keep(program);
            snapshot.module = ModuleRef::ByDigest;
            let frozen = bases.pack_whole(program.digest(), &mut snapshot, None)?;
            Ok::<_, Error>((snapshot, blob(&program), frozen))
        };
        let (snapshot, module, frozen) = blocking(work).await?;
        let time = &self.shared.time;
        let now = time.wall();
        if spec.args.is_empty() {
            spec.args = snapshot.arguments()?;
            spec.check_bounds()?;
        }
        // A directory of which nothing is said stays read-only if it was, and the spec is to show
        // that.
        let kept = snapshot.read_only()?.into_iter().filter(|guest| {
            let mut said = spec.world.read_only.iter();
            spec.dirs.iter().any(|(_, name)| name == guest) && !said.any(|(name, _)| name == guest)
        });
        let kept: Vec<(String, bool)> = kept.map(|guest| (guest, true)).collect();
        spec.world.read_only.extend(kept);
        let id = TaskId(self.next.fetch_add(1, Ordering::Relaxed));
        let ends = snapshot.ends(time.clone())?;
        let when = When {
            steady: ends.after.map(|after| time.now().saturating_add(after)),
            wall: ends.at.map(Timestamp::from_nanos),
        };
        let status = Status {
            submitted: now,
            changed: now,
            wait: Some(snapshot.meta.wait),
            wakes: when.steady,
            wall: when.wall,
            forked_from: snapshot.meta.origin,
            ..Status::default()
        };
        let due = status.when_or(time.now());
        let insert = Insert {
            id,
            state: TaskState::Hibernated,
            due,
            name: name.clone(),
            module: snapshot.meta.module,
            spec: to_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: Some(frozen),
        };
        let verdicts = self.commit(vec![module, Change::Insert(insert)]).await?;
        match verdicts.last() {
            Some(Verdict::Done) => {}
            _ => return Err(Refused::NameTaken(name.unwrap_or_default()).into()),
        }
        self.shared.metrics.add(TaskState::Hibernated, 1);
        self.shared.tell(id, Some(TaskState::Hibernated));
        self.send(Message::Added(vec![(id, due)]));
        Ok(id)
    }

    /// A task as a snapshot file that needs nothing else. The task itself goes on; the file is a
    /// copy of it.
    ///
    /// # Errors
    /// Where the task has not been asleep yet.
    pub async fn export(&self, id: TaskId) -> Result<Vec<u8>, Error> {
        self.ask(id, Ask::Settle).await?;
        let (shared, programs, bases) = (
            self.shared.clone(),
            self.programs.clone(),
            self.bases.clone(),
        );
        blocking(move || {
            let found = shared.store.load(id)?;
            let (row, frozen) = found.ok_or_else(|| Refused::NoTask(id.to_string()))?;
            let frozen = frozen.ok_or(Refused::NoSnapshot(id))?;
            let mut snapshot = bases.whole(&frozen)?;
            // Of a damaged task it may not be known which module it runs.
            let damaged = |error| Stored::of(&row).damage.map_or(error, Error::from);
            snapshot.module = programs.get(&row.module).map_err(damaged)?.embedded();
            let daemon = &shared.options.identity;
            snapshot.meta.origin = Some(format!("{daemon}/{id}@{}", row.version));
            snapshot.encode()
        })
        .await
    }
}

/// Refuses a text that cannot be a task's name.
pub(crate) fn check_name(name: Option<&str>) -> Result<(), Refused> {
    let checked = name.map_or(Ok(()), crate::model::check_name);
    checked.map_err(|error| Refused::Request(error).at("name"))
}
