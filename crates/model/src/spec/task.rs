//! The one type of what a task is started with.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::component::ComponentSource;
use super::engine::EngineKind;
use super::module::Module;
use super::moment::Schedule;
use super::mount::{Mount, Tmpfs};
use super::network::{Network, added};
use super::policy::Suspend;
use super::restart::Restart;
use super::settings::Settings;
use super::world::{Clocks, Randomness};
use crate::Digest;
use crate::limits::{Limits, OnLimit};

/// What a task is started with. Nothing is given to it that does not stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TaskSpec {
    /// The module: a path, or `blake3:DIGEST` of one that is known already. A daemon is told a
    /// digest alone, with or without `blake3:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub module: Option<Module>,
    /// Components that are linked to one, in place of `module`. The first is the program. Not for a
    /// daemon, which is given what they become.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "component")]
    pub components: Vec<ComponentSource>,
    /// BLAKE3 of the module as it is, in 64 hexadecimal digits: another module is refused. Without
    /// `module`, it names the module. Not for a daemon, where `module` is a digest.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "crate::text::optional"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub digest: Option<Digest>,
    /// A name that no other task of a daemon has. It begins with a letter or a digit, continues
    /// with letters, digits, `.`, `_` and `-`, has at most 100 bytes, and is more than digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the guest finds as its own name, before its arguments; left out, the module's file
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Arguments, without the program's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables and their values.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = std::collections::BTreeMap<String, String>)
    )]
    pub env: IndexMap<String, String>,
    /// Names of variables whose values are those of whoever runs dormouse. Not for a daemon, which
    /// gives a task nothing of its own environment.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "env-from")]
    pub env_from: Vec<String>,
    /// Directories of the host's.
    #[serde(skip_serializing_if = "Vec::is_empty", alias = "mount")]
    pub mounts: Vec<Mount>,
    /// Directories in memory, which travel in the task's snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// What the guest may reach over the network: nothing, if it is not said.
    #[serde(skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// What its clocks tell: `host`, or `virtual` for a time of its own; left out, `host`, or as it
    /// was in a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub clocks: Option<Clocks>,
    /// Where its random numbers come from: `host`, or a seed such as `seed=42`; left out, `host`,
    /// or as it was in a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub random: Option<Randomness>,
    /// `wasmtime` or `wasmedge`; left out, that of whoever runs the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub engine: Option<EngineKind>,
    /// Limits by name, such as `{"cpu": "10m", "memory": "512M", "files": "none"}`. `none` lifts a
    /// limit.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = std::collections::BTreeMap<String, String>)
    )]
    pub limits: Settings,
    /// What becomes of the task when it reaches a limit: `end` or `pause`.
    #[serde(skip_serializing_if = "Option::is_none", alias = "on-limit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub on_limit: Option<OnLimit>,
    /// When a daemon starts it anew: `never`, `on-failure` or `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub restart: Option<Restart>,
    /// Labels that the daemon must have which runs it, such as `{"zone": "eu"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub place: BTreeMap<String, String>,
    /// When a daemon starts it.
    #[serde(skip_serializing_if = "Schedule::is_default")]
    pub schedule: Schedule,
    /// When it is suspended, and where to. Not for a daemon, which decides that itself.
    #[serde(skip_serializing_if = "Suspend::is_default")]
    pub suspend: Suspend,
    /// Go on even if files that the task has open were changed in the meantime.
    #[serde(
        skip_serializing_if = "std::ops::Not::not",
        alias = "accept-changed-files"
    )]
    pub accept_changed_files: bool,
}

impl TaskSpec {
    /// The module to load: the one that is named, else that of `digest`.
    pub fn source(&self) -> Option<Module> {
        let module = self.module.clone();
        module.or(self.digest.map(Module::Digest))
    }

    /// What the guest finds as its own name where nothing else is said: its file's name.
    pub fn program_name(&self) -> Option<String> {
        match self.components.first() {
            Some(program) => Some(program.file_name()),
            None => self.source().map(|module| module.file_name()),
        }
    }

    /// What the guest finds as its arguments: the program's name first.
    pub fn arguments(&self) -> Vec<String> {
        let program = self.program.clone().or_else(|| self.program_name());
        let args = self.args.iter().cloned();
        program.into_iter().chain(args).collect()
    }

    /// The guest's environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let env = self.env.iter();
        env.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Its limits, over those of whoever runs it.
    pub fn limits(&self, host: &Limits) -> Limits {
        let mut limits = host.with(&self.limits);
        limits.on_limit = self.on_limit.or(limits.on_limit);
        limits
    }

    /// This one with another laid over it. Of what can be given once, the other's replaces this one's; of
    /// what can be given many times, the other's is added. A module of the other's, or
    /// its components, take the place of this one's with its arguments.
    pub fn overlaid(self, over: Self) -> Self {
        // Each field is named, so that none is forgotten.
        let Self {
            module,
            components,
            digest,
            name,
            program,
            args,
            env,
            env_from,
            mounts,
            tmpfs,
            network,
            clocks,
            random,
            engine,
            limits,
            on_limit,
            restart,
            place,
            schedule,
            suspend,
            accept_changed_files,
        } = over;
        let mut whole = self;
        if module.is_some() || !components.is_empty() {
            (whole.module, whole.program) = (module, program);
            whole.components = components;
            whole.args = args;
        } else {
            whole.program = program.or(whole.program);
            whole.args.extend(args);
        }
        whole.env.extend(env);
        whole.limits.extend(limits.iter());
        whole.place.extend(place);
        Self {
            digest: digest.or(whole.digest),
            name: name.or(whole.name),
            env_from: added(whole.env_from, env_from),
            mounts: added(whole.mounts, mounts),
            tmpfs: added(whole.tmpfs, tmpfs),
            network: whole.network.overlaid(network),
            clocks: clocks.or(whole.clocks),
            random: random.or(whole.random),
            engine: engine.or(whole.engine),
            on_limit: on_limit.or(whole.on_limit),
            restart: restart.or(whole.restart),
            schedule: whole.schedule.overlaid(schedule),
            suspend: whole.suspend.overlaid(suspend),
            accept_changed_files: whole.accept_changed_files || accept_changed_files,
            ..whole
        }
    }
}
