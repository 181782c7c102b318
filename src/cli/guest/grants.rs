//! What a guest is given of this machine, beside the process's own streams.

use std::net::TcpListener;

use crate::cli::args::guest::HostGrants;
use crate::cli::args::limits::LimitFlags;
use crate::cli::exit::{Failure, INTERNAL, MISSING};
use crate::cli::output::{say, streams};
use crate::cli::parse;
use crate::model::Reached;
use crate::wasi::{Bindings, Clocks, Grants, HostDir, Listener, Randomness};

/// What a guest is given, for as many instances as follow each other.
pub(crate) struct GuestGrants {
    dirs: Vec<HostDir>,
    listeners: Vec<Listener>,
    grants: Grants,
    clocks: Option<Clocks>,
    random: Option<Randomness>,
    /// The flags that give the same again, for a shell.
    flags: String,
    limits: LimitFlags,
}

impl GuestGrants {
    /// Opens what the command line gives.
    pub(crate) fn open(given: &HostGrants, limits: &LimitFlags) -> Result<Self, Failure> {
        let dirs = given.dirs.iter();
        let dirs = dirs.map(|dir| format!(" --dir {}", quoted(dir)));
        let addresses = given.network.tcplisten.iter();
        let addresses = addresses.map(|address| format!(" --tcplisten {}", quoted(address)));
        let rules = given.network.rules();
        let rules = rules.map(|(flag, rule)| format!(" {flag} {}", quoted(&rule.to_string())));
        let network = &given.network;
        Ok(Self {
            flags: dirs.chain(addresses).chain(rules).collect(),
            limits: limits.clone(),
            dirs: parse::guest::dirs(&given.dirs)?,
            grants: Grants::new(network.allow_connect.clone(), network.allow_listen.clone()),
            clocks: given.determinism.clocks,
            random: given.determinism.random,
            listeners: network
                .tcplisten
                .iter()
                .map(|address| listen(address))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The flags that give the same again, but for a limit that was reached: with the same one
    /// again the guest would not go on.
    pub(crate) fn flags(&self, reached: Option<&Reached>) -> String {
        let reached = reached.map(|reached| reached.setting.limit);
        let limits = self.limits.limits.iter();
        let limits = limits.filter(|setting| Some(setting.limit) != reached);
        let limits = limits.map(|setting| format!(" --limit {setting}"));
        let on_limit = self.limits.on_limit.iter();
        let on_limit = on_limit.map(|on_limit| format!(" --on-limit {on_limit}"));
        std::iter::once(self.flags.clone())
            .chain(limits)
            .chain(on_limit)
            .collect()
    }

    /// The bindings of one instance: it shares listening sockets with those that follow it.
    pub(crate) fn bindings(&self) -> Result<Bindings, Failure> {
        let shared = self.listeners.iter().map(|listener| {
            let socket = listener.socket.try_clone().map_err(|error| {
                Failure::new(
                    INTERNAL,
                    format!("cannot share a listening socket: {error}"),
                )
            })?;
            let address = listener.address.clone();
            Ok(Listener { address, socket })
        });
        let stdout = streams::guest_stdout().map_err(|error| {
            Failure::new(
                INTERNAL,
                format!("cannot open standard output again: {error}"),
            )
        })?;
        Ok(Bindings {
            stdout,
            dirs: self.dirs.clone(),
            listeners: shared.collect::<Result<_, Failure>>()?,
            grants: self.grants.clone(),
            clocks: self.clocks,
            random: self.random,
            ..Bindings::default()
        })
    }
}

fn listen(address: &str) -> Result<Listener, Failure> {
    let socket = TcpListener::bind(address).map_err(|error| {
        Failure::new(
            MISSING,
            format!("--tcplisten {address}: cannot listen: {error}"),
        )
    })?;
    if let Ok(found) = socket.local_addr()
        && found.to_string() != address
    {
        say!("--tcplisten {address}: listening on {found}");
    }
    Ok(Listener {
        address: address.into(),
        socket,
    })
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    // No argument of a process holds the NUL that could not be quoted.
    shlex::try_quote(word).map_or_else(|_| word.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_is_quoted_is_one_word_of_a_shell() {
        for word in [
            "./snapshot",
            "",
            "a b",
            "it's",
            "$HOME",
            "*",
            "é",
            "--dir",
            "a\nb",
        ] {
            let split = shlex::split(&format!("dormouse resume {}", quoted(word)));
            assert_eq!(
                split.as_deref(),
                Some(&["dormouse", "resume", word].map(String::from)[..])
            );
        }
    }
}
