//! What a task is started with, as one type: flags build it, a task file is it in TOML, HTTP
//! carries it as JSON, a daemon's store keeps it as MessagePack.
//!
//! All of them have the same fields with the same names. Of a value that is a word there is one
//! text ([`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display)), which every form
//! holds. What is not said is left out where a spec is written, so that a store of a million tasks
//! pays for nothing that has its default.
//!
//! A new setting is a field of [`TaskSpec`], with its line in [`TaskSpec::overlaid`]; one flag
//! (`src/cli/args`); one page of `docs/`. What it does to a guest stands in `Bindings::from_spec`.

mod check;
mod component;
mod cron;
mod engine;
mod listen;
mod module;
mod moment;
mod mount;
mod network;
mod place;
mod policy;
mod restart;
mod rule;
mod settings;
mod task;
mod world;

pub use crate::text::MOST_BYTES;
pub use check::Wrong;
pub use component::{ComponentSource, LinkTarget, check_component_name};
pub use cron::{CronExpression, CronFields};
pub use engine::EngineKind;
pub use listen::ListenAddress;
pub use module::Module;
pub use moment::{Moment, Schedule};
pub use mount::{Access, ByteSize, Mount, Tmpfs};
pub use network::{MAX_INSTANCES, Network, Reach};
pub use place::{check_label, parse_label};
pub use policy::{Policy, Suspend};
pub use restart::Restart;
pub use rule::{Host, Rule};
pub use settings::Settings;
pub use task::TaskSpec;
pub use world::{Clocks, Randomness};

#[cfg(test)]
mod tests;
