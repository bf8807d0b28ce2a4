//! `quorate keys`: what can be made and shown.

use std::path::PathBuf;

use quorate_protocol::Network;

use super::{
    gossip::NETWORK,
    key::{self, KEY_FILE, KEY_PASSWORD, KEY_PASSWORD_FILE, KeyConfig},
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::{choice, parsed},
};
use crate::{
    keys::{self, Listed},
    secret::Secret,
};

/// `--out`
pub(crate) const OUT: Setting = Setting {
    name: "out",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: "Key",
    help: "The file to make, with mode 0600. An existing one is never replaced",
};
/// `--format`
pub(crate) const FORMAT: Setting = Setting {
    name: "format",
    kind: Kind::Value,
    value_name: "FORMAT",
    default: Some("hex"),
    heading: "Key",
    help: "hex: 64 digits, protected by the file's mode alone. keystore: an Ethereum V3 keystore, encrypted with the password \
           of --key-password-file or QUORATE_KEY_PASSWORD, or with one that is asked for",
};
/// The arguments of `keys members`.
pub(crate) const MEMBER: Setting = Setting {
    name: "key",
    kind: Kind::Arguments,
    value_name: "FILE_OR_ADDRESS",
    default: None,
    heading: "Key",
    help: "A key file of either form, or an address",
};

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

/// What `keys secret` makes.
#[derive(Debug, Clone)]
pub(crate) struct KeysSecretConfig {
    /// The new file.
    pub(crate) out: PathBuf,
    /// Where its key id is known by.
    pub(crate) network: Network,
}

/// Everything that `keys new` can be told.
pub(crate) fn settings_new() -> Vec<&'static Setting> {
    vec![&OUT, &FORMAT, &KEY_PASSWORD_FILE, &KEY_PASSWORD]
}

/// Everything that `keys show` can be told.
pub(crate) fn settings_show() -> Vec<&'static Setting> {
    key::SETTINGS.to_vec()
}

/// Everything that `keys members` can be told.
pub(crate) fn settings_members() -> Vec<&'static Setting> {
    vec![&MEMBER, &KEY_PASSWORD_FILE, &KEY_PASSWORD]
}

/// Everything that `keys secret` can be told.
pub(crate) fn settings_secret() -> Vec<&'static Setting> {
    vec![&OUT, &NETWORK]
}

/// Reads [`settings_new`].
pub(crate) fn read_new(reader: &mut Reader<'_>) -> Option<KeysNewConfig> {
    let out = read_out(reader, "node.key");
    let is_keystore = reader.value(&FORMAT, |text| {
        choice(&[("hex", false), ("keystore", true)], text)
    });
    let password = key::read_password(reader);
    let format = match (is_keystore?, password?) {
        (false, None) => NewFormat::Hex,
        (true, Some(password)) => NewFormat::Keystore(password),
        (true, None) if reader.can_ask() => NewFormat::Ask,
        (true, None) => {
            let remedy = "name a file that holds a long password, set QUORATE_KEY_PASSWORD, or run this at a terminal to be asked";
            let problem = wrong("is missing, and a keystore needs one", remedy);
            reader.reject(&KEY_PASSWORD_FILE, problem);
            return None;
        }
        (false, Some(_)) => {
            let given = if reader.is_default(&KEY_PASSWORD) {
                &KEY_PASSWORD_FILE
            } else {
                &KEY_PASSWORD
            };
            let remedy = "write --format keystore, or leave the password out";
            reader.reject(given, wrong("is not used by --format hex", remedy));
            return None;
        }
    };
    Some(KeysNewConfig { out: out?, format })
}

fn read_out(reader: &mut Reader<'_>, example: &str) -> Option<PathBuf> {
    let out = reader.path(&OUT)?;
    if out.is_none() {
        let remedy = format!("name the file to make, like --out {example}");
        reader.reject(&OUT, wrong("is missing", remedy));
    }
    out
}

/// Reads [`settings_show`].
pub(crate) fn read_show(reader: &mut Reader<'_>) -> Option<KeyConfig> {
    match key::load(reader)? {
        Some(key) => Some(key),
        None => {
            reader.reject(
                &KEY_FILE,
                wrong("is missing", "name the key file, like --key-file node.key"),
            );
            None
        }
    }
}

/// Reads [`settings_members`]. What is wrong with any of them is reported with the rest.
pub(crate) fn read_members(reader: &mut Reader<'_>) -> Option<Vec<Listed>> {
    let arguments = reader.list(&MEMBER, |text| Ok(text.to_owned()));
    let password = key::read_password(reader);
    let (arguments, password) = (arguments?, password?);
    if arguments.is_empty() {
        let remedy = "name key files or addresses, like node-1.key node-2.json";
        reader.reject(&MEMBER, wrong("is missing", remedy));
        return None;
    }
    let mut members: Vec<Listed> = Vec::with_capacity(arguments.len());
    let mut all_right = true;
    for argument in arguments {
        let problem = match keys::listed(&argument, password.as_ref()) {
            Ok(listed) if members.iter().any(|other| other.address == listed.address) => {
                wrong(format!("is {} again", listed.address), "name each member once")
            }
            Ok(listed) => {
                members.push(listed);
                continue;
            }
            Err(error) => wrong(format!("is no member ({error})"), error.remedy()),
        };
        all_right = false;
        reader.reject_as(&MEMBER, Shown::Text(argument), problem);
    }
    all_right.then_some(members)
}

/// Reads [`settings_secret`].
pub(crate) fn read_secret(reader: &mut Reader<'_>) -> Option<KeysSecretConfig> {
    let out = read_out(reader, "network.secret");
    let network = reader.value(&NETWORK, |text| parsed("a network name", text));
    Some(KeysSecretConfig {
        out: out?,
        network: network?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn a_new_key_needs_a_file_and_a_keystore_a_password() {
        assert_eq!(
            testing::read(&[("format", &["keystore"])], read_new).unwrap_err(),
            [
                "--out: is missing: name the file to make, like --out node.key",
                "--key-password-file: is missing, and a keystore needs one: name a file that holds a long password, set \
                 QUORATE_KEY_PASSWORD, or run this at a terminal to be asked",
            ]
        );
        let config = testing::read(&[("out", &["node.key"])], read_new).unwrap().config;
        assert_eq!(config.format, NewFormat::Hex);
    }

    #[test]
    fn showing_needs_a_file() {
        assert_eq!(
            testing::read(&[], read_show).map(|_| ()).unwrap_err(),
            ["--key-file: is missing: name the key file, like --key-file node.key"]
        );
    }
}
