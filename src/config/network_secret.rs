//! The secret that seals what the nodes of a network say to each other.

use std::path::PathBuf;

use quorate_protocol::{Network, seal::Keyring};

use super::{
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
};
use crate::keys::network_secret;

/// `--network-secret-file`
pub(crate) const NETWORK_SECRET_FILE: Setting = Setting {
    name: "network-secret-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: "Network",
    help: "Seal what nodes say to each other: one secret of 64 hex digits a line, the first seals, all are accepted; not readable \
           by others (chmod 600). Looked at again and again. Make one with `quorate keys secret`",
};

/// The keys and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkSecretConfig {
    /// The file, which may change.
    pub(crate) path: PathBuf,
    /// What it held at the start.
    pub(crate) keyring: Keyring,
}

/// Loads the secrets of `--network-secret-file` for `network`; `None` inside: messages go in clear.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    network: Option<&Network>,
) -> Option<Option<NetworkSecretConfig>> {
    let Some(path) = reader.path(&NETWORK_SECRET_FILE)? else {
        return Some(None);
    };
    match network_secret::load(&path, network?) {
        Ok(loaded) => {
            if loaded.group_can_read {
                let path = path.display();
                reader.warn(format!(
                    "the network secret file can be read by its group: path={path} remedy=\"chmod 600 {path}\""
                ));
            }
            Some(Some(NetworkSecretConfig {
                path,
                keyring: loaded.keyring,
            }))
        }
        Err(error) => {
            let (path, remedy) = (path.display().to_string(), error.remedy());
            let shown = match error {
                network_secret::SecretsError::File(_) => Shown::Nothing,
                _ => Shown::Text(path),
            };
            reader.reject_as(&NETWORK_SECRET_FILE, shown, wrong(error.to_string(), remedy));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::testing, keys::create_private};

    fn with(text: &str) -> Result<Option<NetworkSecretConfig>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create_private(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let network = "test".parse().unwrap();
        testing::read(&[("network-secret-file", &[path])], |reader| {
            read(reader, Some(&network))
        })
        .map(|resolved| resolved.config)
        .map_err(|problems| {
            problems
                .iter()
                .map(|problem| problem.replace(path, "FILE"))
                .collect()
        })
    }

    #[test]
    fn without_a_file_messages_go_in_clear() {
        let network = "test".parse().unwrap();
        let read = testing::read(&[], |reader| read(reader, Some(&network)));
        assert_eq!(read.unwrap().config, None);
    }

    #[test]
    fn the_files_secrets_become_keys_of_the_network() {
        let text = format!("{}cd\n", "ab".repeat(31));
        let config = with(&text).unwrap().unwrap();
        assert_eq!(config.keyring.key_ids().len(), 1);
    }

    #[test]
    fn a_line_that_is_no_secret_is_named_and_not_quoted() {
        assert_eq!(
            with(&"ab".repeat(31)).unwrap_err(),
            [
                "--network-secret-file: \"FILE\" line 1 is not 64 hex digits: write one secret a line, or # before a comment"
            ]
        );
    }
}
