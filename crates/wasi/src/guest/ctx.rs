//! The WASI state of one guest.

use std::sync::Arc;

use dormouse_model::clock::{Clock, Steady};
use dormouse_model::{Deadline, Limit, MonotonicTime, Reached, Used};

use super::table::{Descriptor, Table};
use crate::bindings::{Bindings, Config};
use crate::error::Error;
use crate::fs::FifoOpening;
use crate::p2::ComponentV1;
use crate::resources::Resources;
use crate::stdio::Stream;
use crate::tmpfs::SharedTmpfs;

/// The WASI state of one guest.
pub struct Ctx {
    pub(crate) resources: Resources,
    pub(crate) table: Table,
    /// What a component has beyond descriptors.
    pub(crate) component: ComponentV1,
    /// The deadlines of the poll that has blocked, one for each subscription.
    pub(crate) poll: Option<Vec<Option<Deadline>>>,
    /// The named pipe of the open that has blocked.
    pub(crate) opening: Option<FifoOpening>,
    /// How many bytes the receive that has blocked has got already.
    pub(crate) received: u32,
}

impl Ctx {
    /// The state of a guest that has not run yet.
    ///
    /// # Errors
    /// A directory cannot be opened, or the guest cannot be given its arguments, its environment or a
    /// directory in memory of this size.
    pub fn new(
        config: Config,
        mut bindings: Bindings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let max = bindings.limits.value(Limit::Files);
        let given = bindings.listeners.len();
        let connection = bindings.http_connection.take();
        let mut ctx = Self::without_descriptors(Resources::new(config, bindings, clock)?, max);
        let (table, resources) = (&mut ctx.table, &ctx.resources);
        for (fd, stream) in (0..).zip([Stream::Stdin, Stream::Stdout, Stream::Stderr]) {
            // The number is free. With a limit below three a guest lacks the rest of the streams.
            let _ = table.insert_at(fd, Descriptor::stream(stream));
        }
        for listener in resources.listeners.iter().take(given) {
            let descriptor = Descriptor::socket(listener.clone(), 0);
            table.insert(descriptor).map_err(|_| TOO_MANY_LISTENERS)?;
        }
        for preopen in &resources.preopens {
            let descriptor = Descriptor::preopen(preopen.open_dir()?);
            table.insert(descriptor).map_err(|_| TOO_MANY_DIRECTORIES)?;
        }
        for tmpfs in &resources.tmpfs {
            let descriptor = Descriptor::memory(tmpfs.root());
            table.insert(descriptor).map_err(|_| TOO_MANY_DIRECTORIES)?;
        }
        for http in resources.listeners.iter().skip(given) {
            let descriptor = Descriptor::socket(http.clone(), 0);
            let fd = table.insert(descriptor).map_err(|_| TOO_MANY_LISTENERS)?;
            ctx.component.server.listener = Some(fd);
        }
        if let Some(connection) = connection {
            let socket = Descriptor::socket(connection.socket(), 0);
            let fd = ctx.table.insert(socket).map_err(|_| TOO_MANY_LISTENERS)?;
            let now = ctx.resources.clock.monotonic();
            ctx.component.server.give(connection.given_as(fd, now));
        }
        Ok(ctx)
    }

    /// A state without open descriptors, of which there may be `max`.
    pub(crate) fn without_descriptors(resources: Resources, max: u64) -> Self {
        Self {
            resources,
            table: Table::new(max),
            component: ComponentV1::default(),
            poll: None,
            opening: None,
            received: 0,
        }
    }

    /// The limit that the last call has reached, once.
    pub fn take_reached(&mut self) -> Option<Reached> {
        self.resources.quota.take_reached()
    }

    /// The last limit at which the guest got an error.
    pub fn last_refusal(&self) -> Option<Reached> {
        self.resources.quota.refused()
    }

    /// The guest has got an error because a directory in memory is full. The fullest one is taken
    /// for the one that was meant.
    pub(crate) fn refuse_tmpfs(&mut self) {
        let rooms = self.resources.tmpfs.iter().map(SharedTmpfs::room);
        let (_, limit) = rooms.min().unwrap_or_default();
        self.resources.quota.refuse_at(Limit::Tmpfs, limit);
    }

    /// Bytes written to the standard streams and to files since the guest was first started.
    pub fn written(&self) -> (Used, Used) {
        self.resources.quota.written()
    }

    /// How many of the written bytes count against the limits now.
    pub fn counted_against_limits(&mut self) -> [(Limit, u64); 2] {
        self.resources.quota.counted()
    }

    /// Goes on counting written bytes, for a guest that was first started at `started`.
    pub fn resume_quota(
        &mut self,
        output: Used,
        writes: Used,
        started: MonotonicTime,
        clock: Steady,
    ) {
        self.resources.quota.resume(output, writes, started, clock);
    }
}

const TOO_MANY_LISTENERS: Error = Error::Malformed("it has more listeners than a guest can have");
const TOO_MANY_DIRECTORIES: Error =
    Error::Malformed("it has more directories than a guest can have");
