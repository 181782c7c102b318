//! Which flags of a command were given, whatever they say.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, FromArgMatches};

/// The flags of a command that were given. It is flattened into the command as the first field:
/// each other field takes its own flags out of what was parsed.
#[derive(Debug, Default)]
pub(crate) struct GivenFlags(Vec<String>);

impl GivenFlags {
    /// Whether a flag was given.
    pub(crate) fn has(&self, flag: &Arg) -> bool {
        self.0.iter().any(|given| flag.get_id() == given.as_str())
    }
}

impl FromArgMatches for GivenFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let ids = matches.ids().map(clap::Id::as_str);
        let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Ok(Self(ids.filter(given).map(str::to_owned).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no flags of its own.
impl clap::Args for GivenFlags {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

/// The flags of a command, or of a part of one.
pub(crate) fn flags_of<T: clap::Args>() -> Vec<Arg> {
    let command = T::augment_args(Command::new("part"));
    let arguments = command.get_arguments();
    arguments
        .filter(|argument| argument.get_long().is_some())
        .cloned()
        .collect()
}
