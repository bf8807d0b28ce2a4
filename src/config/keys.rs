//! A node's key, and what `quorate keys` makes and shows.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use quorate_protocol::{Network, NodeKey};

use super::{
    problems::{Problems, Shown},
    values::{SecretFile, choice, hidden, parsed, path, secret_file, wrong},
};
use crate::{
    keys::{self, Format, KeyFileError, Listed, LoadedKey, PrivateFileError},
    secret::Secret,
};

/// What opens a keystore.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key")]
pub(super) struct PasswordArgs {
    /// The keystore's password; it can also be given in the variable QUORATE_KEY_PASSWORD
    #[arg(long, value_name = "FILE", value_parser = secret_file)]
    key_password_file: Option<SecretFile>,

    /// Hidden is what only a variable can give: a flag would show it in the list of processes
    #[arg(long, hide = true, value_parser = hidden)]
    key_password: Option<Secret>,
}

impl PasswordArgs {
    /// The password, and the name of the setting that gave it.
    fn resolve(self, problems: &mut Problems) -> Option<Option<(Secret, &'static str)>> {
        match (self.key_password, self.key_password_file) {
            _ if !problems.are_right(&["key-password-file", "key-password"]) => None,
            (Some(_), Some(_)) => {
                problems.reject_together("key-password", "key-password-file");
                None
            }
            (Some(password), None) => Some(Some((password, "key-password"))),
            (None, Some(file)) => Some(Some((file.secret, "key-password-file"))),
            (None, None) => Some(None),
        }
    }
}

/// A key on disk.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key")]
pub(super) struct KeyArgs {
    /// The secret key: 64 hex digits or an Ethereum V3 keystore, not readable by others (chmod 600). Without one, a node makes a
    /// new key at each start
    #[arg(long, value_name = "FILE", value_parser = path)]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    password: PasswordArgs,
}

/// A node's key.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key")]
pub(super) struct NodeKeyArgs {
    #[command(flatten)]
    key: KeyArgs,

    /// Make the key if the file of --key-file does not exist, and keep it there: hex, or a keystore if a password is given
    #[arg(long)]
    create_key: bool,
}

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

impl NodeKeyArgs {
    /// Loads the node's key, or makes one. With `--create-key` a missing file is made here, whatever else is wrong: the next start
    /// finds it.
    pub(super) fn resolve(self, problems: &mut Problems) -> Option<KeyConfig> {
        self.load(problems)
    }

    /// The same without making a file: a key that the node would make is one for now.
    pub(super) fn look(self, problems: &mut Problems) -> Option<KeyConfig> {
        match &self.key.key_file {
            Some(path) if self.create_key && !path.exists() => Some(KeyConfig {
                key: NodeKey::generate(),
                file: Some(path.clone()),
                is_new: true,
            }),
            _ => self.load(problems),
        }
    }

    fn load(self, problems: &mut Problems) -> Option<KeyConfig> {
        let loaded = self.key.load(Some(self.create_key), problems)?;
        if loaded.is_none() && self.create_key {
            let remedy = "name the file to keep it in with --key-file";
            problems.reject("create-key", wrong("makes a key that is kept nowhere", remedy));
        }
        Some(loaded.unwrap_or_else(|| KeyConfig {
            key: NodeKey::generate(),
            file: None,
            is_new: true,
        }))
    }
}

impl KeyArgs {
    /// Loads the key of `--key-file`. A missing file is made if `create` says so, and `None` does not know the question.
    fn load(self, create: Option<bool>, problems: &mut Problems) -> Option<Option<KeyConfig>> {
        let password = self.password.resolve(problems);
        if !problems.are_right(&["key-file"]) {
            return None;
        }
        let password = password?;
        let Some(path) = self.key_file else {
            if let Some((_, given)) = password {
                problems.reject(given, wrong("opens nothing", "name the keystore with --key-file"));
                return None;
            }
            return Some(None);
        };
        let password = password.map(|(password, _)| password);
        let mut is_new = false;
        let loaded = match keys::load(&path, password.as_ref()) {
            Err(KeyFileError::File(PrivateFileError::Missing(_))) if create == Some(true) => {
                is_new = true;
                make(&path, password, problems)
            }
            loaded => loaded,
        };
        match loaded {
            Ok(LoadedKey { key, group_can_read }) => {
                if group_can_read {
                    let path = path.display();
                    problems.warn(format!(
                        "the key file can be read by its group: path={path} remedy=\"chmod 600 {path}\""
                    ));
                }
                let file = Some(path);
                Some(Some(KeyConfig { key, file, is_new }))
            }
            Err(error) => {
                let mut remedy = error.remedy();
                if create.is_some() && matches!(error, KeyFileError::File(PrivateFileError::Missing(_))) {
                    remedy += ", or have the node make it with --create-key";
                }
                problems.reject_as("key-file", Shown::Nothing, wrong(error.to_string(), remedy));
                None
            }
        }
    }
}

fn make(path: &Path, password: Option<Secret>, problems: &mut Problems) -> Result<LoadedKey, KeyFileError> {
    let key = NodeKey::generate();
    keys::save(&key, path, &password.map_or(Format::Hex, Format::Keystore))?;
    let (address, path) = (key.address(), path.display());
    problems.warn(format!(
        "new key made and kept: address={address} path={path} remedy=\"list the address in the file of --members of every node\""
    ));
    Ok(LoadedKey {
        key,
        group_can_read: false,
    })
}

/// `quorate keys new`
#[derive(Debug, Args)]
#[command(next_help_heading = "Key")]
pub(crate) struct KeysNewArgs {
    /// The file to make, with mode 0600. An existing one is never replaced
    #[arg(long, value_name = "FILE", value_parser = path)]
    out: Option<PathBuf>,

    /// hex: 64 digits, protected by the file's mode alone. keystore: an Ethereum V3 keystore, encrypted with the password of
    /// --key-password-file or QUORATE_KEY_PASSWORD, or with one that is asked for
    #[arg(long = "format", action = ArgAction::Set, value_name = "FORMAT", default_value = "hex", value_parser = choice(&[("hex", false), ("keystore", true)]))]
    is_keystore: bool,

    #[command(flatten)]
    password: PasswordArgs,
}

/// What `keys new` makes.
#[derive(Debug, Clone)]
pub(crate) struct KeysNewConfig {
    /// The new file.
    pub(crate) out: PathBuf,
    /// Its form.
    pub(crate) format: NewFormat,
}

/// The form of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewFormat {
    /// Plain digits.
    Hex,
    /// A keystore with this password.
    Keystore(Secret),
    /// A keystore, and a person is to be asked for the password.
    Ask,
}

impl KeysNewArgs {
    /// What to make. At a terminal a person can be asked for the password that is missing.
    pub(crate) fn resolve(self, has_terminal: bool, problems: &mut Problems) -> Option<KeysNewConfig> {
        let out = required_out(self.out, "node.key", problems);
        let password = self.password.resolve(problems);
        if !problems.are_right(&["format"]) {
            return None;
        }
        let format = match (self.is_keystore, password?) {
            (false, None) => NewFormat::Hex,
            (true, Some((password, _))) => NewFormat::Keystore(password),
            (true, None) if has_terminal => NewFormat::Ask,
            (true, None) => {
                let remedy = "name a file that holds a long password, set QUORATE_KEY_PASSWORD, or run this at a terminal to be asked";
                let wrong = wrong("is missing, and a keystore needs one", remedy);
                problems.reject("key-password-file", wrong);
                return None;
            }
            (false, Some((_, given))) => {
                let remedy = "write --format keystore, or leave the password out";
                problems.reject(given, wrong("is not used by --format hex", remedy));
                return None;
            }
        };
        Some(KeysNewConfig { out: out?, format })
    }
}

fn required_out(out: Option<PathBuf>, example: &str, problems: &mut Problems) -> Option<PathBuf> {
    if out.is_none() && problems.are_right(&["out"]) {
        let remedy = format!("name the file to make, like --out {example}");
        problems.reject("out", wrong("is missing", remedy));
    }
    out
}

/// `quorate keys show`
#[derive(Debug, Args)]
pub(crate) struct KeysShowArgs {
    #[command(flatten)]
    key: KeyArgs,
}

impl KeysShowArgs {
    /// The key that is there.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<KeyConfig> {
        let loaded = self.key.load(None, problems)?;
        if loaded.is_none() {
            let wrong = wrong("is missing", "name the key file, like --key-file node.key");
            problems.reject("key-file", wrong);
        }
        loaded
    }
}

/// `quorate keys members`
#[derive(Debug, Args)]
pub(crate) struct KeysMembersArgs {
    /// A key file of either form, or an address
    #[arg(value_name = "FILE_OR_ADDRESS")]
    keys: Vec<String>,

    #[command(flatten)]
    password: PasswordArgs,
}

impl KeysMembersArgs {
    /// Whom the arguments stand for. What is wrong with any of them is reported with the rest.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<Vec<Listed>> {
        let password = self.password.resolve(problems)?.map(|(password, _)| password);
        if self.keys.is_empty() {
            let remedy = "name key files or addresses, like node-1.key node-2.json";
            problems.reject("keys", wrong("is missing", remedy));
        }
        let mut members: Vec<Listed> = Vec::with_capacity(self.keys.len());
        for argument in self.keys {
            let wrong = match keys::listed(&argument, password.as_ref()) {
                Ok(listed) if members.iter().any(|other| other.address == listed.address) => {
                    wrong(format!("is {} again", listed.address), "name each member once")
                }
                Ok(listed) => {
                    members.push(listed);
                    continue;
                }
                Err(error) => wrong(format!("is no member ({error})"), error.remedy()),
            };
            problems.reject_as("keys", Shown::Text(argument), wrong);
        }
        problems.are_right(&["keys"]).then_some(members)
    }
}

/// `quorate keys secret`
#[derive(Debug, Args)]
pub(crate) struct KeysSecretArgs {
    /// The file to make, with mode 0600. An existing one is never replaced
    #[arg(long, value_name = "FILE", value_parser = path, help_heading = "Key")]
    out: Option<PathBuf>,

    /// The network's name. The key id of the same secret differs from network to network
    #[arg(long, value_name = "NAME", default_value = "local", value_parser = parsed::<Network>("a network name"), help_heading = "Network")]
    network: Network,
}

/// What `keys secret` makes.
#[derive(Debug, Clone)]
pub(crate) struct KeysSecretConfig {
    /// The new file.
    pub(crate) out: PathBuf,
    /// Where its key id is known by.
    pub(crate) network: Network,
}

impl KeysSecretArgs {
    /// What to make.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<KeysSecretConfig> {
        let out = required_out(self.out, "network.secret", problems)?;
        let network = self.network;
        Some(KeysSecretConfig { out, network })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::config::testing;

    fn node_key(words: &[&str]) -> Result<(KeyConfig, Vec<String>), Vec<String>> {
        testing::read(words, NodeKeyArgs::resolve)
    }

    #[test]
    fn without_a_file_every_start_has_a_new_key() {
        let start = || node_key(&[]).unwrap().0;
        let (first, second) = (start(), start());
        assert_eq!(first.file, None);
        assert_ne!(first.key.address(), second.key.address());
    }

    #[test]
    fn a_missing_file_is_an_error_and_not_a_new_key() {
        assert_eq!(
            node_key(&["--key-file", "/nowhere/node.key"]).unwrap_err(),
            [
                "--key-file: \"/nowhere/node.key\" does not exist: make one with `quorate keys new --out /nowhere/node.key`, or have the node make it with --create-key"
            ]
        );
    }

    #[test]
    fn a_missing_file_is_made_once_if_the_node_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        fs::write(&password, "correct horse").unwrap();
        let password = ["--key-password-file", password.to_str().unwrap()];
        for (name, password) in [("hex", &[][..]), ("keystore", &password[..])] {
            let path = folder.path().join(name);
            let words = [
                &["--key-file", path.to_str().unwrap(), "--create-key"][..],
                password,
            ]
            .concat();
            let (first, first_warnings) = node_key(&words).unwrap();
            let (second, second_warnings) = node_key(&words).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(first.key.address(), second.key.address());
            assert!(first_warnings[0].contains(&first.key.address().to_string()));
            assert!(second_warnings.is_empty());
            let is_json = fs::read_to_string(&path).unwrap().starts_with('{');
            assert_eq!(is_json, name == "keystore");
        }
    }

    #[test]
    fn a_key_that_is_made_is_kept_somewhere() {
        assert_eq!(
            node_key(&["--create-key"]).unwrap_err(),
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
        assert_eq!(
            node_key(&["--key-password-file", path]).unwrap_err(),
            [format!(
                "--key-password-file: {path:?} opens nothing: name the keystore with --key-file"
            )]
        );
    }

    #[test]
    fn an_empty_password_file_has_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            node_key(&["--key-file", "x", "--key-password-file", path]).unwrap_err(),
            [format!(
                "--key-password-file: {path:?} is empty: write the secret into it, or name the file that holds it"
            )]
        );
    }

    #[test]
    fn a_new_key_needs_a_file_and_a_keystore_a_password() {
        let read = |words: &[&str]| {
            testing::read(words, |args: KeysNewArgs, problems| args.resolve(false, problems))
        };
        assert_eq!(
            read(&["--format", "keystore"]).map(|_| ()).unwrap_err(),
            [
                "--out: is missing: name the file to make, like --out node.key",
                "--key-password-file: is missing, and a keystore needs one: name a file that holds a long password, set \
                 QUORATE_KEY_PASSWORD, or run this at a terminal to be asked",
            ]
        );
        let (config, _) = read(&["--out", "node.key"]).unwrap();
        assert_eq!(config.format, NewFormat::Hex);
    }

    #[test]
    fn showing_needs_a_file() {
        assert_eq!(
            testing::read(&[], KeysShowArgs::resolve).map(|_| ()).unwrap_err(),
            ["--key-file: is missing: name the key file, like --key-file node.key"]
        );
    }
}
