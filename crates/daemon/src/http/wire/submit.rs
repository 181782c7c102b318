//! What a client sends: a task to submit, and other limits for one that is paused.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bounds::check_hosts;
use crate::model::limits::parse_bytes;
use crate::model::{Limit, Limits, Setting};
use crate::{LimitChanges, Spec, World};

/// A directory that a task may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Path on the daemon's machine.
    pub host: String,
    /// Its name for the guest.
    pub guest: String,
    /// Whether the guest may only read there. Left out, it may write; at an import, as it could before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// A directory in memory, which travels in the task's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Its name for the guest.
    pub guest: String,
    /// How many bytes it may hold, names and nodes counted in; left out, as many as the limit `tmpfs` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// A number of bytes: as a number, which answers always have, or as a text such as `16M`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Size {
    /// As a number.
    Bytes(u64),
    /// As a text.
    Text(String),
}

impl Size {
    /// As a number; `None` where the text is no size.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(*bytes),
            Self::Text(text) => parse_bytes(text),
        }
    }
}

/// A task to submit.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// Digest that the upload of the module gave.
    pub module: String,
    /// Arguments; the first is by custom the module's file name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Directories.
    pub dirs: Vec<Dir>,
    /// A name that no other task has. It begins with a letter or a digit, goes on with letters, digits, `.`, `_` and `-`,
    /// has at most 100 bytes, and is more than digits.
    pub name: Option<String>,
    /// `wasmtime` or `wasmedge`; left out, the daemon's own choice.
    pub engine: Option<String>,
    /// When to start, RFC 3339; left out, now.
    pub at: Option<String>,
    /// A cron expression in the daemon's local time: the task starts again and again.
    pub every: Option<String>,
    /// Go on even if files that the task has open were changed in the meantime.
    pub accept_changed_files: bool,
    /// Addresses to listen on, such as `127.0.0.1:8080`: the guest finds the sockets from descriptor 3 on.
    pub listen: Vec<String>,
    /// What the guest may connect to: `HOST:PORTS`, such as `example.com:443` or `10.0.0.0/8:80-90`.
    pub allow_connect: Vec<String>,
    /// Where the guest may bind sockets of its own, `HOST:PORTS`.
    pub allow_listen: Vec<String>,
    /// Directories in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Connections are carried to where the task moves; else they are reset then.
    pub proxy_streams: bool,
    /// Limits by name, such as `{"cpu": "10m", "memory": "512M", "files": "none"}`.
    pub limits: BTreeMap<String, String>,
    /// What becomes of the task when it reaches one: `end` or `pause`.
    pub on_limit: Option<String>,
    /// When it is started anew: `never`, `on-failure` or `always`.
    pub restart: Option<String>,
    /// What its clocks tell: `host`, or `virtual` for a time of its own; left out, `host`.
    pub clocks: Option<String>,
    /// Where its random numbers come from: `host`, or a seed such as `seed=42`; left out, `host`.
    pub random: Option<String>,
    /// In a batch: submit so many of it. No name then.
    pub count: Option<u32>,
}

/// A field that holds what it cannot: its name, and why.
pub(in crate::http) struct Wrong {
    pub(in crate::http) field: String,
    pub(in crate::http) error: String,
}

impl Wrong {
    fn at(field: impl Into<String>) -> impl FnOnce(String) -> Self {
        let field = field.into();
        |error| Self { field, error }
    }
}

/// A word of a field, where there is one.
fn word<T: FromStr<Err = String>>(text: Option<&str>, field: &str) -> Result<Option<T>, Wrong> {
    text.map(str::parse).transpose().map_err(Wrong::at(field))
}

impl Submit {
    /// What the scheduler is told, of a daemon with these limits.
    ///
    /// # Errors
    /// Says which word is none.
    pub(in crate::http) fn spec(&self, daemon: &Limits) -> Result<Spec, Wrong> {
        self.check_hosts()?;
        let dirs = self.dirs.iter();
        let limits = read_settings(&self.limits)?;
        let most = daemon.with(limits.iter().copied()).value(Limit::Tmpfs);
        Ok(Spec {
            limits,
            on_limit: word(self.on_limit.as_deref(), "on_limit")?,
            restart: word(self.restart.as_deref(), "restart")?,
            world: World {
                read_only: dirs
                    .clone()
                    .filter_map(|dir| Some((dir.guest.clone(), dir.read_only?)))
                    .collect(),
                clocks: self.clocks.clone(),
                random: self.random.clone(),
            },
            args: self.args.clone(),
            env: self.env.clone().into_iter().collect(),
            dirs: dirs
                .map(|dir| (dir.host.clone(), dir.guest.clone()))
                .collect(),
            engine: self.engine.clone(),
            every: self.every.clone(),
            accept_changed_files: self.accept_changed_files,
            proxy_streams: self.proxy_streams,
            listen: self.listen.clone(),
            allow_connect: self.allow_connect.clone(),
            allow_listen: self.allow_listen.clone(),
            tmpfs: self.read_tmpfs(most)?,
        })
    }

    /// A directory of the host's is named by its whole path, wherever the daemon happens to be.
    fn check_hosts(&self) -> Result<(), Wrong> {
        for (place, dir) in self.dirs.iter().enumerate() {
            check_hosts([&dir.host]).map_err(Wrong::at(format!("dirs[{place}].host")))?;
        }
        Ok(())
    }

    fn read_tmpfs(&self, most: u64) -> Result<Vec<(String, u64)>, Wrong> {
        let dirs = self.tmpfs.iter().enumerate();
        let size = |(place, dir): (usize, &Tmpfs)| {
            let bytes = match &dir.size {
                None => Some(most),
                Some(size) => size.bytes(),
            };
            let bytes = bytes.ok_or_else(|| {
                let text = "this is no size; write 512K, 16M or 1G".to_string();
                Wrong::at(format!("tmpfs[{place}].size"))(text)
            })?;
            Ok((dir.guest.clone(), bytes))
        };
        dirs.map(size).collect()
    }
}

/// Other limits for a paused task that is to go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resume {
    /// Limits by name, such as `{"cpu": "20m"}`; the task has them from then on.
    pub limits: BTreeMap<String, String>,
    /// What becomes of the task when it reaches one: `end` or `pause`.
    pub on_limit: Option<String>,
}

impl Resume {
    /// What the scheduler is told.
    ///
    /// # Errors
    /// Says which word is none.
    pub(in crate::http) fn more(&self) -> Result<LimitChanges, Wrong> {
        Ok(LimitChanges {
            limits: read_settings(&self.limits)?,
            on_limit: word(self.on_limit.as_deref(), "on_limit")?,
        })
    }
}

fn read_settings(limits: &BTreeMap<String, String>) -> Result<Vec<Setting>, Wrong> {
    let read = |(name, value): (&String, &String)| {
        let limit = name.trim().parse();
        let setting = limit.and_then(|limit| Setting::new(limit, value));
        setting.map_err(Wrong::at(format!("limits.{name}")))
    };
    limits.iter().map(read).collect()
}
