//! A spec over another one: flags over a task file.

use super::network::added;
use super::task::TaskSpec;

impl TaskSpec {
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
