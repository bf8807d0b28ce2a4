//! A key file of either form: `0x` and 64 hex digits on a line, or an encrypted keystore. Read only if it has been kept well.

use std::{
    io,
    path::{Path, PathBuf},
};

use quorate_protocol::NodeKey;
use zeroize::Zeroizing;

use super::{
    keystore,
    private_file::{self, PrivateFileError, PrivateText},
};
use crate::secret::{Secret, mask, shown};

/// Why there is no key. None of them holds any of the file's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// It cannot be read, or others can read it too.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There is something of that name; a key is never overwritten.
    #[error("{path} exists already", path = shown(.0))]
    Exists(PathBuf),
    /// The system refuses.
    #[error("{path} cannot be written ({error})", path = shown(path))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is neither hex nor a keystore.
    #[error("{path} holds no key", path = shown(.0))]
    NoKey(PathBuf),
    /// It is a keystore, which takes a password.
    #[error("{path} is an encrypted keystore, and no password is given", path = shown(.0))]
    NoPassword(PathBuf),
    /// The password is another one, or the file is damaged.
    #[error("the password does not open {path}", path = shown(.0))]
    WrongPassword(PathBuf),
    /// It is a keystore that this program cannot read.
    #[error("{path} is not a keystore that can be read ({reason})", path = shown(path))]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        reason: String,
    },
}

impl KeyFileError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::File(PrivateFileError::Missing(path)) => format!(
                "make one with `quorate keys new --out {}`",
                mask(&path.display().to_string())
            ),
            Self::File(error) => error.remedy(),
            Self::Exists(_) => "name another file, or move that one away yourself".to_owned(),
            Self::Unwritable { .. } => "name a file in a folder that this user can write to".to_owned(),
            Self::NoKey(_) => {
                "name a file with 64 hex digits or an Ethereum V3 keystore, or make one with `quorate keys new`".to_owned()
            }
            Self::NoPassword(_) => {
                "name the file that holds it with --key-password-file, or set QUORATE_KEY_PASSWORD".to_owned()
            }
            Self::WrongPassword(_) => {
                "name the file with the right password with --key-password-file, or set QUORATE_KEY_PASSWORD"
                    .to_owned()
            }
            Self::Keystore { .. } => {
                "use a V3 keystore with scrypt or pbkdf2, as `quorate keys new` makes it".to_owned()
            }
        }
    }
}

/// A key from a file.
#[derive(Debug)]
pub(crate) struct LoadedKey {
    /// The key.
    pub(crate) key: NodeKey,
    /// See [`PrivateText::group_can_read`].
    pub(crate) group_can_read: bool,
}

/// Reads a key file: hex, or a keystore with its password.
pub(crate) fn load(path: &Path, password: Option<&Secret>) -> Result<LoadedKey, KeyFileError> {
    let PrivateText { text, group_can_read } = private_file::read(path)?;
    let key = if is_keystore(&text) {
        let password = password.ok_or_else(|| KeyFileError::NoPassword(path.to_owned()))?;
        keystore::decrypt(&text, password, path)?
    } else {
        from_hex(&text).ok_or_else(|| KeyFileError::NoKey(path.to_owned()))?
    };
    Ok(LoadedKey { key, group_can_read })
}

/// Whether a key file's text is a keystore and not hex.
pub(super) fn is_keystore(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// How a new key is written.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// `0x` and 64 hex digits; protected by the file's mode alone.
    Hex,
    /// An Ethereum V3 keystore, encrypted with this password.
    Keystore(Secret),
}

/// Writes the key to a new file that only its owner can read. Never replaces a file.
pub(crate) fn save(key: &NodeKey, path: &Path, format: &Format) -> Result<(), KeyFileError> {
    let unwritable = |error| KeyFileError::Unwritable {
        path: path.to_owned(),
        error,
    };
    let text = match format {
        Format::Hex => to_hex(key),
        Format::Keystore(password) => keystore::encrypt(key, password)
            .map_err(|error| unwritable(error.into()))?
            .into(),
    };
    private_file::create(path, &text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => unwritable(error),
    })
}

/// The key as a line.
fn to_hex(key: &NodeKey) -> Zeroizing<String> {
    let digits = Zeroizing::new(const_hex::encode_prefixed(key.secret_bytes()));
    // As long as it gets, so that it does not grow and leave copies behind.
    let mut line = Zeroizing::new(String::with_capacity(digits.len() + 1));
    line.push_str(&digits);
    line.push('\n');
    line
}

/// The key in a line, with or without the `0x`. `None`: it is none; nothing is said of what it is, since it may nearly be one.
pub(super) fn from_hex(text: &str) -> Option<NodeKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    const_hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).ok()?;
    NodeKey::from_bytes(*bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn both_forms_are_read_as_they_were_saved() {
        let folder = folder();
        let key = NodeKey::generate();
        let password = Secret::new("correct horse");
        for (name, format) in [("hex", Format::Hex), ("json", Format::Keystore(password.clone()))] {
            let path = folder.path().join(name);
            save(&key, &path, &format).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let loaded = load(&path, Some(&password)).unwrap();
            assert_eq!(loaded.key.secret_bytes(), key.secret_bytes());
            assert!(!loaded.group_can_read);
            assert!(matches!(save(&key, &path, &format), Err(KeyFileError::Exists(_))));
        }
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing else is left behind"
        );
        let json = folder.path().join("json");
        assert!(matches!(load(&json, None), Err(KeyFileError::NoPassword(_))));
        assert!(matches!(
            load(&json, Some(&Secret::new("wrong"))),
            Err(KeyFileError::WrongPassword(_))
        ));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let folder = folder();
        let path = folder.path().join("key");
        save(&NodeKey::generate(), &path, &Format::Hex).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&path, None).unwrap_err();
        assert_eq!(error.remedy(), format!("run `chmod 600 {}`", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(load(&path, None).unwrap().group_can_read);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        let folder = folder();
        let path = folder.path().join("key");
        assert!(matches!(
            load(&path, None),
            Err(KeyFileError::File(PrivateFileError::Missing(_)))
        ));
        let nearly = "ab".repeat(31);
        fs::write(&path, &nearly).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = load(&path, None).unwrap_err();
        assert!(matches!(error, KeyFileError::NoKey(_)));
        assert!(!format!("{error} {error:?}").contains("abab"));
    }

    #[test]
    fn what_is_written_is_read() {
        let key = NodeKey::generate();
        let text = to_hex(&key);
        assert_eq!(text.len(), 2 + 64 + 1);
        assert_eq!(from_hex(&text).unwrap().address(), key.address());
        assert_eq!(from_hex(text[2..].trim()).unwrap().address(), key.address());
    }

    #[test]
    fn a_line_that_is_no_key_is_refused() {
        for text in [
            "",
            "0x",
            "0x1234",
            &"0".repeat(64),
            &"f".repeat(64),
            &"g".repeat(64),
        ] {
            assert!(from_hex(text).is_none(), "{text}");
        }
    }
}
