//! The API's description: whether it is valid OpenAPI, and whether the daemon does what it says, by a validator and a
//! fuzzer that others have written. `.ci/setup.sh test` installs both.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::{Daemon, folder, text};

/// The daemon is asked as much in each of fuzz's phases; the same in every run.
const EXAMPLES: &str = "15";

fn tool(name: &str) -> Command {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let path = base.unwrap_or_else(home).join("dormouse/tools/openapi/bin");
    Command::new(path.join(name))
}

fn document(daemon: &Daemon) -> Value {
    let (status, document) = daemon.json(Method::GET, "/openapi.json", &Value::Null);
    assert_eq!(status, 200);
    document
}

#[test]
fn the_description_is_valid() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let path = data.path().join("openapi.json");
    std::fs::write(&path, document(&daemon).to_string()).expect("a file");
    let output = tool("openapi-spec-validator")
        .args(["--validation-errors", "all", "--subschema-errors", "all"])
        .arg(&path)
        .output();
    let output = output.expect("`.ci/setup.sh test` installs the validator");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("OK"), "{said}");
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &[]);
    let document = document(&daemon);
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let what = format!("{method} {path}");
            let name = operation["operationId"].as_str().expect(&what);
            assert!(names.insert(name.to_string()), "{name} is there twice");
            assert!(
                operation["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 8),
                "{what}"
            );
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for part in path.split('{').skip(1) {
                let part = part.split('}').next().expect("a name");
                let is = |given: &&Value| given["name"] == part && given["in"] == "path";
                assert!(parameters.iter().any(|given| is(&given)), "{what}: {part}");
            }
            for given in &parameters {
                let name = given["name"].as_str().expect("a name");
                let place = match name {
                    "traceparent" => "header",
                    _ if path.contains(&format!("{{{name}}}")) => "path",
                    _ => "query",
                };
                assert_eq!(given["in"], place, "{what}");
                assert!(given["description"].is_string(), "{what}: {given}");
            }
            let responses = operation["responses"].as_object().expect("responses");
            let mut wanted = vec!["401", "403", "503"];
            if path.contains('{') {
                wanted.push("404");
            }
            if method != "get" {
                wanted.push("507");
            }
            let body = &operation["requestBody"]["content"];
            if body.is_object() {
                wanted.extend(["400", "408", "413"]);
            }
            if body.get("application/json").is_some() {
                wanted.extend(["415", "422"]);
            } else if let Some((kind, content)) =
                body.as_object().and_then(|body| body.iter().next())
            {
                let binary = content["schema"]["$ref"].as_str().expect("a schema");
                assert!(binary.ends_with("/Binary"), "{what}: {kind} {content}");
            }
            for status in wanted {
                let answer = &responses[status];
                let answer = match answer["$ref"].as_str() {
                    Some(at) => document
                        .pointer(at.trim_start_matches('#'))
                        .expect("it is there"),
                    None => answer,
                };
                let schema = &answer["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{what}: {status}");
            }
        }
    }
    let binary = &document["components"]["schemas"]["Binary"];
    assert_eq!(
        (&binary["type"], &binary["format"]),
        (&json!("string"), &json!("binary"))
    );
}

/// What is described is asked, right and wrong, and every answer compared with its description.
#[test]
fn the_daemon_does_what_its_description_says() {
    let data = folder();
    let daemon = Daemon::start(data.path(), &["--grace", "1s"]);
    let module = daemon.upload("ex_nap");
    let over = daemon.submit("ex_nap", &[], json!({"name": "over"}));
    daemon.until(over, "exited");
    let later = |name: &str| json!({"name": name, "schedule": {"at": "2100-01-01T00:00:00Z"}});
    let asleep = daemon.submit("ex_nap", &[], later("asleep"));
    let paused = daemon.submit("ex_nap", &[], later("paused"));
    assert_eq!(daemon.act(paused, "pause").0, 200);
    let files = dormouse_test_support::checkout("tests/daemon/openapi");
    let output = tool("schemathesis")
        .arg("--config-file")
        .arg(files.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", daemon.address))
        .args([
            "--header",
            &format!("Authorization: Bearer {}", daemon.token),
        ])
        .args(["--checks", "all"])
        // Not everything that is well-formed makes sense: a digest is of no module, a time of no calendar.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // That one has no end; a test of its own reads it.
        .args(["--exclude-path", "/v1/events"])
        .args(["--seed", "1", "--generation-deterministic"])
        .args([
            "--max-examples",
            EXAMPLES,
            "--workers",
            "1",
            "--request-timeout",
            "120",
        ])
        .args([
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--no-color",
        ])
        .current_dir(data.path())
        .env("SCHEMATHESIS_HOOKS", files.join("hooks.py"))
        // The hooks are imported, and nothing is to be written beside them.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DORMOUSE_MODULE", &module)
        .env(
            "DORMOUSE_TASKS",
            format!("{over},{asleep},{paused},over,asleep"),
        )
        .output()
        .expect("`.ci/setup.sh test` installs schemathesis");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    // It still lives, and has not been ended by what it was asked.
    assert_eq!(daemon.json(Method::GET, "/v1/stats", &Value::Null).0, 200);
}
