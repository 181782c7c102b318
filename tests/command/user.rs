//! The commands as a user finds them: their help, and a shell to run them in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command and all below it, each with its words behind `dormouse`.
pub fn commands() -> Vec<(String, clap::Command)> {
    fn below(words: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        for command in command.get_subcommands() {
            let words = format!("{words} {}", command.get_name());
            below(&words, command, found);
            found.push((words.trim_start().to_string(), command.clone()));
        }
    }
    let all = dormouse::cli::command();
    let mut found = vec![(String::new(), all.clone())];
    below("", &all, &mut found);
    found
}

/// The examples in the help of a command.
pub fn examples(command: &clap::Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    let examples = lines.filter(|line| line.starts_with("dormouse "));
    examples.map(ToString::to_string).collect()
}

/// A shell of a user who has this home, and `dormouse` on the path.
pub fn shell(home: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_dormouse"));
    let folder = binary.parent().expect("it is in a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(PathBuf::from(folder)).chain(std::env::split_paths(&path)),
    );
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        home.unwrap_or_default().join(".cache")
    });
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-c", script])
        .current_dir(home)
        .env("HOME", home)
        .env("PATH", path.expect("the path has no colon"))
        .env("DORMOUSE_CACHE", cache.join("dormouse/test-modules"))
        .env_remove("DORMOUSE_URL")
        .env_remove("DORMOUSE_TOKEN")
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null());
    shell
}

pub fn output(home: &Path, script: &str) -> Output {
    shell(home, script).output().expect("bash runs")
}

/// Runs a line, which has to end with one of these codes.
#[track_caller]
pub fn run(home: &Path, line: &str, codes: &[i32]) -> String {
    let output = output(home, line);
    let code = output.status.code().unwrap_or(-1);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        codes.contains(&code),
        "{line}: {code}, not {codes:?}: {text}"
    );
    assert!(!text.contains("panicked"), "{line}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
