//! What a guest is started with, and what its host gives it.

use dormouse_model::spec::{Clocks, Randomness};
use dormouse_model::{Limit, Limits, TaskSpec, TraceContext};

use crate::fs::{HostDir, RestoreOptions};
use crate::http::HttpConnection;
use crate::sock::{Grants, HeldSocket, Listener};
use crate::stdio::{Input, Output};
use crate::tmpfs::TmpDir;

/// What a guest is started with. All of it is in the guest's snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Arguments; the first is by custom the program's name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Directories in memory, which only this guest sees and its snapshots carry along.
    pub tmpfs: Vec<TmpDir>,
}

/// Everything of the host's that a guest is given. None of it is in a snapshot: a resumed guest is
/// given it anew.
#[derive(Debug, Default)]
pub struct Bindings {
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Directories.
    pub dirs: Vec<HostDir>,
    /// Listening sockets. A new guest finds them from descriptor 3 on, before its directories.
    pub listeners: Vec<Listener>,
    /// The socket that a guest's HTTP requests come from, if it is to answer any.
    pub http: Option<Listener>,
    /// A connection on which the guest answers one request by HTTP, and no other. Only a new guest
    /// is given one.
    pub http_connection: Option<HttpConnection>,
    /// How much the guest may take. Only the limits on its calls are enforced here.
    pub limits: Limits,
    /// What it may connect to, and where it may listen.
    pub grants: Grants,
    /// Which time its clocks show. `None`: at a resume as before, else the host's time.
    pub clocks: Option<Clocks>,
    /// Where its random numbers come from. `None`: at a resume as before, else the host.
    pub random: Option<Randomness>,
    /// At a resume: sockets that were kept for the guest while it slept. Those that its snapshot
    /// does not name are closed.
    pub held: Vec<HeldSocket>,
    /// The span that HTTP requests of the guest's belong to, where they name none themselves.
    pub traceparent: Option<TraceContext>,
}

impl From<&TaskSpec> for RestoreOptions {
    /// How a guest of a spec is resumed.
    fn from(spec: &TaskSpec) -> Self {
        Self {
            accept_changed_files: spec.accept_changed_files,
        }
    }
}

impl Bindings {
    /// What a guest gets of a spec, by a host with these limits: the one place where grants, clocks,
    /// random numbers, directories and limits are made of what was asked for. Standard streams and
    /// sockets are the host's to add.
    pub fn from_spec(spec: &TaskSpec, host: &Limits) -> (Config, Self) {
        let limits = spec.limits(host);
        let most = limits.value(Limit::Tmpfs);
        let tmpfs = spec.tmpfs.iter().map(|dir| TmpDir {
            guest: dir.guest.clone(),
            limit: dir.size.map_or(most, |size| size.0),
        });
        let config = Config {
            args: spec.arguments(),
            env: spec.environment(),
            tmpfs: tmpfs.collect(),
        };
        let dirs = spec.mounts.iter().map(|mount| HostDir {
            guest: mount.guest.clone(),
            host: mount.host.clone().into(),
            access: mount.access,
        });
        let network = &spec.network;
        let bindings = Self {
            dirs: dirs.collect(),
            limits,
            grants: Grants::new(network.allow_connect.clone(), network.allow_listen.clone()),
            clocks: spec.clocks,
            random: spec.random,
            ..Self::default()
        };
        (config, bindings)
    }
}
