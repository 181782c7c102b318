//! `dormouse submit`: gives a daemon a module to run.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use ureq::http::Method;

use super::wire_task;
use crate::cli::args::daemon::Submit;
use crate::cli::client::Client;
use crate::cli::exit::{Code, DAEMON, Done, Failure, MODULE, OK, USAGE};
use crate::cli::module_file::{Source, file_name};
use crate::cli::output::{self, out};
use crate::cli::progress::Bar;
use crate::cli::task_file;
use crate::daemon::http::wire;
use crate::error::{Error, ErrorKind};
use crate::model::spec::Module;
use crate::model::{Digest, Limit, Limits, TaskSpec};
use crate::task::progress::{UnderWay, Work};
use crate::task::{Runtime, has_machine_code, without_machine_code};

/// A batch has at most this many tasks.
const MAX_BATCH_TASKS: u32 = 10_000;

/// What the tasks of a batch are submitted with has at most this many bytes together.
const MAX_BATCH_BYTES: usize = 16 << 20;

pub(super) fn submit(command: &Submit) -> Result<Done, Failure> {
    let config = command.program.config.as_deref();
    let (mut spec, file) = task_file::with_flags(config, command.spec())?;
    check(&spec, command.count)?;
    let mut source = task_file::source(&spec, file.as_ref(), &command.trust.load()?)?;
    leave_machine_code(&mut source)
        .map_err(|error| Failure::from(error).about(MODULE, &source.name))?;
    let client = Client::new(&command.remote)?.with_trace(command.traceparent);
    wire_task::whole_paths(&mut spec)?;
    spec.program = spec.program.take().or_else(|| spec.program_name());
    // The module has been checked here, and when its task is suspended the daemon decides.
    spec.digest = None;
    spec.components = Vec::new();
    let preempt = std::mem::take(&mut spec.suspend).preempt;
    let uploaded = upload(&client, source, preempt)?;
    spec.module = Some(Module::Path(uploaded.module));
    match command.count {
        1 => {
            let task: wire::Task = client.json(Method::POST, "/v1/tasks", Some(&spec))?;
            wire_task::print(&task);
            OK
        }
        count => copies(&client, spec, count),
    }
}

/// Machine code is not sent: no daemon would take it. It goes into this user's cache, where a daemon
/// of this user on this machine finds it.
fn leave_machine_code(source: &mut Source) -> Result<(), Error> {
    if has_machine_code(&source.bytes) {
        source.keep_machine_code(&Runtime::new()?)?;
        source.bytes = without_machine_code(&source.bytes)?.to_vec();
    }
    Ok(())
}

/// Refuses what no daemon would take, before anything is sent.
fn check(spec: &TaskSpec, count: u32) -> Result<(), Failure> {
    spec.check_directories()
        .and_then(|()| spec.check_requests())
        .map_err(|wrong| Failure::new(USAGE, wrong.error))?;
    let limits = spec.limits(&Limits::default());
    let most = limits.value(Limit::Tmpfs);
    let sizes = spec.tmpfs.iter().filter_map(|dir| dir.size);
    if let Some(size) = sizes.map(|size| size.0).find(|size| *size > most) {
        return Err(limits.reached(Limit::Tmpfs).with(size).into());
    }
    match &spec.name {
        Some(name) if count > 1 => {
            let text = format!("several tasks cannot have one name, {name}");
            Err(Failure::new(USAGE, text))
        }
        _ => Ok(()),
    }
}

/// Sends the module; one that is named by its digest only has to be there, and resumable.
fn upload(client: &Client, source: Source, preempt: bool) -> Result<wire::Module, Failure> {
    let bar = Bar::elsewhere(&file_name(&source.name));
    let wanted = source.digest.unwrap_or_else(|| Digest::of(&source.bytes));
    // Both end with this.
    let _shown = Shown::start(client, wanted, bar.shower());
    let query = if preempt { "?preempt=true" } else { "" };
    if let Some(digest) = source.digest {
        return client.get(&format!("/v1/modules/{digest}{query}"));
    }
    let path = format!("/v1/modules{query}");
    let mut uploaded = client
        .send(Method::PUT, &path, "application/wasm", source.bytes)
        .map_err(|failure| failure.about(MODULE, &source.name))?;
    uploaded
        .body_mut()
        .read_json()
        .map_err(|error| Failure::new(DAEMON, format!("cannot understand the daemon: {error}")))
}

/// How often the daemon is asked how far it is.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(500);

/// Shows how far the daemon is with a module, until it is dropped.
struct Shown {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    fn start(client: &Client, module: Digest, show: impl Fn(&UnderWay) + Send + 'static) -> Self {
        let (over, is_over) = channel::<()>();
        let (client, module) = (client.clone(), module.to_string());
        let ask = move || {
            while is_over.recv_timeout(BETWEEN_QUESTIONS) == Err(RecvTimeoutError::Timeout) {
                let all: Result<Vec<wire::Preparation>, _> = client.get("/v1/preparations");
                // Where the daemon does not answer, whoever sends the module says so.
                let mut all = all.unwrap_or_default().into_iter();
                if let Some(found) = all.find(|found| found.module == module) {
                    show(&under_way(&found.preparing));
                }
            }
        };
        Self {
            over: Some(over),
            // Where the system gives no thread, nothing is shown.
            thread: std::thread::Builder::new().spawn(ask).ok(),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It returns nothing.
            let _ = thread.join();
        }
    }
}

fn under_way(found: &wire::Preparing) -> UnderWay {
    let work = found.engine.map_or(Work::Rewriting, Work::Compiling);
    let left = Duration::try_from_secs_f64(found.left).unwrap_or_default();
    UnderWay::reported(work, &found.step, found.share, left)
}

/// Submits a task many times, in batches.
fn copies(client: &Client, spec: TaskSpec, count: u32) -> Result<Done, Failure> {
    // What is stored of a task is no more than what is sent of it.
    let size = json!(spec).to_string().len();
    let mut task = wire::Submit { spec, count: None };
    let fitting = u32::try_from(MAX_BATCH_BYTES / size).unwrap_or(u32::MAX);
    let batch = MAX_BATCH_TASKS.min(fitting.max(1));
    let mut left = count;
    let mut ids = Vec::new();
    while left > 0 {
        task.count = Some(left.min(batch));
        left -= left.min(batch);
        let told: Vec<wire::Submitted> = client.json(Method::POST, "/v1/batch", Some(&[&task]))?;
        for submitted in told {
            match (submitted.id, submitted.error) {
                (Some(id), _) if output::as_json() => ids.push(json!({ "id": id })),
                (Some(id), _) => out!("{id}"),
                (None, error) => {
                    let kind = submitted.kind.as_deref().map(str::parse::<ErrorKind>);
                    let code = kind.and_then(Result::ok).map_or(USAGE, Code::from);
                    return Err(Failure::new(code, error.unwrap_or_default()));
                }
            }
        }
    }
    if output::as_json() {
        output::result(&ids);
    }
    OK
}
