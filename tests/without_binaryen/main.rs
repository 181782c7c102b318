//! The command without Binaryen and without components, built where there is no C++ compiler and no
//! cmake: it goes on with a snapshot, and makes modules resumable.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that a build of C++ would start.
const FORBIDDEN: [&str; 7] = [
    "c++",
    "g++",
    "clang++",
    "cmake",
    "make",
    "ninja",
    "ninja-build",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which each forbidden program writes its name into `asked`, and fails. The folder comes
/// first on the way that programs are looked for.
fn without_cpp(folder: &Path) -> OsString {
    for name in FORBIDDEN {
        let path = folder.join(name);
        let script = format!(
            "#!/bin/sh\necho {name} >> '{}/asked'\nexit 1\n",
            folder.display()
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a script");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(path).expect("a path")
}

/// Builds the command with Wasmtime and nothing else, in a folder of its own beside the other builds.
fn build(scratch: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("it lies in the folder of the builds")
        .join("without-binaryen");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root())
        .args([
            "build",
            "--locked",
            "--offline",
            "--quiet",
            "--bin",
            "dormouse",
        ])
        .args(["--no-default-features", "--features", "cli,wasmtime"])
        // Nothing here has to be fast.
        .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
        .args(["--config", "profile.dev.debug=false"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "0")
        .env("PATH", without_cpp(scratch))
        .env("CXX", "/bin/false");
    let built = command.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&built.stderr);
    let asked = std::fs::read_to_string(scratch.join("asked")).unwrap_or_default();
    assert!(built.status.success(), "asked for: {asked}\n{errors}");
    assert_eq!(asked, "", "the build has asked for these programs");
    target.join("debug/dormouse")
}

#[test]
fn a_host_without_a_cpp_compiler_runs_and_resumes() {
    let scratch = tempfile::tempdir().expect("a folder");
    let program = build(scratch.path());
    let golden = root().join("snapshots/golden/v1");
    let index = std::fs::read(golden.join("index.json")).expect("the index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let name = "c_hello_sleep.wasmtime.snapshot";
    let expected = &index[name];
    let run = |arguments: &[&str]| {
        Command::new(&program)
            .current_dir(&golden)
            .env("DORMOUSE_CACHE", scratch.path().join("modules"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("it runs")
    };

    let resumed = run(&["resume", name]);
    let errors = String::from_utf8_lossy(&resumed.stderr);
    let code = resumed.status.code().map(i64::from);
    assert_eq!(code, expected["exit"].as_i64(), "{errors}");
    let printed = String::from_utf8_lossy(&resumed.stdout);
    assert_eq!(Some(&*printed), expected["stdout"].as_str());

    // The same program from its start, with a snapshot at each of its waits.
    let module = root()
        .join("wasm/bin/c_hello_sleep.wasm")
        .display()
        .to_string();
    let rehearsed = run(&["run", "--rehearse", &module]);
    let errors = String::from_utf8_lossy(&rehearsed.stderr);
    assert!(rehearsed.status.success(), "{errors}");

    // What it lacks it names.
    let component = scratch.path().join("component.wasm");
    std::fs::write(&component, b"\0asm\x0d\0\x01\0").expect("a scratch file");
    let component = component.display().to_string();
    for (arguments, feature) in [
        (["run", "--transform=two-version", &module], "`binaryen`"),
        (["run", "--transform=auto", &component], "`components`"),
    ] {
        let refused = run(&arguments);
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(65), "{errors}");
        assert!(errors.contains(feature), "{errors}");
    }
}
