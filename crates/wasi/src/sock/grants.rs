//! What a guest may reach by the network: only what the host's rules grant.
//!
//! A call is checked by the very address that it then uses, so that it does not matter what a name
//! leads to a moment later. A name in a rule stands for the addresses that looking it up has found.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_model::spec::{Host, Rule};
use parking_lot::{Mutex, MutexGuard};

use crate::errno::{Errno, Result};

/// A name in a rule is looked up again after this time at the earliest.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// How many addresses of one name are remembered.
const MAX_ADDRESSES: usize = 256;

/// How many refused addresses, and how many refused names, the log names.
const MAX_LOGGED: usize = 256;

/// What a guest may connect to, and where it may listen. Nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Peers that it may connect to or send datagrams to.
    pub connect: Vec<Rule>,
    /// Addresses that it may bind sockets to.
    pub listen: Vec<Rule>,
    cache: Arc<Mutex<Cache>>,
}

impl Grants {
    /// Grants by these rules.
    pub fn new(connect: Vec<Rule>, listen: Vec<Rule>) -> Self {
        Self {
            connect,
            listen,
            cache: Arc::default(),
        }
    }
}

/// What was looked up, and what the log has been told of.
#[derive(Debug, Default)]
struct Cache {
    names: HashMap<String, (Instant, HashSet<IpAddr>)>,
    logged: HashSet<(Purpose, SocketAddr)>,
    logged_names: HashSet<String>,
}

/// What a guest wants to use an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Connect,
    Listen,
}

/// Where a connection to an address leads: for the unspecified address the system takes its own.
fn target(address: SocketAddr) -> SocketAddr {
    let own: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    match address.ip().is_unspecified() {
        true => SocketAddr::new(own, address.port()),
        false => address,
    }
}

impl Grants {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    /// The address to use, if it is granted; else `EACCES`, which the log says once for each
    /// address.
    pub(super) fn check(&self, what: Purpose, address: SocketAddr) -> Result<SocketAddr> {
        let used = match what {
            Purpose::Connect => target(address),
            Purpose::Listen => address,
        };
        let rules = match what {
            Purpose::Connect => &self.connect,
            Purpose::Listen => &self.listen,
        };
        if self.allows(rules, used) {
            return Ok(used);
        }
        let mut cache = self.cache();
        if cache.logged.len() < MAX_LOGGED && cache.logged.insert((what, used)) {
            let (verb, flag) = match what {
                Purpose::Connect => ("connect to", "--allow-connect"),
                Purpose::Listen => ("listen on", "--allow-listen"),
            };
            log::warn!("the guest may not {verb} {used}; allow it with {flag} {used}");
        }
        Err(Errno::ACCESS)
    }

    /// Whether a socket may be bound to the address again.
    pub(super) fn may_listen(&self, address: SocketAddr) -> bool {
        self.allows(&self.listen, address)
    }

    /// The address to connect a socket to again, if it is granted.
    pub(super) fn may_connect(&self, address: SocketAddr) -> Option<SocketAddr> {
        let used = target(address);
        self.allows(&self.connect, used).then_some(used)
    }

    fn allows(&self, rules: &[Rule], address: SocketAddr) -> bool {
        // An IPv4 address that is mapped to IPv6 counts as the IPv4 address.
        let ip = address.ip().to_canonical();
        let has_port = |rule: &&Rule| rule.ports().contains(&address.port());
        rules.iter().filter(has_port).any(|rule| match rule.host() {
            Host::Any => true,
            Host::Net(net) => net.contains(&ip),
            Host::Name(name) => self.has_address(name, ip),
        })
    }

    /// Whether a name has this address: an earlier look-up found it, or one now does.
    fn has_address(&self, name: &str, ip: IpAddr) -> bool {
        let fresh = match self.cache().names.get(name) {
            Some((_, known)) if known.contains(&ip) => return true,
            Some((at, _)) => at.elapsed() < LOOKUP_INTERVAL,
            None => false,
        };
        if fresh {
            return false;
        }
        let found: Vec<IpAddr> = dns_lookup::lookup_host(name)
            .map(|addresses| addresses.collect())
            .unwrap_or_default();
        self.learn(name, &found);
        found.iter().any(|found| found.to_canonical() == ip)
    }

    /// Whether a guest may look a name up: a rule names it, or grants every host. The name itself
    /// is information that leaves the host, to whoever runs the name server.
    pub(super) fn check_name(&self, name: &str) -> Result<()> {
        let wanted = name.trim_end_matches('.').to_ascii_lowercase();
        let mut rules = self.connect.iter().chain(&self.listen);
        let granted = rules.any(|rule| match rule.host() {
            Host::Any => true,
            Host::Name(name) => *name == wanted,
            Host::Net(_) => false,
        });
        // No name server is asked for this name.
        if granted || wanted == "localhost" {
            return Ok(());
        }
        let mut cache = self.cache();
        if cache.logged_names.len() < MAX_LOGGED && cache.logged_names.insert(wanted) {
            log::warn!(
                "the guest may not look up {name:?}; allow it with --allow-connect {name}:PORT"
            );
        }
        Err(Errno::ACCESS)
    }

    /// Remembers the addresses that a look-up has found for a name, if a rule names it.
    pub(super) fn learn(&self, name: &str, found: &[IpAddr]) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut rules = self.connect.iter().chain(&self.listen);
        if !rules.any(|rule| *rule.host() == Host::Name(name.clone())) {
            return;
        }
        let mut cache = self.cache();
        let (at, known) = cache
            .names
            .entry(name)
            .or_insert_with(|| (Instant::now(), HashSet::new()));
        *at = Instant::now();
        if known.len() + found.len() > MAX_ADDRESSES {
            known.clear();
        }
        known.extend(found.iter().map(IpAddr::to_canonical));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rules: &[&str]) -> Grants {
        let rules = rules.iter().map(|rule| rule.parse().expect("a rule"));
        Grants::new(rules.collect(), Vec::new())
    }

    fn allows(rules: &[&str], address: &str) -> bool {
        let address = address.parse().expect("an address");
        grants(rules).check(Purpose::Connect, address).is_ok()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        assert!(!allows(&[], "127.0.0.1:80"));
        let grants = Grants::default();
        let any = "0.0.0.0:0".parse().expect("an address");
        assert_eq!(grants.check(Purpose::Listen, any), Err(Errno::ACCESS));
        assert_eq!(grants.check_name("example.com"), Err(Errno::ACCESS));
        assert_eq!(grants.check_name("localhost"), Ok(()));
    }

    #[test]
    fn rules_hold_for_their_addresses_and_ports_alone() {
        assert!(allows(&["10.0.0.0/8:80-90"], "10.255.1.2:80"));
        assert!(allows(&["10.0.0.0/8:80-90"], "10.255.1.2:90"));
        assert!(!allows(&["10.0.0.0/8:80-90"], "10.255.1.2:91"));
        assert!(!allows(&["10.0.0.0/8:80-90"], "11.0.0.1:80"));
        assert!(allows(&["[::1]:*"], "[::1]:1"));
        assert!(!allows(&["[::1]:*"], "[::2]:1"));
        assert!(allows(&["[fe80::/10]:443"], "[fe80::1]:443"));
        assert!(allows(&["*:53"], "9.9.9.9:53"));
        assert!(!allows(&["*:53"], "9.9.9.9:54"));
        assert!(allows(&["1.1.1.1:1", "2.2.2.2:2"], "2.2.2.2:2"));
        assert!(!allows(&["1.1.1.1:1", "2.2.2.2:2"], "1.1.1.1:2"));
    }

    /// Several addresses lead to one place: a rule holds for the one that the system uses.
    #[test]
    fn an_address_is_what_the_system_takes_it_for() {
        assert!(allows(&["10.0.0.0/8:80"], "[::ffff:10.0.0.1]:80"));
        assert!(!allows(&["[::/0]:80"], "[::ffff:10.0.0.1]:80"));
        assert!(!allows(&["0.0.0.0:80"], "0.0.0.0:80"));
        let own = grants(&["127.0.0.1:80"]);
        let none = "0.0.0.0:80".parse().expect("an address");
        let own = own.check(Purpose::Connect, none).expect("it is granted");
        assert_eq!(own.to_string(), "127.0.0.1:80");
    }

    /// Addresses that were found stay granted; another answer adds to them.
    #[test]
    fn a_name_stands_for_the_addresses_that_it_was_found_to_have() {
        let grants = grants(&["db.test:5432"]);
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        grants.learn("DB.test.", &["192.0.2.1".parse().expect("an address")]);
        let check = |text| grants.check(Purpose::Connect, address(text)).is_ok();
        assert!(check("192.0.2.1:5432"));
        assert!(!check("192.0.2.1:5433"));
        assert!(!check("192.0.2.2:5432"));
        grants.learn("other.test", &["192.0.2.9".parse().expect("an address")]);
        assert!(!check("192.0.2.9:5432"));
        assert_eq!(grants.check_name("db.test"), Ok(()));
        assert_eq!(grants.check_name("evil.test"), Err(Errno::ACCESS));
    }
}
