//! Which tasks are meant, by their state and name.

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only tasks in these states, separated by commas.
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,
    /// Only tasks with a name like this: '*' stands for any characters, '?' for one.
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<String>,
}

impl Filter {
    /// Whether there is one at all.
    pub(crate) fn is_given(&self) -> bool {
        self.state.is_some() || self.name.is_some()
    }
}
