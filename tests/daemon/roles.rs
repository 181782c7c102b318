//! Tokens with roles: every path of the API with every role. What each needs stands in
//! `docs/tenants.md`, which users read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};
use dormouse_test_support::checkout;

/// The roles, the one that may do least first.
const ROLES: [&str; 5] = ["metrics", "read", "submit", "operator", "admin"];

/// The table of the page: the role that each method and path needs.
fn table() -> BTreeMap<(String, String), usize> {
    let page = checkout("docs/tenants.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let rows = page.lines().filter_map(|line| {
        let (route, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (method, path) = route.split_once(' ')?;
        let needs = ROLES.iter().position(|role| rest == format!("{role} |"))?;
        Some(((method.to_string(), path.to_string()), needs))
    });
    rows.collect()
}

/// Makes a token through the API.
pub fn token(daemon: &Daemon, name: &str, role: &str, tenant: &str) -> String {
    let new = json!({"name": name, "role": role, "tenant": tenant});
    let (status, made) = daemon.json(Method::POST, "/v1/tokens", &new);
    assert_eq!(status, 201, "{made}");
    made["token"].as_str().expect("a token").to_string()
}

/// Asks with a token; gives the status and the answer.
pub fn ask_as(
    daemon: &Daemon,
    token: &str,
    method: &Method,
    path: &str,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str())];
    daemon
        .ask_with(method.clone(), path, body, &headers)
        .expect("the daemon answers")
}

#[test]
fn every_path_allows_what_the_table_says_to_each_role() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let table = table();
    let (_, document) = daemon.json(Method::GET, "/openapi.json", &Value::Null);
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("operations").keys();
        described.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    described.sort();
    let known: Vec<_> = table.keys().cloned().collect();
    assert_eq!(described, known, "the table has all paths");
    let tokens: Vec<String> = ROLES
        .iter()
        .map(|role| token(&daemon, role, role, "default"))
        .collect();
    for ((method, path), needs) in &table {
        // Streams go on; what is asked about is not there, and what is sent is no JSON.
        if path == "/v1/events" {
            continue;
        }
        let concrete = path.replace("{id}", "nobody").replace("{name}", "nobody");
        let concrete = concrete.replace("{digest}", &"0".repeat(64));
        for (role, token) in tokens.iter().enumerate() {
            let method: Method = method.parse().expect("a method");
            let body: &[u8] = if method == Method::GET { b"" } else { b"{" };
            let (status, answer) = ask_as(&daemon, token, &method, &concrete, body);
            let what = format!(
                "{method} {path} as {}: {status} {}",
                ROLES[role],
                text(&answer)
            );
            assert_ne!(status, 401, "{what}");
            assert_eq!(status == 403, role < *needs, "{what}");
            if status == 403 {
                assert!(text(&answer).contains(ROLES[*needs]), "{what}");
            }
        }
    }
}

/// The stream of events is in the table, too.
#[test]
fn whoever_may_read_hears_of_changes() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let token = format!("Bearer {}", token(&daemon, "reader", "read", "default"));
    let request = ureq::http::Request::builder()
        .uri(format!("http://{}/v1/events", daemon.address))
        .header("authorization", token)
        .body(())
        .expect("a request");
    let answer = ureq::Agent::new_with_defaults().run(request);
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[test]
fn a_token_is_shown_once_and_ends_when_it_is_revoked() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--audit-log"]);
    let made = daemon.command(&["token", "create", "--role", "submit", "ci"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let token = text(&made.stdout).trim().to_string();
    let asked = |path: &str| ask_as(&daemon, &token, &Method::GET, path, &[]);
    assert_eq!(asked("/v1/tasks").0, 200);
    let again = daemon.command(&["token", "create", "--role", "read", "ci"]);
    assert_eq!(again.status.code(), Some(64), "{again:?}");
    let root = daemon.command(&["token", "create", "--role", "root", "x"]);
    assert_eq!(root.status.code(), Some(64), "{root:?}");
    let listed = daemon.command(&["token", "ls"]);
    let listed = text(&listed.stdout);
    assert!(
        listed.contains("ci") && listed.contains("submit"),
        "{listed}"
    );
    assert!(!listed.contains(&token), "{listed}");
    // Whoever may not is told so, and the exit code is that of a token that is not accepted.
    let url = format!("http://{token}@{}", daemon.address);
    let refused = crate::support::dormouse(&["kill".into(), "1".into()], &url);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert!(text(&refused.stderr).contains("operator"), "{refused:?}");
    // A restart forgets nothing, and the token is in no file.
    assert_eq!(daemon.stop(), Some(0));
    for file in std::fs::read_dir(data.path()).expect("reads").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let part = token.as_bytes();
        let found = bytes.windows(part.len()).any(|window| window == part);
        assert!(!found, "{:?}", file.path());
    }
    let daemon = Daemon::start(data.path(), &[]);
    let asked = |path: &str| ask_as(&daemon, &token, &Method::GET, path, &[]);
    assert_eq!(asked("/v1/tasks").0, 200);
    let revoked = daemon.command(&["token", "revoke", "ci"]);
    assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
    assert_eq!(asked("/v1/tasks").0, 401);
    let revoked = daemon.command(&["token", "revoke", "ci"]);
    assert_eq!(revoked.status.code(), Some(78), "{revoked:?}");
}

#[test]
fn the_audit_log_says_who_did_what_and_holds_no_secret() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--audit-log"]);
    let ci = token(&daemon, "ci", "submit", "default");
    let module = daemon.upload("ex_nap");
    let task = json!({"module": module, "name": "nap", "env": {"PASSWORD": "hunter2"}});
    let body = task.to_string().into_bytes();
    let (status, answer) = ask_as(&daemon, &ci, &Method::POST, "/v1/tasks", &body);
    assert_eq!(status, 201, "{}", text(&answer));
    let id = serde_json::from_slice::<Value>(&answer).expect("JSON")["id"].clone();
    let kill = ask_as(&daemon, &ci, &Method::POST, "/v1/tasks/nap/kill", &[]);
    assert_eq!(kill.0, 403);
    let stranger = ask_as(&daemon, "dormouse_x", &Method::POST, "/v1/tasks", &body);
    assert_eq!(stranger.0, 401);
    // What only reads is not noted.
    assert_eq!(ask_as(&daemon, &ci, &Method::GET, "/v1/tasks", &[]).0, 200);
    let (_, log) = daemon.json(Method::GET, "/v1/audit?token=ci", &Value::Null);
    let said: Vec<_> = log
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| {
            (
                entry["action"].as_str(),
                entry["status"].as_u64(),
                &entry["on"],
            )
        })
        .collect();
    let kill = "POST /v1/tasks/{id}/kill";
    let expected = [
        (Some(kill), Some(403), &json!("nap")),
        (Some("POST /v1/tasks"), Some(201), &Value::Null),
    ];
    assert_eq!(said, expected, "{log}");
    assert_eq!(log[1]["added"], json!([id]));
    assert_eq!(log[1]["tenant"], "default");
    assert!(
        log[1]["from"]
            .as_str()
            .is_some_and(|from| from.starts_with("127.0.0.1:"))
    );
    let (_, all) = daemon.json(Method::GET, "/v1/audit", &Value::Null);
    let nobody = all.as_array().expect("entries").iter();
    let nobody: Vec<_> = nobody.filter(|entry| entry["token"].is_null()).collect();
    assert_eq!(
        (nobody.len(), &nobody[0]["status"]),
        (1, &json!(401)),
        "{all}"
    );
    let file = std::fs::read_to_string(data.path().join("audit.log")).expect("the log");
    for secret in [ci.as_str(), daemon.token.as_str(), "hunter2", "dormouse_x"] {
        assert!(!file.contains(secret), "{secret}");
    }
    // Without the flag there is none.
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::start(data.path(), &[]);
    let none = daemon.command(&["audit-log"]);
    assert_eq!(none.status.code(), Some(78), "{none:?}");
    assert!(text(&none.stderr).contains("--audit-log"), "{none:?}");
}
