//! What an OpenTelemetry collector is told: a real one (Rotel) takes it and passes it on to what reads
//! it with OpenTelemetry's own messages.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;

use dormouse_test_support::ports::free_address;
use dormouse_test_support::{component, guest};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::collector::Collector;
use crate::side::pair_in;
use crate::support::{Daemon, folder, text};

/// A span of a submitter's, and its trace.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Submits a guest for the span above; gives its number.
fn submit_traced(daemon: &Daemon, name: &str, args: &[&str], more: Value) -> u64 {
    let module = daemon.upload(name);
    submit_module(
        daemon,
        &module,
        json!({"program": name, "args": args}),
        more,
    )
}

/// The same for a module that the daemon has.
fn submit_module(daemon: &Daemon, module: &str, mut task: Value, more: Value) -> u64 {
    task["module"] = module.into();
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    let (token, body) = (format!("Bearer {}", daemon.token), task.to_string());
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let headers = [("authorization", &*token), ("traceparent", &*traceparent)];
    let answer = daemon.ask_with(Method::POST, "/v1/tasks", body.as_bytes(), &headers);
    let (status, answer) = answer.expect("it answers");
    assert_eq!(status, 201, "{}", text(&answer));
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    answer["id"].as_u64().expect("a number")
}

/// The exemplars of the buckets of histograms: of which one, and the trace.
fn exemplars(metrics: &str) -> Vec<(String, String)> {
    let read = |line: &str| {
        let name = line
            .strip_prefix("dormouse_")?
            .split_once("_seconds_bucket")?
            .0;
        let (_, trace) = line.split_once("# {trace_id=\"")?;
        let (trace, rest) = trace.split_once("\"}")?;
        // The value, and when it was observed.
        assert_eq!(rest.split_whitespace().count(), 2, "{line}");
        Some((name.to_string(), trace.to_string()))
    };
    metrics.lines().filter_map(read).collect()
}

/// Whether a span is linked to another one.
fn is_linked(span: &Value, to: &Value) -> bool {
    let links = span["links"].as_array().into_iter().flatten();
    links
        .into_iter()
        .any(|link| link["trace"] == to["trace"] && link["span"] == to["span"])
}

/// Checks the runs of one task: the first is a child of the submission, each other is a trace of its
/// own that is linked to the submission and to the run before.
fn check_chain(submit: &Value, runs: &[Value]) {
    assert_eq!(runs[0]["trace"], submit["trace"], "{runs:#?}");
    assert_eq!(runs[0]["parent"], submit["span"], "{runs:#?}");
    for (before, run) in runs.iter().zip(&runs[1..]) {
        assert_ne!(run["trace"], submit["trace"], "{run}");
        assert_eq!(run["parent"], "", "{run}");
        assert!(is_linked(run, submit), "{run:#} to {submit:#}");
        assert!(is_linked(run, before), "{run:#} to {before:#}");
    }
}

#[test]
fn a_collector_is_told_of_each_run_of_a_task() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let data = folder();
    let options = ["--otlp", &collector.url, "--hibernate-after", "100ms"];
    let daemon = Daemon::start(data.path(), &options);
    let name = json!({"name": "walker"});
    let id = submit_traced(&daemon, "ex_sleeper", &["0.2", "0.3", "4"], name);
    let task = daemon.until(id, "exited");
    let sleeps = task["sleeps"].as_u64().expect("a number") as usize;
    assert!(sleeps >= 3, "{task}");
    let output = daemon.output(id);
    let (_, metrics) = daemon.ask(Method::GET, "/metrics", &[]);
    let exemplars = exemplars(&text(&metrics));
    // What waits is sent before the end.
    assert_eq!(daemon.stop(), Some(0));
    collector.until("all runs are told", |told| {
        told.spans("run").len() > sleeps && told.lines().len() >= output.lines().count()
    });

    let submits = collector.spans("submit");
    let [submit] = &submits[..] else {
        panic!("{submits:#?}")
    };
    assert_eq!(
        (&submit["trace"], &submit["parent"]),
        (&json!(TRACE), &json!(SPAN))
    );
    assert_eq!(submit["attributes"]["dormouse.tasks"], 1);
    let runs = collector.spans("run");
    assert_eq!(runs.len(), sleeps + 1, "{runs:#?}");
    check_chain(submit, &runs);
    for span in runs.iter().chain([submit]) {
        let attributes = &span["attributes"];
        assert_eq!(attributes["dormouse.task.id"], id, "{span}");
        assert_eq!(attributes["dormouse.task.name"], "walker", "{span}");
        assert_eq!(attributes["dormouse.tenant"], "default", "{span}");
        assert_eq!(span["resource"]["service.name"], "dormouse", "{span}");
        assert!(
            span["resource"]["service.instance.id"].is_string(),
            "{span}"
        );
    }
    let within = |name: &str, run: &Value| {
        let all = collector.spans(name).into_iter();
        let of_run = all.filter(|span| {
            let times = [&run["start"], &span["start"], &span["end"], &run["end"]];
            let times = times.map(|time| time.as_u64().expect("a time"));
            let is_child = span["trace"] == run["trace"] && span["parent"] == run["span"];
            assert!(!is_child || times.is_sorted(), "{span:#} in {run:#}");
            is_child
        });
        of_run.count()
    };
    for (index, run) in runs.iter().enumerate() {
        let (is_first, is_last) = (index == 0, index == sleeps);
        assert_eq!(within("start", run), usize::from(is_first), "{run}");
        assert_eq!(within("thaw", run), usize::from(!is_first), "{run}");
        assert_eq!(within("freeze", run), usize::from(!is_last), "{run}");
        let attributes = &run["attributes"];
        let engine = attributes["dormouse.engine"].as_str();
        assert!(
            engine.is_some_and(|engine| engine.starts_with("wasm")),
            "{run}"
        );
        assert_eq!(attributes["dormouse.run"], 1, "{run}");
        let (state, wait) = match is_last {
            true => (json!("exited"), Value::Null),
            false => (json!("hibernated"), json!("time")),
        };
        assert_eq!(attributes["dormouse.state"], state, "{run}");
        assert_eq!(attributes["dormouse.wait"], wait, "{run}");
    }
    assert_eq!(runs[sleeps]["attributes"]["process.exit.code"], 0);

    // Times of waking and sleeping name traces in which they were taken.
    for name in ["wake_latency", "suspend", "resume"] {
        let of_name = exemplars.iter().filter(|(metric, _)| metric == name);
        let traces: Vec<&String> = of_name.map(|(_, trace)| trace).collect();
        assert!(!traces.is_empty(), "{name}: {metrics:?}");
        for trace in traces {
            let is_of = |run: &Value| run["trace"] == trace.as_str();
            assert!(runs.iter().any(is_of), "{name}: {trace}");
        }
    }

    // What it has written, each line with the run in which that was.
    let lines = collector.lines();
    let bodies: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["body"].as_str())
        .collect();
    assert_eq!(bodies, output.lines().collect::<Vec<_>>());
    for line in &lines {
        assert_eq!(line["attributes"]["dormouse.task.id"], id, "{line}");
        assert_eq!(line["attributes"]["dormouse.tenant"], "default", "{line}");
        assert_eq!(line["attributes"]["log.iostream"], "stdout", "{line}");
        let is_its = |run: &&Value| run["trace"] == line["trace"] && run["span"] == line["span"];
        assert!(runs.iter().any(|run| is_its(&run)), "{line}");
    }
}

#[test]
fn spans_go_on_after_a_daemon_was_killed() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let data = folder();
    let options = ["--otlp", &collector.url, "--hibernate-after", "0s"];
    let daemon = Daemon::start(data.path(), &options);
    let id = submit_traced(&daemon, "ex_sleeper", &["1", "1", "3"], json!({}));
    collector.until("it has slept", |told| !told.spans("run").is_empty());
    daemon.kill();
    let daemon = Daemon::start(data.path(), &options);
    daemon.until(id, "exited");
    assert_eq!(daemon.stop(), Some(0));
    let is_over = |run: &Value| run["attributes"]["dormouse.state"] == "exited";
    collector.until("its end is told", |told| {
        told.spans("run").iter().any(is_over)
    });
    let (submits, runs) = (collector.spans("submit"), collector.spans("run"));
    assert_eq!(submits.len(), 1, "{submits:#?}");
    assert_eq!(runs[0]["parent"], submits[0]["span"], "{runs:#?}");
    // What the daemon had not sent when it was killed is not told; what is told is joined.
    for run in &runs[1..] {
        assert!(is_linked(run, &submits[0]), "{run:#}");
        assert_eq!(run["links"].as_array().map(Vec::len), Some(2), "{run:#}");
    }
}

#[test]
fn spans_go_on_at_the_daemon_that_a_task_moves_to() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    let [a, b] = pair_in(&environment, &["--hibernate-after", "100ms"]);
    b.trusts("other", &a, json!({}));
    let id = submit_traced(a.daemon(), "ex_sleeper", &["0.2", "0.3", "8"], json!({}));
    collector.until("it has slept", |told| !told.spans("run").is_empty());
    let (status, gone) = a.migrate(id, "other");
    assert_eq!(status, 200, "{gone}");
    let there = gone["to"]["task"].as_u64().expect("a number");
    b.daemon().until(there, "exited");
    let is_over = |run: &Value| run["attributes"]["dormouse.state"] == "exited";
    collector.until("its end is told", |told| {
        told.spans("run").iter().any(is_over)
    });
    let (submits, runs) = (collector.spans("submit"), collector.spans("run"));
    let last = runs.iter().find(|run| is_over(run)).expect("it is over");
    assert!(is_linked(last, &submits[0]), "{last:#}");
    collector.until("the move is told", |told| !told.spans("move").is_empty());
    let moves = collector.spans("move");
    let [moved] = &moves[..] else {
        panic!("{moves:#?}")
    };
    assert!(is_linked(moved, &submits[0]), "{moved:#}");
    assert!(runs.iter().any(|run| is_linked(moved, run)), "{moved:#}");
    let told = &moved["attributes"];
    assert_eq!(told["dormouse.task.id"], id, "{moved}");
    assert_eq!(told["dormouse.move.task.id"], there, "{moved}");
    assert_eq!(told["dormouse.move.confirmed"], true, "{moved}");
    let from = |span: &Value| span["resource"]["service.instance.id"].clone();
    assert_eq!(from(&runs[0]), from(&submits[0]));
    assert_ne!(from(last), from(&submits[0]), "it ended elsewhere");
}

#[cfg(feature = "postgres")]
#[test]
fn where_nodes_share_a_database_a_run_begins_with_its_claim() {
    let Some(server) = dormouse_test_support::postgres::Server::start(&[]) else {
        return;
    };
    let Some(collector) = Collector::start() else {
        return;
    };
    let (data, url) = (folder(), server.url(&server.create_database()));
    let options = ["--store", &url, "--node", "a", "--otlp", &collector.url];
    let daemon = Daemon::start(data.path(), &options);
    let id = submit_traced(&daemon, "c_hello_sleep", &[], json!({}));
    daemon.until(id, "exited");
    assert_eq!(daemon.stop(), Some(0));
    collector.until("the run is told", |told| !told.spans("run").is_empty());
    let (runs, claims) = (collector.spans("run"), collector.spans("claim"));
    let ([run], [claim]) = (&runs[..], &claims[..]) else {
        panic!("{runs:#?} {claims:#?}")
    };
    assert_eq!(run["resource"]["dormouse.node"], "a", "{run:#}");
    assert_eq!(claim["trace"], TRACE, "{claim:#}");
    assert_eq!(claim["parent"], run["span"], "{claim:#}");
    assert_eq!(claim["start"], run["start"], "{claim:#}");
}

/// A guest that asks for it finds its run in the environment.
#[test]
fn a_guest_finds_the_trace_in_its_environment_if_it_asks() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    for (given, expected) in [
        (json!({"TRACEPARENT": ""}), format!("00-{TRACE}-{SPAN}-01")),
        (json!({"TRACEPARENT": "of-my-own"}), "of-my-own".into()),
    ] {
        let id = submit_traced(&daemon, "c_args_env", &[], json!({"env": given}));
        daemon.until(id, "exited");
        let output = daemon.output(id);
        let line = format!("TRACEPARENT={expected}");
        assert!(output.contains(&line), "{output}");
    }
    let id = submit_traced(&daemon, "c_args_env", &[], json!({}));
    daemon.until(id, "exited");
    assert!(!daemon.output(id).contains("TRACEPARENT"));
}

/// Also where the daemon has no collector: what the guest asks may have one.
#[test]
fn what_a_guest_asks_for_is_told_the_submitters_trace() {
    let peer = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = peer.local_addr().expect("an address").to_string();
    let module = fs::read(guest("p2_http")).expect("a guest");
    let module = component(&module).expect("a component");
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload_bytes(&module, false);
    let task = json!({
        "program": "p2_http",
        "args": [address, "GET /"],
        "network": {"allow_connect": [address]},
    });
    let id = submit_module(&daemon, &module, task, json!({}));
    let (mut guest, _) = peer.accept().expect("the guest");
    let lines = BufReader::new(guest.try_clone().expect("a socket")).lines();
    let head: Vec<String> = lines
        .map(|line| line.expect("the guest sends"))
        .take_while(|line| !line.is_empty())
        .collect();
    let traceparent = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    assert!(head.contains(&traceparent), "{head:?}");
    guest
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .expect("it is sent");
    daemon.until(id, "exited");
}

#[test]
fn a_collector_that_is_gone_or_silent_costs_spans_and_nothing_else() {
    // One that takes connections and never answers, and one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    for address in [silent, free_address()] {
        let data = folder();
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("http://{address}")),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "2"),
        ];
        let options = ["--hibernate-after", "0s"];
        let daemon = Daemon::try_start_in(&environment, data.path(), &options);
        let daemon = daemon.unwrap_or_else(|text| panic!("{text}"));
        let id = daemon.submit("ex_sleeper", &["0.1", "0.1", "4"], json!({}));
        daemon.until(id, "exited");
        daemon.until_that("drops are counted", || {
            let (_, metrics) = daemon.ask(Method::GET, "/metrics", &[]);
            let metrics = text(&metrics);
            let dropped = |signal: &str| {
                let name = format!("dormouse_telemetry_dropped_total{{signal=\"{signal}\"}} ");
                let mut lines = metrics.lines();
                let count = lines.find_map(|line| line.strip_prefix(&name));
                count.is_some_and(|count| count != "0")
            };
            (dropped("traces") && dropped("logs")).then_some(())
        });
        daemon.until_said("could not be sent, and are dropped");
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[test]
fn who_submits_names_the_trace_and_the_sampler_decides() {
    let Some(collector) = Collector::start() else {
        return;
    };
    let data = folder();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
        ("OTEL_SERVICE_NAME", "night"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret"),
    ];
    let daemon = Daemon::try_start_in(&environment, data.path(), &[]).expect("it starts");
    let module = guest("c_hello_sleep");
    let module = module.to_str().expect("UTF-8");
    let submit = |given: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.arg("submit").args(given).arg(module);
        command.env("DORMOUSE_URL", daemon.url());
        command.envs(variable.map(|value| ("TRACEPARENT", value)));
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    };
    let context = |digit: &str| format!("00-{}-{SPAN}-01", digit.repeat(32));
    submit(&[], None);
    submit(&[], Some(&context("1")));
    submit(&["--traceparent", &context("2")], Some(&context("1")));
    daemon.until_that("all are over", || {
        [1, 2, 3]
            .iter()
            .all(|id| daemon.task(*id)["state"] == "exited")
            .then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    collector.until("runs are told", |told| {
        told.spans("run").len() >= 2 && told.lines().len() >= 6
    });
    let submits = collector.spans("submit");
    let traces: Vec<_> = submits.iter().map(|span| span["trace"].clone()).collect();
    assert_eq!(traces, ["1".repeat(32), "2".repeat(32)]);
    for one in collector.got() {
        let resource = &one["resource"];
        assert_eq!(resource["service.name"], "night", "{one}");
        assert_eq!(resource["deployment.environment"], "test", "{one}");
    }
    let wrong = daemon_refuses(&["--traceparent", "00-0-0-01", module]);
    assert!(wrong.contains("is no traceparent"), "{wrong}");
}

/// What `dormouse submit` says of flags that it does not take.
fn daemon_refuses(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    let output = command.arg("submit").args(arguments).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    text(&output.stderr)
}
