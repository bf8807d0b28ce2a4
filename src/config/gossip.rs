//! Where a node listens and how it finds its peers.

use libp2p::Multiaddr;
use quorate_actors::gossip_bridge::DnsPeers;
use quorate_protocol::Network;

use super::{
    network_secret::{self, NETWORK_SECRET_FILE, NetworkSecretConfig},
    problem::{Wrong, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::{listen_multiaddr, parsed, peer_multiaddr},
};

const HEADING: &str = "Network";

/// `--network`
pub(crate) const NETWORK: Setting = Setting {
    name: "network",
    kind: Kind::Value,
    value_name: "NAME",
    default: Some("local"),
    heading: HEADING,
    help: "The network's name. Signatures made for one network are worthless in another",
};
/// `--listen`
pub(crate) const LISTEN: Setting = Setting {
    name: "listen",
    kind: Kind::List,
    value_name: "MULTIADDR",
    default: Some("/ip4/0.0.0.0/tcp/5000"),
    heading: HEADING,
    help: "Where to listen for peers: an IP address and a TCP port. Port 0: the system chooses. Repeatable",
};
/// `--peer`
pub(crate) const PEER: Setting = Setting {
    name: "peer",
    kind: Kind::List,
    value_name: "MULTIADDR",
    default: None,
    heading: HEADING,
    help: "A peer to stay connected to, like /dns4/node-1/tcp/5000; /p2p/PEER_ID at its end pins its key. Repeatable",
};
/// `--dns-peers`
pub(crate) const DNS_PEERS: Setting = Setting {
    name: "dns-peers",
    kind: Kind::List,
    value_name: "HOST:PORT",
    default: None,
    heading: HEADING,
    help: "A DNS name all of whose addresses are peers, like a headless Service; looked up again and again. Repeatable",
};
/// `--mdns`
pub(crate) const MDNS: Setting = Setting {
    name: "mdns",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("true"),
    heading: HEADING,
    help: "Find peers in the local network by multicast DNS",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 6] =
    [&NETWORK, &LISTEN, &PEER, &DNS_PEERS, &MDNS, &NETWORK_SECRET_FILE];

/// Where a node listens and how it finds its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GossipConfig {
    /// Part of every message and signature.
    pub(crate) network: Network,
    /// At least one.
    pub(crate) listen: Vec<Multiaddr>,
    /// Peers by address.
    pub(crate) peers: Vec<Multiaddr>,
    /// Peers by a name that has many addresses.
    pub(crate) dns_peers: Vec<DnsPeers>,
    /// Peers by multicast.
    pub(crate) mdns: bool,
    /// With what messages are sealed; `None`: they go in clear.
    pub(crate) secret: Option<NetworkSecretConfig>,
}

/// Reads [`SETTINGS`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<GossipConfig> {
    let network = reader.value(&NETWORK, |text| parsed("a network name", text));
    let listen = reader.distinct(&LISTEN, listen_multiaddr, ToString::to_string);
    let peers = reader.distinct(&PEER, peer_multiaddr, ToString::to_string);
    let dns_peers = reader.distinct(&DNS_PEERS, dns_peers_of, Clone::clone);
    let mdns = reader.switch(&MDNS);
    let secret = network_secret::read(reader, network.as_ref());
    let config = GossipConfig {
        network: network?,
        listen: listen?,
        peers: peers?,
        dns_peers: dns_peers?,
        mdns: mdns?,
        secret: secret?,
    };
    if !config.mdns && config.peers.is_empty() && config.dns_peers.is_empty() {
        reader.warn("no way to find peers: mdns=false and neither --peer nor --dns-peers given; others must dial this node");
    }
    Some(config)
}

fn dns_peers_of(text: &str) -> Result<DnsPeers, Wrong> {
    text.parse().map_err(|_| {
        wrong(
            "is not a host and a port",
            "write HOST:PORT, like quorate-headless:5000",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn by_default_it_listens_on_tcp_5000_and_finds_peers_by_mdns() {
        let config = testing::read(&[], read).unwrap().config;
        assert_eq!(config.network.as_str(), "local");
        assert_eq!(config.listen, ["/ip4/0.0.0.0/tcp/5000".parse().unwrap()]);
        assert!(config.mdns && config.peers.is_empty() && config.dns_peers.is_empty());
    }

    #[test]
    fn every_wrong_item_of_a_list_is_reported() {
        let problems = testing::read(
            &[
                ("network", &["Main Net"]),
                ("peer", &["10.0.0.7:5000", "/dns4/a/tcp/5000", "/ip4/10.0.0.7"]),
                ("dns-peers", &["nodes"]),
                ("mdns", &["on"]),
            ],
            read,
        );
        let like = "write one like /dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID";
        assert_eq!(
            problems.unwrap_err(),
            [
                "--network: \"Main Net\" is not a network name: expected 1 to 32 of the characters a-z, 0-9 and -".into(),
                format!("--peer: \"10.0.0.7:5000\" is not a multiaddress: {like}"),
                format!("--peer: \"/ip4/10.0.0.7\" is not a transport that nodes speak: {like}"),
                "--dns-peers: \"nodes\" is not a host and a port: write HOST:PORT, like quorate-headless:5000".into(),
                "--mdns: \"on\" is not one of the choices: write true or false".into(),
            ]
        );
    }

    #[test]
    fn a_peer_named_twice_is_reported() {
        let peer = "/dns4/a/tcp/1";
        let problems = testing::read(&[("peer", &[peer, peer])], read).unwrap_err();
        assert_eq!(
            problems,
            [format!("--peer: {peer:?} is given twice: name it once")]
        );
    }

    #[test]
    fn a_node_that_cannot_find_anybody_is_told() {
        assert_eq!(
            testing::read(&[("mdns", &["false"])], read)
                .unwrap()
                .warnings
                .len(),
            1
        );
        assert_eq!(
            testing::read(&[("mdns", &["false"]), ("dns-peers", &["n:1"])], read)
                .unwrap()
                .warnings
                .len(),
            0
        );
    }
}
