//! The node's key.

use std::path::{Path, PathBuf};

use quorate_protocol::NodeKey;

use super::{
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
};
use crate::{
    keys::{self, Format, KeyFileError, LoadedKey, PrivateFileError},
    secret::Secret,
};

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
    help: "The keystore's password; it can also be given in the variable QUORATE_KEY_PASSWORD",
};
/// `QUORATE_KEY_PASSWORD`
pub(crate) const KEY_PASSWORD: Setting = Setting {
    name: "key-password",
    kind: Kind::SecretVariable,
    value_name: "PASSWORD",
    default: None,
    heading: HEADING,
    help: "The keystore's password",
};
/// `--create-key`
pub(crate) const CREATE_KEY: Setting = Setting {
    name: "create-key",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("false"),
    heading: HEADING,
    help: "Make the key if the file of --key-file does not exist, and keep it there: hex, or a keystore if a password is given",
};

/// What opens a key, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 3] = [&KEY_FILE, &KEY_PASSWORD_FILE, &KEY_PASSWORD];
/// What a node can be told of its key.
pub(crate) const NODE_SETTINGS: [&Setting; 4] = [&KEY_FILE, &KEY_PASSWORD_FILE, &KEY_PASSWORD, &CREATE_KEY];

/// The node's key, and where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct KeyConfig {
    /// Signs, and is the node's name.
    pub(crate) key: NodeKey,
    /// `None`: made at this start, and lost at its end.
    pub(crate) file: Option<PathBuf>,
    /// Whether it was made at this start, so that nobody can have signed with it before.
    pub(crate) is_new: bool,
}

/// The password of the keystore, if there is one.
pub(crate) fn read_password(reader: &mut Reader<'_>) -> Option<Option<Secret>> {
    reader.secret(&KEY_PASSWORD, &KEY_PASSWORD_FILE)
}

/// Loads the key of `--key-file`; without one there is none.
pub(crate) fn load(reader: &mut Reader<'_>) -> Option<Option<KeyConfig>> {
    load_or(reader, None)
}

/// Loads the node's key, or makes one. With `--create-key` a missing file is made here, whatever else is wrong: the next start
/// finds it.
pub(crate) fn load_or_generate(reader: &mut Reader<'_>) -> Option<KeyConfig> {
    let create = reader.switch(&CREATE_KEY);
    let loaded = load_or(reader, Some(create.unwrap_or_default()))?;
    if loaded.is_none() && create? {
        let remedy = "name the file to keep it in with --key-file";
        reader.reject(&CREATE_KEY, wrong("makes a key that is kept nowhere", remedy));
        return None;
    }
    Some(loaded.unwrap_or_else(|| KeyConfig {
        key: NodeKey::generate(),
        file: None,
        is_new: true,
    }))
}

/// Loads a key; a missing file is made if `create` says so, and `None` does not know the question.
fn load_or(reader: &mut Reader<'_>, create: Option<bool>) -> Option<Option<KeyConfig>> {
    let path = reader.path(&KEY_FILE);
    let password = read_password(reader);
    let (path, password) = (path?, password?);
    let Some(path) = path else {
        if password.is_some() {
            let setting = if reader.is_default(&KEY_PASSWORD) {
                &KEY_PASSWORD_FILE
            } else {
                &KEY_PASSWORD
            };
            let problem = wrong("opens nothing", "name the keystore with --key-file");
            reader.reject(setting, problem);
            return None;
        }
        return Some(None);
    };
    let mut is_new = false;
    let loaded = match keys::load(&path, password.as_ref()) {
        Err(KeyFileError::File(PrivateFileError::Missing(_))) if create == Some(true) => {
            is_new = true;
            make(reader, &path, password)
        }
        loaded => loaded,
    };
    match loaded {
        Ok(LoadedKey { key, group_can_read }) => {
            if group_can_read {
                let path = path.display();
                reader.warn(format!(
                    "the key file can be read by its group: path={path} remedy=\"chmod 600 {path}\""
                ));
            }
            Some(Some(KeyConfig {
                key,
                file: Some(path),
                is_new,
            }))
        }
        Err(error) => {
            let mut remedy = error.remedy();
            if create.is_some() && matches!(error, KeyFileError::File(PrivateFileError::Missing(_))) {
                remedy += ", or have the node make it with --create-key";
            }
            reader.reject_as(&KEY_FILE, Shown::Nothing, wrong(error.to_string(), remedy));
            None
        }
    }
}

fn make(reader: &mut Reader<'_>, path: &Path, password: Option<Secret>) -> Result<LoadedKey, KeyFileError> {
    let key = NodeKey::generate();
    keys::save(&key, path, &password.map_or(Format::Hex, Format::Keystore))?;
    let (address, path) = (key.address(), path.display());
    reader.warn(format!(
        "new key made and kept: address={address} path={path} remedy=\"list the address in the file of --members of every node\""
    ));
    Ok(LoadedKey {
        key,
        group_can_read: false,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

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
                "--key-file: \"/nowhere/node.key\" does not exist: make one with `quorate keys new --out /nowhere/node.key`, or have the node make it with --create-key"
            ]
        );
    }

    #[test]
    fn a_missing_file_is_made_once_if_the_node_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "correct horse").unwrap();
        let password = path.to_str().unwrap().to_owned();
        for (name, password) in [("hex", None), ("keystore", Some(password))] {
            let path = folder.path().join(name);
            let (file, password) = ([path.to_str().unwrap()], password.as_deref().unwrap_or_default());
            let password = [password];
            let mut flags: Vec<(&str, &[&str])> = vec![("key-file", &file), ("create-key", &["true"])];
            if !password[0].is_empty() {
                flags.push(("key-password-file", &password));
            }
            let start = || testing::read(&flags, load_or_generate).unwrap();
            let (first, second) = (start(), start());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(first.config.key.address(), second.config.key.address());
            assert!(first.warnings[0].contains(&first.config.key.address().to_string()));
            assert!(second.warnings.is_empty());
            assert_eq!(
                fs::read_to_string(&path).unwrap().starts_with('{'),
                name == "keystore"
            );
        }
    }

    #[test]
    fn a_key_that_is_made_is_kept_somewhere() {
        let problems = testing::read(&[("create-key", &["true"])], load_or_generate).unwrap_err();
        assert_eq!(
            problems,
            [
                "--create-key: \"true\" makes a key that is kept nowhere: name the file to keep it in with --key-file"
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
