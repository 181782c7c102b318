//! What a user does who means no good, or has had bad luck.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::full;
use dormouse_test_support::{dormouse, end, ended, finish, guest, resume, says, suspend};

/// Runs the binary with 3 GiB of address space.
fn in_little_room(arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 3000000; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_dormouse")).args(arguments);
    finish(&mut command, Stdio::null())
}

/// Renaming the new snapshot over a device left a file in its place: for root, `--snapshot
/// /dev/null` was the end of that device.
#[test]
fn a_snapshot_takes_the_place_of_files_only() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let pipe = scratch.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    for path in [pipe.as_path(), scratch.path()] {
        let output = suspend::<&str>(&guest("c_hello_sleep"), path, &[]);
        ended(&output, 0)?;
        says(&output, &["not suspended", "something else than a file"])?;
        assert_eq!(output.stdout, b"hello\nbye\n");
    }
    let kind = fs::symlink_metadata(&pipe).expect("it is there");
    assert!(kind.file_type().is_fifo());
    Ok(())
}

/// The link was replaced, and the old snapshot lay where it led as if it were the newest.
#[test]
fn a_link_leads_to_the_snapshot() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (target, link) = (scratch.path().join("target"), scratch.path().join("link"));
    fs::write(&target, "old").expect("a scratch file");
    std::os::unix::fs::symlink("target", &link).expect("a link");
    ended(&suspend::<&str>(&guest("c_hello_sleep"), &link, &[]), 75)?;
    assert_eq!(fs::read_link(&link).expect("a link"), Path::new("target"));
    ended(&finish(&mut resume(&target, &[]), Stdio::null()), 0)
}

/// A file of any size was read whole, to find that its first bytes were wrong.
#[test]
fn what_is_no_snapshot_and_no_module_is_not_read_whole() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("zeros");
    let sparse = File::create(&path).and_then(|file| file.set_len(7 << 30));
    sparse.expect("a sparse file");
    let path = path.display().to_string();
    let output = in_little_room(&["inspect", &path]);
    ended(&output, 67)?;
    says(&output, &["not a dormouse snapshot"])?;
    assert!(
        dormouse_test_support::stderr(&output).contains(&path),
        "no name"
    );
    for path in [path.as_str(), "/dev/zero"] {
        let output = in_little_room(&["run", path]);
        ended(&output, 65)?;
        says(&output, &["not a WebAssembly module"])?;
    }
    Ok(())
}

/// `dormouse inspect --json >file` on a full disk said nothing.
#[test]
fn output_that_cannot_be_written_is_an_error() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    ended(
        &suspend::<&str>(&guest("c_hello_sleep"), &snapshot, &[]),
        75,
    )?;
    for flags in [&["inspect"][..], &["inspect", "-v", "--json"]] {
        let mut command = dormouse();
        command.args(flags).arg(&snapshot).stdout(full());
        let child = command.stderr(Stdio::piped()).spawn();
        let output = end(child.expect("it starts"));
        ended(&output, 73)?;
        says(&output, &["standard output", "No space left"])?;
    }
    Ok(())
}

/// It was an internal error.
#[test]
fn a_cache_that_cannot_be_used_is_told() -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().expect("a scratch file");
    let mut command = dormouse();
    command.env("DORMOUSE_CACHE", file.path());
    let output = finish(command.arg("run").arg(guest("c_exit")), Stdio::null());
    ended(&output, 73)?;
    says(&output, &["cache", "DORMOUSE_CACHE"])
}

#[test]
fn a_variable_has_a_name() -> Result<(), String> {
    let mut command = dormouse();
    command.args(["run", "--env", "=x"]).arg(guest("c_exit"));
    ended(&finish(&mut command, Stdio::null()), 64)
}

/// With a shell's limit set first.
fn limited(limit: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("ulimit {limit}; exec \"$@\""));
    command
        .arg("bash")
        .arg(env!("CARGO_BIN_EXE_dormouse"))
        .args(arguments);
    command.env("DORMOUSE_CACHE", dormouse_test_support::test_modules());
    finish(&mut command, Stdio::null())
}

/// The signal that comes with the limit ended the guest.
#[test]
fn a_limit_of_file_sizes_costs_nothing() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("snapshot").display().to_string();
    let guest = guest("c_hello_sleep").display().to_string();
    // The code is in the cache before.
    let flags = ["run", "--suspend", "always", "--snapshot", &path, &guest];
    ended(&limited("-c 0", &flags), 75)?;
    let output = limited("-f 1", &flags);
    ended(&output, 0)?;
    says(&output, &["not suspended", "too large"])?;
    assert_eq!(output.stdout, b"hello\nbye\n");
    Ok(())
}

/// A guest with all the descriptors that there are open left none for its snapshot.
#[test]
fn a_guest_with_all_descriptors_is_suspended() -> Result<(), String> {
    let guest = guest("bug_wasi").display().to_string();
    for flag in [&[][..], &["--rehearse"], &["--suspend", "always"]] {
        let work = tempfile::tempdir().expect("a scratch directory");
        let dir = format!("{}::/work", work.path().display());
        let snapshot = work.path().join("snapshot").display().to_string();
        let flags = ["--snapshot", &snapshot, "--dir", &dir, &guest, "full"];
        let output = limited("-S -n 256", &[&["run"], flag, &flags].concat());
        let suspends = flag.contains(&"always");
        ended(&output, if suspends { 75 } else { 0 })?;
        assert_eq!(output.stdout, b"a 33\nb 33\n");
        if suspends {
            let output = limited("-S -n 256", &["resume", "--dir", &dir, &snapshot]);
            ended(&output, 0)?;
        }
    }
    Ok(())
}

/// tokio panicked.
#[test]
fn a_limit_of_descriptors_is_no_panic() -> Result<(), String> {
    let guest = guest("c_hello_sleep").display().to_string();
    for flags in [&["run", &guest][..], &["run", "--rehearse", &guest]] {
        let output = limited("-n 12", flags);
        ended(&output, 70)?;
        says(&output, &["Too many open files"])?;
    }
    Ok(())
}

/// It was told to be a trap of the guest's.
#[test]
fn too_little_memory_for_an_instance_is_no_trap() -> Result<(), String> {
    let guest = guest("c_hello_sleep").display().to_string();
    ended(
        &limited("-c 0", &["run", "--engine", "wasmtime", &guest]),
        0,
    )?;
    let output = limited("-v 2000000", &["run", "--engine", "wasmtime", &guest]);
    ended(&output, 70)?;
    says(&output, &["could not make an instance"])
}

/// Runs a shell script in a mount namespace of its own, with `$disk` for a scratch directory.
fn with_mounts(script: &str) -> Output {
    let disk = tempfile::tempdir().expect("a scratch directory");
    let mut command = Command::new("unshare");
    let user = Command::new("id").arg("-u").output().expect("id runs");
    if user.stdout != b"0\n" {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "bash", "-c", script]);
    command.env("disk", disk.path());
    command.env("dormouse", env!("CARGO_BIN_EXE_dormouse"));
    command.env("guest", guest("c_hello_sleep"));
    finish(&mut command, Stdio::null())
}

/// A full disk under the cache: an internal error on Wasmtime, and a signal from WasmEdge's linker.
#[test]
fn a_full_disk_under_the_cache_is_told() -> Result<(), String> {
    for engine in dormouse_test_support::engines() {
        let script = format!(
            "mount -t tmpfs -o size=40k tmpfs $disk && mkdir $disk/cache &&
             DORMOUSE_CACHE=$disk/cache exec $dormouse run --engine {engine} $guest"
        );
        let output = with_mounts(&script);
        ended(&output, 73).map_err(|message| format!("{engine}: {message}"))?;
        says(&output, &["No space left"])?;
    }
    Ok(())
}

/// Names out of a stranger's snapshot or module could command the terminal.
#[test]
fn nothing_commands_the_terminal() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snapshot");
    let mut command = dormouse();
    command.args(["run", "--suspend", "always", "--snapshot"]);
    command.arg(&snapshot).arg(guest("c_hello_sleep"));
    ended(&finish(command.arg("\x1b[2J\u{9b}2J"), Stdio::null()), 75)?;
    let output = finish(dormouse().arg("inspect").arg(&snapshot), Stdio::null());
    ended(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(r"\u{1b}[2J\u{9b}2J"), "{text}");
    assert!(!text.contains(['\x1b', '\u{9b}']), "{text}");

    // (module (import "env" "\1b[2J" (func)) (func (export "_start")))
    let module =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0c\x01\x03env\x04\x1b[2J\0\0\x03\x02\x01\0\
                   \x07\x0a\x01\x06_start\0\x01\x0a\x04\x01\x02\0\x0b";
    let path = scratch.path().join("module.wasm");
    fs::write(&path, module).expect("a scratch file");
    let output = finish(dormouse().arg("run").arg(&path), Stdio::null());
    ended(&output, 65)?;
    says(&output, &[r"\u{1b}[2J"])
}

/// The command that dormouse says to resume with has to work.
#[test]
fn a_path_is_not_taken_for_a_flag() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let mut command = dormouse();
    command.args(["run", "--suspend", "always", "--snapshot=-x y"]);
    command
        .arg(guest("c_hello_sleep"))
        .current_dir(scratch.path());
    let output = finish(&mut command, Stdio::null());
    ended(&output, 75)?;
    let text = dormouse_test_support::stderr(&output);
    let words = text
        .split("resume with: dormouse ")
        .nth(1)
        .expect("it says");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("\"$dormouse\" {words}")]);
    command.env("dormouse", env!("CARGO_BIN_EXE_dormouse"));
    ended(
        &finish(command.current_dir(scratch.path()), Stdio::null()),
        0,
    )
}

/// A right-to-left override in an argument turned the rest of the line around, in `inspect` and in messages.
#[test]
fn what_turns_text_around_is_not_printed() -> Result<(), String> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let snapshot = scratch.path().join("snap\u{202e}shot");
    let name = format!("{}", snapshot.display());
    let module = guest("c_hello_sleep").display().to_string();
    let hidden = ["\u{202e}", "\u{2066}", "\u{200b}", "\u{9b}2J", "\u{2028}"];
    let mut command = dormouse();
    command
        .args(["run", "--suspend", "always", "--snapshot", &name, &module])
        .args(hidden);
    let output = finish(&mut command, Stdio::null());
    ended(&output, 75)?;
    let raw = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.contains(|c: char| hidden.iter().any(|word| word.starts_with(c)))
    };
    assert!(!raw(&output.stderr), "{output:?}");
    says(&output, &["snap\\u{202e}shot"])?;
    for flags in [&["inspect"][..], &["inspect", "--json"]] {
        let mut command = dormouse();
        command.args(flags).arg(&snapshot);
        let output = finish(&mut command, Stdio::null());
        ended(&output, 0)?;
        assert!(!raw(&output.stdout), "{output:?}");
        if flags.len() == 2 {
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(json["program"][1], hidden[0]);
        }
    }
    for arguments in [
        ["run", "nowhere\u{202e}.wasm"],
        ["inspect", "./nowhere\u{202e}"],
    ] {
        let output = finish(dormouse().args(arguments), Stdio::null());
        ended(&output, 66)?;
        assert!(!raw(&output.stderr), "{output:?}");
    }
    Ok(())
}

/// `--prempt` was taken for the module: "cannot read --prempt". And one of ours behind the module went to the guest unseen.
#[test]
fn flags_that_are_none_and_flags_at_the_wrong_place_are_told() -> Result<(), String> {
    let module = guest("c_args_env").display().to_string();
    for command in ["run", "submit"] {
        let output = finish(
            dormouse().args([command, "--prempt", &module]),
            Stdio::null(),
        );
        ended(&output, 64)?;
        says(
            &output,
            &["'--prempt'", "a similar argument exists: '--preempt'"],
        )?;
    }
    let run = |arguments: &[&str]| finish(dormouse().arg("run").args(arguments), Stdio::null());
    let output = run(&[&module, "--preempt"]);
    says(&output, &["--preempt stands behind", "the guest gets it"])?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("--preempt"), "the guest has it: {printed}");
    for arguments in [
        &["--", &module, "--preempt"][..],
        &[&module, "--", "--preempt"],
        &[&module, "--verbose", "-v"],
    ] {
        let output = run(arguments);
        assert!(
            !dormouse_test_support::stderr(&output).contains("stands behind"),
            "{output:?}"
        );
    }
    Ok(())
}
