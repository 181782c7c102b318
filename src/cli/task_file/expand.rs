//! `--config FILE` becomes the flags that the file stands for.

use std::ffi::OsString;

use super::{LoadedTaskFile, Schedule};
use crate::cli::args::Args;
use crate::cli::exit::{Failure, USAGE};
use crate::cli::module_file::BY_DIGEST;
use crate::cli::output::say;

/// The words of a command line, with `--config` replaced by what the file says; `None` where there
/// is no `--config`.
pub(crate) fn expand(args: &Args, words: &[OsString]) -> Result<Option<Vec<OsString>>, Failure> {
    let Some((name, program)) = args.command.program() else {
        return Ok(None);
    };
    let Some(path) = &program.config else {
        return Ok(None);
    };
    let file = LoadedTaskFile::read(path)?;
    if name == "run" {
        tell_what_run_leaves_out(&file);
    }
    for variable in &file.file.env_from {
        if std::env::var_os(variable.get_ref()).is_none() {
            let text = format!("there is no variable {} here", variable.get_ref());
            return Err(file.wrong(variable.span(), text));
        }
    }
    // The module and its arguments are the last words.
    let given = program.command.len();
    let (head, tail) = words.split_at(words.len().saturating_sub(given));
    let mut made = Vec::new();
    let mut head = head.iter();
    for word in head.by_ref() {
        made.push(word.clone());
        if word == name {
            break;
        }
    }
    let flags = file.flags(name == "submit")?;
    made.extend(flags.into_iter().map(OsString::from));
    while let Some(word) = head.next() {
        match word.to_str() {
            Some("--config") => drop(head.next()),
            Some(text) if text.starts_with("--config=") => {}
            _ => made.push(word.clone()),
        }
    }
    match (module(&file), tail.is_empty()) {
        (_, false) => made.extend(tail.iter().cloned()),
        (Some(module), true) => {
            made.push(module);
            made.extend(file.file.args.iter().map(OsString::from));
        }
        (None, true) => {
            let text = format!("{} names no module, and none was given", path.display());
            return Err(Failure::new(USAGE, text));
        }
    }
    Ok(Some(made))
}

/// The module of the file, as it is written on a command line.
fn module(file: &LoadedTaskFile) -> Option<OsString> {
    match (&file.file.module, &file.file.digest) {
        (Some(module), _) if module.get_ref().starts_with(BY_DIGEST) => {
            Some(module.get_ref().into())
        }
        (Some(module), _) => Some(file.host(module.get_ref()).into()),
        (None, Some(digest)) => Some(format!("{BY_DIGEST}{}", digest.get_ref()).into()),
        (None, None) => None,
    }
}

/// `run` starts a task once, now. Somebody who tries a file out with it must not think that the
/// file's schedule holds.
fn tell_what_run_leaves_out(file: &LoadedTaskFile) {
    let Schedule { at, every } = &file.file.schedule;
    let given = [
        ("restart", file.file.restart.as_ref()),
        ("schedule.at", at.as_ref()),
        ("schedule.every", every.as_ref()),
    ];
    for (key, word) in given {
        if let Some(word) = word {
            say!(
                "{}:{}: `{key}` is for `dormouse submit`; `run` starts the task once, now",
                file.path.display(),
                file.line(word.span())
            );
        }
    }
}
