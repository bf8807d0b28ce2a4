//! Ethereum's V3 keystore, the "Web3 Secret Storage Definition": the key, encrypted with a password. A key of 32 bytes is derived
//! from the password; its first half encrypts, its second makes the checksum that tells a wrong password from a right one.

use std::path::Path;

use aes::{
    Aes128,
    cipher::{KeyIvInit, StreamCipher},
};
use ctr::Ctr128BE;
use quorate_protocol::{Address, NodeKey, keccak256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key_file::KeyFileError;
use crate::secret::Secret;

/// What a new keystore takes of scrypt: 2^15 blocks of 8, three times. One of the five that OWASP's cheat sheet on password
/// storage names as equally strong; it needs 32 MiB, which a small container has, and a third of a second.
const LOG_N: u8 = 15;
const R: u32 = 8;
const P: u32 = 3;

/// Bytes that are derived from the password.
const DERIVED: usize = 32;

#[derive(Deserialize)]
struct Keystore {
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "const_hex")]
    ciphertext: Vec<u8>,
    #[serde(flatten)]
    kdf: Kdf,
    #[serde(with = "const_hex")]
    mac: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "const_hex")]
    iv: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        dklen: u64,
        n: u64,
        r: u32,
        p: u32,
        #[serde(with = "const_hex")]
        salt: Vec<u8>,
    },
    Pbkdf2 {
        dklen: u64,
        c: u32,
        prf: String,
        #[serde(with = "const_hex")]
        salt: Vec<u8>,
    },
}

/// The keystore's text.
///
/// # Errors
/// The system gives no randomness.
pub(super) fn encrypt(key: &NodeKey, password: &Secret) -> Result<String, getrandom::Error> {
    let salt = random::<32>()?;
    let iv = random::<16>()?;
    let kdf = Kdf::Scrypt {
        dklen: DERIVED as u64,
        n: 1 << LOG_N,
        r: R,
        p: P,
        salt: salt.to_vec(),
    };
    // The costs are ours, so they are bearable.
    let derived = derive(&kdf, password).unwrap_or_default();
    let mut ciphertext = key.secret_bytes().to_vec();
    apply_cipher(&derived, &iv, &mut ciphertext);
    let crypto = Crypto {
        cipher: "aes-128-ctr".to_owned(),
        cipherparams: CipherParams { iv: iv.to_vec() },
        mac: mac(&derived, &ciphertext).to_vec(),
        ciphertext,
        kdf,
    };
    // Other wallets list keystores by their address: lowercase, without 0x.
    let address = key.address().to_string().to_lowercase();
    let keystore = json!({
        "address": address.trim_start_matches("0x"),
        "crypto": crypto,
        "id": uuid(random::<16>()?),
        "version": 3,
    });
    Ok(format!("{keystore:#}\n"))
}

/// The key in a keystore's text, which stands at `path`.
pub(super) fn decrypt(text: &str, password: &Secret, path: &Path) -> Result<NodeKey, KeyFileError> {
    let refused = |reason: &str| KeyFileError::Keystore {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let keystore: Keystore =
        serde_json::from_str(text).map_err(|_| refused("it is not JSON of that form"))?;
    let crypto = keystore.crypto;
    if keystore.version != 3 {
        return Err(refused("its version is not 3"));
    }
    let iv: Option<[u8; 16]> = crypto.cipherparams.iv.try_into().ok();
    let Some(iv) = iv.filter(|_| crypto.cipher == "aes-128-ctr") else {
        return Err(refused("its cipher is not aes-128-ctr with an iv of 16 bytes"));
    };
    let mut bytes: Zeroizing<[u8; 32]> = crypto
        .ciphertext
        .as_slice()
        .try_into()
        .map(Zeroizing::new)
        .map_err(|_| refused("its key is not of 32 bytes"))?;
    let derived = derive(&crypto.kdf, password)
        .ok_or_else(|| refused("its key derivation asks for too much, or for something unknown"))?;
    if crypto.mac != mac(&derived, &*bytes) {
        return Err(KeyFileError::WrongPassword(path.to_owned()));
    }
    apply_cipher(&derived, &iv, &mut *bytes);
    NodeKey::from_bytes(*bytes).map_err(|error| refused(&error.to_string()))
}

/// The address that a keystore's text names, if it does. Nothing proves it until the keystore is opened.
pub(super) fn named_address(text: &str) -> Option<Address> {
    let keystore: Value = serde_json::from_str(text).ok()?;
    let address = keystore.get("address")?.as_str()?;
    // Others write it without the 0x, in capital letters or not.
    format!("0x{}", address.trim_start_matches("0x").to_lowercase())
        .parse()
        .ok()
}

/// The key of a password. `None`: the file asks for more memory or time than any honest one, or for what we do not know.
fn derive(kdf: &Kdf, password: &Secret) -> Option<Zeroizing<[u8; DERIVED]>> {
    /// 256 MiB: what n = 2^18 and r = 8 take, geth's standard.
    const MOST_MEMORY: u64 = 256 << 20;
    const MOST_LANES: u32 = 16;
    const MOST_ROUNDS: u32 = 10_000_000;
    let mut derived = Zeroizing::new([0; DERIVED]);
    let password = password.reveal().as_bytes();
    match kdf {
        Kdf::Scrypt { dklen, n, r, p, salt } => {
            let memory = n.checked_mul(128 * u64::from(*r))?;
            let is_bearable = *dklen == DERIVED as u64
                && n.is_power_of_two()
                && *n > 1
                && memory <= MOST_MEMORY
                && (1..=MOST_LANES).contains(p);
            let log_n = u8::try_from(n.checked_ilog2()?).ok().filter(|_| is_bearable)?;
            let params = scrypt::Params::new(log_n, *r, *p, DERIVED).ok()?;
            scrypt::scrypt(password, salt, &params, derived.as_mut_slice()).ok()?;
        }
        Kdf::Pbkdf2 { dklen, c, prf, salt } => {
            let is_bearable =
                *dklen == DERIVED as u64 && prf == "hmac-sha256" && (1..=MOST_ROUNDS).contains(c);
            is_bearable.then(|| pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *c, derived.as_mut_slice()))?;
        }
    }
    Some(derived)
}

/// Encrypts or decrypts: both are the same.
fn apply_cipher(derived: &[u8; DERIVED], iv: &[u8; 16], bytes: &mut [u8]) {
    let (key, _) = derived.split_at(16);
    Ctr128BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(bytes);
}

fn mac(derived: &[u8; DERIVED], ciphertext: &[u8]) -> [u8; 32] {
    *keccak256([&derived[16..], ciphertext]).as_bytes()
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A random UUID, of version 4 (RFC 9562, 5.4): a keystore's name, which wallets expect to be there.
fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let digits = const_hex::encode(random);
    let (a, b, c, d, e) = (
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
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

    // The test vector of the Web3 Secret Storage Definition, at its full cost. Its other one takes scrypt with n = 2^18 and
    // r = 1, which scrypt itself forbids (RFC 7914, 2: n is less than 2^(16 r)).
    const PUBLISHED: &str = r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46", "kdf": "pbkdf2",
        "kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
    const PUBLISHED_KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    fn open(text: &str, password: &str) -> Result<NodeKey, KeyFileError> {
        decrypt(text, &Secret::new(password), Path::new("keystore"))
    }

    #[test]
    fn opens_what_another_implementation_made() {
        for text in [SCRYPT, PBKDF2, &SCRYPT.replace("\"crypto\"", "\"Crypto\"")] {
            assert_eq!(open(text, "testpassword").unwrap().address().to_string(), ADDRESS);
            assert!(matches!(
                open(text, "Testpassword"),
                Err(KeyFileError::WrongPassword(_))
            ));
        }
    }

    #[test]
    fn opens_the_published_example() {
        let key = open(PUBLISHED, "testpassword").unwrap();
        assert_eq!(const_hex::encode(key.secret_bytes()), PUBLISHED_KEY);
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
            (SCRYPT, "\"n\": 16", "\"n\": 9223372036854775808"),
            (SCRYPT, "\"n\": 16", "\"n\": 0"),
            (SCRYPT, "\"n\": 16", "\"n\": 1"),
            (SCRYPT, "\"r\": 8", "\"r\": 0"),
            (SCRYPT, "\"r\": 8", "\"r\": 4294967295"),
            (SCRYPT, "\"p\": 1", "\"p\": 0"),
            (SCRYPT, "\"p\": 1", "\"p\": 4000000000"),
            (SCRYPT, "33ae20aeb1f7cd3197477749cc0314c5", "33ae"),
            (SCRYPT, "19155e17", "19"),
            (SCRYPT, "\"version\": 3", "\"version\": 4"),
            (SCRYPT, "aes-128-ctr", "aes-128-cbc"),
            (SCRYPT, "\"kdf\": \"scrypt\"", "\"kdf\": \"argon2\""),
            (PBKDF2, "\"c\": 10", "\"c\": 0"),
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
        let key = NodeKey::from_bytes([0x46; 32]).unwrap();
        let text = encrypt(&key, &Secret::new("testpassword")).unwrap();
        assert!(
            text.contains("\"address\": \"9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f\""),
            "{text}"
        );
        assert!(!text.contains("4646464646"), "{text}");
        assert_eq!(open(&text, "testpassword").unwrap().address(), key.address());
    }

    #[test]
    fn a_name_is_a_uuid_of_version_4() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
