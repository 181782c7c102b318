//! The flags that say what a guest is, what it is given, and when it is suspended.

use std::path::PathBuf;

use crate::cli::parse::time::{Span, period};
use crate::instrument::Transform;
use crate::task::Policy;
use crate::wasi::{Clocks, Randomness, Rule};

/// A program and what it starts with. All of it travels in snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct Program {
    /// Set an environment variable of the guest; NAME alone takes its value from here.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Give the guest a directory in memory, which travels in its snapshot; of SIZE bytes at most
    /// (64M).
    #[arg(long, value_name = "GUEST[=SIZE]")]
    pub tmpfs: Vec<String>,
    /// Put a check into loops and calls, so that the guest can be suspended while it computes.
    #[arg(long)]
    pub preempt: bool,
    /// Take what the task is given from a task file; flags add to it, or replace what can be given
    /// once.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse a module whose BLAKE3 is another.
    #[arg(long, value_name = "BLAKE3")]
    pub digest: Option<String>,
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

/// What a guest is given of its host. No snapshot holds it: it is given again at a resume.
#[derive(Debug, clap::Args)]
pub(crate) struct HostGrants {
    /// Give the guest a directory, with :ro at the end to read only. A daemon's task gets it from
    /// the daemon's machine. At a resume it is as it was, unless :ro or :rw is said.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    pub dirs: Vec<String>,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub determinism: Determinism,
}

/// What a guest may reach over the network: nothing that is not given.
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// Listen on an address, and give the guest the socket: from descriptor 3 on, before
    /// directories. For a daemon's task the daemon listens.
    #[arg(long, value_name = "ADDRESS")]
    pub tcplisten: Vec<String>,
    /// Let the guest connect to these, and send datagrams: a name, an address or a range, and
    /// ports, such as example.com:443, 10.0.0.0/8:80-90 or [::1]:*.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_connect: Vec<Rule>,
    /// Let the guest bind sockets of its own to these, written in the same way.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_listen: Vec<Rule>,
}

impl Network {
    /// The rules as they were written, each with its flag.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        let connect = self.allow_connect.iter();
        let listen = self.allow_listen.iter();
        connect
            .map(|rule| ("--allow-connect", rule))
            .chain(listen.map(|rule| ("--allow-listen", rule)))
    }
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
    /// When to suspend: never, after=DURATION (such as after=10s), always.
    #[arg(long, value_name = "POLICY", default_value = "never")]
    pub suspend: Policy,
    /// Write a snapshot so often, and go on: at the next call that may block, or of a guest that
    /// was started with --preempt wherever it computes.
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
