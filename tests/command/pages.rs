//! Help, manual pages, completions, the table of exit codes and the pages in `docs`: each is made from
//! the flags, or is compared with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_test_support::checkout;
use serde_json::Value;

use crate::user::{commands, examples, run, shell};

/// `docs/exit-codes.md` has the table of the program.
#[test]
fn exit_codes_are_the_same_everywhere() {
    let page = fs::read_to_string(checkout("docs/exit-codes.md")).expect("the page");
    let number = |line: &&str| line.starts_with("| ") && line[2..].starts_with(char::is_numeric);
    let found: Vec<&str> = page.lines().filter(number).collect();
    let codes = dormouse::cli::exit_codes();
    let wanted: Vec<String> = codes
        .iter()
        .map(|(code, meaning)| format!("| {code} | {meaning} |"))
        .collect();
    assert!(
        found == wanted,
        "paste these rows into docs/exit-codes.md:\n{}",
        wanted.join("\n")
    );
    let home = tempfile::tempdir().expect("a directory");
    // As wide as it is, so that no row is broken.
    let help = run(home.path(), "COLUMNS=1000 dormouse --help", &[0]);
    let manual = run(home.path(), "dormouse man", &[0]);
    for (code, meaning) in codes {
        assert!(
            help.contains(&format!("{code:>3}  {meaning}")),
            "{code}: {help}"
        );
        assert!(
            manual.contains(&format!("\\fB{code}\\fR")),
            "{code}: {manual}"
        );
    }
    assert!(codes.is_sorted_by(|left, right| left.0 < right.0));
}

/// A code in parentheses on a page for users is one of the table.
#[test]
fn exit_codes_on_pages_are_declared() {
    let declared: BTreeSet<u8> = dormouse::cli::exit_codes()
        .iter()
        .map(|code| code.0)
        .collect();
    let mut pages: Vec<PathBuf> = fs::read_dir(checkout("docs"))
        .expect("the pages")
        .map(|page| page.expect("a page").path())
        .collect();
    pages.push(checkout("README.md"));
    let mut seen = BTreeSet::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        let words = text
            .split('(')
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        for code in words.filter_map(|(word, _)| word.parse::<u8>().ok()) {
            if code >= 64 {
                assert!(declared.contains(&code), "{}: ({code})", page.display());
                seen.insert(code);
            }
        }
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn every_command_and_flag_is_in_the_docs() {
    let page = fs::read_to_string(checkout("docs/commands.md")).expect("the page");
    let mut missing = Vec::new();
    for (words, command) in commands() {
        let (first, last) = words.split_once(' ').unwrap_or((&words, &words));
        let lines: Vec<&str> = page.lines().filter(|line| line.contains(first)).collect();
        if !lines.iter().any(|line| line.contains(last)) {
            missing.push(format!("dormouse {words}"));
        }
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            if !page.contains(&format!("--{flag}")) {
                missing.push(format!("dormouse {words} --{flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/commands.md lacks {missing:#?}");
}

/// What bash offers for a line whose last word is being written.
fn offered(home: &Path, words: &[&str]) -> BTreeSet<String> {
    let script = r#"
        source <(dormouse completions bash)
        # The function that bash itself would call.
        spec=$(complete -p dormouse)
        [[ $spec =~ -F\ ([^ ]+) ]] || exit 1
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        COMPREPLY=()
        "${BASH_REMATCH[1]}" dormouse "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = shell(home, script)
        .arg("bash")
        .args(words)
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.is_empty(),
        "{words:?}: {text}"
    );
    let offered = String::from_utf8_lossy(&output.stdout).into_owned();
    offered.lines().map(ToString::to_string).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let home = tempfile::tempdir().expect("a directory");
    for (words, wanted) in [
        (&["dormouse", "resu"][..], &["resume"][..]),
        (&["dormouse", "p"], &["pause", "peers", "ps"]),
        (&["dormouse", "run", "--reh"], &["--rehearse"]),
        (
            &["dormouse", "serve", "--max-w"],
            &["--max-warm-memory", "--max-workers"],
        ),
        (&["dormouse", "peers", "a"], &["add"]),
        (&["dormouse", "store", "backup", "--d"], &["--data"]),
        (
            &["dormouse", "submit", "--streams", ""],
            &["proxy", "reset"],
        ),
        (&["dormouse", "completions", "fi"], &["fish"]),
        (&["dormouse", "run", "--no-such"], &[]),
    ] {
        let mut offered = offered(home.path(), words);
        offered.remove("");
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        assert_eq!(offered, wanted, "{words:?}");
    }
}

#[test]
fn completions_of_every_shell_name_every_command() {
    let home = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(home.path(), &format!("dormouse completions {shell}"), &[0]);
        for (words, _) in commands() {
            let last = words.split(' ').next_back().unwrap_or_default();
            assert!(script.contains(last), "{shell}: {words}");
        }
        // The shell itself reads it, where it is installed.
        let checker = format!("command -v {shell} >/dev/null || exit 0; exec {shell} -n script");
        fs::write(home.path().join("script"), &script).expect("a file");
        if ["bash", "fish", "zsh"].contains(&shell) {
            run(home.path(), &checker, &[0]);
        }
    }
    let told = run(home.path(), "dormouse completions bash --json", &[0]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert!(
        told["script"]
            .as_str()
            .is_some_and(|script| script.contains("resume"))
    );
    run(home.path(), "dormouse completions csh", &[64]);
}

/// `groff`, which `man` shows pages with, warns of nothing in them; `.ci/setup.sh test` installs
/// it.
#[test]
fn manual_pages_are_right_and_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let told = run(home.path(), "dormouse man --json pages/man1", &[0]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let pages = home.path().join("pages/man1");
    let written: BTreeSet<String> = fs::read_dir(&pages)
        .expect("the directory")
        .map(|page| {
            page.expect("a page")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(told["pages"].as_array().map(Vec::len), Some(written.len()));
    let mut expected = BTreeSet::new();
    for (words, command) in commands() {
        let name = format!("dormouse {words}").trim_end().replace(' ', "-");
        let page = format!("{name}.1");
        let path = pages.join(&page);
        let check = Command::new("groff")
            .args(["-ww", "-man", "-Tutf8", "-z"])
            .arg(&path)
            .output()
            .expect("groff is installed by `.ci/setup.sh test`");
        let warnings = String::from_utf8_lossy(&check.stderr);
        assert!(
            check.status.success() && warnings.is_empty(),
            "{page}: {warnings}"
        );
        let shown = Command::new("groff")
            .args(["-man", "-Tascii", "-P-cbou", "-rLL=1000n"])
            .arg(&path)
            .output()
            .expect("it ran above");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let plain: Vec<&str> = shown.split_whitespace().collect();
        let plain = plain.join(" ");
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "EXAMPLES",
        ] {
            assert!(
                shown.contains(&format!("\n{section}\n")),
                "{page}: {section}: {shown}"
            );
        }
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(plain.contains(&format!("--{flag}")), "{page}: --{flag}");
        }
        for example in examples(&command) {
            assert!(plain.contains(&example), "{page}: {example}: {plain}");
        }
        expected.insert(page);
    }
    assert_eq!(written, expected);
    let page = run(home.path(), "dormouse man", &[0]);
    assert_eq!(
        page,
        fs::read_to_string(pages.join("dormouse.1")).expect("the page")
    );
    run(home.path(), "dormouse man /dev/null/pages", &[73]);
    // A reader that has gone is no failure.
    run(
        home.path(),
        "set -o pipefail; dormouse completions bash | true",
        &[0],
    );
}
