//! The commands that need no daemon.

use std::num::NonZeroU16;
use std::path::PathBuf;

use super::guest::{HostGrants, Program, Reopening, Suspension};
use super::keys::{Opening, Sealing, Trust};
use super::limits::LimitFlags;
use super::transform::TransformFlag;
use crate::engine::EngineKind;
use crate::model::TaskSpec;
use crate::model::spec::ListenAddress;
use crate::snapshot::KeyKind;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub sealing: Sealing,
    #[command(flatten)]
    pub grants: HostGrants,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub suspension: Suspension,
    /// Where to write the snapshot; ./snapshot if left out.
    #[arg(long, value_name = "PATH")]
    pub snapshot: Option<PathBuf>,
    /// Suspend at every call that may block, through the bytes of a snapshot into a fresh instance;
    /// with --preempt also in between, at moments that lie further and further apart.
    #[arg(long, conflicts_with_all = ["suspend", "checkpoint"])]
    pub rehearse: bool,
    #[command(flatten)]
    pub program: Program,
}

impl Run {
    /// What the flags say.
    ///
    /// # Errors
    /// If the text of the module is neither a path nor a digest.
    pub(crate) fn spec(&self) -> Result<TaskSpec, String> {
        let mut spec = TaskSpec::default();
        self.grants.say(&mut spec);
        self.limits.say(&mut spec);
        self.suspension.say(&mut spec);
        spec.suspend.snapshot.clone_from(&self.snapshot);
        self.program.say(&mut spec)?;
        Ok(spec)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeHttp {
    /// Where to listen, such as 127.0.0.1:8080; with port 0, on a free port.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: ListenAddress,
    /// Start a fresh instance for each request, and run many of them at once. Nothing is kept from
    /// one request to the next, and nothing is suspended.
    #[arg(long, conflicts_with_all = ["suspend", "checkpoint", "snapshot", "slim", "rehearse"])]
    pub per_request: bool,
    /// With --per-request, how many instances may run at once. Further connections wait.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "per_request",
        default_value_t = NonZeroU16::new(64).unwrap_or(NonZeroU16::MIN)
    )]
    pub max_instances: NonZeroU16,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub given: super::given::GivenFlags,
    #[command(flatten)]
    pub opening: Opening,
    #[command(flatten)]
    pub sealing: Sealing,
    #[command(flatten)]
    pub grants: HostGrants,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub suspension: Suspension,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub remote: super::daemon::Remote,
    /// The snapshot; if the task is suspended again, it is written to the same place. Or a paused
    /// task of a daemon's, by number or name. What has a '/' in it or begins with '.' is a file;
    /// digits alone are a task's number; anything else is the file of that name here, if there is
    /// one, else the task of that name.
    #[cfg_attr(
        feature = "server",
        arg(value_name = "FILE|ID", required_unless_present_any = ["state", "name"], conflicts_with_all = ["state", "name"])
    )]
    #[cfg_attr(
        not(feature = "server"),
        arg(value_name = "FILE", required = true, num_args = 1)
    )]
    pub snapshots: Vec<PathBuf>,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub filter: super::daemon::Filter,
    /// The module as it was given to `run`, for a snapshot that does not contain it.
    #[arg(long, value_name = "MODULE")]
    pub module: Option<PathBuf>,
    /// Write the next snapshot here instead.
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub reopening: Reopening,
}

impl Resume {
    /// What the flags say.
    pub(crate) fn spec(&self) -> TaskSpec {
        let mut spec = TaskSpec::default();
        self.grants.say(&mut spec);
        self.reopening.say(&mut spec);
        self.limits.say(&mut spec);
        self.suspension.say(&mut spec);
        spec
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub opening: Opening,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub remote: super::daemon::Remote,
    /// The snapshot; or a task of a daemon's, by number or name. What has a '/' in it or begins
    /// with '.' is a file; digits alone are a task's number; anything else is the file of that name
    /// here, if there is one, else the task of that name.
    #[arg(value_name = "FILE|ID")]
    pub snapshot: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// The module.
    pub module: PathBuf,
    /// Where to write the resumable module.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
    #[command(flatten)]
    pub transform: TransformFlag,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    /// Print every instrumented function with the shortest path to a call that may block.
    #[arg(long)]
    pub functions: bool,
    /// Rewrite the module anew, compile it anew for each engine, and print what each step took:
    /// time, processor time with that of child processes, and the most memory at once.
    #[arg(long)]
    pub timings: bool,
    /// With --timings, compile for this engine alone; give it again for another one.
    #[arg(long, value_name = "ENGINE", requires = "timings")]
    pub engine: Vec<EngineKind>,
    /// Flatten a component to a core module, and do no more: what is written is not resumable.
    #[arg(long, conflicts_with_all = ["transform", "preempt", "functions", "timings"])]
    pub flatten_only: bool,
}

#[cfg(feature = "components")]
#[derive(Debug, clap::Args)]
pub(crate) struct Compose {
    /// The components. The first is the program; the others export what it and they import.
    #[arg(
        required_unless_present = "config",
        conflicts_with = "config",
        num_args = 2..,
        value_name = "COMPONENT"
    )]
    pub components: Vec<PathBuf>,
    /// Take the components, and the links between them, from a task file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to write the component that they become.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// What the keys are for.
    pub kind: KeyKind,
    /// Where the secret key goes; the public one goes beside it, with `.pub` at the end.
    pub file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// The task file.
    pub file: PathBuf,
    /// Exit with 82 if a finding is at least so bad: low, medium or high.
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    pub fail_on: Severity,
}

/// How bad a finding of `audit` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Severity {
    /// Worth a look.
    Low,
    /// Likely more than is needed.
    Medium,
    /// The guest could do harm, or secrets lie open.
    High,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell that the script is for.
    pub shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// Write the pages into this directory, which is made if it is not there. If left out, the page
    /// of `dormouse` goes to stdout.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}
