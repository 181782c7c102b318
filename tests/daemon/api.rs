//! The HTTP API: who may ask, what is refused, what is described.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

#[test]
fn nothing_is_told_or_done_without_the_token() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let paths = [
        "/v1/tasks",
        "/v1/stats",
        "/metrics",
        "/openapi.json",
        "/v1/timeline",
        "/v1/events",
        "/v1/tasks/1/logs",
        "/v1/tasks/1/snapshot",
    ];
    let token = format!("Bearer {}", daemon.token);
    for path in paths {
        for headers in [
            vec![],
            vec![("authorization", "Bearer wrong")],
            vec![
                ("authorization", token.as_str()),
                ("host", "rebound.example.com"),
            ],
            vec![
                ("authorization", token.as_str()),
                ("origin", "http://example.com"),
            ],
        ] {
            let answer = daemon.ask_with(Method::GET, path, &[], &headers);
            let (status, body) = answer.expect("it answers");
            assert!([401, 403].contains(&status), "{path} {headers:?}: {status}");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert!(body["error"].is_string());
        }
    }
    // The page itself holds no secret.
    let (status, page) = daemon
        .ask_with(Method::GET, "/", &[], &[])
        .expect("it answers");
    assert_eq!(status, 200);
    assert!(!text(&page).contains(&daemon.token));
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload("ex_nap");
    let none = "0".repeat(64);
    let cases: [(Method, &str, Value, u16, &str); 13] = [
        (
            Method::POST,
            "/v1/tasks",
            json!({}),
            400,
            "`module` is not the digest",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": none}),
            400,
            "does not have module",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": module, "nme": "x"}),
            422,
            "unknown field",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": module, "count": 2}),
            400,
            "/v1/batch",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": module, "args": ["a\0b"]}),
            400,
            "zero byte",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": module, "engine": "x"}),
            400,
            "no engine",
        ),
        (
            Method::POST,
            "/v1/tasks",
            json!({"module": module, "schedule": {"at": "soon"}}),
            400,
            "no time",
        ),
        (
            Method::POST,
            "/v1/batch",
            json!([{"module": module, "count": 10_001}]),
            400,
            "at most",
        ),
        (Method::POST, "/v1/tasks", json!("x"), 422, "expected"),
        (
            Method::GET,
            "/v1/tasks?state=lazy",
            Value::Null,
            400,
            "no state is called",
        ),
        (Method::GET, "/v1/tasks?limit=x", Value::Null, 400, "limit"),
        (
            Method::GET,
            "/v1/tasks/none",
            Value::Null,
            404,
            "there is no task none",
        ),
        (
            Method::GET,
            "/v1/timeline?step=0",
            Value::Null,
            400,
            "`step`",
        ),
    ];
    for (method, path, body, status, said) in cases {
        let (found, answer) = daemon.json(method, path, &body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(found, status, "{path} {body}: {answer}");
        assert!(error.contains(said), "{path} {body}: {answer}");
    }
    let (status, answer) = daemon.ask(Method::PUT, "/v1/modules", b"\0asm\x01\0\0\0junk");
    assert_eq!(status, 400, "{}", text(&answer));
    let (status, answer) = daemon.ask(Method::POST, "/v1/snapshots", b"dormouse");
    assert_eq!(status, 400, "{}", text(&answer));
    let (status, answer) = daemon.json(Method::DELETE, "/v1/peers/nobody", &Value::Null);
    assert_eq!(status, 404, "{answer}");
}

/// Also where the router itself refuses.
#[test]
fn whatever_is_refused_says_why_in_json() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    for (method, path, status) in [
        (Method::GET, "/v1/nothing", 404),
        (Method::GET, "/v1/tasks/1/nothing", 404),
        (Method::POST, "/nothing", 404),
        (Method::PATCH, "/v1/tasks", 405),
        (Method::DELETE, "/v1/stats", 405),
        (Method::PUT, "/v1/tasks/1/kill", 405),
        (Method::POST, "/", 405),
        (Method::GET, "/v1/tasks/%ff", 400),
        (Method::GET, "/v1/tasks?limit=%ff", 400),
    ] {
        let (found, answer) = daemon.json(method.clone(), path, &Value::Null);
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert!(answer["error"].is_string(), "{method} {path}: {answer}");
    }
    let request = "PATCH /v1/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(&daemon.address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let allow = answer
        .lines()
        .find(|line| line.to_lowercase().starts_with("allow: "));
    let allow = allow.unwrap_or_else(|| panic!("{answer}")).to_uppercase();
    assert!(allow.contains("GET") && allow.contains("POST"), "{answer}");
    assert!(!allow.contains("DELETE"), "{answer}");
}

/// RFC 9110, section 11.1: the name of a scheme is written in any case.
#[test]
fn the_scheme_of_the_token_is_written_in_any_case() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    for (scheme, status) in [
        ("Bearer", 200),
        ("bearer", 200),
        ("BEARER", 200),
        ("Basic", 401),
    ] {
        let token = format!("{scheme} {}", daemon.token);
        let headers = [("authorization", token.as_str())];
        let answer = daemon.ask_with(Method::GET, "/v1/stats", &[], &headers);
        assert_eq!(answer.expect("it answers").0, status, "{scheme}");
    }
}

#[test]
fn every_path_is_described() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let (status, document) = daemon.json(Method::GET, "/openapi.json", &Value::Null);
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().expect("paths");
    for path in [
        "/v1/tasks",
        "/v1/tasks/{id}",
        "/v1/tasks/{id}/pause",
        "/v1/tasks/{id}/resume",
        "/v1/tasks/{id}/kill",
        "/v1/tasks/{id}/logs",
        "/v1/tasks/{id}/snapshot",
        "/v1/snapshots",
        "/v1/modules",
        "/v1/batch",
        "/v1/stats",
        "/v1/timeline",
        "/v1/events",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let fields = &document["components"]["schemas"]["Task"]["properties"];
    let id = daemon.submit("ex_nap", &[], json!({}));
    for field in daemon.task(id).as_object().expect("fields").keys() {
        assert!(fields.get(field).is_some(), "{field} is not described");
    }
}

#[test]
fn metrics_count_what_happened() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let id = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(id, "exited");
    let (_, metrics) = daemon.ask(Method::GET, "/metrics", &[]);
    let metrics = text(&metrics);
    for line in [
        "dormouse_tasks{state=\"exited\"} 1",
        "dormouse_submitted_total 1",
        "dormouse_wakes_total 1",
        "dormouse_suspends_total 1",
        "dormouse_wake_latency_seconds_count 1",
        "# EOF",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[test]
fn the_timeline_counts_who_is_due() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let module = daemon.upload("ex_nap");
    let task =
        |at: &str, count: u32| json!({"module": module, "schedule": {"at": at}, "count": count});
    let batch = json!([
        task("2200-01-01T00:00:05Z", 3),
        task("2200-01-01T00:01:00Z", 2)
    ]);
    let (status, answer) = daemon.json(Method::POST, "/v1/batch", &batch);
    assert_eq!(status, 200, "{answer}");
    let path = "/v1/timeline?from=2200-01-01T00:00:00Z&step=30&count=3";
    let (_, timeline) = daemon.json(Method::GET, path, &Value::Null);
    assert_eq!(timeline["counts"], json!([3, 0, 2]));
}

#[test]
fn followed_output_comes_as_it_is_written_and_once() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--hibernate-after", "100ms"]);
    let id = daemon.submit("ex_sleeper", &["0.05", "0.2", "10"], json!({}));
    let path = format!("/v1/tasks/{id}/logs?follow=true&format=raw");
    let (_, followed) = daemon.ask(Method::GET, &path, &[]);
    assert_eq!(text(&followed), daemon.output(id));
    assert_eq!(text(&followed).lines().count(), 10);
}

#[test]
fn events_tell_of_changes() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let mut stream = TcpStream::connect(&daemon.address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        daemon.address, daemon.token
    )
    .expect("it is asked");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.next().expect("an answer").contains("200"));
    let id = daemon.submit("ex_nap", &[], json!({}));
    let wanted = format!("data: {{\"id\":{id},\"state\":\"exited\"}}");
    assert!(lines.take(200).any(|line| line == wanted));
}

/// A request that never ends must not hold up the end of the daemon for long, nor eat memory.
#[test]
fn slow_and_broken_clients_do_no_harm() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--grace", "1s"]);
    let mut slow = TcpStream::connect(&daemon.address).expect("it listens");
    slow.write_all(b"GET /v1/tasks HTTP/1.1\r\nHo")
        .expect("it is sent");
    let mut garbage = TcpStream::connect(&daemon.address).expect("it listens");
    garbage.write_all(&[0xff; 4096]).expect("it is sent");
    let mut answer = Vec::new();
    // Refused, or cut off.
    let _ = garbage.read_to_end(&mut answer);
    let id = daemon.submit("ex_nap", &[], json!({}));
    daemon.until(id, "hibernated");
    assert_eq!(daemon.stop(), Some(0));
}
