//! What the operator decides about the network side of a node.

use std::{fmt, str::FromStr};

use libp2p::Multiaddr;
use quorate_protocol::{judge::JudgeConfig, seal::Keyring};

/// The bridge's configuration.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Where to accept connections: IP address and TCP port, such as `/ip4/0.0.0.0/tcp/5000`.
    pub listen: Vec<Multiaddr>,
    /// Nodes that are dialled for as long as they are not connected; with or without a `/p2p/…` at the end.
    pub peers: Vec<Multiaddr>,
    /// Where members listen, as their list says; see [`super::BridgeMessage::EndpointsAre`].
    pub endpoints: Vec<Multiaddr>,
    /// Names whose every address is a node: a headless service.
    pub dns_peers: Vec<DnsPeers>,
    /// Whether nodes on the same network segment find each other by multicast.
    pub mdns: bool,
    /// What messages are held against; names the network too, and who may connect.
    pub judge: JudgeConfig,
    /// With what messages are sealed; `None`: they go in clear.
    pub keyring: Option<Keyring>,
}

/// A name and a TCP port behind which nodes stand, as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsPeers {
    host: String,
    port: u16,
}

/// Why a text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not host:port with a port from 1 to 65535, like nodes.default.svc:5000")]
pub struct ParseDnsPeersError(String);

impl DnsPeers {
    /// The name and the port, as a resolver wants them.
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl FromStr for DnsPeers {
    type Err = ParseDnsPeersError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDnsPeersError(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let is_name = (1..=253).contains(&host.len())
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        match port.parse() {
            Ok(port @ 1..) if is_name => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for DnsPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_peers_are_a_name_and_a_port() {
        let peers: DnsPeers = "nodes.default.svc:5000".parse().unwrap();
        assert_eq!(peers.host_and_port(), ("nodes.default.svc", 5000));
        assert_eq!(peers.to_string(), "nodes.default.svc:5000");
        for wrong in [
            "",
            "nodes",
            ":5000",
            "nodes:",
            "nodes:0",
            "nodes:70000",
            "no des:1",
            "a/b:1",
        ] {
            let error = wrong.parse::<DnsPeers>().unwrap_err().to_string();
            assert!(
                error.contains(wrong) && error.contains("host:port"),
                "{wrong:?}: {error}"
            );
        }
    }
}
