//! The systemd units of `deploy/systemd`: systemd finds nothing wrong with them, and what they start
//! is a command that dormouse takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::user::run;

fn units() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut units: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    units.sort();
    units
}

#[test]
fn what_a_unit_starts_is_a_command_of_ours() {
    let home = tempfile::tempdir().expect("a directory");
    let mut found = 0;
    for unit in units() {
        let text = fs::read_to_string(&unit).expect("a unit");
        let starts = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="));
        for start in starts {
            let words = start
                .strip_prefix("/usr/local/bin/")
                .expect("where it is installed");
            // Flags are looked at before help is given.
            run(home.path(), &format!("{words} --help"), &[0]);
            found += 1;
        }
    }
    assert!(found > 0, "no unit starts anything");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("left out: there is no systemd-analyze here");
        return;
    }
    // The command must be there, and be executable.
    let folder = tempfile::tempdir().expect("a directory");
    let copies: Vec<PathBuf> = units()
        .iter()
        .map(|unit| {
            let text = fs::read_to_string(unit).expect("a unit");
            let text = text.replace("/usr/local/bin/dormouse", env!("CARGO_BIN_EXE_dormouse"));
            let copy = folder.path().join(unit.file_name().expect("a name"));
            fs::write(&copy, text).expect("a copy");
            copy
        })
        .collect();
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").args(&copies);
    let output = verify.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
