//! Task files: `--config`, what flags add to it, what is wrong in it, and `audit`.

use std::path::Path;
use std::process::{Output, Stdio};

use dormouse_test_support::{assert_ended, checkout, finish, said};

/// The digest of no module.
const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn dormouse(arguments: &[&str]) -> Output {
    let mut command = dormouse_test_support::dormouse();
    command.args(arguments).env("FROM_OUTSIDE", "yes");
    finish(&mut command, Stdio::null())
}

#[track_caller]
fn ends(output: &Output, code: i32, words: &[&str]) {
    assert_ended(output, code, &said(output), words);
}

fn file(folder: &Path, text: &str) -> String {
    let guests = checkout("wasm/bin");
    for name in [
        "c_args_env",
        "bug_hostile",
        "c_files",
        "bug_grants",
        "c_exit",
    ] {
        let name = format!("{name}.wasm");
        std::fs::copy(guests.join(&name), folder.join(&name)).expect("a guest");
    }
    let path = folder.join("dormouse.toml");
    std::fs::write(&path, text).expect("a task file");
    path.display().to_string()
}

#[test]
fn a_task_file_gives_what_is_in_it_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "module = \"c_args_env.wasm\"\nargs = [\"one\", \"two words\"]\nenv-from = [\"FROM_OUTSIDE\"]\n\n[env]\nA = \"b=c\"\n",
    );
    let output = dormouse(&["run", "--config", &path]);
    ends(
        &output,
        output.status.code().expect("a code"),
        &["two words", "A=b=c", "FROM_OUTSIDE=yes"],
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("HOME="));
    // Flags come after it; a module that is given takes the place of module and arguments.
    let output = dormouse(&["run", "--config", &path, "--env", "B=d"]);
    ends(
        &output,
        output.status.code().expect("a code"),
        &["A=b=c", "B=d"],
    );
    let module = folder.path().join("c_args_env.wasm").display().to_string();
    let output = dormouse(&["run", "--config", &path, &module, "three"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("three") && !text.contains("two words"),
        "{text}"
    );
}

#[test]
fn flags_replace_what_can_be_given_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "module = \"bug_hostile.wasm\"\nargs = [\"sleep\"]\n[limits]\ntime = \"200ms\"\n",
    );
    ends(&dormouse(&["run", "--config", &path]), 80, &["time=200ms"]);
    ends(
        &dormouse(&["run", "--config", &path, "--limit", "time=400ms"]),
        80,
        &["time=400ms"],
    );
}

#[test]
fn mounts_and_memory_are_given() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("work")).expect("a folder");
    let text = "module = \"c_files.wasm\"\n[[mount]]\nhost = \"work\"\nguest = \"/work\"\n";
    let path = file(folder.path(), text);
    let real = dormouse(&["run", "--config", &path]);
    ends(&real, 0, &[]);
    // A name may hold what divides name and size on the command line.
    let text = "module = \"c_exit.wasm\"\n[[tmpfs]]\nguest = \"/a=b\"\n";
    let path = file(folder.path(), text);
    let output = dormouse(&["run", "--config", &path]);
    assert_ne!(output.status.code(), Some(64), "{output:?}");
    let text = "module = \"c_files.wasm\"\n[[tmpfs]]\nguest = \"/work\"\nsize = \"1M\"\n";
    let path = file(folder.path(), text);
    let memory = dormouse(&["run", "--config", &path]);
    ends(&memory, 0, &[]);
    assert_eq!(real.stdout, memory.stdout);
}

#[test]
fn a_mount_may_be_read_only_and_clocks_and_random_numbers_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("a")).expect("a folder");
    std::fs::write(folder.path().join("a/file"), "text").expect("a file");
    let mount = "[[mount]]\nhost = \"a\"\nguest = \"/a\"\n";
    let start = "module = \"bug_grants.wasm\"\nargs = [\"hold\", \"r\"]\n";
    let path = file(folder.path(), &format!("{start}{mount}read-only = true\n"));
    let output = dormouse(&["run", "--config", &path]);
    ends(&output, 0, &["mkdir made: 69"]);
    let path = file(folder.path(), &format!("{start}{mount}"));
    ends(
        &dormouse(&["run", "--config", &path]),
        0,
        &["mkdir made: 0"],
    );

    let start = "module = \"bug_grants.wasm\"\nargs = [\"world\"]\n";
    let world = "clocks = \"virtual\"\nrandom = \"seed=7\"\n";
    let path = file(folder.path(), &format!("{start}{world}"));
    let output = dormouse(&["run", "--config", &path]);
    ends(&output, 0, &["1000 946684800000002000 "]);
    assert_eq!(dormouse(&["run", "--config", &path]).stdout, output.stdout);
    // A flag replaces it.
    let output = dormouse(&["run", "--config", &path, "--clocks", "host"]);
    ends(&output, 0, &[]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("1000 9466848"));
}

/// What has been run once is known by its digest.
#[test]
fn a_module_can_be_named_by_its_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "module = \"c_exit.wasm\"\n");
    let code = dormouse(&["run", "--config", &path]).status.code();
    assert_ne!(code, Some(0));
    let bytes = std::fs::read(folder.path().join("c_exit.wasm")).expect("a guest");
    let digest = blake3::hash(&bytes).to_hex();
    for text in [
        format!("module = \"blake3:{digest}\"\n"),
        format!("digest = \"{digest}\"\n"),
    ] {
        let path = file(folder.path(), &text);
        assert_eq!(dormouse(&["run", "--config", &path]).status.code(), code);
    }
    let named = format!("blake3:{digest}");
    assert_eq!(dormouse(&["run", &named]).status.code(), code);
    let upper = format!("blake3:{}", digest.to_ascii_uppercase());
    assert_eq!(dormouse(&["run", &upper]).status.code(), code);
    let unknown = format!("blake3:{}", "0".repeat(64));
    ends(&dormouse(&["run", &unknown]), 69, &["0000", "path once"]);
    ends(
        &dormouse(&["run", "blake3:12"]),
        64,
        &["64 hexadecimal digits"],
    );
    let other = ["run", "--digest", OTHER, &named];
    ends(&dormouse(&other), 72, &["BLAKE3"]);
    let none = ["run", "--digest", "00", &named];
    ends(&dormouse(&none), 64, &["64 hexadecimal digits"]);
}

/// Whoever tries a file out must not think that it is scheduled now.
#[test]
fn run_says_what_it_leaves_out_of_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        "module = \"c_args_env.wasm\"\nrestart = \"always\"\n[schedule]\nevery = \"* * * * *\"\n";
    let path = file(folder.path(), text);
    let output = dormouse(&["run", "--config", &path]);
    let words = [
        "dormouse.toml:2: `restart` is for `dormouse submit`",
        "dormouse.toml:4: `schedule.every` is for",
    ];
    ends(&output, output.status.code().expect("a code"), &words);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, words) in [
        (
            "modul = \"x\"",
            &["dormouse.toml:1:1", "did you mean `module`"][..],
        ),
        (
            "module = \"x\"\n[limits]\ncpuu = \"1s\"",
            &["dormouse.toml:3:1", "did you mean `cpu`"],
        ),
        (
            "module = \"x\"\n[limits]\ncpu = 5",
            &["dormouse.toml:3:7", "500ms, 10s"],
        ),
        (
            "module = \"x\"\nengine = \"v8\"",
            &["dormouse.toml:2:10", "wasmtime"],
        ),
        (
            "module = \"x\"\n[network]\nallow-connect = [\"nowhere\"]",
            &["dormouse.toml:3:18"],
        ),
        (
            "module = \"x\"\n[[mount]]\nhost = \"a\"",
            &["dormouse.toml:2", "guest"],
        ),
        (
            "module = \"x\"\nclocks = \"stopped\"",
            &["dormouse.toml:2:10", "neither host nor virtual"],
        ),
        (
            "module = \"x\"\nrandom = \"7\"",
            &["dormouse.toml:2:10", "seed=42"],
        ),
        (
            "module = \"x\"\n[[mount]]\nhost = \"\"\nguest = \"/\"",
            &["dormouse.toml:2:1", "a mount needs a `host`"],
        ),
        (
            "module = \"x\"\n[limits]\ntime = \"1d/d\"",
            &["dormouse.toml:3:8", "has a period"],
        ),
        (
            "digest = \"12\"",
            &["dormouse.toml:1:10", "64 hexadecimal digits"],
        ),
        (
            "module = \"x\"\n[schedule]\nevery = \"sometimes\"",
            &["dormouse.toml:3:9", "no cron expression", "@daily"],
        ),
        (
            "module = \"x\"\n[network]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:99999\"]",
            &["dormouse.toml:3:26", "is no address", "127.0.0.1:8080"],
        ),
        (
            "module = \"x\"\n[env]\n\"A=B\" = \"c\"",
            &["dormouse.toml:3:9", "no name of a variable"],
        ),
        (
            "module = \"x\"\nrestart = \"sometimes\"",
            &["dormouse.toml:2:11", "on-failure"],
        ),
        (
            "module = \"x\"\nenv-from = [\"NOT_THERE_AT_ALL\"]",
            &["dormouse.toml:2:13", "no variable NOT_THERE_AT_ALL"],
        ),
        ("args = []", &["names no module"]),
    ] {
        let path = file(folder.path(), text);
        ends(&dormouse(&["run", "--config", &path]), 64, words);
    }
    ends(
        &dormouse(&["run", "--config", "/nowhere.toml"]),
        66,
        &["/nowhere.toml"],
    );
    let text = format!("module = \"c_files.wasm\"\ndigest = \"{OTHER}\"");
    let path = file(folder.path(), &text);
    ends(&dormouse(&["run", "--config", &path]), 72, &["BLAKE3"]);
}

#[test]
fn an_audit_names_what_is_broad_and_its_code_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "module = \"x.wasm\"\nenv-from = [\"API_TOKEN\"]\n[env]\nDB_PASSWORD = \"hunter2\"\nX = \"ghp_0123456789abcdef0123\"\n\
         [[mount]]\nhost = \"/\"\nguest = \"/\"\n[[mount]]\nhost = \"/etc\"\nguest = \"/etc\"\n\
         [network]\nallow-connect = [\"*:443\"]\n[limits]\nfiles = \"none\"\n",
    );
    let all = [
        "module-without-digest",
        "mount-root",
        "mount-system",
        "secret-in-file",
        "secret-value",
        "secret-in-snapshot",
        "connect-anywhere",
        "no-cpu-limit",
        "limit-lifted",
    ];
    ends(&dormouse(&["audit", &path]), 82, &all);
    let output = dormouse(&["audit", "--json", &path]);
    ends(&output, 82, &all);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["findings"][0]["severity"], "high");
    // What `run` would refuse is no file to say "nothing found" of.
    let path = file(folder.path(), "module = \"x\"\nengine = \"v8\"");
    ends(&dormouse(&["audit", &path]), 64, &["dormouse.toml:2:10"]);
    let text = format!("module = \"x.wasm\"\ndigest = \"{OTHER}\"\n[limits]\ncpu = \"10m\"\n");
    let path = file(folder.path(), &text);
    ends(&dormouse(&["audit", &path]), 0, &["nothing found"]);
    let text = format!("{text}[[mount]]\nhost = \"/usr/share\"\nguest = \"/share\"\n");
    let path = file(folder.path(), &text);
    ends(
        &dormouse(&["audit", &path]),
        82,
        &["mount-system", "mount-writable"],
    );
    let path = file(folder.path(), &format!("{text}read-only = true\n"));
    ends(&dormouse(&["audit", &path]), 0, &["nothing found"]);
    let text = format!("random = \"seed=1\"\n{text}read-only = true\n");
    let path = file(folder.path(), &text);
    ends(&dormouse(&["audit", &path]), 82, &["random-foreseeable"]);
    let text = format!("module = \"x.wasm\"\ndigest = \"{OTHER}\"\n");
    let path = file(folder.path(), &text);
    ends(
        &dormouse(&["audit", "--fail-on", "high", &path]),
        0,
        &["no-cpu-limit"],
    );
}
