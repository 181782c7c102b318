//! What a guest is given of this machine, beside the process's own streams.

use std::net::TcpListener;

use crate::cli::exit::{Failure, INTERNAL, MISSING, USAGE};
use crate::cli::output::{say, streams};
use crate::model::spec::{Access, ListenAddress};
use crate::model::{Limits, Reached, TaskSpec};
use crate::wasi::{Bindings, Config, Listener};

/// What a guest is given, for as many instances as follow each other.
pub(crate) struct GuestGrants {
    spec: TaskSpec,
    listeners: Vec<Listener>,
    http: Option<Listener>,
}

impl GuestGrants {
    /// Opens what is asked for.
    pub(crate) fn open(spec: TaskSpec) -> Result<Self, Failure> {
        spec.check_directories()
            .map_err(|wrong| Failure::new(USAGE, wrong.error))?;
        let network = &spec.network;
        let given = |address| listen(address, false);
        let http = network.http.as_ref();
        Ok(Self {
            listeners: network.listen.iter().map(given).collect::<Result<_, _>>()?,
            http: http.map(|address| listen(address, true)).transpose()?,
            spec,
        })
    }

    /// The socket of the address at which HTTP requests are answered: no instance is given it any
    /// more.
    pub(crate) fn take_http(&mut self) -> Result<TcpListener, Failure> {
        let taken = self.http.take().map(|listener| listener.socket);
        taken.ok_or_else(|| Failure::new(USAGE, "there is no address to answer requests at"))
    }

    /// The flags that give the same again, but for a limit that was reached: with the same one
    /// again the guest would not go on.
    pub(crate) fn flags(&self, reached: Option<&Reached>) -> String {
        let mut spec = self.spec.clone();
        if let Some(reached) = reached {
            spec.limits.clear(reached.setting.limit);
        }
        let shown = |(flag, value): (&str, String)| match flag {
            // They hold nothing that a shell would take for its own.
            "--limit" | "--on-limit" => format!(" {flag} {value}"),
            _ => format!(" {flag} {}", quoted(&value)),
        };
        flags(&spec).into_iter().map(shown).collect()
    }

    /// What one instance starts with, and its bindings: it shares listening sockets with those that
    /// follow it.
    pub(crate) fn bindings(&self) -> Result<(Config, Bindings), Failure> {
        let shared = |listener: &Listener| {
            let socket = listener.socket.try_clone().map_err(|error| {
                Failure::new(
                    INTERNAL,
                    format!("cannot share a listening socket: {error}"),
                )
            })?;
            let address = listener.address.clone();
            Ok(Listener { address, socket })
        };
        let stdout = streams::guest_stdout().map_err(|error| {
            Failure::new(
                INTERNAL,
                format!("cannot open standard output again: {error}"),
            )
        })?;
        let (config, given) = Bindings::from_spec(&self.spec, &Limits::default());
        let bindings = Bindings {
            stdout,
            listeners: self
                .listeners
                .iter()
                .map(shared)
                .collect::<Result<_, Failure>>()?,
            http: self.http.as_ref().map(shared).transpose()?,
            ..given
        };
        Ok((config, bindings))
    }
}

/// Listens on an address, for HTTP requests or for a guest that accepts connections itself.
fn listen(address: &ListenAddress, is_http: bool) -> Result<Listener, Failure> {
    let address = address.as_str();
    let socket = TcpListener::bind(address).map_err(|error| {
        Failure::new(
            MISSING,
            match is_http {
                true => format!("cannot listen on {address} for HTTP requests: {error}"),
                false => format!("--tcplisten {address}: cannot listen: {error}"),
            },
        )
    })?;
    match socket.local_addr() {
        Ok(found) if is_http => say!("answering requests at http://{found}"),
        Ok(found) if found.to_string() != address => {
            say!("--tcplisten {address}: listening on {found}");
        }
        Ok(_) | Err(_) => {}
    }
    Ok(Listener {
        address: address.into(),
        socket,
    })
}

/// The flags that give a guest of a snapshot what it was given, for a shell.
pub(crate) fn flags(spec: &TaskSpec) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    for mount in &spec.mounts {
        let end = match mount.access {
            Access::Kept => "",
            Access::ReadOnly => ":ro",
            Access::ReadWrite => ":rw",
        };
        let names = match mount.host == mount.guest {
            true => mount.host.clone(),
            false => format!("{}::{}", mount.host, mount.guest),
        };
        flags.push(("--dir", format!("{names}{end}")));
    }
    let listen = spec.network.listen.iter();
    flags.extend(listen.map(|address| ("--tcplisten", address.to_string())));
    let http = spec.network.http.iter();
    flags.extend(http.map(|address| ("--http", address.to_string())));
    for (_, flag, rules) in spec.network.rules() {
        flags.extend(rules.iter().map(|rule| (flag, rule.to_string())));
    }
    flags.extend(
        spec.limits
            .iter()
            .map(|limit| ("--limit", limit.to_string())),
    );
    let on_limit = spec.on_limit.iter();
    flags.extend(on_limit.map(|on_limit| ("--on-limit", on_limit.to_string())));
    flags
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
