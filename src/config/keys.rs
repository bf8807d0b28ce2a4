//! `quorate keys new` and `quorate keys show`.

use std::path::PathBuf;

use super::{
    key::{self, KEY_FILE, KEY_PASSWORD_FILE, KeyConfig},
    problem::wrong,
    reader::Reader,
    setting::{Kind, Setting},
    value::choice,
};
use crate::keys::Format;

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
           of --key-password-file",
};

/// What `keys new` makes.
#[derive(Debug, Clone)]
pub(crate) struct KeysNewConfig {
    /// The new file.
    pub(crate) out: PathBuf,
    /// Its form.
    pub(crate) format: Format,
}

/// Everything that `keys new` can be told.
pub(crate) fn settings_new() -> Vec<&'static Setting> {
    vec![&OUT, &FORMAT, &KEY_PASSWORD_FILE]
}

/// Everything that `keys show` can be told.
pub(crate) fn settings_show() -> Vec<&'static Setting> {
    key::SETTINGS.to_vec()
}

/// Reads [`settings_new`].
pub(crate) fn read_new(reader: &mut Reader<'_>) -> Option<KeysNewConfig> {
    let out = reader.path(&OUT);
    let is_keystore = reader.value(&FORMAT, |text| {
        choice(&[("hex", false), ("keystore", true)], text)
    });
    let password = reader.secret_file(&KEY_PASSWORD_FILE);
    if out == Some(None) {
        reader.reject(
            &OUT,
            wrong("is missing", "name the file to make, like --out node.key"),
        );
    }
    let format = match (is_keystore?, password?) {
        (false, None) => Format::Hex,
        (true, Some(password)) => Format::Keystore(password),
        (true, None) => {
            let remedy = "name a file that holds a long password";
            reader.reject(
                &KEY_PASSWORD_FILE,
                wrong("is missing, and a keystore needs one", remedy),
            );
            return None;
        }
        (false, Some(_)) => {
            let remedy = "write --format keystore, or leave the password out";
            reader.reject(&KEY_PASSWORD_FILE, wrong("is not used by --format hex", remedy));
            return None;
        }
    };
    Some(KeysNewConfig { out: out??, format })
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
                "--key-password-file: is missing, and a keystore needs one: name a file that holds a long password",
            ]
        );
        let config = testing::read(&[("out", &["node.key"])], read_new).unwrap().config;
        assert!(matches!(config.format, Format::Hex));
    }

    #[test]
    fn showing_needs_a_file() {
        assert_eq!(
            testing::read(&[], read_show).map(|_| ()).unwrap_err(),
            ["--key-file: is missing: name the key file, like --key-file node.key"]
        );
    }
}
