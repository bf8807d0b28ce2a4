//! `quorate migrate`: what the database is brought to.

use std::{path::Path, time::Duration};

use clap::Args;
use quorate_protocol::MAX_ATTESTATIONS;
use quorate_store::{DatabaseUrl, Member};

use super::{
    agreement::{SIGNATURES, WRITE_INTERVALS},
    database::DatabaseArgs,
    members::{self, Listed, Misfit},
    problems::Problems,
    values::{SecretFile, Wrong, duration, number, secret_file, wrong},
};
use crate::secret::Secret;

/// The longest wait: an orchestrator tries again itself.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// In place of a file: nobody is listed.
const NOBODY: &str = "none";

/// Everything that a migration can be told, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agreement")]
pub(crate) struct MigrateArgs {
    /// The least time between two records of a feed, whichever node writes them: the nodes' --write-interval. Without it, it
    /// stays as it is: 30s in a new database
    #[arg(long, value_name = "DURATION", value_parser = duration(WRITE_INTERVALS))]
    write_interval: Option<Duration>,

    /// A record has at least this many signatures, the observer's own included. Without it, the minimum stays as it is: 3 in a
    /// new database
    #[arg(long, value_name = "N", value_parser = number(SIGNATURES))]
    min_signatures: Option<usize>,

    /// If the members in the database include validators, a record has at least this many of their signatures. Without it, the
    /// minimum stays as it is: 1 in a new database
    #[arg(long, value_name = "N", value_parser = number(0..=MAX_ATTESTATIONS))]
    min_validators: Option<usize>,

    /// The members, so that the database itself refuses everybody else's signatures; none opens the network. Without it the list
    /// in the database stays as it is
    #[arg(long, value_name = "FILE|none", value_parser = new_members)]
    members: Option<NewMembers>,

    #[command(flatten)]
    database: DatabaseArgs,

    /// A file that holds the password to give to the role quorate_node. Without it the role's password stays as it is
    #[arg(long, value_name = "FILE", value_parser = secret_file, help_heading = "Database")]
    node_password_file: Option<SecretFile>,

    /// How long to try again while the server cannot be reached, like 5m for one that is being started
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration(Duration::ZERO..=LONGEST_WAIT), help_heading = "Database")]
    wait: Duration,
}

/// The members from now on.
#[derive(Debug, Clone)]
struct NewMembers(Vec<Member>);

/// The same file as a node's.
fn new_members(text: &str) -> Result<NewMembers, Wrong> {
    if text == NOBODY {
        return Ok(NewMembers(vec![]));
    }
    let list = members::load(Path::new(text)).map_err(|misfits| {
        let all: Vec<String> = misfits.iter().map(Misfit::in_words).collect();
        wrong(all.join("; "), "or write none to open the network")
    })?;
    let to_member = |listed: &Listed| Member {
        address: listed.address,
        name: listed.name.clone(),
        validator: listed.validator,
    };
    Ok(NewMembers(list.iter().map(to_member).collect()))
}

/// What the database is brought to.
#[derive(Debug, Clone)]
pub(crate) struct MigrateConfig {
    /// `postgres://…` of the owner of the schema.
    pub(crate) database_url: DatabaseUrl,
    /// The least time between two records of a feed; `None`, here and below: as it was.
    pub(crate) write_interval: Option<Duration>,
    /// The fewest signatures of a record.
    pub(crate) min_signatures: Option<usize>,
    /// The fewest signatures of validators.
    pub(crate) min_validators: Option<usize>,
    /// Who the members are from now on.
    pub(crate) members: Option<Vec<Member>>,
    /// For the role that nodes connect as.
    pub(crate) node_password: Option<Secret>,
    /// How long to try again while the server cannot be reached.
    pub(crate) wait: Duration,
}

impl MigrateArgs {
    /// Reads the database's address.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<MigrateConfig> {
        Some(MigrateConfig {
            database_url: self.database.resolve(problems)?,
            write_interval: self.write_interval,
            min_signatures: self.min_signatures,
            min_validators: self.min_validators,
            members: self.members.map(|NewMembers(members)| members),
            node_password: self.node_password_file.map(|file| file.secret),
            wait: self.wait,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<MigrateConfig, Vec<String>> {
        let words = [&["--database-url", "postgres://db"], words].concat();
        testing::read(&words, MigrateArgs::resolve).map(|(config, _)| config)
    }

    #[test]
    fn what_is_not_given_is_not_changed() {
        let config = read(&[]).unwrap();
        assert_eq!((config.write_interval, config.min_signatures), (None, None));
        assert_eq!((config.min_validators, config.members), (None, None));
        assert_eq!((config.node_password, config.wait), (None, Duration::ZERO));
        let config = read(&["--min-signatures", "5"]).unwrap();
        assert_eq!((config.min_signatures, config.write_interval), (Some(5), None));
    }

    fn read_with_members(members: &str) -> Result<Option<Vec<Member>>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.toml");
        fs::write(&path, members).unwrap();
        read(&["--members", path.to_str().unwrap()]).map(|config| config.members)
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
        assert_eq!(read(&["--members", "none"]).unwrap().members, Some(vec![]));
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
        assert_eq!(
            read(&["--node-password-file", path]).unwrap_err(),
            [format!(
                "--node-password-file: {path:?} is empty: write the secret into it, or name the file that holds it"
            )]
        );
    }
}
