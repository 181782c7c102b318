//! `dormouse serve`, and the commands that ask a daemon: one file each.

mod accounts;
mod actions;
mod decide;
mod drain;
mod export;
mod import;
pub(super) mod inspect;
mod list;
mod logs;
mod migrate;
mod moves;
mod nodes;
mod peers;
mod ps;
mod runs;
mod serve;
mod store;
mod submit;
pub(super) mod task_ref;
pub(super) mod tasks;
mod top;
mod wire_task;

use self::actions::Action;
use crate::cli::args::daemon::DaemonCommand;
use crate::cli::exit::{Done, Failure};

/// Runs a command.
pub(super) fn run(command: &DaemonCommand) -> Result<Done, Failure> {
    match command {
        DaemonCommand::Serve(command) => serve::serve(command),
        DaemonCommand::Store(command) => store::store(command),
        DaemonCommand::Submit(command) => submit::submit(command),
        DaemonCommand::Ps(command) => ps::ps(command),
        DaemonCommand::Logs(command) => logs::logs(command),
        DaemonCommand::Pause(command) => tasks::all(command, &Action::Pause),
        DaemonCommand::Kill(command) => tasks::all(command, &Action::Kill),
        DaemonCommand::Rm(command) => tasks::all(command, &Action::Remove),
        DaemonCommand::Start(command) => tasks::all(command, &Action::Start),
        DaemonCommand::Runs(command) => runs::runs(command),
        DaemonCommand::Export(command) => export::export(command),
        DaemonCommand::Import(command) => import::import(command),
        DaemonCommand::Migrate(command) => migrate::migrate(command),
        DaemonCommand::Drain(command) => drain::drain(command),
        DaemonCommand::Peers(command) => peers::peers(command),
        DaemonCommand::Moves(command) => moves::moves(command),
        DaemonCommand::Nodes(command) => nodes::nodes(command),
        DaemonCommand::Decide(command) => decide::decide(command),
        DaemonCommand::Token(command) => accounts::token(command),
        DaemonCommand::Tenant(command) => accounts::tenant(command),
        DaemonCommand::AuditLog(command) => accounts::audit_log(command),
        DaemonCommand::Top(command) => top::top(command),
    }
}
