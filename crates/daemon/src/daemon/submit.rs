//! Modules and tasks come into a daemon.

use crate::blobs::programs::Programs;
use crate::daemon::{Daemon, blocking};
use crate::driver::Message;
use crate::driver::state::DaemonState;
use crate::error::Error as Refused;
use crate::model::error::Error;
use crate::model::spec::{ByteSize, Module};
use crate::model::{
    Digest, Limit, TaskId, TaskSpec, TaskState, TaskTrace, TenantId, TraceContext, When,
};
use crate::nodes::ids::Reserved;
use crate::nodes::needs::Needs;
use crate::options::Options;
use crate::spec::Submitted as _;
use crate::store::{Change, ClassId, Insert, Verdict};
use crate::stored::encoding::{to_bytes, to_named_bytes};
use crate::stored::status::Status;
use crate::task::UnderWay;
use crate::telemetry::Submission;
use crate::time::calendar;

/// At most this many new tasks are on their way to the disk; more wait.
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
    /// If there is none.
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

    /// Modules that are being made ready now, by the digests under which that was asked for: of the
    /// source that was uploaded, or of the resumable module.
    pub fn preparations(&self) -> Vec<(Digest, UnderWay)> {
        self.shared.preparations.all()
    }

    /// Submits tasks. When this returns, they are stored. Returns for each its ID, or why it
    /// was refused.
    ///
    /// # Errors
    /// If none could be stored.
    pub async fn submit(&self, specs: Vec<TaskSpec>) -> Result<Vec<Result<TaskId, Error>>, Error> {
        self.submit_for(TenantId::DEFAULT, specs, None).await
    }

    /// The same for a tenant, whose quotas are not looked at here, and for a span of the submitter's.
    pub(crate) async fn submit_for(
        &self,
        tenant: TenantId,
        specs: Vec<TaskSpec>,
        trace: Option<TraceContext>,
    ) -> Result<Vec<Result<TaskId, Error>>, Error> {
        self.check_open()?;
        let submission = self.traced_submission(tenant, trace, None).await;
        let trace = submission.as_ref().map(Submission::context).or(trace);
        let single = specs.first().filter(|_| specs.len() == 1);
        let single_name = single.and_then(|spec| spec.name.clone());
        let wanted = u32::try_from(specs.len().min(MOST_SUBMITTING)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _permit = self.submitting.acquire_many(wanted).await;
        let mut inserts = Vec::with_capacity(specs.len());
        let mut results: Vec<Result<TaskId, Error>> = Vec::with_capacity(specs.len());
        let mut ids = self.ids.reserve(specs.len()).await?;
        let specs = self.with_modules(specs).await?;
        for (spec, class) in specs {
            let insert = self.plan(tenant, spec, &mut ids, trace);
            let insert = insert.and_then(|insert| {
                let class = class?;
                Ok(Insert { class, ..insert })
            });
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
                    self.shared.owners.add(id, tenant);
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
        if let Some(submission) = submission {
            submission.done(&added, single_name.as_deref());
        }
        self.send(Message::Added(added));
        Ok(results)
    }

    /// Refuses new tasks while the daemon is being drained.
    pub(super) fn check_open(&self) -> Result<(), Refused> {
        match self.moving.is_draining() {
            true => Err(Refused::Draining),
            false => Ok(()),
        }
    }

    /// Each spec, with the class of its task, or with what is against its module.
    async fn with_modules(
        &self,
        specs: Vec<TaskSpec>,
    ) -> Result<Vec<(TaskSpec, Result<ClassId, Error>)>, Error> {
        let (programs, shared) = (self.programs.clone(), self.shared.clone());
        blocking(move || {
            // Tasks of a batch have mostly the same one.
            let mut passed: Option<(Digest, bool)> = None;
            let mut check = |spec: &TaskSpec| {
                let checked = (module_of(spec)?, spec.network.http.is_some());
                if passed != Some(checked) {
                    check_module(&programs, checked)?;
                    passed = Some(checked);
                }
                Ok(())
            };
            let specs = specs.into_iter().map(|spec| {
                let class = check(&spec).and_then(|()| class_of(&shared, &spec));
                (spec, class)
            });
            Ok(specs.collect())
        })
        .await
    }

    fn plan(
        &self,
        tenant: TenantId,
        mut spec: TaskSpec,
        ids: &mut Reserved,
        trace: Option<TraceContext>,
    ) -> Result<Insert, Error> {
        let module = module_of(&spec)?;
        let due = self.check_fields(&spec)?;
        let now = self.shared.time.wall();
        let at = spec.schedule.at.map(|at| at.resolve(now));
        let status = Status {
            submitted: now,
            changed: now,
            wall: due.wall.filter(|at| *at > now),
            begins: at.filter(|at| spec.schedule.every.is_some() && *at > now),
            trace: trace.map(TaskTrace::of),
            ..Status::default()
        };
        self.fill_sizes(&mut spec);
        let name = spec.name.take();
        // They have places of their own.
        (spec.module, spec.schedule.at) = (None, None);
        Ok(Insert {
            id: ids.next().ok_or(Refused::Closing)?,
            state: TaskState::Hibernated,
            due,
            name,
            module,
            spec: to_named_bytes(&spec)?,
            status: to_bytes(&status)?,
            snapshot: None,
            held: false,
            tenant,
            class: ClassId::ANY,
        })
    }

    /// A directory in memory has the size that is said here, wherever the task goes.
    pub(super) fn fill_sizes(&self, spec: &mut TaskSpec) {
        let limits = spec.limits(&self.shared.options.limits);
        for dir in &mut spec.tmpfs {
            dir.size.get_or_insert(ByteSize(limits.value(Limit::Tmpfs)));
        }
    }

    /// Refuses what no task can be given, whatever its module is; returns when the task would be
    /// due.
    fn check_fields(&self, spec: &TaskSpec) -> Result<When, Refused> {
        check_name(spec.name.as_deref())?;
        spec.check()?;
        let engine = spec.engine_or(self.shared.options.engine);
        let limits = spec.limits(&self.shared.options.limits);
        let most = limits.value(Limit::Tmpfs);
        for (index, dir) in spec.tmpfs.iter().enumerate() {
            if let Some(size) = dir.size.filter(|size| size.0 > most) {
                let reached = limits.reached(Limit::Tmpfs).with(size.0).to_string();
                return Err(Refused::Request(reached).at(format!("tmpfs[{index}].size")));
            }
        }
        let elsewhere = self.is_node() && spec.engine.is_some();
        if !engine.is_available() && !elsewhere {
            let text = format!("this daemon was built without {engine}");
            return Err(Refused::Request(text).at("engine"));
        }
        let time = &self.shared.time;
        let at = spec.schedule.at.map(|at| at.resolve(time.wall()));
        match (&spec.schedule.every, at) {
            (Some(every), at) => {
                let field = "schedule.every";
                let after = at.unwrap_or(time.wall());
                let first = calendar::next_occurrence(every, after);
                let never = || {
                    let every = every.as_str();
                    Refused::Request(format!("{every:?} never holds")).at(field)
                };
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
    pub async fn check(&self, spec: &TaskSpec) -> Result<(), Error> {
        self.check_for(TenantId::DEFAULT, spec).await
    }

    /// The same for a tenant.
    pub(crate) async fn check_for(&self, tenant: TenantId, spec: &TaskSpec) -> Result<(), Error> {
        self.check_open()?;
        self.check_fields(spec)?;
        if !self.is_node() {
            check_place(&self.shared.options, spec)?;
        }
        match &spec.name {
            Some(name) if self.find_for(tenant, name).await.is_ok() => {
                Err(Refused::NameTaken(name.clone()).into())
            }
            _ => Ok(()),
        }
    }
}

/// The class of a task, which says which nodes can run it.
///
/// # Errors
/// If this daemon has its store for itself and cannot run the task, or the store cannot be asked.
pub(crate) fn class_of(shared: &DaemonState, spec: &TaskSpec) -> Result<ClassId, Error> {
    match &shared.member {
        Some(member) => Ok(member.class(&Needs::of(spec))?),
        None => {
            check_place(&shared.options, spec)?;
            Ok(ClassId::ANY)
        }
    }
}

/// Refuses a task that asks for labels which the only daemon there is does not have.
fn check_place(options: &Options, spec: &TaskSpec) -> Result<(), Refused> {
    let place = spec.place.iter();
    let mut missing = place.filter(|(key, value)| options.labels.get(*key) != Some(*value));
    match missing.next() {
        None => Ok(()),
        Some((key, value)) => {
            let text = format!(
                "this daemon has no label {key}={value}, and no other one shares its store (`serve --label \
                 {key}={value}` gives it the label)"
            );
            Err(Refused::Request(text).at("place"))
        }
    }
}

/// The module that a spec names.
fn module_of(spec: &TaskSpec) -> Result<Digest, Error> {
    let no_module = || {
        let text =
            "`module` is not the digest of a module; PUT /v1/modules uploads one and gives it";
        Refused::Request(text.into()).at("module").into()
    };
    let module = spec.module.as_ref().and_then(Module::digest);
    module.ok_or_else(no_module)
}

/// Refuses a module that is not here, or that cannot do what is asked of it: answer HTTP requests,
/// or run.
fn check_module(programs: &Programs, (module, is_to_serve): (Digest, bool)) -> Result<(), Error> {
    programs.check(&module)?;
    // Of one that cannot be read, the task says so when it is to start.
    let program = programs.get(&module);
    program.map_or(Ok(()), |program| Ok(program.check_serving(is_to_serve)?))
}

/// Refuses a text that cannot be a task's name.
pub(crate) fn check_name(name: Option<&str>) -> Result<(), Refused> {
    let checked = name.map_or(Ok(()), crate::model::check_name);
    checked.map_err(|error| Refused::Request(error).at("name"))
}
