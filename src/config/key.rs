//! The node's key.

use std::path::PathBuf;

use quorate_protocol::NodeKey;

use super::{
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
};
use crate::keys;

const HEADING: &str = "Key";

/// `--key-file`
pub(crate) const KEY_FILE: Setting = Setting {
    name: "key-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: HEADING,
    help: "The secret key: 64 hex digits or an Ethereum V3 keystore, not readable by others (chmod 600). Without one, a node \
           makes a new key at each start",
};
/// `--key-password-file`
pub(crate) const KEY_PASSWORD_FILE: Setting = Setting {
    name: "key-password-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: HEADING,
    help: "The keystore's password",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 2] = [&KEY_FILE, &KEY_PASSWORD_FILE];

/// The node's key, and where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct KeyConfig {
    /// Signs, and is the node's name.
    pub(crate) key: NodeKey,
    /// `None`: made at this start, and lost at its end.
    pub(crate) file: Option<PathBuf>,
}

/// Loads the key of `--key-file`; without one there is none.
pub(crate) fn load(reader: &mut Reader<'_>) -> Option<Option<KeyConfig>> {
    let path = reader.path(&KEY_FILE);
    let password = reader.secret_file(&KEY_PASSWORD_FILE);
    let (path, password) = (path?, password?);
    let Some(path) = path else {
        if password.is_some() {
            reader.reject(
                &KEY_PASSWORD_FILE,
                wrong("opens nothing", "name the keystore with --key-file"),
            );
            return None;
        }
        return Some(None);
    };
    match keys::load(&path, password.as_ref()) {
        Ok(loaded) => {
            if loaded.group_can_read {
                let path = path.display();
                reader.warn(format!(
                    "the key file can be read by its group: path={path} remedy=\"chmod 600 {path}\""
                ));
            }
            Some(Some(KeyConfig {
                key: loaded.key,
                file: Some(path),
            }))
        }
        Err(error) => {
            reader.reject_as(
                &KEY_FILE,
                Shown::Nothing,
                wrong(error.to_string(), error.remedy()),
            );
            None
        }
    }
}

/// Loads the node's key, or makes one.
pub(crate) fn load_or_generate(reader: &mut Reader<'_>) -> Option<KeyConfig> {
    load(reader).map(|loaded| {
        loaded.unwrap_or_else(|| KeyConfig {
            key: NodeKey::generate(),
            file: None,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    #[test]
    fn without_a_file_every_start_has_a_new_key() {
        let start = || testing::read(&[], load_or_generate).unwrap().config;
        let (first, second) = (start(), start());
        assert_eq!(first.file, None);
        assert_ne!(first.key.address(), second.key.address());
    }

    #[test]
    fn a_missing_file_is_an_error_and_not_a_new_key() {
        let problems = testing::read(&[("key-file", &["/nowhere/node.key"])], load_or_generate).unwrap_err();
        assert_eq!(
            problems,
            [
                "--key-file: \"/nowhere/node.key\" does not exist: make one with `quorate keys new --out /nowhere/node.key`"
            ]
        );
    }

    #[test]
    fn a_password_without_a_keystore_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "hunter2\n").unwrap();
        let path = path.to_str().unwrap();
        let problems = testing::read(&[("key-password-file", &[path])], load_or_generate).unwrap_err();
        let expected =
            format!("--key-password-file: {path:?} opens nothing: name the keystore with --key-file");
        assert_eq!(problems, [expected]);
    }
}
