//! What the flags say, against the other forms of the same.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, which may fail"
)]

use clap::Parser;

use super::args::daemon::DaemonCommand;
use super::args::{Args, Command};
use crate::cli::guest::grants::flags;
use crate::model::TaskSpec;
use crate::model::spec::{Network, Schedule, Suspend};

fn run(words: &[&str]) -> TaskSpec {
    let words = ["dormouse", "run"].iter().chain(words);
    match Args::try_parse_from(words).expect("flags").command {
        Command::Run(run) => run.spec().expect("a module"),
        other => panic!("{other:?}"),
    }
}

fn submit(words: &[&str]) -> TaskSpec {
    let words = ["dormouse", "submit"].iter().chain(words);
    match Args::try_parse_from(words).expect("flags").command {
        Command::Daemon(DaemonCommand::Submit(submit)) => submit.spec().expect("a module"),
        other => panic!("{other:?}"),
    }
}

/// What flags, a task file, HTTP and the store say is one value. A field that a flag cannot say is
/// named here, with the reason.
#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one specification, written in each of the four ways"
)]
fn flags_a_task_file_json_and_the_store_say_the_same() {
    const DIGEST: &str = "9ec6b3f1a0d2c4e58f7a6b5c4d3e2f100123456789abcdef0123456789abcdef";
    const FLAGS: &[&str] = &[
        "--digest",
        DIGEST,
        "--env=A=1",
        "--env=HOME",
        "--dir=/srv::/data:ro",
        "--dir=/tmp",
        "--tmpfs=/t=16M",
        "--tcplisten=127.0.0.1:0",
        "--http=127.0.0.1:8080",
        "--allow-connect=*:53",
        "--allow-listen=[::1]:1-9",
        "--clocks=virtual",
        "--random=seed=7",
        "--engine=wasmedge",
        "--limit=cpu=1h/d",
        "--limit=files=none",
        "--on-limit=pause",
        "--preempt",
    ];
    const MODULE: &[&str] = &["job.wasm", "one", "--two"];
    let ran = ["--suspend=after=10s", "--slim", "--snapshot=job.snapshot"];
    let submitted = [
        "--name=job",
        "--streams=proxy",
        "--restart=on-failure",
        "--place=zone=eu,disk=ssd",
        "--accept-changed-files",
        "--per-request",
        "--max-instances=7",
    ];
    let ran = run(&[FLAGS, &ran, MODULE].concat());
    let at = submit(&[FLAGS, &submitted, &["--at=2030-01-01T00:00:00Z"], MODULE].concat());
    let every = submit(&[FLAGS, &submitted, &["--every=@daily"], MODULE].concat());
    // What `run` takes and what `submit` takes make the whole of it.
    let flags = ran.overlaid(TaskSpec {
        mounts: Vec::new(),
        tmpfs: Vec::new(),
        env_from: Vec::new(),
        network: Network {
            per_request: at.network.per_request,
            max_instances: at.network.max_instances,
            proxy_streams: at.network.proxy_streams,
            ..Network::default()
        },
        schedule: Schedule {
            at: at.schedule.at,
            every: every.schedule.every,
        },
        ..at
    });
    let file = r#"
        module = "job.wasm"
        digest = "9ec6b3f1a0d2c4e58f7a6b5c4d3e2f100123456789abcdef0123456789abcdef"
        name = "job"
        args = ["one", "--two"]
        env-from = ["HOME"]
        clocks = "virtual"
        random = "seed=7"
        engine = "wasmedge"
        on-limit = "pause"
        restart = "on-failure"
        place = { zone = "eu", disk = "ssd" }
        accept-changed-files = true
        env = { A = "1" }
        limits = { cpu = "1h/d", files = "none" }
        schedule = { at = "2030-01-01T00:00:00Z", every = "@daily" }
        suspend = { policy = "after=10s", slim = true, snapshot = "job.snapshot", preempt = true }
        mount = [{ host = "/srv", guest = "/data", read-only = true }, { host = "/tmp", guest = "/tmp" }]
        tmpfs = [{ guest = "/t", size = "16M" }]

        [network]
        listen = ["127.0.0.1:0"]
        http = "127.0.0.1:8080"
        per-request = true
        max-instances = 7
        allow-connect = ["*:53"]
        allow-listen = ["[::1]:1-9"]
        proxy-streams = true
    "#;
    let file: TaskSpec = toml::from_str(file).expect("a task file");
    assert_eq!(flags, file);
    let json = serde_json::to_value(&flags).expect("JSON");
    // A value with rules of its own is the text that was given, in every form.
    assert_eq!(json["digest"], DIGEST);
    assert_eq!(json["network"]["listen"][0], "127.0.0.1:0");
    assert_eq!(json["schedule"]["every"], "@daily");
    // A new setting is on the page about task files.
    let page = include_str!("../../docs/task-files.md");
    for key in json.as_object().expect("an object").keys() {
        let is_there = page.contains(key) || page.contains(&key.replace('_', "-"));
        assert!(is_there, "docs/task-files.md lacks {key}");
    }
    let stored = rmp_serde::to_vec_named(&flags).expect("MessagePack");
    assert_eq!(
        rmp_serde::from_slice::<serde_json::Value>(&stored).expect("the same as in JSON"),
        json
    );
    assert_eq!(
        serde_json::from_value::<TaskSpec>(json).expect("a task"),
        file
    );
    assert_eq!(
        rmp_serde::from_slice::<TaskSpec>(&stored).expect("a task"),
        file
    );
    // Every field is said by a flag, but for `program`, which is the module's file name where there
    // is one, and for `components`, which only a task file links. A new field does not compile here
    // until it is named.
    let TaskSpec {
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
        network:
            Network {
                listen,
                http,
                per_request,
                max_instances,
                allow_connect,
                allow_listen,
                proxy_streams,
            },
        clocks,
        random,
        engine,
        limits,
        on_limit,
        restart,
        place,
        schedule: Schedule { at, every },
        suspend:
            Suspend {
                policy,
                snapshot,
                slim,
                preempt,
            },
        accept_changed_files,
    } = flags;
    assert!(program.is_none() && components.is_empty());
    let texts = [args.len(), env.len(), env_from.len(), mounts.len()];
    let lists = [
        tmpfs.len(),
        listen.len(),
        allow_connect.len(),
        allow_listen.len(),
    ];
    assert_eq!((texts, lists), ([2, 1, 1, 2], [1; 4]));
    assert_eq!((limits.len(), place.len()), (2, 2));
    assert!(module.is_some() && digest.is_some() && name.is_some());
    assert!(http.is_some() && proxy_streams.is_some() && clocks.is_some() && random.is_some());
    assert!(engine.is_some() && on_limit.is_some() && restart.is_some());
    assert!(at.is_some() && every.is_some() && policy.is_some() && snapshot.is_some());
    assert!(slim && preempt && accept_changed_files && per_request && max_instances.is_some());
}

#[test]
fn flags_that_give_the_same_again_are_read_back() {
    let given = [
        "--dir=/srv::/data:ro",
        "--dir=/tmp",
        "--tcplisten=127.0.0.1:0",
        "--http=[::1]:80",
        "--allow-connect=*:53",
        "--allow-listen=[::1]:1-9",
        "--limit=cpu=1h/d",
        "--on-limit=pause",
        "x.wasm",
    ];
    let spec = run(&given);
    let again = flags(&spec);
    let again = again
        .iter()
        .flat_map(|(flag, value)| [*flag, value.as_str()]);
    let again: Vec<&str> = again.chain(["x.wasm"]).collect();
    assert_eq!(run(&again), spec);
}
