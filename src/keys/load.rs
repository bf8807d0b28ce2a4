//! Reading a key file of either form, if it has been kept well.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use quorate_protocol::NodeKey;

use super::{
    hex_file, keystore,
    private_file::{Exposure, exposure},
};
use crate::secret::{Secret, mask, shown};

/// Why there is no key. None of them holds any of the file's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// No such file.
    #[error("{path} does not exist", path = shown(.0))]
    Missing(PathBuf),
    /// There is something of that name; a key is never overwritten.
    #[error("{path} exists already", path = shown(.0))]
    Exists(PathBuf),
    /// The system refuses.
    #[error("{path} cannot be read ({error})", path = shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system refuses.
    #[error("{path} cannot be written ({error})", path = shown(path))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others can read or change it: the key may be known already.
    #[error("{path} can be read or changed by other users", path = shown(.0))]
    Open(PathBuf),
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
            Self::Missing(path) => format!(
                "make one with `quorate keys new --out {}`",
                mask(&path.display().to_string())
            ),
            Self::Exists(_) => "name another file, or move that one away yourself".to_owned(),
            Self::Unreadable { .. } => "let this user read it".to_owned(),
            Self::Unwritable { .. } => "name a file in a folder that this user can write to".to_owned(),
            Self::Open(path) => format!("run `chmod 600 {}`", mask(&path.display().to_string())),
            Self::NoKey(_) => "name a file with 64 hex digits or an Ethereum V3 keystore".to_owned(),
            Self::NoPassword(_) => "name the file that holds it with --key-password-file".to_owned(),
            Self::WrongPassword(_) => {
                "name the file with the right password with --key-password-file".to_owned()
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
    /// The file's group can read it: allowed, since secrets are mounted so, and worth a line in the log.
    pub(crate) group_can_read: bool,
}

/// Reads a key file: hex, or a keystore with its password.
pub(crate) fn load(path: &Path, password: Option<&Secret>) -> Result<LoadedKey, KeyFileError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => KeyFileError::Unreadable {
            path: path.to_owned(),
            error,
        },
    };
    // The mode is that of the file which is open, not of what may stand at the path a moment later.
    let file = File::open(path).map_err(unreadable)?;
    let exposure = exposure(&file).map_err(unreadable)?;
    if exposure == Exposure::Open {
        return Err(KeyFileError::Open(path.to_owned()));
    }
    let text = read_short(file).map_err(unreadable)?;
    let key = if text.trim_start().starts_with('{') {
        let password = password.ok_or_else(|| KeyFileError::NoPassword(path.to_owned()))?;
        keystore::decrypt(&text, password, path)?
    } else {
        hex_file::decode(&text).ok_or_else(|| KeyFileError::NoKey(path.to_owned()))?
    };
    Ok(LoadedKey {
        key,
        group_can_read: exposure == Exposure::GroupCanRead,
    })
}

/// A keystore has under 1 KiB: whatever is longer than this is no key file.
const LONGEST_FILE: u64 = 64 * 1024;

fn read_short(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::keys::{Format, save};

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
        assert!(matches!(load(&path, None), Err(KeyFileError::Missing(_))));
        let nearly = "ab".repeat(31);
        fs::write(&path, &nearly).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = load(&path, None).unwrap_err();
        assert!(matches!(error, KeyFileError::NoKey(_)));
        assert!(!format!("{error} {error:?}").contains("abab"));
    }
}
