//! Where a task listens.

use std::fmt;
use std::str::FromStr;

use crate::text::as_text;

/// An address to listen on, `HOST:PORT`: what stands before the last colon is a name or an address,
/// which is looked up when the socket is bound. IPv6 stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// As it was written.
    text: String,
}

as_text!(ListenAddress);

impl ListenAddress {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |(host, port): (&str, &str)| {
            !host.is_empty() && !host.contains('\0') && port.parse::<u16>().is_ok()
        };
        match text.rsplit_once(':').is_some_and(fits) {
            true => Ok(Self { text: text.into() }),
            false => Err(format!(
                "{text:?} is no address; write 127.0.0.1:8080 or [::1]:8080"
            )),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for right in ["127.0.0.1:0", "[::1]:8080", "localhost:65535", "::1:80"] {
            let address: ListenAddress = right.parse().expect(right);
            assert_eq!(address.to_string(), right);
        }
        for wrong in [
            "", "x", ":80", "x:", "x:y", "x:65536", "x:-1", "\0:80", "80",
        ] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong:?}");
        }
    }
}
