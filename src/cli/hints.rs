//! Words that are likely meant otherwise.

use std::ffi::OsString;

use super::args::Command;
use super::text::say;

/// Flags that programs of all sorts have: nobody means ours by them.
const COMMON: [&str; 4] = ["help", "version", "verbose", "json"];

/// Tells of a flag of ours that stands behind MODULE, where it is the guest's. It stays the guest's; `--` in front of
/// MODULE says that it is meant so.
pub(super) fn behind_the_module(command: &Command, words: &[OsString]) {
    let (name, given) = match command {
        Command::Run(run) => ("run", &run.command),
        #[cfg(feature = "server")]
        Command::Submit(submit) => ("submit", &submit.command),
        _ => return,
    };
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
    // Those of a task file are the guest's for certain.
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
    let ours = super::command();
    let ours = ours.find_subcommand(name)?;
    let is_ours = |word: &&String| {
        let long = word.strip_prefix("--").unwrap_or_default();
        let long = long.split('=').next().unwrap_or_default();
        let mut known = ours.get_arguments().filter_map(|arg| arg.get_long());
        !COMMON.contains(&long) && known.any(|known| known == long)
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
