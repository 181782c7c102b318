//! Daemons that die at any instant: every task and every line of output is accounted for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder};

/// Each task writes so many lines, with a sleep before each.
const ROUNDS: usize = 8;

/// Sleeps on both sides of this, so that tasks wait in memory as well as in the store.
const OPTIONS: [&str; 6] = [
    "--hibernate-after",
    "60ms",
    "--checkpoint",
    "100ms",
    // Nobody but us is to blame.
    "--set-aside-after",
    "0",
];

fn sleeper(module: &str) -> Value {
    let rounds = ROUNDS.to_string();
    json!({"module": module, "program": "sleeper", "args": ["0.01", "0.15", rounds]})
}

/// Submits without end; gives the numbers that were told when the daemon has gone.
fn submit_until_gone(daemon: &Daemon, module: &str) -> Vec<u64> {
    let token = format!("Bearer {}", daemon.token);
    let headers = [("authorization", token.as_str())];
    let body = json!([sleeper(module), sleeper(module)]).to_string();
    let mut told = Vec::new();
    for _ in 0..10 {
        let answer = daemon.ask_with(Method::POST, "/v1/batch", body.as_bytes(), &headers);
        let Ok((200, answer)) = answer else { break };
        let answer: Vec<Value> = serde_json::from_slice(&answer).expect("JSON");
        told.extend(
            answer
                .iter()
                .map(|task| task["id"].as_u64().expect("a number")),
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    told
}

/// Waits until all tasks are over, and checks each of them.
fn account(daemon: &Daemon, told: &BTreeSet<u64>) {
    let left = || {
        let (_, stats) = daemon.json(Method::GET, "/v1/stats", &Value::Null);
        let tasks = stats["tasks"].as_object().expect("counts").clone();
        let over = tasks["exited"].as_u64().expect("a count");
        let all: u64 = tasks
            .values()
            .map(|count| count.as_u64().expect("a count"))
            .sum();
        (over == all).then_some(all)
    };
    let all = daemon.until_that("all tasks are over", left);
    let mut found = BTreeSet::new();
    let mut before = String::new();
    loop {
        let path = format!("/v1/tasks?limit=1000{before}");
        let (_, page) = daemon.json(Method::GET, &path, &Value::Null);
        for task in page["tasks"].as_array().expect("tasks") {
            assert_eq!(
                (&task["state"], &task["exit_code"]),
                (&json!("exited"), &json!(0)),
                "{task}"
            );
            found.insert(task["id"].as_u64().expect("a number"));
        }
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(found.len() as u64, all);
    let lost: Vec<_> = told.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "tasks that were accepted are gone: {lost:?}"
    );
    for id in &found {
        let output = daemon.output(*id);
        let rounds: Vec<String> = output
            .lines()
            .map(|line| line.split(" late").next().unwrap_or_default().to_string())
            .collect();
        let expected: Vec<String> = (0..ROUNDS).map(|round| format!("round {round}")).collect();
        assert_eq!(rounds, expected, "task {id} wrote:\n{output}");
    }
}

#[test]
fn killed_daemons_lose_no_task_and_no_line() {
    kill_again_and_again(&OPTIONS);
}

/// The same with a store in PostgreSQL.
#[cfg(feature = "postgres")]
#[test]
fn killed_daemons_lose_nothing_in_postgres() {
    let Some(server) = dormouse_test_support::postgres::Server::start(&["fsync=on"]) else {
        return;
    };
    let url = server.url(&server.create_database());
    kill_again_and_again(&[&OPTIONS[..], &["--store", &url]].concat());
}

fn kill_again_and_again(options: &[&str]) {
    let kills: usize = match std::env::var("DORMOUSE_KILLS") {
        Ok(kills) => kills.parse().expect("DORMOUSE_KILLS is a number"),
        Err(_) => 20,
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let data = folder();
    let module = Daemon::start(data.path(), options).upload("ex_sleeper");
    let mut told = BTreeSet::new();
    for _ in 0..kills {
        let daemon = Daemon::start(data.path(), options);
        std::thread::scope(|scope| {
            let submitting = scope.spawn(|| submit_until_gone(&daemon, &module));
            std::thread::sleep(Duration::from_micros(random.u64(1_000..400_000)));
            daemon.kill_now();
            told.extend(submitting.join().expect("it ends"));
        });
        daemon.kill();
    }
    let daemon = Daemon::start(data.path(), options);
    account(&daemon, &told);
    println!("{kills} kills, {} tasks", told.len());
}

/// What a power failure may take: the end of the file that was written last. Tasks then go on from an
/// older state; nothing is torn, and nothing is there twice.
#[test]
fn a_store_with_a_torn_end_goes_on_from_an_older_state() {
    let mut random = fastrand::Rng::with_seed(7);
    let data = folder();
    let module = Daemon::start(data.path(), &OPTIONS).upload("ex_sleeper");
    for _ in 0..8 {
        let daemon = Daemon::start(data.path(), &OPTIONS);
        submit_until_gone(&daemon, &module);
        daemon.kill();
        tear(&data.path().join("store.sqlite-wal"), &mut random);
    }
    let daemon = Daemon::start(data.path(), &OPTIONS);
    account(&daemon, &BTreeSet::new());
}

/// Cuts the file somewhere in its last part, or spoils it there.
fn tear(file: &Path, random: &mut fastrand::Rng) {
    let Ok(mut bytes) = std::fs::read(file) else {
        return;
    };
    let length = bytes.len();
    if length == 0 {
        return;
    }
    let start = length - random.usize(1..=length.min(60_000));
    match random.bool() {
        true => bytes.truncate(start),
        false => bytes[start..]
            .iter_mut()
            .for_each(|byte| *byte = random.u8(..)),
    }
    std::fs::write(file, bytes).expect("it can be written");
}

/// The end by SIGTERM: everything that can be is stored, and nothing is done twice.
#[test]
fn a_stopped_daemon_goes_on_where_it_was() {
    let data = folder();
    let mut told = BTreeSet::new();
    let module = {
        let daemon = Daemon::start(data.path(), &OPTIONS);
        let module = daemon.upload("ex_sleeper");
        told.extend(submit_until_gone(&daemon, &module));
        assert_eq!(daemon.stop(), Some(0));
        module
    };
    for _ in 0..3 {
        let daemon = Daemon::start(data.path(), &OPTIONS);
        told.extend(submit_until_gone(&daemon, &module));
        assert_eq!(daemon.stop(), Some(0));
    }
    account(&Daemon::start(data.path(), &OPTIONS), &told);
}

/// The process in which Binaryen works had the store's lock as well, and kept it for a moment longer: a daemon that was
/// killed meanwhile could not be started again at once.
#[test]
fn a_daemon_killed_while_it_rewrites_starts_again_at_once() {
    let data = folder();
    for _ in 0..3 {
        let daemon = Daemon::start(data.path(), &[]);
        let token = format!("Bearer {}", daemon.token);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let headers = [("authorization", token.as_str())];
                let module = many_calls(20_000);
                // It gets no answer.
                let _ = daemon.ask_with(Method::PUT, "/v1/modules", &module, &headers);
            });
            std::thread::sleep(Duration::from_millis(700));
            daemon.kill_now();
        });
        daemon.kill();
    }
    drop(Daemon::start(data.path(), &[]));
}

/// A module that takes Binaryen seconds.
fn many_calls(calls: u32) -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
        ImportSection, Instruction, Module, TypeSection, ValType,
    };
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    let name = "sched_yield";
    imports.import("wasi_snapshot_preview1", name, EntityType::Function(0));
    let mut functions = FunctionSection::new();
    functions.function(1);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 1);
    let mut body = Function::new([(8, ValType::I32)]);
    for call in 0..calls {
        body.instruction(&Instruction::Call(0));
        body.instruction(&Instruction::LocalSet(call % 8));
    }
    body.instruction(&Instruction::End);
    let mut code = CodeSection::new();
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions);
    module.section(&exports).section(&code);
    module.finish()
}
