//! The flags that say what a guest is, what it is given, and when it is suspended. Each group has a
//! method `say`, which writes what was given into a [`TaskSpec`].

use std::path::PathBuf;

use super::transform::TransformFlag;
use crate::cli::parse::guest::{Variable, mount, tmpfs};
use crate::cli::parse::time::{Span, period};
use crate::engine::EngineKind;
use crate::model::spec::{Clocks, ListenAddress, Module, Mount, Policy, Randomness, Rule, Tmpfs};
use crate::model::{Digest, TaskSpec};

/// A program and what it starts with. All of it travels in snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct Program {
    /// Set an environment variable of the guest; NAME alone takes its value from here.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<Variable>,
    /// Give the guest a directory in memory, which travels in its snapshot; of SIZE bytes at most
    /// (64M).
    #[arg(long, value_name = "GUEST[=SIZE]", value_parser = tmpfs)]
    pub tmpfs: Vec<Tmpfs>,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    /// Take what the task is given from a task file; flags add to it, or replace what can be given
    /// once.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse a module whose BLAKE3 is another.
    #[arg(long, value_name = "BLAKE3")]
    pub digest: Option<Digest>,
    /// The module, or blake3:DIGEST for one that is known here already; everything after it goes to
    /// the guest.
    #[arg(
        value_name = "MODULE",
        required_unless_present = "config",
        num_args = 1..,
        trailing_var_arg = true,
    )]
    pub command: Vec<String>,
}

impl Program {
    /// # Errors
    /// If the text of the module is neither a path nor a digest.
    pub(crate) fn say(&self, spec: &mut TaskSpec) -> Result<(), String> {
        // Each flag is named, so that none is forgotten.
        let Self {
            env,
            tmpfs,
            preempt,
            config: _,
            digest,
            command,
        } = self;
        for variable in env {
            match variable {
                Variable::Value(name, value) => {
                    spec.env.insert(name.clone(), value.clone());
                }
                Variable::Here(name) => spec.env_from.push(name.clone()),
            }
        }
        spec.tmpfs.clone_from(tmpfs);
        spec.suspend.preempt = *preempt;
        spec.digest = *digest;
        if let Some((module, args)) = command.split_first() {
            spec.module = Some(module.parse::<Module>()?);
            spec.args = args.to_vec();
        }
        Ok(())
    }
}

/// What a guest is given of its host. No snapshot holds it: it is given again at a resume.
#[derive(Debug, clap::Args)]
pub(crate) struct HostGrants {
    /// Give the guest a directory, with :ro at the end to read only. A daemon's task gets it from
    /// the daemon's machine. At a resume it is as it was, unless :ro or :rw is said.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = mount)]
    pub dirs: Vec<Mount>,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub determinism: Determinism,
    /// The engine: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
}

impl HostGrants {
    pub(crate) fn say(&self, spec: &mut TaskSpec) {
        let Self {
            dirs,
            network:
                Network {
                    tcplisten,
                    http,
                    allow_connect,
                    allow_listen,
                },
            determinism: Determinism { clocks, random },
            engine,
        } = self;
        spec.mounts.clone_from(dirs);
        spec.network.listen.clone_from(tcplisten);
        spec.network.http.clone_from(http);
        spec.network.allow_connect.clone_from(allow_connect);
        spec.network.allow_listen.clone_from(allow_listen);
        (spec.clocks, spec.random) = (*clocks, *random);
        spec.engine = *engine;
    }
}

/// How what a guest had open at a suspend is opened again.
#[derive(Debug, clap::Args)]
pub(crate) struct Reopening {
    /// Go on even if files that the task has open were changed in the meantime.
    #[arg(long)]
    pub accept_changed_files: bool,
}

impl Reopening {
    pub(crate) fn say(&self, spec: &mut TaskSpec) {
        let Self {
            accept_changed_files,
        } = self;
        spec.accept_changed_files = *accept_changed_files;
    }
}

/// What a guest may reach over the network: nothing that is not given.
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// Listen on an address, and give the guest the socket: from descriptor 3 on, before
    /// directories. For a daemon's task the daemon listens.
    #[arg(long, value_name = "ADDRESS")]
    pub tcplisten: Vec<ListenAddress>,
    /// Listen on an address, and let a component answer the HTTP requests that come there, one
    /// after another, by its `wasi:http/incoming-handler`.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<ListenAddress>,
    /// Let the guest connect to these, and send datagrams: a name, an address or a range, and
    /// ports, such as example.com:443, 10.0.0.0/8:80-90 or [::1]:*.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_connect: Vec<Rule>,
    /// Let the guest bind sockets of its own to these, written in the same way.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_listen: Vec<Rule>,
}

/// Where a guest's time and random numbers come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Determinism {
    /// What the guest's clocks tell: host, or virtual (a time of its own that begins in 2000, moves
    /// to the end of each wait and says nothing of the host's). If left out, host, or what the
    /// snapshot says.
    #[arg(long, value_name = "host|virtual")]
    pub clocks: Option<Clocks>,
    /// Where its random numbers come from: host, or seed=NUMBER (always the same; no key may be
    /// made of them). If left out, host, or what the snapshot says.
    #[arg(long, value_name = "host|seed=NUMBER")]
    pub random: Option<Randomness>,
}

/// When a guest in this process is suspended, and what its snapshots hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Suspension {
    /// When to suspend: never, after=DURATION (such as after=10s), always. If left out, never.
    #[arg(long, value_name = "POLICY")]
    pub suspend: Option<Policy>,
    /// Write a snapshot so often, and go on: at the next call that may block, or of a guest that
    /// was started with --preempt wherever it computes.
    #[arg(long, value_name = "DURATION", value_parser = period)]
    pub checkpoint: Option<Span>,
    #[command(flatten)]
    pub transform: TransformFlag,
    /// Leave the module out of the snapshot; the cache or --module must have it at resume.
    #[arg(long)]
    pub slim: bool,
}

impl Suspension {
    pub(crate) fn say(&self, spec: &mut TaskSpec) {
        // Checkpoints and the transform are no part of what a task is: the command reads them
        // itself.
        let Self {
            suspend,
            checkpoint: _,
            transform: _,
            slim,
        } = self;
        spec.suspend.policy = *suspend;
        spec.suspend.slim = *slim;
    }
}
