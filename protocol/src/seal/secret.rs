//! The secret that the nodes of a sealed network share, and the name by which it is known to everybody.

use std::{fmt, str::FromStr};

use zeroize::Zeroizing;

use crate::{
    digest::keccak256,
    encoding::{ParseHexError, fixed_bytes, parse_hex, shown_as_hex},
    names::Network,
};

/// Before what is hashed to a key's name and to the key itself: neither can be taken for the other.
const ID_DOMAIN: &[u8] = b"quorate key id";
const KEY_DOMAIN: &[u8] = b"quorate seal key";

fixed_bytes!(
    /// What everybody may know of a network's secret: 8 bytes that tell it from others, in clear in every sealed message.
    KeyId, 8
);

shown_as_hex!(KeyId);

/// 32 bytes from a source of randomness, known to the nodes of one network. Erased when dropped, and never shown: its name is
/// [`NetworkSecret::key_id`].
#[derive(Clone)]
pub struct NetworkSecret(Zeroizing<[u8; 32]>);

impl NetworkSecret {
    /// Takes 32 random bytes. A secret that a person made up is none: nothing here makes guessing slow.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Its name in `network`: the first 8 bytes of `keccak256("quorate key id", salt of the network, secret)`.
    pub fn key_id(&self, network: &Network) -> KeyId {
        let hash = keccak256([ID_DOMAIN, network.salt().as_bytes(), self.0.as_slice()]);
        let mut id = [0; 8];
        id.copy_from_slice(&hash.as_bytes()[..8]);
        KeyId(id)
    }

    /// The key that seals in `network`: `keccak256("quorate seal key", salt of the network, secret)`. One hash is enough to
    /// derive it, since the secret is uniformly random.
    pub(super) fn seal_key(&self, network: &Network) -> Zeroizing<[u8; 32]> {
        let hash = keccak256([KEY_DOMAIN, network.salt().as_bytes(), self.0.as_slice()]);
        Zeroizing::new(*hash.as_bytes())
    }

    /// Whether it is what somebody writes who has no secret yet.
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(|byte| *byte == self.0[0])
    }
}

/// 64 hex digits, with or without the `0x`. The error never quotes more than one character.
impl FromStr for NetworkSecret {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Zeroizing::new).map(Self)
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> NetworkSecret {
        NetworkSecret::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_secret_has_another_name_and_another_key_in_every_network() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_ne!(secret(1).key_id(&a), secret(1).key_id(&b));
        assert_ne!(secret(1).key_id(&a), secret(2).key_id(&a));
        assert_ne!(secret(1).seal_key(&a), secret(1).seal_key(&b));
    }

    #[test]
    fn the_name_is_no_part_of_the_key() {
        let network = "a".parse().unwrap();
        let (id, key) = (secret(1).key_id(&network), secret(1).seal_key(&network));
        assert!(
            !key.windows(4)
                .any(|part| id.as_bytes().windows(4).any(|other| other == part))
        );
    }

    #[test]
    fn a_secret_is_read_from_hex_and_not_shown() {
        let text = "0123456789abcdef".repeat(4);
        let secret: NetworkSecret = text.parse().unwrap();
        assert_eq!(format!("{secret:?}"), "NetworkSecret(***)");
        for wrong in [&text[1..], "", &format!("{text}0")] {
            let error = wrong.parse::<NetworkSecret>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("0123"));
        }
    }

    #[test]
    fn what_nobody_drew_at_random_is_blank() {
        assert!(secret(0).is_blank() && secret(0xff).is_blank());
        assert!(
            !"01"
                .repeat(31)
                .chars()
                .chain("02".chars())
                .collect::<String>()
                .parse::<NetworkSecret>()
                .unwrap()
                .is_blank()
        );
    }
}
