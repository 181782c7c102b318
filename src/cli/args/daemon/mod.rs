//! The daemon's command, and those that ask a daemon.

mod accounts;
mod filter;
mod moving;
mod nodes;
mod remote;
mod serve;
mod store;
mod submit;
mod tasks;

use clap::Subcommand;

pub(crate) use self::accounts::{
    AuditLog, RuleFlags, TenantArgs, TenantCommand, TokenArgs, TokenCommand,
};
pub(crate) use self::filter::Filter;
pub(crate) use self::moving::{Decide, Drain, Migrate, Moves, Peers, PeersCommand};
pub(crate) use self::nodes::Nodes;
pub(crate) use self::remote::Remote;
pub(crate) use self::serve::Serve;
pub(crate) use self::store::{DataDir, Store, StoreCommand};
pub(crate) use self::submit::{Export, Import, Submit};
pub(crate) use self::tasks::{Logs, Ps, Runs, Sort, Tasks, Top};
use super::examples::after_help;

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Run many tasks, in a durable store, with an HTTP API and a dashboard.
    #[command(after_help = after_help("serve"))]
    Serve(Serve),
    /// Look after a daemon's store: check it, compact it, back it up.
    #[command(after_help = after_help("store"))]
    Store(Store),
    /// Give a daemon a module to run.
    #[command(after_help = after_help("submit"))]
    Submit(Submit),
    /// List a daemon's tasks, the newest first.
    #[command(after_help = after_help("ps"))]
    Ps(Ps),
    /// Print what a task has written.
    #[command(after_help = after_help("logs"))]
    Logs(Logs),
    /// Stop tasks at their next call that may block, and keep them until `resume`.
    #[command(after_help = after_help("pause"))]
    Pause(Tasks),
    /// End tasks.
    #[command(after_help = after_help("kill"))]
    Kill(Tasks),
    /// Take tasks that are over or paused out of the list, with their output.
    #[command(after_help = after_help("rm"))]
    Rm(Tasks),
    /// Start tasks at once that wait for a start: of their schedule, which keeps its next times, of
    /// --at, or of --restart.
    #[command(after_help = after_help("start"))]
    Start(Tasks),
    /// List the last runs of a task: when, how long, how they ended, and how much they wrote.
    #[command(after_help = after_help("runs"))]
    Runs(Runs),
    /// Write a copy of a task as a snapshot file, which `resume` takes on any machine.
    #[command(after_help = after_help("export"))]
    Export(Export),
    /// Give a daemon a snapshot file to go on with.
    #[command(after_help = after_help("import"))]
    Import(Import),
    /// Move a task to another daemon.
    #[command(after_help = after_help("migrate"))]
    Migrate(Migrate),
    /// Move all tasks to other daemons, before a shutdown.
    #[command(after_help = after_help("drain"))]
    Drain(Drain),
    /// The daemons that tasks can move to and come from.
    #[command(after_help = after_help("peers"))]
    Peers(Peers),
    /// List moves that have not ended for both daemons, and say why.
    #[command(after_help = after_help("moves"))]
    Moves(Moves),
    /// List the daemons that share the store: their addresses, labels, and what they do.
    #[command(after_help = after_help("nodes"))]
    Nodes(Nodes),
    /// Say where a task is whose move is open while the other daemon does not come back.
    #[command(after_help = after_help("decide"))]
    Decide(Decide),
    /// Make tokens by which a daemon may be asked, list them, and revoke them.
    #[command(after_help = after_help("token"))]
    Token(TokenArgs),
    /// Make tenants, whose tasks, names and quotas are their own.
    #[command(after_help = after_help("tenant"))]
    Tenant(TenantArgs),
    /// Show who asked a daemon for what, the newest first.
    #[command(after_help = after_help("audit-log"))]
    AuditLog(AuditLog),
    /// Show what a daemon does, every second.
    #[command(after_help = after_help("top"))]
    Top(Top),
}
