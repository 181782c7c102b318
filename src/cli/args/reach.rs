//! The flags that say what a guest reaches and learns of the world.

use crate::wasi::{Clocks, Randomness, Rule};

/// What a guest may reach over the network: nothing, if it is not said. And what it learns of time and chance.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Reach {
    /// Let the guest connect to these, and send datagrams: a name, an address or a range, and ports, such
    /// as example.com:443, 10.0.0.0/8:80-90 or [::1]:*.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_connect: Vec<Rule>,
    /// Let the guest bind sockets of its own to these, written in the same way.
    #[arg(long, value_name = "HOST:PORTS")]
    pub allow_listen: Vec<Rule>,
    /// What the guest's clocks tell: host, or virtual (a time of its own that begins in 2000, moves to the end of each
    /// wait and says nothing of the host's). If left out, host, or what the snapshot says.
    #[arg(long, value_name = "host|virtual")]
    pub clocks: Option<Clocks>,
    /// Where its random numbers come from: host, or seed=NUMBER (always the same; no key may be made of them). If left
    /// out, host, or what the snapshot says.
    #[arg(long, value_name = "host|seed=NUMBER")]
    pub random: Option<Randomness>,
}

impl Reach {
    /// The rules as they were written, each with its flag.
    pub(in crate::cli) fn flags(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        let connect = self
            .allow_connect
            .iter()
            .map(|rule| ("--allow-connect", rule));
        connect.chain(
            self.allow_listen
                .iter()
                .map(|rule| ("--allow-listen", rule)),
        )
    }

    /// The rules as a daemon is told them: to connect, to listen.
    #[cfg(feature = "server")]
    pub(in crate::cli) fn texts(&self) -> (Vec<String>, Vec<String>) {
        let texts = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
        (texts(&self.allow_connect), texts(&self.allow_listen))
    }
}
