//! One value in every form.

use std::num::NonZeroU16;

use super::*;
use crate::Timestamp;
use crate::limits::{OnLimit, Setting};

/// A spec in which every field is said, and none is as usual.
fn whole() -> TaskSpec {
    let word = |text: &str| text.to_string();
    // Each field is named, so that a new one has to be said here too.
    TaskSpec {
        module: Some("job.wasm".parse().expect("a module")),
        components: vec![ComponentSource {
            path: word("a/app.wasm"),
            name: Some(word("app")),
            digest: Some("1".repeat(64).parse().expect("a digest")),
            links: [(word("greet"), "greeter.say".parse().expect("a link"))].into(),
        }],
        digest: Some("0".repeat(64).parse().expect("a digest")),
        name: Some(word("job")),
        program: Some(word("job")),
        args: vec![word("one"), word("two words")],
        env: [(word("B"), word("b=c")), (word("A"), String::new())].into(),
        env_from: vec![word("LANG")],
        mounts: vec![
            Mount {
                host: word("/srv"),
                guest: word("/srv"),
                access: Access::ReadOnly,
            },
            Mount {
                host: word("/tmp"),
                guest: word("/tmp"),
                access: Access::ReadWrite,
            },
        ],
        tmpfs: vec![Tmpfs {
            guest: word("/t"),
            size: Some(ByteSize(16 << 20)),
        }],
        network: Network {
            listen: vec!["127.0.0.1:80".parse().expect("an address")],
            http: Some("[::1]:8080".parse().expect("an address")),
            per_request: true,
            max_instances: Some(NonZeroU16::MAX),
            allow_connect: vec!["*:53".parse().expect("a rule")],
            allow_listen: vec!["[::1]:1-9".parse().expect("a rule")],
            proxy_streams: Some(true),
        },
        clocks: Some(Clocks::Virtual),
        random: Some(Randomness::Seed(u64::MAX)),
        engine: Some(EngineKind::WasmEdge),
        limits: ["cpu=1h/d", "files=7", "time=none"]
            .map(|text| text.parse::<Setting>().expect(text))
            .into(),
        on_limit: Some(OnLimit::Pause),
        restart: Some(Restart::OnFailure),
        place: [(word("zone"), word("eu"))].into(),
        schedule: Schedule {
            at: Some(Moment::At(Timestamp::from_nanos(1_893_456_000_000_000_001))),
            every: Some("@daily".parse().expect("an expression")),
        },
        suspend: Suspend {
            policy: Some("after=1500ms".parse().expect("a policy")),
            snapshot: Some("job.snapshot".into()),
            slim: true,
            preempt: true,
        },
        accept_changed_files: true,
    }
}

/// Whether every field of a spec differs from what it is where nothing is said.
fn says_everything(spec: TaskSpec) -> bool {
    let usual = TaskSpec::default();
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
        network,
        clocks,
        random,
        engine,
        limits,
        on_limit,
        restart,
        place,
        schedule,
        suspend,
        accept_changed_files,
    } = spec;
    module != usual.module
        && components != usual.components
        && digest != usual.digest
        && name != usual.name
        && program != usual.program
        && args != usual.args
        && env != usual.env
        && env_from != usual.env_from
        && mounts != usual.mounts
        && tmpfs != usual.tmpfs
        && network != usual.network
        && clocks != usual.clocks
        && random != usual.random
        && engine != usual.engine
        && limits != usual.limits
        && on_limit != usual.on_limit
        && restart != usual.restart
        && place != usual.place
        && schedule != usual.schedule
        && suspend != usual.suspend
        && accept_changed_files != usual.accept_changed_files
}

fn json(text: &str) -> TaskSpec {
    serde_json::from_str(text).expect(text)
}

#[test]
fn every_form_reads_back_what_it_holds() {
    let whole = whole();
    assert!(says_everything(whole.clone()));
    for spec in [whole, TaskSpec::default()] {
        let text = serde_json::to_string(&spec).expect("JSON");
        assert_eq!(json(&text), spec);
        let bytes = rmp_serde::to_vec_named(&spec).expect("MessagePack");
        let read: TaskSpec = rmp_serde::from_slice(&bytes).expect("MessagePack");
        assert_eq!(read, spec);
    }
    let nothing = serde_json::to_string(&TaskSpec::default()).expect("JSON");
    assert_eq!(nothing, "{}");
}

/// A task file may write its keys with hyphens; every other form has one name for each field.
#[test]
fn a_task_file_is_the_same() {
    let text = r#"
        module = "job.wasm"
        digest = "0000000000000000000000000000000000000000000000000000000000000000"
        name = "job"
        program = "job"
        args = ["one", "two words"]
        env-from = ["LANG"]
        clocks = "virtual"
        random = "seed=18446744073709551615"
        engine = "wasmedge"
        on-limit = "pause"
        restart = "on-failure"
        place = { zone = "eu" }
        accept-changed-files = true
        env = { A = "", B = "b=c" }
        limits = { cpu = "60m/24h", files = 7, time = "none" }
        schedule = { at = "2030-01-01T01:00:00.000000001+01:00", every = "@daily" }
        suspend = { policy = "after=1.5s", snapshot = "job.snapshot", slim = true, preempt = true }

        [[component]]
        path = "a/app.wasm"
        name = "app"
        digest = "1111111111111111111111111111111111111111111111111111111111111111"
        links = { greet = "greeter.say" }

        [[mount]]
        host = "/srv"
        guest = "/srv"
        read-only = true

        [[mount]]
        host = "/tmp"
        guest = "/tmp"
        read-only = false

        [[tmpfs]]
        guest = "/t"
        size = "16M"

        [network]
        listen = ["127.0.0.1:80"]
        http = "[::1]:8080"
        per-request = true
        max-instances = 65535
        allow-connect = ["*:53"]
        allow-listen = ["[::1]:1-9"]
        proxy-streams = true
    "#;
    let read: TaskSpec = toml::from_str(text).expect("a task file");
    assert_eq!(read, whole());
    let snake = text
        .replace("[[mount]]", "[[mounts]]")
        .replace("[[component]]", "[[components]]");
    let hyphens = [
        "env-from",
        "on-limit",
        "accept-changed-files",
        "read-only",
        "allow-connect",
        "allow-listen",
        "proxy-streams",
        "per-request",
        "max-instances",
    ];
    let snake = hyphens.iter().fold(snake, |text, key| {
        assert!(text.contains(key), "{key}");
        text.replace(key, &key.replace('-', "_"))
    });
    let read: TaskSpec = toml::from_str(&snake).expect("a task file");
    assert_eq!(read, whole());
}

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    for (text, said) in [
        (r#"{"nme": "x"}"#, "unknown field `nme`"),
        (r#"{"network": {"alow": []}}"#, "unknown field `alow`"),
        (r#"{"args": 3}"#, "expected a sequence"),
        (r#"{"engine": "v8"}"#, "no engine is called"),
        (r#"{"clocks": "stopped"}"#, "neither host nor virtual"),
        (r#"{"random": "42"}"#, "a seed such as seed=42"),
        (r#"{"on_limit": "stop"}"#, "neither end nor pause"),
        (r#"{"restart": "often"}"#, "on-failure"),
        (r#"{"limits": {"cpuu": "1s"}}"#, "no limit is called"),
        (r#"{"limits": {"cpu": 5}}"#, "500ms, 10s"),
        (r#"{"limits": {"cpu": true}}"#, "a value of the limit cpu"),
        (r#"{"schedule": {"at": "soon"}}"#, "is no time"),
        (r#"{"schedule": {"at": "+8000y"}}"#, "up to the year 2262"),
        (r#"{"schedule": {"at": "9999-01-01T00:00:00Z"}}"#, "2262"),
        (r#"{"schedule": {"every": "soon"}}"#, "no cron expression"),
        (r#"{"network": {"listen": ["80"]}}"#, "is no address"),
        (r#"{"digest": "12"}"#, "64 hexadecimal digits"),
        (r#"{"suspend": {"policy": "x"}}"#, "after=DURATION"),
        (
            r#"{"tmpfs": [{"guest": "/", "size": "much"}]}"#,
            "is no size",
        ),
        (r#"{"tmpfs": [{"guest": "/", "size": -1}]}"#, "-1"),
        (
            r#"{"network": {"allow_connect": ["x"]}}"#,
            "is no HOST:PORTS",
        ),
        (r#"{"mounts": [{"host": "/"}]}"#, "missing field `guest`"),
        (r#"{"module": "blake3:12"}"#, "64 hexadecimal digits"),
        (r#"{"components": [{}]}"#, "missing field `path`"),
        (
            r#"{"components": [{"path": "a", "links": {"b": "c d"}}]}"#,
            "is no link",
        ),
    ] {
        let error = serde_json::from_str::<TaskSpec>(text).expect_err(text);
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
    let long = format!(r#"{{"engine": "{}"}}"#, "x".repeat(MOST_BYTES + 1));
    let error = serde_json::from_str::<TaskSpec>(&long).expect_err("long");
    assert!(error.to_string().contains("512 bytes"), "{error}");
}

/// What is stored of a task that sleeps is paid for a million times.
#[test]
fn a_usual_task_is_short() {
    let spec = json(r#"{"program": "nap.wasm", "args": ["7"]}"#);
    let bytes = rmp_serde::to_vec_named(&spec).expect("MessagePack");
    assert!(bytes.len() < 29, "{}", bytes.len());
}

#[test]
fn flags_replace_what_is_given_once_and_add_to_what_is_given_often() {
    let file = json(
        r#"{"module": "a.wasm", "args": ["x"], "env": {"A": "1", "B": "2"}, "engine": "wasmtime",
            "limits": {"cpu": "1s", "files": "3"}, "place": {"zone": "eu", "disk": "hdd"}, "network": {"listen": ["a:1"], "proxy_streams": true},
            "mounts": [{"host": "/a", "guest": "/a"}], "suspend": {"slim": true, "policy": "always"}}"#,
    );
    assert_eq!(TaskSpec::default().overlaid(whole()), whole());
    assert_eq!(file.clone().overlaid(TaskSpec::default()), file);
    let flags = json(
        r#"{"env": {"B": "3", "C": "4"}, "engine": "wasmedge", "limits": {"cpu": "2s"}, "place": {"disk": "ssd"},
            "network": {"listen": ["b:1"], "proxy_streams": false}, "mounts": [{"host": "/b", "guest": "/b"}],
            "suspend": {"policy": "never"}}"#,
    );
    let both = json(
        r#"{"module": "a.wasm", "args": ["x"], "env": {"A": "1", "B": "3", "C": "4"},
            "engine": "wasmedge", "limits": {"cpu": "2s", "files": "3"},
            "place": {"zone": "eu", "disk": "ssd"},
            "network": {"listen": ["a:1", "b:1"], "proxy_streams": false},
            "mounts": [{"host": "/a", "guest": "/a"}, {"host": "/b", "guest": "/b"}],
            "suspend": {"slim": true, "policy": "never"}}"#,
    );
    assert_eq!(file.clone().overlaid(flags), both);
    let module = json(r#"{"module": "b.wasm", "args": ["y"]}"#);
    let both = file.overlaid(module);
    assert_eq!(both.arguments(), ["b.wasm", "y"]);
    let linked = json(r#"{"components": [{"path": "a/app.wasm"}], "args": ["x"]}"#);
    assert_eq!(linked.arguments(), ["app.wasm", "x"]);
    let module = linked.overlaid(json(r#"{"module": "b.wasm"}"#));
    assert_eq!(module, json(r#"{"module": "b.wasm"}"#));
}

#[test]
fn a_module_is_a_path_or_a_digest() {
    let digest = "0123456789abcdef".repeat(4);
    let named = json(&format!(r#"{{"digest": "{digest}"}}"#));
    let module = named.source().expect("a module");
    assert_eq!(module.to_string(), format!("blake3:{digest}"));
    assert_eq!(named.arguments(), [module.to_string()]);
    let path = json(r#"{"module": "a/b.wasm", "args": ["x"]}"#);
    assert_eq!(path.arguments(), ["b.wasm", "x"]);
    let bare: Module = digest.parse().expect("a path");
    assert_eq!(bare, Module::Path(digest.clone()));
    assert_eq!(bare.digest(), module.digest());
}
