//! The file of a sealed network's secrets: 64 hex digits a line, `#` begins a comment. The first one seals, all are accepted.

use std::path::Path;

use quorate_protocol::{
    Network,
    seal::{KeyId, Keyring, KeyringError, MAX_SECRETS, NetworkSecret},
};
use zeroize::Zeroizing;

use super::private_file::{self, PrivateFileError, PrivateText};

/// Why a file gives no keyring. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// It cannot be read, or others can read it too.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A line is no secret.
    #[error("line {0} is not 64 hex digits")]
    Line(usize),
    /// A line is one digit or two, again and again.
    #[error("line {0} is a secret that anybody would guess")]
    Blank(usize),
    /// The secrets are none, too many, or one twice.
    #[error("has {0}")]
    Keyring(KeyringError),
}

impl SecretsError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        const MAKE: &str = "make one with `quorate keys secret --out FILE`";
        match self {
            Self::File(error @ PrivateFileError::Open(_)) => error.remedy(),
            Self::File(_) => format!("name a file that this user can read, or {MAKE}"),
            Self::Line(_) => "write one secret a line, or # before a comment".to_owned(),
            Self::Blank(_) | Self::Keyring(KeyringError::Empty) => MAKE.to_owned(),
            Self::Keyring(KeyringError::TooMany(_)) => {
                format!("keep the one in use and the next one; {MAX_SECRETS} are the most")
            }
            Self::Keyring(KeyringError::Twice(_)) => "list each secret once".to_owned(),
        }
    }
}

/// A keyring from a file.
#[derive(Debug)]
pub(crate) struct LoadedKeyring {
    /// The keys.
    pub(crate) keyring: Keyring,
    /// The file's group can read it.
    pub(crate) group_can_read: bool,
}

/// Reads the file's secrets as keys of `network`.
pub(crate) fn load(path: &Path, network: &Network) -> Result<LoadedKeyring, SecretsError> {
    let PrivateText { text, group_can_read } = private_file::read(path)?;
    let keyring = Keyring::new(network, &parse(&text)?).map_err(SecretsError::Keyring)?;
    Ok(LoadedKeyring {
        keyring,
        group_can_read,
    })
}

fn parse(text: &str) -> Result<Vec<NetworkSecret>, SecretsError> {
    let mut secrets = Vec::with_capacity(MAX_SECRETS);
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
        if entry.is_empty() {
            continue;
        }
        let secret: NetworkSecret = entry.parse().map_err(|_| SecretsError::Line(number))?;
        if secret.is_blank() {
            return Err(SecretsError::Blank(number));
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

/// Makes a new secret in a new file that only its owner can read; its name in `network`.
///
/// # Errors
/// The system gives no randomness, or the file cannot be made; an existing one is never replaced.
pub(crate) fn create(path: &Path, network: &Network) -> std::io::Result<KeyId> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    let digits = Zeroizing::new(const_hex::encode(bytes.as_slice()));
    private_file::create(path, &Zeroizing::new(format!("{}\n", *digits)))?;
    Ok(NetworkSecret::new(bytes).key_id(network))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn hex(pair: &str) -> String {
        format!("{}00", pair.repeat(31))
    }

    #[test]
    fn a_new_secret_is_private_and_loads_as_the_key_that_it_was_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (path, network) = (folder.path().join("secret"), "test".parse().unwrap());
        let id = create(&path, &network).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&path, &network).unwrap().keyring.key_ids(), [id]);
        assert!(create(&path, &network).is_err(), "it is never replaced");
        let other = folder.path().join("other");
        assert_ne!(create(&other, &network).unwrap(), id);
    }

    #[test]
    fn the_first_line_seals_and_comments_are_none() {
        let text = format!("# ours\n\n{}  # since May\r\n0x{}\n", hex("ab"), hex("cd"));
        let network = "test".parse().unwrap();
        let keyring = Keyring::new(&network, &parse(&text).unwrap()).unwrap();
        let id = |text: &str| text.parse::<NetworkSecret>().unwrap().key_id(&network);
        assert_eq!(keyring.key_ids(), [id(&hex("ab")), id(&hex("cd"))]);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let with = |text: &str| {
            let _ = fs::remove_file(&path);
            private_file::create(&path, text).unwrap();
            let error = load(&path, &"test".parse().unwrap()).unwrap_err();
            let told = format!("{error}: {}", error.remedy());
            assert!(!format!("{told}{error:?}").contains("abab"), "{told}");
            told
        };
        let good = hex("ab");
        for (text, part) in [
            (format!("{good}\n{}\n", &good[1..]), "line 2 is not 64 hex digits"),
            ("0".repeat(64), "line 1 is a secret that anybody would guess"),
            ("# nothing yet\n".to_owned(), "no secret: make one with"),
            (format!("{good}\n{good}\n"), "given twice: list each secret once"),
        ] {
            assert!(with(&text).contains(part), "{part}: {}", with(&text));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&path, &"test".parse().unwrap()).unwrap_err();
        assert!(error.remedy().starts_with("run `chmod 600"), "{}", error.remedy());
    }
}
