//! `host:port`, where the host is a DNS name.

use std::fmt;

use crate::config::problem::{Wrong, wrong};

/// A DNS name whose addresses are looked up again and again, and the port of the nodes behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    /// The name, or an IPv4 address.
    pub(crate) host: String,
    /// 1 to 65535.
    pub(crate) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A host and a port.
pub(crate) fn host_port(text: &str) -> Result<HostPort, Wrong> {
    /// The longest DNS name.
    const LONGEST: usize = 253;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let parts = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match parts {
        Some((host, port)) if port > 0 && (1..=LONGEST).contains(&host.len()) && host.chars().all(fits) => {
            Ok(HostPort {
                host: host.to_owned(),
                port,
            })
        }
        _ => Err(wrong(
            "is not a host and a port",
            "write HOST:PORT, like quorate-headless:5000",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_port() {
        assert_eq!(
            host_port("quorate-headless:5000").unwrap().to_string(),
            "quorate-headless:5000"
        );
        for text in [
            "",
            "db",
            "db:",
            ":5000",
            "db:0",
            "db:65536",
            "http://db:5000",
            "a b:1",
            "::1:5000",
        ] {
            assert!(host_port(text).is_err(), "{text:?}");
        }
    }
}
