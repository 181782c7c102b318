//! `dormouse inspect`: what a snapshot holds, without running the guest.

use serde_json::{Value, json};

use crate::cli::args::Inspect;
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, format, out};
use crate::cli::snapshot_file;
use crate::model::{Limits, MonotonicTime};
use crate::snapshot::{self, ModuleRef, PAGE};
use crate::task::Snapshot;
use crate::wasi::{FdKindV1, FdV1, PhaseV1, SocketV1, StateV1};

pub(crate) fn inspect(command: &Inspect) -> Result<Done, Failure> {
    #[cfg(feature = "server")]
    if let Some(id) = super::daemon::task_ref::parse(&command.snapshot, &command.remote)? {
        return super::daemon::inspect::inspect(&command.remote, id);
    }
    let keys = command.opening.load()?;
    let opened = snapshot_file::read(&command.snapshot, &keys, &Limits::default())?;
    let envelope = Envelope {
        trusted: keys.verifies(),
        signer: opened.signer.clone(),
        encrypted: opened.encrypted,
    };
    let Some(size) = opened.content.as_ref().map(Vec::len) else {
        // Without a key to open it, only the signature can be told.
        match output::as_json() {
            true => output::result(&envelope.json()),
            false => envelope.print(),
        }
        return OK;
    };
    let saved = snapshot_file::decode(&command.snapshot, &opened, &Limits::default())?;
    let wasi: StateV1 = rmp_serde::from_slice(&saved.wasi).map_err(|error| {
        let error = snapshot::Error::Malformed(error.to_string());
        snapshot_file::at(&command.snapshot, error.into())
    })?;
    match output::as_json() {
        true => {
            let mut json = to_json(&saved, &wasi, size);
            json["seal"] = envelope.json();
            output::result(&json);
        }
        false => {
            envelope.print();
            print(&saved, &wasi, size);
        }
    }
    OK
}

/// The envelope that a snapshot came in: its signature and encryption.
struct Envelope {
    /// Whether the signature was checked against a key that the user trusts.
    trusted: bool,
    signer: Option<String>,
    encrypted: bool,
}

impl Envelope {
    fn print(&self) {
        match (&self.signer, self.trusted) {
            (Some(key), true) => out!("signed by  {key}, which is trusted"),
            (Some(key), false) => out!("signed by  {key}, by its own word; see --verify-key"),
            (None, _) => {}
        }
        if self.encrypted {
            out!("encrypted  by age; --decrypt-key opens it");
        }
    }

    fn json(&self) -> Value {
        json!({ "signer": self.signer, "trusted": self.trusted, "encrypted": self.encrypted })
    }
}

fn module_bytes(saved: &Snapshot) -> (u64, u64) {
    match &saved.module {
        ModuleRef::Embedded { packed, length } => (packed.len() as u64, *length),
        ModuleRef::ByDigest => (0, 0),
    }
}

fn stored_pages(saved: &Snapshot) -> u64 {
    (saved.pages.len() / PAGE) as u64
}

fn print(saved: &Snapshot, wasi: &StateV1, size: usize) {
    let meta = &saved.meta;
    let (packed, length) = module_bytes(saved);
    out!("program    {}", wasi.args.join(" "));
    out!("waits for  {}", format::wait(&meta.wait, meta.wakes));
    out!(
        "written    {} by dormouse {} on {}",
        format::time(meta.created),
        meta.tool,
        meta.engine
    );
    match packed {
        0 => out!("module     {} (not in the snapshot)", meta.source.short()),
        _ => out!(
            "module     {}, {} ({} in the snapshot), transform {}",
            meta.source.short(),
            format::bytes(length),
            format::bytes(packed),
            meta.transform,
        ),
    }
    out!(
        "size       {}, without the module {}",
        format::bytes(size as u64),
        format::bytes(size as u64 - packed),
    );
    out!("stack      {}", format::bytes(saved.stack.len() as u64));
    print_memories(saved);
    out!("pages      {} stored", stored_pages(saved));
    for (number, tmpfs) in wasi.tmpfs.iter().enumerate() {
        out!(
            "memory directory {number}  {}, {} files and directories, {} of {}",
            tmpfs.guest,
            tmpfs.nodes.len(),
            format::bytes(tmpfs.used()),
            format::bytes(tmpfs.limit),
        );
    }
    if let Some(used) = &meta.usage {
        out!(
            "used       {:.3} s of CPU time, {} of output, {} written to files, since {}",
            used.cpu as f64 * 1e-9,
            format::bytes(used.output),
            format::bytes(used.writes),
            format::time(used.started),
        );
    }
    if let Some(own) = &wasi.own_time {
        let passed = own.passed.saturating_duration_since(MonotonicTime::ZERO);
        let passed = humantime::format_duration(passed);
        out!("clocks     virtual, {passed} have passed");
    }
    if let Some(stream) = &wasi.seeded {
        let used = format::bytes(stream.used);
        out!("random     seed={}, {used} of it used", stream.seed);
    }
    out!("files");
    for fd in &wasi.fds {
        let read_only = match &fd.kind {
            FdKindV1::Preopen(guest) if wasi.read_only.contains(guest) => ", to be read only",
            _ => "",
        };
        out!("  {:>3}  {}{read_only}", fd.fd, describe(fd));
    }
}

fn print_memories(saved: &Snapshot) {
    for (index, memory) in saved.instance.memories.iter().enumerate() {
        out!(
            "memory {index}   {}, changed pages:",
            format::bytes(memory.size)
        );
        for run in &memory.runs {
            let start = u64::from(run.first) * PAGE as u64;
            let end = start + u64::from(run.count) * PAGE as u64;
            let zero = if run.zero { "  (zero)" } else { "" };
            out!("  {start:#010x}..{end:#010x}  {:>5} pages{zero}", run.count);
        }
    }
}

fn describe(fd: &FdV1) -> String {
    match &fd.kind {
        FdKindV1::Stream(stream) => format!("{stream:?}").to_lowercase(),
        FdKindV1::Preopen(guest) => format!("directory {guest}, given by the host"),
        FdKindV1::Dir(dir) => format!("directory {} in {}", dir.path, dir.preopen),
        FdKindV1::File(file) => format!(
            "file {} in {}, at byte {} of {}",
            file.path, file.preopen, file.offset, file.identity.size
        ),
        FdKindV1::Listener(address) => format!("listening socket {address}, given by the host"),
        FdKindV1::Socket(socket) => describe_socket(socket),
        FdKindV1::Memory(open) if open.preopen => format!("directory in memory {}", open.tmpfs),
        FdKindV1::Memory(open) => format!(
            "number {} in directory in memory {}, at byte {}",
            open.inode, open.tmpfs, open.offset
        ),
        FdKindV1::Deleted(file) => format!("a deleted file, at byte {}", file.offset),
    }
}

fn describe_socket(socket: &SocketV1) -> String {
    let kind = if socket.datagram { "UDP" } else { "TCP" };
    let address = |address: Option<std::net::SocketAddr>| {
        address.map_or_else(
            || "an address to be chosen".into(),
            |address| address.to_string(),
        )
    };
    let local = address(socket.local);
    match socket.phase {
        PhaseV1::Open => format!("{kind} socket"),
        PhaseV1::Bound => format!("{kind} socket, bound to {local}"),
        PhaseV1::Listening { .. } => format!("{kind} socket, listening on {local}"),
        PhaseV1::Connecting => format!("{kind} socket, connecting to {}", address(socket.peer)),
        PhaseV1::Connected if socket.datagram => {
            format!("{kind} socket, connected to {}", address(socket.peer))
        }
        PhaseV1::Connected | PhaseV1::Reset => "a connection, which will read as reset".into(),
    }
}

fn to_json(saved: &Snapshot, wasi: &StateV1, size: usize) -> Value {
    let meta = &saved.meta;
    let (packed, length) = module_bytes(saved);
    let memories: Vec<Value> = saved
        .instance
        .memories
        .iter()
        .map(|memory| {
            let runs: Vec<Value> = memory
                .runs
                .iter()
                .map(|run| json!({ "first": run.first, "count": run.count, "zero": run.zero }))
                .collect();
            json!({ "bytes": memory.size, "changed_pages": runs })
        })
        .collect();
    let fds: Vec<Value> = wasi
        .fds
        .iter()
        .map(|fd| json!({ "fd": fd.fd, "kind": describe(fd), "flags": fd.flags, "rights": fd.rights }))
        .collect();
    let tmpfs: Vec<Value> = wasi
        .tmpfs
        .iter()
        .map(|tmpfs| {
            json!({
                "guest": tmpfs.guest,
                "nodes": tmpfs.nodes.len(),
                "bytes": tmpfs.used(),
                "limit": tmpfs.limit,
            })
        })
        .collect();
    // Values of environment variables may be secrets.
    let names: Vec<&String> = wasi.env.iter().map(|(name, _)| name).collect();
    json!({
        "program": wasi.args,
        "environment": names,
        "wait": format::wait(&meta.wait, meta.wakes),
        "wakes": meta.wakes.map(format::time),
        "created": format::time(meta.created),
        "tool": meta.tool,
        "engine": meta.engine,
        "module": {
            "source": meta.source.to_string(),
            "resumable": meta.module.to_string(),
            "transform": meta.transform,
            "bytes": length,
            "bytes_in_snapshot": packed,
        },
        "snapshot_bytes": size,
        "snapshot_bytes_without_module": size as u64 - packed,
        "stack_bytes": saved.stack.len(),
        "page_bytes": PAGE,
        "pages_stored": stored_pages(saved),
        "memories": memories,
        "fds": fds,
        "tmpfs": tmpfs,
        "used": meta.usage.map(|used| json!({
            "cpu_seconds": used.cpu as f64 * 1e-9,
            "output_bytes": used.output,
            "written_bytes": used.writes,
            "since": format::time(used.started),
        })),
        "read_only": wasi.read_only,
        "virtual_seconds": wasi.own_time.map(|own| own.passed.as_nanos() as f64 * 1e-9),
        "seed": wasi.seeded.map(|stream| stream.seed),
    })
}
