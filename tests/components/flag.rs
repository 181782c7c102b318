//! `dormouse build --flatten-only`.

use std::fs;

use dormouse_test_support::{component, dormouse, guest};

#[test]
fn a_component_is_written_as_a_module() {
    let folder = tempfile::tempdir().expect("a folder");
    let hello = fs::read(guest("c_hello_sleep")).expect("a guest");
    let (source, out) = (folder.path().join("a.wasm"), folder.path().join("out.wasm"));
    let component = component(&hello).expect("it can be wrapped");
    fs::write(&source, &component).expect("a file");
    let build = |more: &[&str]| {
        let mut command = dormouse();
        command
            .arg("build")
            .arg("--flatten-only")
            .arg(&source)
            .arg("-o")
            .arg(&out)
            .args(more);
        command.output().expect("it starts")
    };
    let output = build(&["--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let written = fs::read(&out).expect("it is written");
    assert_eq!(said["source_bytes"], component.len());
    assert_eq!(said["flattened_bytes"], written.len());
    wasmparser::validate(&written).expect("it is a valid module");
    assert_eq!(
        written,
        dormouse::instrument::flatten(&component).expect("it is right")
    );

    // A module is no component, and nothing is written.
    fs::write(&source, &written).expect("a file");
    fs::remove_file(&out).expect("it was there");
    let output = build(&[]);
    assert_eq!(output.status.code(), Some(65));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("nothing to flatten"), "{stderr}");
    assert!(!out.exists());
    assert_eq!(build(&["--preempt"]).status.code(), Some(64));
}
