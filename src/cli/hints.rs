//! Hints at words of the command line that were probably meant otherwise.

use std::ffi::OsString;

use clap::CommandFactory;

use super::args::{Args, Command};
use super::output::say;

/// Flags that programs of all sorts have: behind the module they are meant for the guest.
const COMMON_FLAGS: [&str; 4] = ["help", "version", "verbose", "json"];

/// Tells the user of a flag of ours behind MODULE, where the guest gets it. The guest gets it all
/// the same; `--` in front of MODULE says that this is meant, and silences the hint.
pub(crate) fn behind_the_module(command: &Command, words: &[OsString]) {
    let Some((name, program)) = command.program() else {
        return;
    };
    let given = &program.command;
    let Some(flag) = misplaced(name, given, words) else {
        return;
    };
    let module = &given[0];
    say!(
        "{flag} stands behind {module}, so that the guest gets it and dormouse does not; write it before {module}, or \
         `-- {module}` if it is the guest's"
    );
}

/// The first flag of ours among a guest's arguments.
fn misplaced(name: &str, given: &[String], words: &[OsString]) -> Option<String> {
    // Arguments of a task file are not on the command line, and are meant for the guest.
    let front = words.len().checked_sub(given.len())?;
    let (front, behind) = words.split_at(front);
    if behind
        .iter()
        .ne(given.iter().map(OsString::from).collect::<Vec<_>>().iter())
    {
        return None;
    }
    if front.last().is_some_and(|word| word == "--") {
        return None;
    }
    let ours = Args::command();
    let ours = ours.find_subcommand(name)?;
    let is_ours = |word: &&String| {
        let long = word.strip_prefix("--").unwrap_or_default();
        let long = long.split('=').next().unwrap_or_default();
        let mut known = ours.get_arguments().filter_map(|arg| arg.get_long());
        !COMMON_FLAGS.contains(&long) && known.any(|known| known == long)
    };
    let arguments = given.iter().skip(1).take_while(|word| *word != "--");
    let found = arguments.into_iter().find(is_ours)?;
    Some(found.split('=').next().unwrap_or(found).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(front: &[&str], given: &[&str]) -> Option<String> {
        let words: Vec<OsString> = front.iter().chain(given).map(OsString::from).collect();
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        misplaced("run", &given, &words)
    }

    #[test]
    fn a_flag_of_ours_behind_the_module_is_seen_and_others_are_not() {
        let run = ["dormouse", "run"];
        assert_eq!(
            found(&run, &["x.wasm", "--preempt"]).as_deref(),
            Some("--preempt")
        );
        assert_eq!(
            found(&run, &["x.wasm", "5", "--dir=."]).as_deref(),
            Some("--dir")
        );
        for given in [
            &["x.wasm"][..],
            &["x.wasm", "--verbose", "--help", "--json", "-v"],
            &["x.wasm", "--", "--preempt"],
            &["x.wasm", "preempt", "---", "--", "--="],
        ] {
            assert_eq!(found(&run, given), None, "{given:?}");
        }
        assert_eq!(
            found(&["dormouse", "run", "--"], &["x.wasm", "--preempt"]),
            None
        );
    }
}
