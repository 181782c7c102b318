//! The flags of the commands that give a daemon a task, or get one from it.

use std::num::NonZeroU16;
use std::path::PathBuf;

use super::remote::Remote;
use crate::cli::args::guest::{HostGrants, Program, Reopening};
use crate::cli::args::keys::{Opening, Sealing, Trust};
use crate::cli::args::limits::LimitFlags;
use crate::cli::parse::daemon::{copies, task_name};
use crate::model::spec::{CronExpression, Moment, Restart, parse_label};
use crate::model::{TaskSpec, TraceContext};

#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub grants: HostGrants,
    #[command(flatten)]
    pub requests: Requests,
    #[command(flatten)]
    pub task: DaemonTask,
    #[command(flatten)]
    pub schedule: Schedule,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub trust: Trust,
    /// The span that the task's spans belong to, as in W3C Trace Context. If left out, that of
    /// TRACEPARENT, if that is set.
    #[arg(long, value_name = "TRACEPARENT")]
    pub traceparent: Option<TraceContext>,
    /// Submit it so many times.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = copies(),
        conflicts_with = "name"
    )]
    pub count: u32,
    #[command(flatten)]
    pub program: Program,
}

impl Submit {
    /// What the flags say.
    ///
    /// # Errors
    /// If the text of the module is neither a path nor a digest.
    pub(crate) fn spec(&self) -> Result<TaskSpec, String> {
        let mut spec = TaskSpec::default();
        self.grants.say(&mut spec);
        self.requests.say(&mut spec);
        self.limits.say(&mut spec);
        self.task.say(&mut spec);
        self.schedule.say(&mut spec);
        self.program.say(&mut spec)?;
        Ok(spec)
    }
}

/// How many instances answer HTTP requests.
#[derive(Debug, clap::Args)]
pub(crate) struct Requests {
    /// With --http, start a fresh instance for each request, and run many of them at once: each
    /// connection has a task of its own. Nothing is kept from one request to the next.
    #[arg(long)]
    pub per_request: bool,
    /// With --per-request, how many instances may run at once. Further connections wait. If left
    /// out, 64.
    #[arg(long, value_name = "NUMBER")]
    pub max_instances: Option<NonZeroU16>,
}

impl Requests {
    fn say(&self, spec: &mut TaskSpec) {
        let Self {
            per_request,
            max_instances,
        } = self;
        spec.network.per_request = *per_request;
        spec.network.max_instances = *max_instances;
    }
}

/// When a task is started, and started again.
#[derive(Debug, clap::Args)]
pub(crate) struct Schedule {
    /// When to start: 2030-01-31T12:00:00Z (UTC), or +10m from now.
    #[arg(long, value_name = "TIME", conflicts_with = "every")]
    pub at: Option<Moment>,
    /// Start again and again, by an expression of crontab(5) in the daemon's local time, such as
    /// "*/5 * * * *" or @daily. A run that is not over yet delays the next.
    #[arg(long, value_name = "CRON")]
    pub every: Option<CronExpression>,
    /// When to start it anew once it has ended: never, on-failure or always; after a second, then
    /// after twice as long each time, up to five minutes.
    #[arg(long, value_name = "WHEN")]
    pub restart: Option<Restart>,
}

impl Schedule {
    fn say(&self, spec: &mut TaskSpec) {
        let Self { at, every, restart } = self;
        spec.schedule.at = *at;
        spec.schedule.every.clone_from(every);
        spec.restart = *restart;
    }
}

/// What a task of a daemon's has beside what its guest is given.
#[derive(Debug, clap::Args)]
pub(crate) struct DaemonTask {
    /// What becomes of connections when the task moves to another daemon: reset, or proxy, by which
    /// this daemon carries them to where the task is. If left out, reset.
    #[arg(long, value_name = "POLICY")]
    pub streams: Option<Connections>,
    /// A name for the task: it begins with a letter or a digit, goes on with letters, digits, '.',
    /// '_' and '-', has at most 100 bytes, and is more than digits.
    #[arg(long, value_parser = task_name)]
    pub name: Option<String>,
    /// Run it at a daemon that has these labels (`serve --label`). It waits until there is one.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = parse_label)]
    pub place: Vec<(String, String)>,
    #[command(flatten)]
    pub reopening: Reopening,
}

impl DaemonTask {
    fn say(&self, spec: &mut TaskSpec) {
        let Self {
            streams,
            name,
            place,
            reopening,
        } = self;
        let proxy = |streams| streams == Connections::Proxy;
        spec.network.proxy_streams = streams.map(proxy);
        spec.name.clone_from(name);
        spec.place.extend(place.iter().cloned());
        reopening.say(spec);
    }
}

/// What becomes of connections when a task moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Connections {
    /// Both sides read "connection reset".
    Reset,
    /// The daemon that holds them carries them to where the task is.
    Proxy,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub sealing: Sealing,
    #[command(flatten)]
    pub remote: Remote,
    /// The task's number or name.
    pub id: String,
    /// Where to write the snapshot.
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub opening: Opening,
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub grants: HostGrants,
    #[command(flatten)]
    pub task: DaemonTask,
    #[command(flatten)]
    pub limits: LimitFlags,
    /// The snapshot.
    pub snapshot: PathBuf,
}

impl Import {
    /// What the flags say.
    pub(crate) fn spec(&self) -> TaskSpec {
        let mut spec = TaskSpec::default();
        self.grants.say(&mut spec);
        self.limits.say(&mut spec);
        self.task.say(&mut spec);
        spec
    }
}
