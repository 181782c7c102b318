//! What a guest may reach, as a text.
//!
//! A rule is `HOST:PORTS`. The host is a name, an address, a range of addresses (`10.0.0.0/8`) or
//! `*`; ports are one, a range (`80-90`) or `*`. IPv6 stands in brackets.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use crate::text::as_text;

/// Some addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    host: Host,
    ports: RangeInclusive<u16>,
    /// As it was written.
    text: String,
}

as_text!(Rule);

/// Whose addresses a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// All hosts.
    Any,
    /// A range of addresses.
    Net(IpNet),
    /// A name, in small letters and without a dot at its end.
    Name(String),
}

impl Rule {
    /// Whose addresses it is about.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The ports.
    pub fn ports(&self) -> &RangeInclusive<u16> {
        &self.ports
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no HOST:PORTS; write example.com:443, 10.0.0.0/8:80-90, [::1]:* or *:53"
            )
        };
        let (host, ports) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => text
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':')),
        }
        .ok_or_else(wrong)?;
        let port = |text: &str| text.parse::<u16>().ok();
        let ports = match (ports, ports.split_once('-')) {
            ("*", _) => Some(0..=u16::MAX),
            (_, Some((first, last))) => {
                let (first, last) = (port(first), port(last));
                first.zip(last).map(|(first, last)| first..=last)
            }
            (ports, None) => port(ports).map(|port| port..=port),
        };
        let ports = ports.filter(|ports| !ports.is_empty()).ok_or_else(wrong)?;
        let bracketed = text.starts_with('[');
        let host = match host {
            "*" => Host::Any,
            _ => match (host.parse::<IpAddr>(), host.parse::<IpNet>()) {
                (Ok(ip), _) => Host::Net(ip.into()),
                (_, Ok(net)) => Host::Net(net.trunc()),
                _ if !bracketed && is_name(host) => {
                    Host::Name(host.trim_end_matches('.').to_ascii_lowercase())
                }
                _ => return Err(wrong()),
            },
        };
        Ok(Self {
            host,
            ports,
            text: text.into(),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Whether a text is a host name. A malformed address is not taken for one.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rule_is_refused() {
        for wrong in [
            "",
            "x",
            ":80",
            "x:",
            "x:y",
            "x:90-80",
            "x:70000",
            "1.2.3:80",
            "1.2.3.4/33:80",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[x]:80",
            "a b:80",
            "-:x",
            "x:1-",
            "x/8:80",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
        for right in [
            "x:0",
            "example.com:443",
            "*:*",
            "10.0.0.0/8:80-90",
            "[::]:*",
        ] {
            let rule: Rule = right.parse().expect("a rule");
            assert_eq!(rule.to_string(), right);
        }
    }
}
