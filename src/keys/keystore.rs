//! Ethereum's V3 keystore: the key, encrypted with a password.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use eth_keystore::{EthKeystore, KdfparamsType, KeystoreError};
use quorate_protocol::{Address, NodeKey};
use rand::{RngCore, rngs::OsRng};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::load::KeyFileError;
use crate::secret::Secret;

/// The keystore's text. The crate writes it to a file whose mode it does not set, so it writes into a folder of our own, beside
/// `target`, that nobody else can enter. It takes scrypt with n = 2^13, a thirtieth of what geth takes: the password must be a
/// long one.
pub(crate) fn encrypt(key: &NodeKey, password: &Secret, target: &Path) -> Result<String, KeyFileError> {
    let unwritable = |error| KeyFileError::Unwritable {
        path: target.to_owned(),
        error,
    };
    let folder = PrivateFolder::beside(target).map_err(unwritable)?;
    eth_keystore::encrypt_key(
        &folder.0,
        &mut OsRng,
        key.secret_bytes().as_slice(),
        password.reveal(),
        Some("keystore"),
    )
    .map_err(|error| unwritable(io::Error::other(error)))?;
    let text = fs::read_to_string(folder.0.join("keystore")).map_err(unwritable)?;
    let mut keystore: Value = serde_json::from_str(&text).map_err(|error| unwritable(error.into()))?;
    // Other wallets list keystores by this field, which the crate leaves out: lowercase, without 0x.
    keystore["address"] = json!(key.address().to_string().to_lowercase().trim_start_matches("0x"));
    Ok(format!("{keystore:#}\n"))
}

/// The key in a keystore's text, which stands at `path`.
pub(crate) fn decrypt(text: &str, password: &Secret, path: &Path) -> Result<NodeKey, KeyFileError> {
    let refused = |reason: &str| KeyFileError::Keystore {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let keystore: EthKeystore =
        serde_json::from_str(text).map_err(|_| refused("it is not JSON of that form"))?;
    check(&keystore).map_err(refused)?;
    let bytes = eth_keystore::decrypt_key(path, password.reveal()).map_err(|error| match error {
        KeystoreError::MacMismatch => KeyFileError::WrongPassword(path.to_owned()),
        error => refused(&error.to_string()),
    })?;
    let bytes = Zeroizing::new(bytes);
    let bytes: Zeroizing<[u8; 32]> = bytes
        .as_slice()
        .try_into()
        .map(Zeroizing::new)
        .map_err(|_| refused("its key is not of 32 bytes"))?;
    NodeKey::from_bytes(*bytes).map_err(|error| refused(&error.to_string()))
}

/// The address that a keystore's text names, if it does. Nothing proves it until the keystore is opened.
pub(crate) fn named_address(text: &str) -> Option<Address> {
    let keystore: Value = serde_json::from_str(text).ok()?;
    let address = keystore.get("address")?.as_str()?;
    // Others write it without the 0x, in capital letters or not.
    format!("0x{}", address.trim_start_matches("0x").to_lowercase())
        .parse()
        .ok()
}

/// What the crate takes for granted: it panics on short fields, and takes as much memory and time as the file asks for.
fn check(keystore: &EthKeystore) -> Result<(), &'static str> {
    /// 256 MiB: what n = 2^18 and r = 8 take, geth's standard. The crate cannot be asked for less per call than it allocates.
    const MOST_MEMORY: u64 = 256 << 20;
    const MOST_LANES: u32 = 16;
    const MOST_ROUNDS: u32 = 10_000_000;
    let crypto = &keystore.crypto;
    if keystore.version != 3 {
        return Err("its version is not 3");
    }
    if crypto.cipher != "aes-128-ctr" || crypto.cipherparams.iv.len() != 16 {
        return Err("its cipher is not aes-128-ctr with an iv of 16 bytes");
    }
    let (dklen, is_bearable) = match &crypto.kdfparams {
        KdfparamsType::Scrypt { dklen, n, p, r, .. } => {
            let memory = 128 * u64::from(*n) * u64::from(*r);
            (
                dklen,
                n.is_power_of_two()
                    && *n > 1
                    && memory <= MOST_MEMORY
                    && (1..=MOST_LANES).contains(p)
                    && *r > 0,
            )
        }
        KdfparamsType::Pbkdf2 { dklen, c, prf, .. } => {
            (dklen, prf == "hmac-sha256" && (1..=MOST_ROUNDS).contains(c))
        }
    };
    if *dklen != 32 || !is_bearable {
        return Err("its key derivation asks for too much, or for something unknown");
    }
    Ok(())
}

/// A folder with mode 0700 that goes with the value.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn beside(target: &Path) -> io::Result<Self> {
        let parent = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let path = parent.join(format!(".quorate-key-{:016x}", OsRng.next_u64()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            // Its parent is what the user named.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(io::Error::other("its folder does not exist"))
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by another implementation, with cheap key derivations so that the test is quick.
    const ADDRESS: &str = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F";
    const SCRYPT: &str = r#"{"address": "9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F", "crypto": {"cipher": "aes-128-ctr",
        "cipherparams": {"iv": "33ae20aeb1f7cd3197477749cc0314c5"},
        "ciphertext": "19155e174a9cf699b37a4435e8ece4d6cb396b229506624f01e0db0f7ab9af9f", "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": 16, "r": 8, "p": 1, "salt": "1a406dd1d2b461c88fc094523fcd7f7a"},
        "mac": "cc2aebb563ae1ed46e127bb02f83b0f76edb293ab4de906c0a166e4203b82dc1"},
        "id": "7aea8ac3-4c03-41f2-8c2f-34b4f7418243", "version": 3}"#;
    const PBKDF2: &str = r#"{"address": "9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F", "crypto": {"cipher": "aes-128-ctr",
        "cipherparams": {"iv": "a5980ae3aa504cc482d2e10ce452e896"},
        "ciphertext": "d33b55caa7458e91c6738fa5c71e22505fd3efd196ef46b31edca2ed1d10c0ee", "kdf": "pbkdf2",
        "kdfparams": {"c": 10, "dklen": 32, "prf": "hmac-sha256", "salt": "c68bb9fc98d6f2387c48f5dbdadf0922"},
        "mac": "bffcf5f4c62ffae730717666cf58fc33398909a66a7d16badb6f4e5f42fdee02"},
        "id": "a51a294e-e0b0-4c23-856e-d6250c674117", "version": 3}"#;

    fn open(text: &str, password: &str) -> Result<NodeKey, KeyFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystore");
        fs::write(&path, text).unwrap();
        decrypt(text, &Secret::new(password), &path)
    }

    #[test]
    fn opens_what_another_implementation_made() {
        for text in [SCRYPT, PBKDF2] {
            assert_eq!(open(text, "testpassword").unwrap().address().to_string(), ADDRESS);
            assert!(matches!(
                open(text, "Testpassword"),
                Err(KeyFileError::WrongPassword(_))
            ));
        }
    }

    #[test]
    fn a_keystore_of_whatever_spelling_names_its_address() {
        for text in [
            SCRYPT.to_owned(),
            SCRYPT.to_lowercase(),
            SCRYPT.replace("\"9d8A", "\"0x9d8A"),
        ] {
            assert_eq!(named_address(&text).unwrap().to_string(), ADDRESS);
        }
        for nameless in ["{}", "", r#"{"address": "12"}"#, r#"{"address": 12}"#] {
            assert_eq!(named_address(nameless), None);
        }
    }

    #[test]
    fn refuses_what_would_panic_or_take_all_memory() {
        for (text, from, to) in [
            (SCRYPT, "\"dklen\": 32", "\"dklen\": 16"),
            (SCRYPT, "\"n\": 16", "\"n\": 4294967295"),
            (SCRYPT, "\"n\": 16", "\"n\": 2147483648"),
            (SCRYPT, "\"n\": 16", "\"n\": 0"),
            (SCRYPT, "\"r\": 8", "\"r\": 0"),
            (SCRYPT, "\"p\": 1", "\"p\": 4000000000"),
            (SCRYPT, "33ae20aeb1f7cd3197477749cc0314c5", "33ae"),
            (SCRYPT, "\"version\": 3", "\"version\": 4"),
            (SCRYPT, "aes-128-ctr", "aes-128-cbc"),
            (PBKDF2, "\"c\": 10", "\"c\": 4000000000"),
            (PBKDF2, "hmac-sha256", "hmac-md5"),
            (PBKDF2, "\"crypto\"", "\"krypto\""),
        ] {
            let refused = open(&text.replace(from, to), "testpassword");
            assert!(
                matches!(refused, Err(KeyFileError::Keystore { .. })),
                "{to}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_keystore_names_its_address_and_not_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::from_bytes([0x46; 32]).unwrap();
        let text = encrypt(&key, &Secret::new("testpassword"), &folder.path().join("new")).unwrap();
        assert!(
            text.contains("\"address\": \"9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f\""),
            "{text}"
        );
        assert!(!text.contains("4646464646"), "{text}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }
}
