//! `quorate node`: the parts together, and the rules between them.

use quorate_protocol::Members;
use quorate_store::DatabaseUrl;

use super::{
    agreement::{self, AgreementConfig, MEMBERS},
    api::{self, ApiConfig},
    database,
    gossip::{self, GossipConfig},
    key::{self, KEY_FILE, KeyConfig},
    lifetime,
    pricing::{self, PricingConfig},
    problem::wrong,
    reader::Reader,
    setting::Setting,
};

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
    /// Its API.
    pub(crate) api: ApiConfig,
    /// Whether it ends when its standard input does.
    pub(crate) stop_with_stdin: bool,
}

/// Everything that a node can be told, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    [
        pricing::SETTINGS.as_slice(),
        &agreement::SETTINGS,
        &gossip::SETTINGS,
        &key::NODE_SETTINGS,
        &database::SETTINGS,
        &api::SETTINGS,
        &lifetime::SETTINGS,
    ]
    .concat()
}

/// Reads [`settings`]. The key is loaded here, so that what is wrong with it is reported with the rest.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<NodeConfig> {
    let write_interval = agreement::read_write_interval(reader);
    let pricing = pricing::read(reader, write_interval);
    let agreement = agreement::read(reader, write_interval);
    let gossip = gossip::read(reader);
    let key = key::load_or_generate(reader);
    let database_url = database::read(reader);
    let api = api::read(reader);
    let stop_with_stdin = lifetime::read(reader);
    if let (Some(key), Some(agreement)) = (&key, &agreement) {
        check_own_membership(reader, key, &agreement.committee().members);
    }
    Some(NodeConfig {
        gossip: gossip?,
        key: key?,
        pricing: pricing?,
        agreement: agreement?,
        database_url: database_url?,
        api: api?,
        stop_with_stdin: stop_with_stdin?,
    })
}

fn check_own_membership(reader: &mut Reader<'_>, key: &KeyConfig, members: &Members) {
    let address = key.key.address();
    match (&key.file, members.admit(&address)) {
        (None, false) => {
            let rule = "is missing, and the new key that a node makes without it is no member";
            reader.reject(
                &KEY_FILE,
                wrong(rule, "name the key file of a member of --members"),
            );
        }
        (Some(_), false) => {
            let rule = format!("does not list this node's address {address}");
            reader.reject(&MEMBERS, wrong(rule, "add it, or name another --key-file"));
        }
        (None, true) => {
            let remedy = "quorate keys new --out node.key, then --key-file node.key";
            reader.warn(format!(
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

    const DATABASE: (&str, &[&str]) = ("database-url", &["postgres://q:hunter2@db/prices"]);
    const STRANGER: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn a_database_is_all_that_a_node_must_be_told() {
        let resolved = testing::read(&[DATABASE], read).unwrap();
        assert_eq!(
            resolved.warnings.len(),
            2,
            "open network, key for this run: {:?}",
            resolved.warnings
        );
        assert!(!format!("{resolved:?}").contains("hunter2"));
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
            let (members, key_file) = ([members.as_str()], [key_file.as_str()]);
            let mut flags = vec![DATABASE, ("min-signatures", &["1"]), ("members", &members)];
            if with_key {
                flags.push(("key-file", &key_file));
            }
            testing::read(&flags, read)
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
}
