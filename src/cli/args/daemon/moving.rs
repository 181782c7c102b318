//! The flags of the commands that move tasks from one daemon to another.

use clap::Subcommand;

use super::remote::Remote;
use crate::cli::args::examples::after_help;
use crate::cli::parse::time::{Span, wait_to_move};

#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub remote: Remote,
    /// Give the guest another directory there: a path of that machine for the guest's name.
    /// Directories that are not named keep their paths.
    #[arg(long = "dir", value_name = "HOST::GUEST")]
    pub dirs: Vec<String>,
    /// How long to wait for a guest that computes.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = wait_to_move)]
    pub patience: Span,
    /// The task's number or name.
    pub id: String,
    /// The other daemon: its name among the peers, or HOST:PORT of its `serve --peer-listen`.
    #[arg(value_name = "PEER", required_unless_present = "node")]
    pub to: Option<String>,
    /// The node that is to go on with it, of those that share a database. Connections are reset.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "dirs"])]
    pub node: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub remote: Remote,
    /// Where to: a peer's name, or HOST:PORT; several share the tasks. If left out, all peers whose
    /// address is known.
    #[arg(long, value_name = "PEER")]
    pub to: Vec<String>,
    /// Take tasks again, after a drain that was not followed by a shutdown.
    #[arg(long, conflicts_with = "to")]
    pub cancel: bool,
    /// Drain this node, of those that share a database: it takes no new work, and gives back what it
    /// has to the others.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "cancel"])]
    pub node: Option<String>,
    /// With --node: take work again.
    #[arg(long, requires = "node")]
    pub undo: bool,
    /// How long to wait for each guest that computes; with --node, for all of them.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = wait_to_move)]
    pub patience: Span,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Moves {
    #[command(flatten)]
    pub remote: Remote,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Decide {
    #[command(flatten)]
    pub remote: Remote,
    /// The task is here, and goes on.
    #[arg(long, group = "what")]
    pub keep: bool,
    /// The task is the other daemon's; what is here of it goes.
    #[arg(long, group = "what")]
    pub drop: bool,
    /// Decide although the other daemon does not answer. If it comes back, the task may have run
    /// twice, or be lost.
    #[arg(long)]
    pub force: bool,
    /// The task's number or name.
    pub id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub command: Option<PeersCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeersCommand {
    /// List the daemons that are known, after the fingerprint of this one.
    #[command(after_help = after_help("peers ls"))]
    Ls,
    /// Trust a daemon: it may send tasks here, and tasks may be sent there. Replaces the one of
    /// this name.
    #[command(after_help = after_help("peers add"))]
    Add {
        /// What it is called here.
        name: String,
        /// Its fingerprint, as `dormouse peers` prints it there.
        fingerprint: String,
        /// Where it is.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
        /// Its tasks may use this directory here, and what is below it.
        #[arg(long = "dir", value_name = "HOST")]
        dirs: Vec<String>,
        /// Its tasks may listen on this address here; the port may be `*`.
        #[arg(long, value_name = "HOST:PORTS")]
        listen: Vec<String>,
        /// Its tasks may connect to this address from here; the port may be `*`.
        #[arg(long, value_name = "HOST:PORTS")]
        connect: Vec<String>,
    },
    /// Trust a daemon no longer.
    #[command(after_help = after_help("peers rm"))]
    Rm {
        /// What it is called here.
        name: String,
    },
}
