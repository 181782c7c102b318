//! The flags of `dormouse serve`.

use std::path::PathBuf;

use crate::cli::args::limits::LimitFlags;
use crate::cli::parse::daemon::{Size, memory, threads};
use crate::cli::parse::time::Span;
use crate::engine::EngineKind;
use crate::model::spec::parse_label;

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where everything is kept. If left out, `dormouse` in the user's data directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep the tasks in a PostgreSQL database (postgres://user@host/database) and not in the
    /// directory. If left out, in that of DORMOUSE_STORE, if that is set.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// The name of this daemon among those that share a database. If left out, one that it makes up
    /// at its first start.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// How the other daemons that share the database reach this one, where that is not the address of
    /// --listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub node_address: Option<String>,
    /// A word by which this daemon is told from others, such as zone=eu; given again for several.
    /// Tasks ask for them (`submit --place`).
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    pub listen: String,
    /// Take the place of the daemon that has the directory now, with its listeners and the
    /// connections of its tasks. Where there is none, start as usual.
    #[arg(long)]
    pub takeover: bool,
    /// Where other daemons reach this one, to send tasks. If left out, none do.
    #[arg(long, value_name = "ADDRESS")]
    pub peer_listen: Option<String>,
    /// How other daemons call this one, where that is not the address of --peer-listen.
    #[arg(long, value_name = "HOST:PORT", requires = "peer_listen")]
    pub peer_address: Option<String>,
    /// A name by which the daemon may be asked, beside localhost and addresses.
    #[arg(long = "host", value_name = "NAME", value_hint = clap::ValueHint::Hostname)]
    pub hosts: Vec<String>,
    /// Speak TLS, and show clients this certificate, a file in PEM. Replaced files are taken at
    /// once.
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of --tls-cert.
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Note in the directory who asked for what, for `dormouse audit-log`.
    #[arg(long)]
    pub audit_log: bool,
    /// Threads for guests. If left out, one for each core; more are started while all compute.
    #[arg(long, value_name = "COUNT", value_parser = threads())]
    pub workers: Option<u16>,
    /// At most this many threads for guests; beyond it, computations with checks take turns.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = threads())]
    pub max_workers: u16,
    /// A wait of at least this long is slept through in the store, a shorter one in memory.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub hibernate_after: Span,
    /// Memory of the daemon and all its guests together, 64M at least; guests wait for room. Left
    /// out, seven eighths of what the control group and the machine have.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<Size>,
    /// Pause a task that was being run when the daemon died, so many times in a row; 0 never does.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub set_aside_after: u32,
    /// Memory for guests that wait in memory; beyond it they are put to sleep.
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    pub max_warm_memory: Size,
    #[command(flatten)]
    pub limits: LimitFlags,
    /// How much output of each task is kept; the oldest goes first.
    #[arg(long, value_name = "SIZE", default_value = "1M")]
    pub output_limit: Size,
    /// A task that waits in memory again and again is stored at least this often.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub checkpoint: Span,
    /// Tasks that are over are removed after this long. If left out, they are kept.
    #[arg(long, value_name = "DURATION")]
    pub retain: Option<Span>,
    /// The engine for tasks that do not name one: wasmtime or wasmedge.
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// Tell an OpenTelemetry collector of what is done with tasks, and send it what they write:
    /// http://HOST:4318. If left out, the one of OTEL_EXPORTER_OTLP_ENDPOINT, if that is set.
    #[arg(long, value_name = "URL", value_hint = clap::ValueHint::Url)]
    pub otlp: Option<String>,
    /// How long to wait at the end for guests that compute.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub grace: Span,
}
