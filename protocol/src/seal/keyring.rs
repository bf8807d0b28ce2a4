//! The keys of a node in a sealed network: it seals with one and opens with any, so that keys can be changed while it runs.

use std::fmt;

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use super::{
    envelope::{MAX_SEALED_BYTES, NONCE_BYTES, SealError, Sealed, associated_data},
    secret::{KeyId, NetworkSecret},
};
use crate::{message::MAX_MESSAGE_BYTES, names::Network};

/// Secrets of one node. Changing one takes two for a while; more than a few are a file that nobody tidies.
pub const MAX_SECRETS: usize = 8;

/// Why secrets are no keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none.
    #[error("no secret")]
    Empty,
    /// There are more than [`MAX_SECRETS`].
    #[error("{0} secrets, at most {MAX_SECRETS} are allowed")]
    TooMany(usize),
    /// One is given twice.
    #[error("the secret with the key id {0} is given twice")]
    Twice(KeyId),
}

#[derive(Clone)]
struct SealKey {
    id: KeyId,
    key: Zeroizing<[u8; 32]>,
}

impl SealKey {
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(self.key.as_slice()))
    }
}

/// Seals with its first key, opens with every one. The keys are erased when it is dropped; shown are their ids only.
#[derive(Clone)]
pub struct Keyring {
    network: Network,
    /// The one that seals first; never empty.
    keys: Vec<SealKey>,
}

impl Keyring {
    /// The keys that these secrets are in `network`; the first one seals.
    pub fn new(network: &Network, secrets: &[NetworkSecret]) -> Result<Self, KeyringError> {
        match secrets.len() {
            0 => return Err(KeyringError::Empty),
            1..=MAX_SECRETS => {}
            many => return Err(KeyringError::TooMany(many)),
        }
        let mut keys: Vec<SealKey> = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let id = secret.key_id(network);
            if keys.iter().any(|key| key.id == id) {
                return Err(KeyringError::Twice(id));
            }
            let key = secret.seal_key(network);
            keys.push(SealKey { id, key });
        }
        Ok(Self {
            network: network.clone(),
            keys,
        })
    }

    /// The names of the keys; the first is the one that seals.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.id).collect()
    }

    /// Seals the bytes of a [`crate::Message`]. The nonce must never come twice with one key: draw it at random.
    pub fn seal(&self, plaintext: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        debug_assert!(
            plaintext.len() <= MAX_MESSAGE_BYTES,
            "a message is no longer than that"
        );
        let SealKey { id, .. } = self.keys[0];
        let aad = associated_data(&self.network, id);
        let payload = Payload {
            msg: plaintext,
            aad: &aad,
        };
        let sealed = self.keys[0].cipher().encrypt(XNonce::from_slice(&nonce), payload);
        debug_assert!(sealed.is_ok(), "only messages of 256 GiB cannot be sealed");
        let sealed = Sealed {
            key_id: id,
            nonce,
            ciphertext: &sealed.unwrap_or_default(),
        };
        sealed.encode(&self.network)
    }

    /// What was sealed in `bytes`: at most [`MAX_MESSAGE_BYTES`], made by somebody who has one of these keys, and by nothing
    /// else known to be a message.
    pub fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = Sealed::decode(bytes, &self.network)?;
        let key = self.keys.iter().find(|key| key.id == sealed.key_id);
        let Some(key) = key else {
            return Err(SealError::UnknownKey {
                theirs: sealed.key_id,
                ours: self.key_ids(),
            });
        };
        let aad = associated_data(&self.network, key.id);
        let payload = Payload {
            msg: sealed.ciphertext,
            aad: &aad,
        };
        let opened = key.cipher().decrypt(XNonce::from_slice(&sealed.nonce), payload);
        match opened {
            Ok(message) if message.len() <= MAX_MESSAGE_BYTES => Ok(message),
            Ok(_) => Err(SealError::Oversize(bytes.len())),
            Err(_) => Err(SealError::Forged(key.id)),
        }
    }
}

const _: () = assert!(MAX_SEALED_BYTES < 1 << 16, "lengths are written in two bytes");

/// Equal if they have the same keys in the same order.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.network == other.network && self.key_ids() == other.key_ids()
    }
}

impl Eq for Keyring {}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.key_ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [3; NONCE_BYTES];

    fn network() -> Network {
        "test".parse().unwrap()
    }

    fn secret(byte: u8) -> NetworkSecret {
        NetworkSecret::new(Zeroizing::new([byte; 32]))
    }

    fn keyring(bytes: &[u8]) -> Keyring {
        let secrets: Vec<_> = bytes.iter().map(|byte| secret(*byte)).collect();
        Keyring::new(&network(), &secrets).unwrap()
    }

    #[test]
    fn the_cipher_is_that_of_the_internet_draft() {
        // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce: Vec<u8> = (0x40..=0x57).collect();
        let payload = Payload {
            msg: b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                   sunscreen would be it.",
            aad: &const_hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap(),
        };
        let sealed =
            XChaCha20Poly1305::new(Key::from_slice(&key)).encrypt(XNonce::from_slice(&nonce), payload);
        let expected = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39\
                        ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
                        21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        assert_eq!(const_hex::encode(sealed.unwrap()), expected);
    }

    #[test]
    fn who_shares_a_secret_reads_what_was_sealed_with_it_and_nobody_else_does() {
        let sealed = keyring(&[1]).seal(b"hello", NONCE);
        assert_eq!(keyring(&[1]).open(&sealed).unwrap(), b"hello");
        assert_eq!(keyring(&[2, 1]).open(&sealed).unwrap(), b"hello");
        let error = keyring(&[2, 3]).open(&sealed).unwrap_err();
        let (theirs, ours) = (keyring(&[1]).key_ids()[0], keyring(&[2, 3]).key_ids());
        assert_eq!(
            error.to_string(),
            format!(
                "sealed with the key {theirs}, this node has {}, {}",
                ours[0], ours[1]
            )
        );
        assert!(!sealed.windows(5).any(|part| part == b"hello"));
    }

    #[test]
    fn the_first_secret_seals() {
        let sealed = keyring(&[2, 1]).seal(b"hello", NONCE);
        assert!(keyring(&[2]).open(&sealed).is_ok());
        assert!(matches!(
            keyring(&[1]).open(&sealed),
            Err(SealError::UnknownKey { .. })
        ));
    }

    #[test]
    fn the_secret_of_one_network_opens_nothing_in_another() {
        let other = Keyring::new(&"else".parse().unwrap(), &[secret(1)]).unwrap();
        let sealed = other.seal(b"hello", NONCE);
        assert_eq!(keyring(&[1]).open(&sealed), Err(SealError::Clear));
        // With the other network's name put right, by somebody who has no secret, the key id is not ours.
        let mut renamed = sealed;
        renamed[3..7].copy_from_slice(b"test");
        assert!(matches!(
            keyring(&[1]).open(&renamed),
            Err(SealError::UnknownKey { .. })
        ));
    }

    #[test]
    fn a_keyring_has_one_to_eight_different_secrets() {
        let made = |bytes: &[u8]| {
            let secrets: Vec<_> = bytes.iter().map(|byte| secret(*byte)).collect();
            Keyring::new(&network(), &secrets)
        };
        assert_eq!(made(&[]), Err(KeyringError::Empty));
        assert!(made(&[1, 2, 3, 4, 5, 6, 7, 8]).is_ok());
        assert_eq!(made(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), Err(KeyringError::TooMany(9)));
        assert_eq!(
            made(&[1, 2, 1]),
            Err(KeyringError::Twice(secret(1).key_id(&network())))
        );
    }

    #[test]
    fn keyrings_are_equal_if_they_seal_and_open_alike() {
        assert_eq!(keyring(&[1, 2]), keyring(&[1, 2]));
        assert_ne!(keyring(&[1, 2]), keyring(&[2, 1]));
        assert_ne!(keyring(&[1, 2]), keyring(&[1]));
    }

    #[test]
    fn what_is_shown_of_a_keyring_are_its_ids() {
        let keyring = keyring(&[1]);
        assert_eq!(
            format!("{keyring:?}"),
            format!("Keyring([{}])", keyring.key_ids()[0])
        );
    }

    proptest! {
        #[test]
        fn every_message_comes_out_as_it_went_in(
            message in prop::collection::vec(any::<u8>(), 1..2000), nonce in any::<[u8; NONCE_BYTES]>()
        ) {
            prop_assert_eq!(keyring(&[1]).open(&keyring(&[1]).seal(&message, nonce)).unwrap(), message);
        }

        #[test]
        fn no_changed_bit_goes_unnoticed(position in 0usize..200, bit in 0u32..8) {
            let mut sealed = keyring(&[1]).seal(&[5; 120], NONCE);
            let position = position % sealed.len();
            sealed[position] ^= 1 << bit;
            prop_assert!(keyring(&[1]).open(&sealed).is_err());
        }

        #[test]
        fn no_bytes_panic(head in 0usize..90, tail in prop::collection::vec(any::<u8>(), 0..100)) {
            let sealed = keyring(&[1]).seal(&[5; 60], NONCE);
            let bytes = [&sealed[..head.min(sealed.len())], &tail].concat();
            prop_assert!(keyring(&[1]).open(&bytes).is_err() || bytes == sealed);
        }
    }
}
