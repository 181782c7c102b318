//! Tenants: what is another's is not there, and quotas and grants hold.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::roles::{ask_as, token};
use crate::support::{Daemon, folder, text};

/// A daemon with two tenants, and an operator's token of each.
fn two(data: &std::path::Path) -> (Daemon, String, String) {
    let daemon = Daemon::start(data, &[]);
    for name in ["acme", "other"] {
        let made = daemon.command(&["tenant", "create", name]);
        assert_eq!(made.status.code(), Some(0), "{made:?}");
    }
    let acme = token(&daemon, "pat", "operator", "acme");
    let other = token(&daemon, "kim", "operator", "other");
    (daemon, acme, other)
}

/// Submits as a token; gives the status and the answer.
fn submit(daemon: &Daemon, token: &str, more: &Value) -> (u16, Value) {
    let mut task = json!({
        "module": daemon.upload("ex_sleeper"), "program": "ex_sleeper", "args": ["3600"]
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    let body = task.to_string().into_bytes();
    let (status, answer) = ask_as(daemon, token, &Method::POST, "/v1/tasks", &body);
    (status, serde_json::from_slice(&answer).expect("JSON"))
}

fn get(daemon: &Daemon, token: &str, path: &str) -> Value {
    let (status, answer) = ask_as(daemon, token, &Method::GET, path, &[]);
    assert_eq!(status, 200, "{path}: {}", text(&answer));
    serde_json::from_slice(&answer).unwrap_or_else(|_| text(&answer).into())
}

/// The IDs of a list.
fn listed(daemon: &Daemon, token: &str, path: &str) -> Vec<u64> {
    let tasks = get(daemon, token, path)["tasks"].clone();
    let tasks = tasks.as_array().expect("a list").iter();
    tasks
        .map(|task| task["id"].as_u64().expect("an ID"))
        .collect()
}

#[test]
fn what_is_another_tenants_is_not_there() {
    let data = folder();
    let (daemon, acme, other) = two(data.path());
    let (status, task) = submit(&daemon, &acme, &json!({"name": "nightly"}));
    assert_eq!(status, 201, "{task}");
    let id = task["id"].as_u64().expect("an ID");
    daemon.until(id, "hibernated");
    // Every path with a task in it, as the API's own description has them.
    let (_, document) = daemon.json(Method::GET, "/openapi.json", &Value::Null);
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.contains("/tasks/{id}") {
            continue;
        }
        for method in item.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let body = match path.rsplit('/').next() {
                Some("migrate") => &br#"{"to": "b"}"#[..],
                Some("decide") => br#"{"keep": true}"#,
                _ => b"",
            };
            let asked = |name: &str| {
                let path = path.replace("{id}", name);
                ask_as(&daemon, &other, &method, &path, body)
            };
            let (status, answer) = asked(&id.to_string());
            // Moves are an admin's.
            let expected = match path.ends_with("/migrate") || path.ends_with("/decide") {
                true => 403,
                false => 404,
            };
            assert_eq!(status, expected, "{method} {path}: {}", text(&answer));
            assert_eq!(asked("nightly").0, expected, "{method} {path}");
            if expected == 404 {
                // The same answer as for a task that nobody has.
                let nobody = text(&asked("999999").1).replace("999999", &id.to_string());
                assert_eq!(text(&answer), nobody, "{method} {path}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
    assert_eq!(
        daemon.task(id)["state"],
        "hibernated",
        "nothing was done to it"
    );
}

#[test]
fn lists_numbers_and_events_are_a_tenants_own() {
    let data = folder();
    let (daemon, acme, other) = two(data.path());
    let own = submit(&daemon, &acme, &json!({"name": "nightly"})).1;
    // The same name, for another tenant and for the default one.
    let others = submit(&daemon, &other, &json!({"name": "nightly"}));
    assert_eq!(others.0, 201, "{}", others.1);
    let (status, again) = submit(&daemon, &acme, &json!({"name": "nightly"}));
    assert_eq!(status, 400, "{again}");
    let default = daemon.submit("ex_sleeper", &["3600"], json!({"name": "nightly"}));
    let id = |task: &Value| task["id"].as_u64().expect("an ID");
    let (own, others) = (id(&own), id(&others.1));
    for task in [own, others, default] {
        daemon.until(task, "hibernated");
    }
    for (token, tasks) in [(&acme, own), (&other, others)] {
        for path in [
            "/v1/tasks",
            "/v1/tasks?name=night*",
            "/v1/tasks?state=hibernated",
        ] {
            assert_eq!(listed(&daemon, token, path), [tasks], "{path}");
        }
        assert_eq!(listed(&daemon, token, "/v1/tasks?state=running"), [0; 0]);
        assert_eq!(get(&daemon, token, "/v1/tasks/nightly")["id"], tasks);
        let stats = get(&daemon, token, "/v1/stats");
        assert_eq!(stats["tasks"], json!({"hibernated": 1}), "{stats}");
        assert_eq!(stats["memory"], 0, "{stats}");
        let metrics = get(&daemon, token, "/metrics");
        let metrics = metrics.as_str().expect("text");
        assert!(
            metrics.contains("dormouse_tasks{state=\"hibernated\"} 1"),
            "{metrics}"
        );
        assert!(!metrics.contains("memory"), "{metrics}");
        let due = get(&daemon, token, "/v1/timeline?step=7200&count=1");
        assert_eq!(due["counts"], json!([1]), "{due}");
    }
    // An admin sees all, and what a tenant sees when it acts for that.
    assert_eq!(
        listed(&daemon, &daemon.token, "/v1/tasks"),
        [default, others, own]
    );
    let ps = daemon.command(&["ps", "--tenant", "acme", "--json"]);
    let shown: Value = serde_json::from_slice(&ps.stdout).expect("JSON");
    let shown: Vec<_> = shown.as_array().expect("a list").iter().collect();
    assert_eq!((shown.len(), &shown[0]["id"]), (1, &json!(own)), "{ps:?}");
    let paused = daemon.command(&["pause", "--tenant", "acme", "nightly"]);
    assert_eq!(paused.status.code(), Some(0), "{paused:?}");
    assert_eq!(daemon.task(own)["state"], "paused");
    assert_eq!(daemon.task(others)["state"], "hibernated");
    let nobody = daemon.command(&["ps", "--tenant", "nobody"]);
    assert_eq!(nobody.status.code(), Some(64), "{nobody:?}");
    // Whoever is no admin acts for nobody else.
    let url = format!("http://{acme}@{}", daemon.address);
    let words = ["ps", "--tenant", "other"].map(String::from);
    let foreign = crate::support::dormouse(&words, &url);
    assert_eq!(foreign.status.code(), Some(77), "{foreign:?}");
}

/// The stream of one tenant ends with a change of its own, and everything before it is its own.
#[test]
fn a_tenant_hears_of_its_own_tasks_alone() {
    use std::io::{BufRead, BufReader};

    let data = folder();
    let (daemon, acme, other) = two(data.path());
    let request = ureq::http::Request::builder()
        .uri(format!("http://{}/v1/events", daemon.address))
        .header("authorization", format!("Bearer {acme}"))
        .body(())
        .expect("a request");
    let mut answer = ureq::Agent::new_with_defaults()
        .run(request)
        .expect("an answer");
    let others = submit(&daemon, &other, &json!({})).1["id"].clone();
    daemon.until(others.as_u64().expect("an ID"), "hibernated");
    let own = submit(&daemon, &acme, &json!({})).1["id"].clone();
    let lines = BufReader::new(answer.body_mut().as_reader()).lines();
    let events = lines.map_while(Result::ok);
    let events = events.filter_map(|line| {
        let data = line.strip_prefix("data:")?.trim().to_string();
        serde_json::from_str::<Value>(&data).ok()
    });
    for event in events {
        assert_eq!(event["id"], own, "{event}");
        if event["state"] == "running" || event["state"] == "parked" {
            return;
        }
    }
    panic!("the stream ended");
}

#[test]
fn quotas_and_grants_hold() {
    let data = folder();
    let (daemon, acme, other) = two(data.path());
    let granted = data.path().join("granted");
    std::fs::create_dir(&granted).expect("a directory");
    let granted = granted.display().to_string();
    let set = |flags: &[&str]| {
        let mut words = vec!["tenant", "set"];
        words.extend(flags);
        words.push("acme");
        let output = daemon.command(&words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    let refused = |more: Value, status: u16, part: &str| {
        let (found, answer) = submit(&daemon, &acme, &more);
        assert_eq!(found, status, "{answer}");
        assert_eq!(answer["kind"], "limit", "{answer}");
        let said = answer["error"].as_str().unwrap_or_default();
        assert!(said.contains(part) && said.contains("acme"), "{answer}");
    };
    // Nothing is granted to a new tenant.
    let mount = json!({"mounts": [{"host": granted, "guest": "/data"}]});
    refused(mount.clone(), 403, "is not granted");
    let connect = json!({"network": {"allow_connect": ["127.0.0.1:80"]}});
    refused(connect.clone(), 403, "connect to 127.0.0.1:80");
    set(&[
        "--dir",
        &granted,
        "--connect",
        "127.0.0.1:*",
        "--limit",
        "memory=64M",
    ]);
    for more in [mount, connect] {
        let (status, task) = submit(&daemon, &acme, &more);
        assert_eq!(status, 201, "{task}");
    }
    let below = json!({"mounts": [{"host": format!("{granted}/.."), "guest": "/data"}]});
    refused(below, 403, "is not granted");
    // A limit is the tenant's where the task has none, and may only be lowered.
    let task = submit(&daemon, &acme, &json!({"name": "limited"})).1;
    assert_eq!(task["spec"]["limits"]["memory"], "64M", "{task}");
    let lower = submit(&daemon, &acme, &json!({"limits": {"memory": "32M"}})).1;
    assert_eq!(lower["spec"]["limits"]["memory"], "32M", "{lower}");
    refused(json!({"limits": {"memory": "65M"}}), 403, "memory=64M");
    let body = br#"{"limits": {"memory": "1G"}}"#;
    ask_as(
        &daemon,
        &acme,
        &Method::POST,
        "/v1/tasks/limited/pause",
        &[],
    );
    let path = "/v1/tasks/limited/resume";
    let (status, answer) = ask_as(&daemon, &acme, &Method::POST, path, body);
    assert_eq!(status, 403, "{}", text(&answer));
    // Four tasks are there.
    set(&["--max-tasks", "6"]);
    let module = daemon.upload("ex_sleeper");
    let batch = |count: u64| {
        let batch = json!([{"module": module, "args": ["3600"], "count": count}]);
        let body = batch.to_string().into_bytes();
        ask_as(&daemon, &acme, &Method::POST, "/v1/batch", &body).0
    };
    assert_eq!(batch(3), 429);
    assert_eq!(batch(2), 200);
    refused(json!({}), 429, "quota");
    let submitted = daemon.command(&["submit", "--tenant", "acme", &module_path()]);
    assert_eq!(submitted.status.code(), Some(80), "{submitted:?}");
    let usage = daemon.json(Method::GET, "/v1/tenants/acme", &Value::Null).1;
    assert_eq!(usage["used"]["tasks"], 6, "{usage}");
    // A task that is removed makes room, and a quota is nobody else's.
    let killed = ask_as(&daemon, &acme, &Method::DELETE, "/v1/tasks/limited", &[]);
    assert_eq!(killed.0, 204, "{}", text(&killed.1));
    assert_eq!(batch(1), 200);
    assert_eq!(submit(&daemon, &other, &json!({})).0, 201);
    set(&["--clear", "--max-bytes", "1"]);
    refused(json!({}), 429, "bytes in the store");
    set(&["--clear", "--max-output", "0"]);
    refused(json!({}), 429, "bytes of output");
    set(&["--clear"]);
    assert_eq!(submit(&daemon, &acme, &json!({})).0, 201);
    let removed = daemon.command(&["tenant", "rm", "acme"]);
    assert_eq!(removed.status.code(), Some(64), "{removed:?}");
    assert!(
        text(&removed.stderr).contains("has tasks or tokens"),
        "{removed:?}"
    );
}

/// Two requests at once do not both take the last place.
#[test]
fn a_quota_holds_for_requests_at_one_time() {
    let data = folder();
    let (daemon, acme, _) = two(data.path());
    let set = daemon.command(&["tenant", "set", "--max-tasks", "5", "acme"]);
    assert_eq!(set.status.code(), Some(0), "{set:?}");
    daemon.upload("ex_sleeper");
    let done: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| submit(&daemon, &acme, &json!({})).0))
            .collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.map(|status| status.expect("an answer")).collect()
    });
    let of = |wanted: u16| done.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(201), of(429)), (5, 15), "{done:?}");
}

fn module_path() -> String {
    dormouse_test_support::guest("ex_sleeper")
        .display()
        .to_string()
}
