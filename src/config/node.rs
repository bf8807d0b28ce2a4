//! `quorate node`: the parts together, and the rules between them.

use std::{net::SocketAddr, num::NonZeroU32};

use clap::Args;
use quorate_protocol::Members;
use quorate_store::DatabaseUrl;

use super::{
    agreement::{AgreementArgs, AgreementConfig},
    database::{DatabaseArgs, ReadDatabaseArgs},
    gossip::{GossipArgs, GossipConfig},
    keys::{KeyConfig, NodeKeyArgs},
    pricing::PricingConfig,
    problems::Problems,
    values::{Wrong, listen_address, number, wrong},
};

/// Everything that a node can be told, in the order of the help.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pricing: PricingConfig,
    #[command(flatten)]
    agreement: AgreementArgs,
    #[command(flatten)]
    gossip: GossipArgs,
    #[command(flatten)]
    key: NodeKeyArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    read_database: ReadDatabaseArgs,
    #[command(flatten)]
    api: ApiConfig,

    /// Stop in order when standard input is closed: the node ends with the program that started it, however that ends
    #[arg(long, help_heading = "Process")]
    stop_with_stdin: bool,
}

/// The HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct ApiConfig {
    /// Where API, health and metrics listen; `off` for none, 0.0.0.0:8080 in a container
    #[arg(id = "api-listen", long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    pub(crate) listen: std::option::Option<SocketAddr>,

    /// Requests a second that one address may send to the API, probes and metrics apart; `off` for any number: behind a proxy, which is
    /// one address for all
    #[arg(id = "api-rate-limit", long, value_name = "N", default_value = "100", value_parser = rate)]
    pub(crate) rate_limit: std::option::Option<NonZeroU32>,

    /// Let the API make actors fail, to see them recover. For tests: only with an API on a loopback address
    #[arg(long)]
    pub(crate) fault_injection: bool,
}

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    /// Its place in the network.
    pub(crate) gossip: GossipConfig,
    /// Its name.
    pub(crate) key: KeyConfig,
    /// Its prices.
    pub(crate) pricing: PricingConfig,
    /// Its rules.
    pub(crate) agreement: AgreementConfig,
    /// Its database: `postgres://…`, with the password.
    pub(crate) database_url: DatabaseUrl,
    /// Where its API reads, if elsewhere.
    pub(crate) database_read_url: Option<DatabaseUrl>,
    /// Its API.
    pub(crate) api: ApiConfig,
    /// Whether it ends when its standard input does.
    pub(crate) stop_with_stdin: bool,
}

/// As much of a node's configuration as can be used.
#[derive(Debug, Clone)]
pub(crate) struct NodeParts {
    /// Its place in the network.
    pub(crate) gossip: GossipConfig,
    /// Its name; `None`: its file cannot be used.
    pub(crate) key: Option<KeyConfig>,
    /// Its prices.
    pub(crate) pricing: PricingConfig,
    /// Its rules.
    pub(crate) agreement: AgreementConfig,
    /// Its database; `None`: nobody says where it is.
    pub(crate) database_url: Option<DatabaseUrl>,
    /// Where its API reads, if elsewhere.
    pub(crate) database_read_url: Option<DatabaseUrl>,
    /// Its API.
    pub(crate) api: ApiConfig,
}

impl NodeArgs {
    /// Loads what the settings name, and checks the rules between them. Each part is looked at, so that all problems are reported.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<NodeConfig> {
        let stop_with_stdin = self.stop_with_stdin;
        let parts = self.parts(true, problems);
        Some(NodeConfig {
            gossip: parts.gossip,
            key: parts.key?,
            pricing: parts.pricing,
            agreement: parts.agreement,
            database_url: parts.database_url?,
            database_read_url: parts.database_read_url,
            api: parts.api,
            stop_with_stdin,
        })
    }

    /// The same as far as it goes, for who only looks: no key is made.
    pub(super) fn look(self, problems: &mut Problems) -> NodeParts {
        self.parts(false, problems)
    }

    fn parts(self, makes_key: bool, problems: &mut Problems) -> NodeParts {
        let pricing = self.pricing.resolve(self.agreement.write_interval, problems);
        let agreement = self.agreement.resolve(problems);
        let gossip = self.gossip.resolve(problems);
        let key = if makes_key {
            self.key.resolve(problems)
        } else {
            self.key.look(problems)
        };
        let database_read_url = self.read_database.resolve(self.database.password(), problems);
        let database_url = self.database.resolve(problems);
        self.api.check(problems);
        // A key that is still to be made has no address yet.
        let has_address = |key: &&KeyConfig| makes_key || !key.is_new || key.file.is_none();
        if let Some(key) = key.as_ref().filter(has_address)
            && problems.are_right(&["members"])
        {
            check_own_membership(key, &agreement.committee().members, problems);
        }
        NodeParts {
            gossip,
            key,
            pricing,
            agreement,
            database_url,
            database_read_url,
            api: self.api,
        }
    }
}

/// A number of requests, or `off`.
fn rate(text: &str) -> Result<Option<NonZeroU32>, Wrong> {
    match text {
        "off" => Ok(None),
        _ => number(1..=100_000)(text).map(NonZeroU32::new),
    }
}

impl ApiConfig {
    fn check(&self, problems: &mut Problems) {
        let is_local = self.listen.is_some_and(|address| address.ip().is_loopback());
        if self.fault_injection && !is_local && problems.are_right(&["api-listen"]) {
            let remedy = "use --api-listen 127.0.0.1:8080, or leave it out";
            problems.reject(
                "fault-injection",
                wrong("needs an API on a loopback address", remedy),
            );
        }
    }
}

fn check_own_membership(key: &KeyConfig, members: &Members, problems: &mut Problems) {
    let address = key.key.address();
    match (&key.file, members.admit(&address)) {
        (None, false) => {
            let rule = "is missing, and the new key that a node makes without it is no member";
            problems.reject(
                "key-file",
                wrong(rule, "name the key file of a member of --members"),
            );
        }
        (Some(_), false) => {
            let rule = format!("does not list this node's address {address}");
            problems.reject("members", wrong(rule, "add it, or name another --key-file"));
        }
        (None, true) => {
            let remedy = "quorate keys new --out node.key, then --key-file node.key";
            problems.warn(format!(
                "key made for this run only: address={address} remedy=\"{remedy}\""
            ));
        }
        (Some(_), true) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use quorate_protocol::NodeKey;

    use super::*;
    use crate::{
        config::testing,
        keys::{Format, save},
    };

    const DATABASE: &str = "--database-url=postgres://q:hunter2@db/prices";
    const STRANGER: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn read(words: &[&str]) -> Result<(NodeConfig, Vec<String>), Vec<String>> {
        testing::read(&[&[DATABASE], words].concat(), NodeArgs::resolve)
    }

    #[test]
    fn a_database_is_all_that_a_node_must_be_told() {
        let (config, warnings) = read(&[]).unwrap();
        assert_eq!(warnings.len(), 1, "key for this run: {warnings:?}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_node_of_a_closed_network_is_a_member_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (key_file, members) = (file("key"), file("members"));
        let key = NodeKey::generate();
        save(&key, key_file.as_ref(), &Format::Hex).unwrap();
        let with = |listed: &str, with_key: bool| {
            fs::write(&members, testing::members(&[listed])).unwrap();
            let mut words = vec!["--min-signatures", "1", "--members", &members];
            if with_key {
                words.extend(["--key-file", &key_file]);
            }
            read(&words)
        };
        let own = key.address().to_string();
        assert!(with(&own, true).is_ok());
        assert_eq!(
            with(STRANGER, true).unwrap_err(),
            [format!(
                "--members: {members:?} does not list this node's address {own}: add it, or name another --key-file"
            )]
        );
        assert_eq!(
            with(STRANGER, false).unwrap_err(),
            [
                "--key-file: is missing, and the new key that a node makes without it is no member: name the key file of a \
              member of --members"
            ]
        );
    }

    #[test]
    fn the_api_is_local_unless_it_is_opened() {
        let local = ApiConfig {
            listen: "127.0.0.1:8080".parse().ok(),
            rate_limit: NonZeroU32::new(100),
            fault_injection: false,
        };
        assert_eq!(read(&["--api-rate-limit", "off"]).unwrap().0.api.rate_limit, None);
        assert_eq!(read(&[]).unwrap().0.api, local);
        assert_eq!(read(&["--api-listen", "off"]).unwrap().0.api.listen, None);
    }

    #[test]
    fn faults_can_be_injected_from_this_machine_only() {
        assert!(read(&["--fault-injection"]).unwrap().0.api.fault_injection);
        for listen in ["0.0.0.0:8080", "off"] {
            assert_eq!(
                read(&["--fault-injection", "--api-listen", listen]).unwrap_err(),
                [
                    "--fault-injection: \"true\" needs an API on a loopback address: use --api-listen 127.0.0.1:8080, or \
                  leave it out"
                ]
            );
        }
    }
}
