//! Where a node listens, how it finds its peers, and with what messages are sealed.

use std::path::{Path, PathBuf};

use clap::Args;
use libp2p::Multiaddr;
use quorate_actors::gossip_bridge::DnsPeers;
use quorate_protocol::{Network, seal::Keyring};

use super::{
    problems::{Problems, Shown},
    values::{Wrong, listen_multiaddr, parsed, path, peer_multiaddr, wrong},
};
use crate::keys::network_secret::{self, SecretsError};

/// What a node can be told of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct GossipArgs {
    /// The network's name. Signatures made for one network are worthless in another
    #[arg(long, value_name = "NAME", default_value = "local", value_parser = parsed::<Network>("a network name"))]
    network: Network,

    /// Where to listen for peers: an IP address and a TCP port. Port 0: the system chooses. Repeatable
    #[arg(long, value_name = "MULTIADDR", default_value = "/ip4/0.0.0.0/tcp/5000", value_parser = listen_multiaddr)]
    listen: Vec<Multiaddr>,

    /// A peer to stay connected to, like /dns4/node-1/tcp/5000; /p2p/PEER_ID at its end pins its key. Repeatable
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = peer_multiaddr)]
    peers: Vec<Multiaddr>,

    /// A DNS name all of whose addresses are peers, like a headless Service; looked up again and again. Repeatable
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    dns_peers: Vec<DnsPeers>,

    /// Find peers in the local network by multicast DNS
    #[arg(long, default_value = "true")]
    mdns: bool,

    /// Seal what nodes say to each other: one secret of 64 hex digits a line, the first seals, all are accepted; not readable by
    /// others (chmod 600). Looked at again and again. Make one with `quorate keys secret`
    #[arg(long, value_name = "FILE", value_parser = path)]
    network_secret_file: Option<PathBuf>,
}

/// A name that may have many addresses, and a port.
pub(super) fn host_and_port(text: &str) -> Result<DnsPeers, Wrong> {
    text.parse().map_err(|_| {
        wrong(
            "is not a host and a port",
            "write HOST:PORT, like quorate-headless:5000",
        )
    })
}

/// Where a node listens, how it finds its peers, and with what messages are sealed.
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

/// The keys that seal messages, and the file that they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkSecretConfig {
    /// It may change.
    pub(crate) path: PathBuf,
    /// What it held at the start.
    pub(crate) keyring: Keyring,
}

impl GossipArgs {
    /// Loads the network's secrets. A file that cannot be used is a problem, and seals nothing.
    pub(super) fn resolve(self, problems: &mut Problems) -> GossipConfig {
        problems.reject_repeated("listen", &self.listen);
        problems.reject_repeated("peer", &self.peers);
        problems.reject_repeated("dns-peers", &self.dns_peers);
        if !self.mdns && !problems.is_given("peer") && !problems.is_given("dns-peers") {
            problems.warn(
                "no way to find peers: mdns=false and neither --peer nor --dns-peers given; others must dial this node",
            );
        }
        let secret = match self.network_secret_file {
            // Keys depend on the network's name.
            Some(path) if problems.are_right(&["network"]) => {
                let keyring = load_keyring(&path, &self.network, problems);
                keyring.map(|keyring| NetworkSecretConfig { path, keyring })
            }
            _ => None,
        };
        GossipConfig {
            network: self.network,
            listen: self.listen,
            peers: self.peers,
            dns_peers: self.dns_peers,
            mdns: self.mdns,
            secret,
        }
    }
}

fn load_keyring(path: &Path, network: &Network, problems: &mut Problems) -> Option<Keyring> {
    match network_secret::load(path, network) {
        Ok(loaded) => {
            if loaded.group_can_read {
                let path = path.display();
                problems.warn(format!(
                    "the network secret file can be read by its group: path={path} remedy=\"chmod 600 {path}\""
                ));
            }
            Some(loaded.keyring)
        }
        Err(error) => {
            let shown = match error {
                // It names the path itself.
                SecretsError::File(_) => Shown::Nothing,
                _ => Shown::Text(path.display().to_string()),
            };
            let wrong = wrong(error.to_string(), error.remedy());
            problems.reject_as("network-secret-file", shown, wrong);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::testing, keys::create_private};

    fn read(words: &[&str]) -> Result<(GossipConfig, Vec<String>), Vec<String>> {
        testing::read(words, |args: GossipArgs, problems| Some(args.resolve(problems)))
    }

    #[test]
    fn by_default_it_listens_on_tcp_5000_finds_peers_by_mdns_and_speaks_in_clear() {
        let (config, _) = read(&[]).unwrap();
        assert_eq!(config.network.as_str(), "local");
        assert_eq!(config.listen, ["/ip4/0.0.0.0/tcp/5000".parse().unwrap()]);
        assert!(config.mdns && config.peers.is_empty() && config.dns_peers.is_empty());
        assert_eq!(config.secret, None);
    }

    #[test]
    fn every_wrong_item_of_a_list_is_reported() {
        let words = [
            "--network=Main Net",
            "--peer=10.0.0.7:5000",
            "--peer=/dns4/a/tcp/5000",
            "--peer=/ip4/10.0.0.7",
            "--dns-peers=nodes",
            "--mdns=on",
        ];
        let like = "write one like /dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID";
        assert_eq!(
            read(&words).unwrap_err(),
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
        assert_eq!(
            read(&["--peer", peer, "--peer", peer]).unwrap_err(),
            [format!("--peer: {peer:?} is given twice: name it once")]
        );
    }

    #[test]
    fn a_node_that_cannot_find_anybody_is_told() {
        assert_eq!(read(&["--mdns", "false"]).unwrap().1.len(), 1);
        let found = ["--mdns", "false", "--dns-peers", "n:1"];
        assert_eq!(read(&found).unwrap().1.len(), 0);
    }

    fn with_secrets(text: &str) -> Result<Option<NetworkSecretConfig>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_private(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let shortened = |problem: &String| problem.replace(path, "FILE");
        read(&["--network-secret-file", path])
            .map(|(config, _)| config.secret)
            .map_err(|problems| problems.iter().map(shortened).collect())
    }

    #[test]
    fn the_files_secrets_become_keys_of_the_network() {
        let secret = with_secrets(&format!("{}cd\n", "ab".repeat(31))).unwrap();
        assert_eq!(secret.unwrap().keyring.key_ids().len(), 1);
    }

    #[test]
    fn a_line_that_is_no_secret_is_named_and_not_quoted() {
        assert_eq!(
            with_secrets(&"ab".repeat(31)).unwrap_err(),
            [
                "--network-secret-file: \"FILE\" line 1 is not 64 hex digits: write one secret a line, or # before a comment"
            ]
        );
    }
}
