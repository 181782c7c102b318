//! Tasks come into a daemon as snapshot files, and copies of tasks go out of it.

use crate::blobs::programs::blob;
use crate::bounds::check_bounds;
use crate::daemon::submit::{check_name, class_of};
use crate::daemon::{Daemon, blocking};
use crate::driver::Message;
use crate::driver::commands::Ask;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::spec::Access;
use crate::model::{TaskId, TaskSpec, TaskState, TaskTrace, TenantId, TraceContext, When};
use crate::spec::Submitted as _;
use crate::store::{Change, Insert, StoredSnapshot, Verdict};
use crate::stored::damaged::Stored;
use crate::stored::encoding::{to_bytes, to_named_bytes};
use crate::stored::status::Status;
use crate::task::{ModuleRef, Snapshot, SnapshotExt as _};
use crate::telemetry::Submission;

impl Daemon {
    /// A new task from a snapshot, which continues as soon as its wait is over.
    ///
    /// # Errors
    /// Says what is wrong with the snapshot.
    pub async fn import(&self, bytes: Vec<u8>, spec: TaskSpec) -> Result<TaskId, Error> {
        self.import_for(TenantId::DEFAULT, bytes, spec, None).await
    }

    /// The same for a tenant, whose quotas are not looked at here, and for a span of the submitter's.
    pub(crate) async fn import_for(
        &self,
        tenant: TenantId,
        bytes: Vec<u8>,
        mut spec: TaskSpec,
        trace: Option<TraceContext>,
    ) -> Result<TaskId, Error> {
        let name = spec.name.take();
        check_name(name.as_deref())?;
        check_of_snapshot(&spec)?;
        self.check_open()?;
        let (snapshot, module, frozen) = self.unpacked(bytes, &spec).await?;
        let time = &self.shared.time;
        let now = time.wall();
        name_program(&mut spec, &snapshot)?;
        self.fill_sizes(&mut spec);
        (spec.module, spec.schedule.at) = (None, None);
        show_read_only(&mut spec, &snapshot)?;
        let (shared, of) = (self.shared.clone(), spec.clone());
        let class = blocking(move || class_of(&shared, &of)).await?;
        let id = self.ids.reserve(1).await?.next().ok_or(Refused::Closing)?;
        let carried = snapshot.meta.trace.as_deref();
        let carried = carried.and_then(|text| text.parse::<TraceContext>().ok());
        let submission = self.traced_submission(tenant, trace, carried).await;
        let trace = submission.as_ref().map(Submission::context).or(trace);
        let ends = snapshot.ends(time.clone())?;
        let when = When {
            steady: ends.after.map(|after| time.now().saturating_add(after)),
            wall: ends.at,
        };
        let status = Status {
            submitted: now,
            changed: now,
            wait: Some(snapshot.meta.wait),
            wakes: when.steady,
            wall: when.wall,
            forked_from: snapshot.meta.origin,
            trace: trace.or(carried).map(TaskTrace::of),
            ..Status::default()
        };
        let due = status.when_or(time.now());
        let insert = Insert {
            id,
            state: TaskState::Hibernated,
            due,
            name: name.clone(),
            module: snapshot.meta.module,
            spec: to_named_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: Some(frozen),
            held: false,
            tenant,
            class,
        };
        let verdicts = self.commit(vec![module, Change::Insert(insert)]).await?;
        match verdicts.last() {
            Some(Verdict::Done) => {}
            _ => return Err(Refused::NameTaken(name.unwrap_or_default()).into()),
        }
        self.shared.owners.add(id, tenant);
        self.shared.metrics.add(TaskState::Hibernated, 1);
        self.shared.tell(id, Some(TaskState::Hibernated));
        let added = vec![(id, due)];
        if let Some(submission) = submission {
            submission.done(&added, name.as_deref());
        }
        self.send(Message::Added(added));
        Ok(id)
    }

    /// A snapshot file with what the store keeps of it: the module, and the task's state.
    async fn unpacked(
        &self,
        bytes: Vec<u8>,
        spec: &TaskSpec,
    ) -> Result<(Snapshot, Change, StoredSnapshot), Error> {
        let limits = spec.limits(&self.shared.options.limits);
        let (programs, bases) = (self.programs.clone(), self.bases.clone());
        let engine = spec.engine_or(self.shared.options.engine);
        blocking(move || {
            let mut snapshot = Snapshot::decode(&bytes, &limits)?;
            let program = programs.runtime().load_snapshot(&snapshot)?;
            let told = programs.told(&program.digest());
            program.compile(programs.runtime(), engine, &told)?;
            let program = programs.keep(program);
            snapshot.module = ModuleRef::ByDigest;
            let frozen = bases.pack_whole(program.digest(), &mut snapshot, None)?;
            Ok((snapshot, blob(&program), frozen))
        })
        .await
    }

    /// A task as a snapshot file that needs nothing else. The task itself continues; the file is a
    /// copy of it.
    ///
    /// # Errors
    /// If the task has not been asleep yet.
    pub async fn export(&self, id: TaskId) -> Result<Vec<u8>, Error> {
        self.ask(id, Ask::Checkpoint).await?;
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
            let trace = Stored::of(&row).status.trace;
            snapshot.meta.trace = trace.map(|trace| trace.origin.to_string());
            snapshot.encode()
        })
        .await
    }
}

/// Refuses what no task of a snapshot can be given, an instance for each request among it.
fn check_of_snapshot(spec: &TaskSpec) -> Result<(), Refused> {
    spec.check()?;
    let text = "a snapshot is one instance, and answers one request after another";
    match spec.network.per_request {
        true => Err(Refused::Request(text.into()).at("network.per_request")),
        false => Ok(()),
    }
}

/// A task whose arguments nobody says has those that it had.
fn name_program(spec: &mut TaskSpec, snapshot: &Snapshot) -> Result<(), Error> {
    if spec.program.is_none() && spec.args.is_empty() {
        let mut arguments = snapshot.arguments()?.into_iter();
        spec.program = arguments.next();
        spec.args = arguments.collect();
        check_bounds(spec)?;
    }
    Ok(())
}

/// A directory of which nothing is said stays read-only if it was, and the spec is to show that.
fn show_read_only(spec: &mut TaskSpec, snapshot: &Snapshot) -> Result<(), Error> {
    let read_only = snapshot.read_only()?;
    for mount in &mut spec.mounts {
        if mount.access == Access::Kept && read_only.contains(&mount.guest) {
            mount.access = Access::ReadOnly;
        }
    }
    Ok(())
}
