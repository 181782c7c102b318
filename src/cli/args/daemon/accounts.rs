//! The words of `dormouse token`, `tenant` and `audit-log`.

use clap::Subcommand;

use super::remote::Remote;
use crate::cli::args::examples::after_help;
use crate::cli::parse::daemon::Size;
use crate::model::{Role, Setting};

#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it. It is not stored, and shown never again.
    #[command(after_help = after_help("token create"))]
    Create {
        /// What it may do: metrics, read, submit, operator or admin; each may do all that those before it
        /// may.
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// Whose tasks it sees and adds. If left out, those of the default tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// What it is called.
        name: String,
    },
    /// List the tokens, without themselves.
    #[command(after_help = after_help("token ls"))]
    Ls,
    /// Let a token count no more.
    #[command(after_help = after_help("token revoke"))]
    Revoke {
        /// What it is called.
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct TenantArgs {
    #[command(flatten)]
    pub remote: Remote,
    #[command(subcommand)]
    pub command: TenantCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant. Its tasks may use no directory and no network unless that is granted here.
    #[command(after_help = after_help("tenant create"))]
    Create {
        #[command(flatten)]
        rules: RuleFlags,
        /// What it is called.
        name: String,
    },
    /// Change what a tenant may have; what is not named stays.
    #[command(after_help = after_help("tenant set"))]
    Set {
        #[command(flatten)]
        rules: RuleFlags,
        /// What it is called.
        name: String,
    },
    /// List the tenants, with what they have and may have.
    #[command(after_help = after_help("tenant ls"))]
    Ls,
    /// Remove a tenant that has no tasks and no tokens any more.
    #[command(after_help = after_help("tenant rm"))]
    Rm {
        /// What it is called.
        name: String,
    },
}

/// What a tenant may have.
#[derive(Debug, clap::Args)]
pub(crate) struct RuleFlags {
    /// At most so many tasks, those that are over among them.
    #[arg(long, value_name = "COUNT")]
    pub max_tasks: Option<u64>,
    /// No new task once what its tasks are takes so much in the store.
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<Size>,
    /// No new task once their stored output has so many bytes.
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<Size>,
    /// A limit that each task has, and may only lower.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<Setting>,
    /// Tasks may be given this directory of the daemon's machine; with `:ro` behind it, to read
    /// only.
    #[arg(long = "dir", value_name = "HOST[:ro]")]
    pub dirs: Vec<String>,
    /// Tasks may listen on this address; the port may be `*`.
    #[arg(long, value_name = "HOST:PORTS")]
    pub listen: Vec<String>,
    /// Tasks may connect to this address; the port may be `*`.
    #[arg(long, value_name = "HOST:PORTS")]
    pub connect: Vec<String>,
    /// Lift all that is set, before what else is given here is set.
    #[arg(long)]
    pub clear: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditLog {
    #[command(flatten)]
    pub remote: Remote,
    /// Only what a token of this name did.
    #[arg(long, value_name = "NAME")]
    pub token: Option<String>,
    /// At most so many entries.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
}
