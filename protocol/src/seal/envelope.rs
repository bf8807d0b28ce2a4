//! The form of a sealed message: `[version, network, 255, [key_id, nonce, sealed]]` in deterministic CBOR.
//!
//! Written and read by hand, byte for byte: there is exactly one spelling, and everything before the sealed bytes is known
//! before anything is decoded.

use super::secret::KeyId;
use crate::{
    message::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION},
    names::Network,
};

/// The kind of a sealed message, far from those of the messages in it.
const SEALED: u8 = 255;

/// Of XChaCha20: long enough to be drawn at random for every message, for ever.
pub const NONCE_BYTES: usize = 24;
/// What Poly1305 adds.
const TAG_BYTES: usize = 16;
/// What a seal adds to a message at most, in a network whose name has 32 characters: 2 for array and version, 34 for the name,
/// 2 for the kind, 1 for the inner array, 9 for the key id, 26 for the nonce, 3 for the length, 16 for the tag.
pub const SEAL_OVERHEAD_BYTES: usize = 93;
/// Longest sealed message.
pub const MAX_SEALED_BYTES: usize = MAX_MESSAGE_BYTES + SEAL_OVERHEAD_BYTES;

/// Why a message was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is not sealed: it is in clear, or no message at all.
    #[error("the message is not sealed")]
    Clear,
    /// Longer than [`MAX_SEALED_BYTES`]. No honest node makes it.
    #[error("{0} bytes, a sealed message has at most {MAX_SEALED_BYTES}")]
    Oversize(usize),
    /// It begins as a sealed message and goes on as none. No honest node makes it.
    #[error("not a valid sealed message: {0}")]
    Malformed(&'static str),
    /// Sealed with a key that this node has not: its operator, or the sender's, has to add one.
    #[error("sealed with the key {theirs}, this node has {}", list(.ours))]
    UnknownKey {
        /// The key that it names.
        theirs: KeyId,
        /// The keys that this node has, the one it seals with first.
        ours: Vec<KeyId>,
    },
    /// It names a key of ours and was not made with it, or was changed on its way. Whoever passed it on may be unable to tell.
    #[error("not what was sealed with the key {0}")]
    Forged(KeyId),
}

fn list(ids: &[KeyId]) -> String {
    ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ")
}

/// The parts of a sealed message, as anybody can see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Which key opens it.
    pub key_id: KeyId,
    /// Its nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// The encrypted message and its tag.
    pub ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Takes a sealed message of `network` apart. What begins otherwise is [`SealError::Clear`]: whatever it is, it is not
    /// sealed for this network.
    pub fn decode(bytes: &'a [u8], network: &Network) -> Result<Self, SealError> {
        let Some(rest) = bytes.strip_prefix(head(network).as_slice()) else {
            return Err(SealError::Clear);
        };
        if bytes.len() > MAX_SEALED_BYTES {
            return Err(SealError::Oversize(bytes.len()));
        }
        let malformed = SealError::Malformed;
        let rest = rest
            .strip_prefix(&[0x83])
            .ok_or(malformed("its body is no array of three"))?;
        let (id, rest) = byte_string(rest).ok_or(malformed("no key id"))?;
        let id = id
            .try_into()
            .map_err(|_| malformed("its key id has not 8 bytes"))?;
        let (nonce, rest) = byte_string(rest).ok_or(malformed("no nonce"))?;
        let nonce = nonce
            .try_into()
            .map_err(|_| malformed("its nonce has not 24 bytes"))?;
        let (ciphertext, rest) = byte_string(rest).ok_or(malformed("no sealed bytes"))?;
        if ciphertext.len() <= TAG_BYTES {
            return Err(malformed("nothing is sealed in it"));
        }
        if !rest.is_empty() {
            return Err(malformed("it is followed by more bytes"));
        }
        Ok(Self {
            key_id: KeyId::new(id),
            nonce,
            ciphertext,
        })
    }

    /// The bytes to gossip.
    pub(super) fn encode(&self, network: &Network) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEAL_OVERHEAD_BYTES + self.ciphertext.len());
        bytes.extend(head(network));
        bytes.push(0x83);
        push_byte_string(&mut bytes, self.key_id.as_bytes());
        push_byte_string(&mut bytes, &self.nonce);
        push_byte_string(&mut bytes, self.ciphertext);
        bytes
    }
}

/// What is in clear and must not be changed: the array `[version, network, 255, key_id]`. The nonce is bound by the cipher.
pub(super) fn associated_data(network: &Network, key_id: KeyId) -> Vec<u8> {
    let mut bytes = head(network);
    push_byte_string(&mut bytes, key_id.as_bytes());
    bytes
}

/// `[version, network, 255, …`: an array of four with its first three items.
fn head(network: &Network) -> Vec<u8> {
    const { assert!(PROTOCOL_VERSION < 24, "the version is one byte") };
    let name = network.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(64);
    bytes.extend([0x84, PROTOCOL_VERSION as u8]);
    push_length(&mut bytes, 3, name.len());
    bytes.extend_from_slice(name);
    bytes.extend([0x18, SEALED]);
    bytes
}

fn push_byte_string(bytes: &mut Vec<u8>, content: &[u8]) {
    push_length(bytes, 2, content.len());
    bytes.extend_from_slice(content);
}

/// CBOR's shortest form of a length, up to the two bytes that our limits need.
fn push_length(bytes: &mut Vec<u8>, major: u8, length: usize) {
    let kind = major << 5;
    match length {
        0..24 => bytes.push(kind | length as u8),
        24..0x100 => bytes.extend([kind | 24, length as u8]),
        _ => {
            bytes.push(kind | 25);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
}

/// A byte string in its shortest form, and what follows it.
fn byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *bytes {
        [short @ 0x40..=0x57, ref rest @ ..] => (usize::from(short - 0x40), rest),
        [0x58, length @ 24..=255, ref rest @ ..] => (usize::from(length), rest),
        [0x59, high @ 1..=255, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: KeyId = KeyId::new([7; 8]);

    fn network(length: usize) -> Network {
        "n".repeat(length).parse().unwrap()
    }

    fn sealed(ciphertext: &[u8]) -> Sealed<'_> {
        Sealed {
            key_id: ID,
            nonce: [9; NONCE_BYTES],
            ciphertext,
        }
    }

    #[test]
    fn it_is_the_cbor_that_the_documentation_describes() {
        for (name, length) in [
            (1, 17),
            (23, 23),
            (24, 24),
            (32, 255),
            (32, 256),
            (32, MAX_MESSAGE_BYTES + 16),
        ] {
            let (network, ciphertext) = (network(name), vec![5; length]);
            let bytes = sealed(&ciphertext).encode(&network);
            let bytes_of = ciborium::Value::Bytes;
            let value = ciborium::Value::Array(vec![
                1.into(),
                network.as_str().into(),
                255.into(),
                ciborium::Value::Array(vec![
                    bytes_of(vec![7; 8]),
                    bytes_of(vec![9; 24]),
                    bytes_of(ciphertext.clone()),
                ]),
            ]);
            let mut expected = Vec::new();
            ciborium::into_writer(&value, &mut expected).unwrap();
            assert_eq!(bytes, expected);
            assert_eq!(Sealed::decode(&bytes, &network), Ok(sealed(&ciphertext)));
        }
    }

    #[test]
    fn what_is_in_clear_is_authenticated_as_an_array_of_its_own() {
        let mut expected = Vec::new();
        let id = ciborium::Value::Bytes(vec![7; 8]);
        ciborium::into_writer(&(1, "nnn", 255, id), &mut expected).unwrap();
        assert_eq!(associated_data(&network(3), ID), expected);
    }

    #[test]
    fn the_longest_message_in_the_longest_named_network_is_as_long_as_a_sealed_one_may_be() {
        let ciphertext = vec![0; MAX_MESSAGE_BYTES + TAG_BYTES];
        let bytes = sealed(&ciphertext).encode(&network(32));
        assert_eq!(bytes.len(), MAX_SEALED_BYTES);
        assert!(Sealed::decode(&bytes, &network(32)).is_ok());
        let more = vec![0; ciphertext.len() + 1];
        let bytes = sealed(&more).encode(&network(32));
        assert_eq!(
            Sealed::decode(&bytes, &network(32)),
            Err(SealError::Oversize(MAX_SEALED_BYTES + 1))
        );
    }

    #[test]
    fn there_is_no_second_spelling() {
        let network = network(4);
        let good = sealed(&[5; 30]).encode(&network);
        let body = good.len() - (1 + 9 + 26 + 32);
        let cases = [
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            // The inner array claims two or four items; the key id is seven bytes, or spelled in two bytes.
            [&good[..body], &[0x82], &good[body + 1..]].concat(),
            [&good[..body], &[0x84], &good[body + 1..]].concat(),
            [&good[..=body], &[0x47], &good[body + 3..]].concat(),
            [&good[..=body], &[0x58, 8], &good[body + 2..]].concat(),
            // The sealed bytes' length in three bytes where two are enough.
            [&good[..good.len() - 32], &[0x59, 0, 30], &good[good.len() - 30..]].concat(),
            // Nothing but a tag.
            sealed(&[5; 16]).encode(&network),
            head(&network),
        ];
        for case in cases {
            let decoded = Sealed::decode(&case, &network);
            assert!(
                matches!(decoded, Err(SealError::Malformed(_))),
                "{case:02x?}: {decoded:?}"
            );
        }
        // 255 in three bytes, or for another network: whatever that is, it is not sealed for this one.
        let wide = [&good[..body - 2], &[0x19, 0, 255], &good[body..]].concat();
        assert_eq!(Sealed::decode(&wide, &network), Err(SealError::Clear));
        assert_eq!(
            Sealed::decode(&good, &"other".parse().unwrap()),
            Err(SealError::Clear)
        );
    }
}
