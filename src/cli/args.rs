//! The command line's words.

#[cfg(feature = "server")]
mod moving;
mod reach;
#[cfg(feature = "server")]
mod tasks;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::bounds::Bounds;
#[cfg(feature = "server")]
use super::bounds::Size;
use super::keys::{Keygen, Opening, Sealing};
#[cfg(feature = "server")]
use super::time::At;
use super::time::{Span, period};
use crate::engine::EngineKind;
use crate::instrument::Transform;
use crate::scheduler::Policy;

#[cfg(feature = "server")]
pub(super) use moving::{Decide, Drain, Migrate, Moves, Peers, PeersCommand, Streams};

pub(super) use reach::Reach;

#[cfg(feature = "server")]
pub(super) use tasks::{Logs, Ps, Runs, Several, Sort, Which};

/// Puts unmodified WASI programs to sleep: suspend to a file, resume anywhere.
#[derive(Debug, Parser)]
#[command(version, after_help = super::exit::TABLE, args_override_self = true)]
pub(super) struct Args {
    /// Say on stderr what is being done; twice, also every WASI call.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write JSON: what a command gives, to stdout; messages and errors, and how a guest of `run` or `resume` ended, to
    /// stderr, one on a line.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a WASI module.
    Run(Run),
    /// Go on with a suspended task, or let a daemon's paused task go on.
    Resume(Resume),
    /// Show what a snapshot holds, or a task. Never runs the guest.
    Inspect(Inspect),
    /// Make a module resumable, and report what was done.
    Build(Build),
    /// Make a pair of keys, to sign snapshots or to encrypt them.
    Keygen(Keygen),
    /// Report what a task file gives that is broad or risky. Never runs the guest.
    Audit(super::audit::Audit),
    /// Run many tasks, in a durable store, with an HTTP API and a dashboard.
    #[cfg(feature = "server")]
    Serve(Serve),
    /// Look after a daemon's store: check it, compact it, back it up.
    #[cfg(feature = "server")]
    Store(super::store::Store),
    /// Give a daemon a module to run.
    #[cfg(feature = "server")]
    Submit(Submit),
    /// List a daemon's tasks, the newest first.
    #[cfg(feature = "server")]
    Ps(Ps),
    /// Print what a task has written.
    #[cfg(feature = "server")]
    Logs(Logs),
    /// Stop tasks at their next call that may block, and keep them until `resume`.
    #[cfg(feature = "server")]
    Pause(Several),
    /// End tasks.
    #[cfg(feature = "server")]
    Kill(Several),
    /// Take tasks that are over or paused out of the list, with their output.
    #[cfg(feature = "server")]
    Rm(Several),
    /// Start tasks now that wait for their first or next start: those of a schedule, which goes on, and those of --at.
    #[cfg(feature = "server")]
    Start(Several),
    /// List the last runs of a task: when, how long, how they ended, and how much they wrote.
    #[cfg(feature = "server")]
    Runs(Runs),
    /// Write a copy of a task as a snapshot file, which `resume` takes on any machine.
    #[cfg(feature = "server")]
    Export(Export),
    /// Give a daemon a snapshot file to go on with.
    #[cfg(feature = "server")]
    Import(Import),
    /// Move a task to another daemon.
    #[cfg(feature = "server")]
    Migrate(Migrate),
    /// Move all tasks to other daemons, before a shutdown.
    #[cfg(feature = "server")]
    Drain(Drain),
    /// The daemons that tasks can move to and come from.
    #[cfg(feature = "server")]
    Peers(Peers),
    /// List moves that have not ended for both daemons, and say why.
    #[cfg(feature = "server")]
    Moves(Moves),
    /// Say where a task is whose move is open while the other daemon does not come back.
    #[cfg(feature = "server")]
    Decide(Decide),
    /// Show what a daemon does, every second.
    #[cfg(feature = "server")]
    Top(Top),
}

impl Command {
    /// Whether it runs until it is stopped, and tells what it does.
    pub(super) fn is_daemon(&self) -> bool {
        #[cfg(feature = "server")]
        if matches!(self, Self::Serve(_)) {
            return true;
        }
        false
    }
}

/// A schedule; when it holds, only its daemon knows.
#[cfg(feature = "server")]
fn every(text: &str) -> Result<String, String> {
    let checked = crate::scheduler::next_occurrence(text, 0);
    checked
        .map(|_| text.to_string())
        .map_err(|error| error.to_string())
}

/// `submit --count` submits no more; a store is tried with a million.
#[cfg(feature = "server")]
const MOST_COPIES: i64 = 10_000_000;

/// How many threads there can be: each has a stack of its own.
#[cfg(feature = "server")]
fn threads() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1024)
}

/// A task's name, before anything is done for it.
#[cfg(feature = "server")]
fn name(text: &str) -> Result<String, String> {
    crate::model::check_name(text).map(|()| text.to_string())
}

/// Which daemon to ask.
#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// The daemon: http://TOKEN@HOST:PORT. If left out, DORMOUSE_URL, or the one that runs for this user.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Where everything is kept. If left out, `dormouse` in the user's data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    pub listen: String,
    /// Take the place of the daemon that has the directory now, with its listeners and the connections of its
    /// tasks. Where there is none, start as usual.
    #[arg(long)]
    pub takeover: bool,
    /// Where other daemons reach this one, to send tasks. If left out, none do.
    #[arg(long, value_name = "ADDRESS")]
    pub peer_listen: Option<String>,
    /// How other daemons call this one, where that is not the address of --peer-listen.
    #[arg(long, value_name = "HOST:PORT", requires = "peer_listen")]
    pub peer_address: Option<String>,
    /// A name by which the daemon may be asked, beside localhost and addresses.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Threads for guests. If left out, one for each core; more are started while all compute.
    #[arg(long, value_name = "COUNT", value_parser = threads())]
    pub workers: Option<u16>,
    /// At most so many threads for guests; beyond it, computations with checks take turns.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = threads())]
    pub max_workers: u16,
    /// A wait of at least so long is slept through in the store, a shorter one in memory.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub hibernate_after: Span,
    /// Memory of the daemon and all its guests together, 64M at least; guests wait for room. Left out, seven
    /// eighths of what the control group and the machine have.
    #[arg(long, value_name = "SIZE", value_parser = super::bounds::memory)]
    pub memory: Option<Size>,
    /// Pause a task that was being run when the daemon died, so many times in a row; 0 never does.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub set_aside_after: u32,
    /// Memory for guests that wait in memory; beyond it they are put to sleep.
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    pub max_warm_memory: Size,
    #[command(flatten)]
    pub bounds: Bounds,
    /// How much output of each task is kept; the oldest goes first.
    #[arg(long, value_name = "SIZE", default_value = "1M")]
    pub output_limit: Size,
    /// A task that waits in memory again and again is stored at least so often.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub checkpoint: Span,
    /// Tasks that are over are removed after so long. If left out, they are kept.
    #[arg(long, value_name = "DURATION")]
    pub retain: Option<Span>,
    /// The engine for tasks that do not name one: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// How long to wait at the end for guests that compute.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub grace: Span,
}

#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    #[command(flatten)]
    pub remote: Remote,
    /// Give the guest a directory of the daemon's machine; with :ro at the end, to read only.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    pub dirs: Vec<String>,
    /// Set an environment variable of the guest; NAME alone takes its value from here.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Listen on an address of the daemon's machine, and give the guest the socket: from descriptor 3 on.
    #[arg(long, value_name = "ADDRESS")]
    pub tcplisten: Vec<String>,
    #[command(flatten)]
    pub reach: Reach,
    /// Give the guest a directory in memory, which travels in its snapshot; of SIZE bytes at most (64M).
    #[arg(long, value_name = "GUEST[=SIZE]")]
    pub tmpfs: Vec<String>,
    /// What becomes of connections when the task moves to another daemon: reset, or proxy, by which this daemon
    /// carries them to where the task is.
    #[arg(long, value_name = "POLICY", default_value = "reset")]
    pub streams: Streams,
    /// A name for the task: it begins with a letter or a digit, goes on with letters, digits, '.', '_' and '-', has at
    /// most 100 bytes, and is more than digits.
    #[arg(long, value_parser = name)]
    pub name: Option<String>,
    /// When to start: 2030-01-31T12:00:00Z (UTC), or +10m from now.
    #[arg(long, value_name = "TIME", conflicts_with = "every")]
    pub at: Option<At>,
    /// Start again and again, by an expression of crontab(5) in the daemon's local time, such as
    /// "*/5 * * * *" or @daily. A run that is not over yet delays the next.
    #[arg(long, value_name = "CRON", value_parser = every)]
    pub every: Option<String>,
    /// The engine: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    #[command(flatten)]
    pub bounds: Bounds,
    /// When to start it anew once it has ended: never, on-failure or always; after a second, then after
    /// twice as long each time, up to five minutes.
    #[arg(long, value_name = "WHEN")]
    pub restart: Option<crate::scheduler::Restart>,
    /// Go on even if files that the task has open were changed in the meantime.
    #[arg(long)]
    pub accept_changed_files: bool,
    /// Submit it so many times.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=MOST_COPIES),
        conflicts_with = "name"
    )]
    pub count: u32,
    /// Take what the task is given from a task file; flags add to it, or replace what can be given once.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse a module whose BLAKE3 is another.
    #[arg(long, value_name = "BLAKE3")]
    pub digest: Option<String>,
    /// The module, or blake3:DIGEST for one that is known here already; everything after it goes to the guest.
    #[arg(
        value_name = "MODULE",
        required_unless_present = "config",
        num_args = 1..,
        trailing_var_arg = true,
    )]
    pub command: Vec<String>,
}

#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Export {
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

#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(flatten)]
    pub opening: Opening,
    #[command(flatten)]
    pub remote: Remote,
    /// Give the guest a directory of the daemon's machine; with :ro at the end, to read only.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    pub dirs: Vec<String>,
    /// Listen on an address of the daemon's machine, and give the guest the socket: from descriptor 3 on.
    #[arg(long, value_name = "ADDRESS")]
    pub tcplisten: Vec<String>,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub reach: Reach,
    /// What becomes of connections when the task moves to another daemon: reset, or proxy, by which this daemon
    /// carries them to where the task is.
    #[arg(long, value_name = "POLICY", default_value = "reset")]
    pub streams: Streams,
    /// A name for the task: it begins with a letter or a digit, goes on with letters, digits, '.', '_' and '-', has at
    /// most 100 bytes, and is more than digits.
    #[arg(long, value_parser = name)]
    pub name: Option<String>,
    /// The engine: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// Go on even if files that the task has open were changed in the meantime.
    #[arg(long)]
    pub accept_changed_files: bool,
    /// The snapshot.
    pub snapshot: PathBuf,
}

#[cfg(feature = "server")]
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    #[command(flatten)]
    pub remote: Remote,
    /// Print once and end.
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub common: Common,
    /// Set an environment variable of the guest; NAME alone takes its value from here.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Give the guest a directory in memory, which travels in the snapshot; of SIZE bytes at most (64M).
    #[arg(long, value_name = "GUEST[=SIZE]")]
    pub tmpfs: Vec<String>,
    /// Where to write the snapshot.
    #[arg(long, value_name = "PATH", default_value = "./snapshot")]
    pub snapshot: PathBuf,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    /// Suspend at every call that may block, through the bytes of a snapshot into a fresh instance; with
    /// --preempt also in between, at moments that lie further and further apart.
    #[arg(long, conflicts_with_all = ["suspend", "checkpoint"])]
    pub rehearse: bool,
    /// Take what the task is given from a task file; flags add to it, or replace what can be given once.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse a module whose BLAKE3 is another.
    #[arg(long, value_name = "BLAKE3")]
    pub digest: Option<String>,
    /// The module, or blake3:DIGEST for one that is known here already; everything after it goes to the guest.
    #[arg(
        value_name = "MODULE",
        required_unless_present = "config",
        num_args = 1..,
        trailing_var_arg = true,
    )]
    pub command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    pub opening: Opening,
    #[command(flatten)]
    pub common: Common,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub remote: Remote,
    /// The snapshot; if the task is suspended again, it is written to the same place. Or a paused task of a daemon's, by
    /// number or name. What has a '/' in it or begins with '.' is a file; digits alone are a task's number; anything else
    /// is the file of that name here, if there is one, else the task of that name.
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
    pub which: Which,
    /// The module as it was given to `run`, for a snapshot that does not contain it.
    #[arg(long, value_name = "MODULE")]
    pub module: Option<PathBuf>,
    /// Write the next snapshot here instead.
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Go on even if files that the task has open were changed in the meantime.
    #[arg(long)]
    pub accept_changed_files: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub sealing: Sealing,
    /// Give the guest a directory; with :ro at the end, to read only. At a resume it is as it was, unless :ro or :rw is
    /// said.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    pub dirs: Vec<String>,
    /// Listen on an address, and give the guest the socket: from descriptor 3 on, before directories.
    #[arg(long, value_name = "ADDRESS")]
    pub tcplisten: Vec<String>,
    #[command(flatten)]
    pub bounds: Bounds,
    #[command(flatten)]
    pub reach: Reach,
    /// The engine: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// When to suspend: never, after=DURATION (such as after=10s), always.
    #[arg(long, value_name = "POLICY", default_value = "never")]
    pub suspend: Policy,
    /// Write a snapshot so often, and go on: at the next call that may block, or of a guest that was
    /// started with --preempt wherever it computes.
    #[arg(long, value_name = "DURATION", value_parser = period)]
    pub checkpoint: Option<Span>,
    /// How to make the module resumable: two-version (fast), plain (Binaryen's own output), or none
    /// (left as it is, so that it cannot be suspended).
    #[arg(long, value_name = "NAME", default_value_t)]
    pub transform: Transform,
    /// Leave the module out of the snapshot; the cache or --module must have it at resume.
    #[arg(long)]
    pub slim: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    #[command(flatten)]
    pub opening: Opening,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub remote: Remote,
    /// The snapshot; or a task of a daemon's, by number or name. What has a '/' in it or begins with '.' is a file; digits
    /// alone are a task's number; anything else is the file of that name here, if there is one, else the task of that
    /// name.
    #[arg(value_name = "FILE|ID")]
    pub snapshot: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The module.
    pub module: PathBuf,
    /// Where to write the resumable module.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
    /// How to make the module resumable: two-version (fast), plain (Binaryen's own output), or none
    /// (left as it is, so that it cannot be suspended).
    #[arg(long, value_name = "NAME", default_value_t)]
    pub transform: Transform,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    /// Print every instrumented function with the shortest path to a call that may block.
    #[arg(long)]
    pub functions: bool,
}
