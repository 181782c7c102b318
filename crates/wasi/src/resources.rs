//! What a guest has, without its descriptors: the part of its state that does not depend on the
//! version of WASI.

use std::sync::Arc;

use dormouse_model::clock::Clock;
use dormouse_model::{Limit, Limits, TraceContext, check_environment};

use crate::bindings::{Bindings, Config};
use crate::clocks::{ClockV1, GuestClock, VirtualTimeV1};
use crate::error::Error;
use crate::fs::Preopen;
use crate::quota::Quota;
use crate::random::{Random, SeededV1};
use crate::sock::{Grants, Socket};
use crate::stdio::Streams;
use crate::tmpfs::{SharedTmpfs, TmpfsV1};

/// What a guest has, without its descriptors.
pub(crate) struct Resources {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) streams: Streams,
    /// The directories that the host gives.
    pub(crate) preopens: Vec<Preopen>,
    /// The listening sockets that the host gives. The guest finds as many of them among its
    /// descriptors as it is given at its start; the one for HTTP requests is behind those.
    pub(crate) listeners: Vec<Socket>,
    pub(crate) grants: Grants,
    /// The directories in memory.
    pub(crate) tmpfs: Vec<SharedTmpfs>,
    pub(crate) quota: Quota,
    pub(crate) clock: GuestClock,
    pub(crate) random: Random,
    /// The span that HTTP requests of the guest's belong to, where they name none themselves.
    pub(crate) traceparent: Option<TraceContext>,
}

/// What a snapshot keeps of it.
pub(crate) struct SavedResources {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) clock: ClockV1,
    pub(crate) virtual_time: Option<VirtualTimeV1>,
    pub(crate) tmpfs: Vec<TmpfsV1>,
    /// Guest names of the directories that the guest may only read.
    pub(crate) read_only: Vec<String>,
    pub(crate) seeded: Option<SeededV1>,
}

impl Resources {
    /// The resources of a new guest.
    pub(crate) fn new(
        config: Config,
        bindings: Bindings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        check_environment(&config.args, &config.env)?;
        let max = bindings.limits.value(Limit::Tmpfs);
        let sizes = config.tmpfs.iter().map(|dir| dir.limit);
        if let Some(size) = sizes.into_iter().find(|size| *size > max) {
            let reached = bindings.limits.reached(Limit::Tmpfs);
            return Err(Error::Limit(reached.with(size)));
        }
        let clock = GuestClock::new(clock, bindings.clocks);
        let random = Random::new(bindings.random);
        let now = clock.wall();
        let tmpfs = (0..)
            .zip(config.tmpfs)
            .map(|(number, dir)| SharedTmpfs::new(number, dir, now))
            .collect();
        Self::assemble(
            (config.args, config.env),
            bindings,
            &[],
            clock,
            random,
            tmpfs,
        )
    }

    /// The resources of a resumed guest.
    pub(crate) fn restore(
        saved: SavedResources,
        bindings: Bindings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        check_environment(&saved.args, &saved.env).map_err(Error::SavedEnvironment)?;
        let mut clock = GuestClock::restore(clock, saved.clock);
        clock.restore_virtual_time(bindings.clocks, saved.virtual_time);
        let random = Random::restore(bindings.random, saved.seeded);
        let limits = bindings.limits;
        let mut resources = Self::assemble(
            (saved.args, saved.env),
            bindings,
            &saved.read_only,
            clock,
            random,
            Vec::new(),
        )?;
        resources.tmpfs = restore_tmpfs(saved.tmpfs, &limits)?;
        Ok(resources)
    }

    fn assemble(
        (args, env): (Vec<String>, Vec<(String, String)>),
        bindings: Bindings,
        read_only: &[String],
        clock: GuestClock,
        random: Random,
        tmpfs: Vec<SharedTmpfs>,
    ) -> Result<Self, Error> {
        let preopens = bindings
            .dirs
            .into_iter()
            .map(|dir| {
                let before = read_only.contains(&dir.guest);
                Preopen::open(dir, before)
            })
            .collect::<Result<_, _>>()?;
        let listeners = bindings.listeners.into_iter().chain(bindings.http);
        let listeners = listeners.map(Socket::given).collect::<Result<_, _>>()?;
        Ok(Self {
            args,
            env,
            streams: Streams::new(bindings.stdin, bindings.stdout, bindings.stderr),
            preopens,
            listeners,
            grants: bindings.grants,
            traceparent: bindings.traceparent,
            tmpfs,
            quota: Quota::new(bindings.limits, clock.steady()),
            clock,
            random,
        })
    }

    /// The resources as data.
    pub(crate) fn save(&self) -> SavedResources {
        let read_only = self.preopens.iter().filter(|preopen| preopen.read_only);
        SavedResources {
            args: self.args.clone(),
            env: self.env.clone(),
            clock: self.clock.save(),
            virtual_time: self.clock.save_virtual_time(),
            tmpfs: self.tmpfs.iter().map(SharedTmpfs::save).collect(),
            read_only: read_only.map(|preopen| preopen.guest.clone()).collect(),
            seeded: self.random.save(),
        }
    }

    /// Environment variables as a program reads them: `NAME=VALUE`.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        let variables = self.env.iter();
        variables.map(|(name, value)| format!("{name}={value}"))
    }
}

fn restore_tmpfs(saved: Vec<TmpfsV1>, limits: &Limits) -> Result<Vec<SharedTmpfs>, Error> {
    let max = limits.value(Limit::Tmpfs);
    (0..)
        .zip(saved)
        .map(|(number, saved)| SharedTmpfs::restore(number, saved, max, limits))
        .collect()
}
