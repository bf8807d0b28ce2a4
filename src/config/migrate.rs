//! `quorate migrate`: what the database is brought to.

use std::{path::Path, time::Duration};

use quorate_protocol::MAX_ATTESTATIONS;
use quorate_store::{DatabaseUrl, Member};

use super::{
    agreement, database,
    members::{self, Listed, Misfit},
    problem::{Wrong, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::{duration, number},
};
use crate::secret::Secret;

/// `--node-password-file`
pub(crate) const NODE_PASSWORD_FILE: Setting = Setting {
    name: "node-password-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: "Database",
    help: "A file that holds the password to give to the role quorate_node. Without it the role's password stays as it is",
};

/// `--members`, as a migration takes it
pub(crate) const MEMBERS: Setting = Setting {
    name: "members",
    kind: Kind::Value,
    value_name: "FILE|none",
    default: None,
    heading: "Agreement",
    help: "The members, so that the database itself refuses everybody else's signatures; none opens the network. Without it \
           the list in the database stays as it is",
};
/// `--min-validators`, as a migration takes it
pub(crate) const MIN_VALIDATORS: Setting = Setting {
    name: "min-validators",
    kind: Kind::Value,
    value_name: "N",
    default: Some("1"),
    heading: "Agreement",
    help: "If the members in the database include validators, a record has at least this many of their signatures",
};
/// `--wait`
pub(crate) const WAIT: Setting = Setting {
    name: "wait",
    kind: Kind::Value,
    value_name: "DURATION",
    default: Some("0s"),
    heading: "Database",
    help: "How long to try again while the server cannot be reached, like 5m for one that is being started",
};

/// The longest wait: an orchestrator tries again itself.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// In place of a file: nobody is listed.
const NOBODY: &str = "none";

/// What the database is brought to.
#[derive(Debug, Clone)]
pub(crate) struct MigrateConfig {
    /// `postgres://…` of the owner of the schema.
    pub(crate) database_url: DatabaseUrl,
    /// The least time between two records of a feed.
    pub(crate) write_interval: Duration,
    /// The fewest signatures of a record.
    pub(crate) min_signatures: usize,
    /// The fewest signatures of validators.
    pub(crate) min_validators: usize,
    /// Who the members are from now on; `None`: who they were.
    pub(crate) members: Option<Vec<Member>>,
    /// For the role that nodes connect as.
    pub(crate) node_password: Option<Secret>,
    /// How long to try again while the server cannot be reached.
    pub(crate) wait: Duration,
}

/// Everything that a migration can be told, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    let mut settings = vec![
        &agreement::WRITE_INTERVAL,
        &agreement::MIN_SIGNATURES,
        &MIN_VALIDATORS,
        &MEMBERS,
    ];
    settings.extend(database::SETTINGS);
    settings.extend([&NODE_PASSWORD_FILE, &WAIT]);
    settings
}

/// Reads [`settings`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<MigrateConfig> {
    let write_interval = agreement::read_write_interval(reader);
    let min_signatures = agreement::read_min_signatures(reader);
    let min_validators = reader.value(&MIN_VALIDATORS, |text| number(0..=MAX_ATTESTATIONS, text));
    let members = reader.optional(&MEMBERS, |text| match text {
        NOBODY => Ok(vec![]),
        path => read_members(Path::new(path)),
    });
    let database_url = database::read(reader);
    let node_password = reader.secret_file(&NODE_PASSWORD_FILE);
    let wait = reader.value(&WAIT, |text| duration(Duration::ZERO..=LONGEST_WAIT, text));
    Some(MigrateConfig {
        database_url: database_url?,
        write_interval: write_interval?,
        min_signatures: min_signatures?,
        min_validators: min_validators?,
        members: members?,
        node_password: node_password?,
        wait: wait?,
    })
}

/// The same file as a node's.
fn read_members(path: &Path) -> Result<Vec<Member>, Wrong> {
    let list = members::load(path).map_err(|misfits| {
        let all: Vec<String> = misfits.iter().map(Misfit::in_words).collect();
        wrong(all.join("; "), "or write none to open the network")
    })?;
    let to_member = |listed: &Listed| Member {
        address: listed.address,
        name: listed.name.clone(),
        validator: listed.validator,
    };
    Ok(list.iter().map(to_member).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    #[test]
    fn the_defaults_are_those_of_a_node() {
        let config = testing::read(&[("database-url", &["postgres://db"])], read)
            .unwrap()
            .config;
        assert_eq!(
            (config.write_interval, config.min_signatures),
            (Duration::from_secs(30), 3)
        );
        assert_eq!((config.min_validators, config.members), (1, None));
        assert_eq!((config.node_password, config.wait), (None, Duration::ZERO));
    }

    fn read_with_members(members: &str) -> Result<Option<Vec<Member>>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.toml");
        fs::write(&path, members).unwrap();
        let path = path.to_str().unwrap();
        let flags: [(&str, &[&str]); 2] = [("database-url", &["postgres://db"]), ("members", &[path])];
        testing::read(&flags, read).map(|resolved| resolved.config.members)
    }

    #[test]
    fn the_members_are_read_from_their_file() {
        let members = read_with_members(
            "[[member]]\naddress = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'\nname = 'node-1'\n\
             endpoint = '/dns4/node-1/tcp/5000'\nvalidator = true\n\
             [[member]]\naddress = '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359'\nname = 'b'\n",
        );
        let members = members.unwrap().unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!((members[0].name.as_str(), members[0].validator), ("node-1", true));
        assert_eq!((members[1].name.as_str(), members[1].validator), ("b", false));
    }

    #[test]
    fn nobody_is_said_in_so_many_words() {
        let flags: [(&str, &[&str]); 2] = [("database-url", &["postgres://db"]), ("members", &["none"])];
        assert_eq!(testing::read(&flags, read).unwrap().config.members, Some(vec![]));
        assert!(read_with_members("member = []").unwrap_err()[0].contains("lists no member"));
    }

    #[test]
    fn a_list_with_an_error_is_refused() {
        for (members, problem) in [
            (
                "[[member]]\naddress = '0x12'",
                "member 1 has the address \"0x12\"",
            ),
            ("[[member]]\nname = 'x'", "member 1 has no address"),
            ("[[member]]\naddres = '0x12'", "did you mean address?"),
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "is no TOML"),
        ] {
            let problems = read_with_members(members).unwrap_err();
            assert!(problems[0].contains(problem), "{problems:?}");
        }
    }

    #[test]
    fn an_empty_password_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "\n").unwrap();
        let path = path.to_str().unwrap();
        let flags: [(&str, &[&str]); 2] = [
            ("database-url", &["postgres://db"]),
            ("node-password-file", &[path]),
        ];
        assert_eq!(
            testing::read(&flags, read).unwrap_err(),
            [format!(
                "--node-password-file: {path:?} is empty: name a file that this user can read and that holds the secret alone"
            )]
        );
    }
}
