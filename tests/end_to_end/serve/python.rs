//! A server in Python, as componentize-py makes it of the world `wasi:http/proxy`.
//!
//! WasmEdge's compiler needs many minutes for CPython; that pair runs with `DORMOUSE_TEST_ALL=1`.

use std::path::PathBuf;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

use dormouse_test_support::ports::free_address;
use dormouse_test_support::{cache, check, dormouse, engines, wasmtime};

use super::server::{Server, shown};
use crate::http::compare;

/// What peers say, of which nothing depends on requests before.
const TALKS: [(&str, &str); 4] = [
    (
        "words",
        "POST /words HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\nConnection: close\r\n\r\n\
         [\"Dolly\", \"Shaun\"]",
    ),
    (
        "words in chunks, and another request",
        "POST /words HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\n[\"Dol\r\n4\r\nly\"]\r\n0\r\n\r\n\
         GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "slow",
        "GET /slow/20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    (
        "head",
        "HEAD /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
];

pub fn trials() -> Vec<Trial> {
    let all = std::env::var_os("DORMOUSE_TEST_ALL").is_some();
    let mut trials = Vec::new();
    for engine in engines() {
        let mut add = |name: &str, run: fn(&str) -> Result<(), String>| {
            let name = format!("serve::{engine}::python::{name}");
            let trial = Trial::test(name, move || run(engine).map_err(Failed::from));
            trials.push(trial.with_ignored_flag(engine == "wasmedge" && !all));
        };
        add("talks", talks);
        add("rehearse", rehearse);
        add("per_request", per_request);
        add("asleep", asleep);
    }
    trials
}

fn component() -> String {
    let path: PathBuf = cache().join("programs/server.component.wasm");
    assert!(
        path.exists(),
        "{} is not there; run `make setup`",
        path.display()
    );
    path.display().to_string()
}

/// Starts it; a large component is made ready first, however long that takes.
fn server(engine: &str, address: &str, options: &[&str]) -> Result<Server, String> {
    let path = component();
    let mut prepare = dormouse();
    prepare.args(["compile", "--engine", engine, &path]);
    let prepared = prepare.output().map_err(|error| error.to_string())?;
    check(prepared.status.success(), || format!("{prepared:?}"))?;
    let mut command = dormouse();
    command
        .args(["serve-http", "--listen", address, "--engine", engine])
        .args(options)
        .arg(path);
    Server::start(command, tempfile::tempdir().expect("a folder"))
}

fn uninterrupted() -> Result<Server, String> {
    let mut command = wasmtime();
    command.args(["serve", "-S", "cli", "--addr", "127.0.0.1:0", &component()]);
    Server::start(command, tempfile::tempdir().expect("a folder"))
}

/// Each talk gives what it gives with Wasmtime.
fn same(server: &Server) -> Result<(), String> {
    let oracle = uninterrupted()?;
    for (name, text) in TALKS {
        let expected = shown(&oracle.talk(&[text]));
        compare(name, &shown(&server.talk(&[text])), &expected)?;
    }
    Ok(())
}

fn talks(engine: &str) -> Result<(), String> {
    let server = server(engine, "127.0.0.1:0", &[])?;
    same(&server)?;
    let found = server.ask("/visits");
    check(
        found.contains(r#"{"/words": 2, "/nowhere": 2, "/slow/20": 1, "/visits": 1}"#),
        || found,
    )
}

fn rehearse(engine: &str) -> Result<(), String> {
    same(&server(engine, "127.0.0.1:0", &["--rehearse"])?)
}

/// An exception of its own ends one instance alone.
fn per_request(engine: &str) -> Result<(), String> {
    let server = server(engine, "127.0.0.1:0", &["--per-request"])?;
    same(&server)?;
    let failed = "HTTP/1.1 500 Internal Server Error\n";
    let [found, expected] = [server.ask("/raise"), uninterrupted()?.ask("/raise")];
    check(
        found.starts_with(failed) && expected.starts_with(failed),
        || format!("{found}\n{expected}"),
    )?;
    let found = server.ask("/visits");
    check(found.contains(r#"{"/visits": 1}"#), || found)
}

/// Suspended between requests, it goes on in another process with all that it knew.
fn asleep(engine: &str) -> Result<(), String> {
    let address = free_address();
    let mut server = server(engine, &address, &[])?;
    for count in 1..=3 {
        let found = server.ask("/visits");
        check(
            found.contains(&format!(r#"{{"/visits": {count}}}"#)),
            || found,
        )?;
        kill_process(Pid::from_child(&server.child), Signal::TERM).expect("it runs");
        server.until_said("resume with: dormouse resume --http ")?;
        let code = server.exit_code();
        check(code == Some(75), || format!("{code:?}"))?;
        let mut command = dormouse();
        command.args(["resume", "--engine", engine, "--http", &address]);
        command.arg("./snapshot");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = std::mem::replace(&mut server.folder, folder);
        server = Server::start(command, folder)?;
    }
    Ok(())
}
