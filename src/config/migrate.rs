//! `quorate migrate`: what the database is brought to.

use std::time::Duration;

use quorate_store::DatabaseUrl;

use super::{
    agreement, database,
    reader::Reader,
    setting::{Kind, Setting},
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

/// What the database is brought to.
#[derive(Debug, Clone)]
pub(crate) struct MigrateConfig {
    /// `postgres://…` of the owner of the schema.
    pub(crate) database_url: DatabaseUrl,
    /// The least time between two records of a feed.
    pub(crate) write_interval: Duration,
    /// The fewest signatures of a record.
    pub(crate) min_signatures: usize,
    /// For the role that nodes connect as.
    pub(crate) node_password: Option<Secret>,
}

/// Everything that a migration can be told, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    let mut settings = vec![&agreement::WRITE_INTERVAL, &agreement::MIN_SIGNATURES];
    settings.extend(database::SETTINGS);
    settings.push(&NODE_PASSWORD_FILE);
    settings
}

/// Reads [`settings`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<MigrateConfig> {
    let write_interval = agreement::read_write_interval(reader);
    let min_signatures = agreement::read_min_signatures(reader);
    let database_url = database::read(reader);
    let node_password = reader.secret_file(&NODE_PASSWORD_FILE);
    Some(MigrateConfig {
        database_url: database_url?,
        write_interval: write_interval?,
        min_signatures: min_signatures?,
        node_password: node_password?,
    })
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
        assert_eq!(config.node_password, None);
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
