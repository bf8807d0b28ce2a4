//! Keccak-256 as Ethereum uses it (the padding of before the SHA-3 standard), and EIP-712 on top of it: what is signed.

use sha3::{Digest as _, Keccak256};

use crate::encoding::{fixed_bytes, shown_as_hex};

fixed_bytes!(
    /// A 32-byte Keccak-256 hash. The digest of an observation is what everybody signs.
    Digest, 32
);

shown_as_hex!(Digest);

impl Digest {
    /// The first four bytes as hex, enough to tell digests apart in a log line.
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }
}

/// Keccak-256 of the concatenation of `parts`.
pub fn keccak256<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest::new(hasher.finalize().into())
}

/// EIP-712 typed-data hashing, as far as quorate's structs need it.
///
/// A wallet, a contract or any Ethereum library can check our signatures, and a signature over one kind of struct or
/// for one network can never be taken for another.
pub(crate) mod eip712 {
    use super::{Digest, keccak256};
    use crate::{address::Address, names::Network};

    const DOMAIN_TYPE: &[u8] = b"EIP712Domain(string name,string version,bytes32 salt)";
    const DOMAIN_NAME: &[u8] = b"quorate";
    const DOMAIN_VERSION: &[u8] = b"1";

    /// One 32-byte word of an encoded struct.
    pub(crate) type Word = [u8; 32];

    /// A `uint` of any width.
    pub(crate) fn uint(value: u128) -> Word {
        let mut word = [0; 32];
        word[16..].copy_from_slice(&value.to_be_bytes());
        word
    }

    /// An `address`.
    pub(crate) fn address(value: &Address) -> Word {
        let mut word = [0; 32];
        word[12..].copy_from_slice(value.as_bytes());
        word
    }

    /// A `string`: its hash.
    pub(crate) fn string(value: &str) -> Word {
        *keccak256([value.as_bytes()]).as_bytes()
    }

    /// A `string[]`: the hash of its items' hashes.
    pub(crate) fn strings<'a>(values: impl Iterator<Item = &'a str>) -> Word {
        let words: Vec<u8> = values.flat_map(string).collect();
        *keccak256([&words]).as_bytes()
    }

    /// The separator of the domain with this salt.
    pub(crate) fn domain(salt: &Digest) -> Digest {
        keccak256([
            keccak256([DOMAIN_TYPE]).as_bytes(),
            keccak256([DOMAIN_NAME]).as_bytes(),
            keccak256([DOMAIN_VERSION]).as_bytes(),
            salt.as_bytes(),
        ])
    }

    /// The digest to sign: of the struct of type `type_text` with these fields, in the network's domain.
    pub(crate) fn digest(network: &Network, type_text: &str, fields: &[Word]) -> Digest {
        digest_of_type(network, &keccak256([type_text.as_bytes()]), fields)
    }

    /// The same, with the hash of the type at hand.
    pub(crate) fn digest_of_type(network: &Network, type_hash: &Digest, fields: &[Word]) -> Digest {
        let hash = keccak256([type_hash.as_bytes(), fields.as_flattened()]);
        keccak256([b"\x19\x01", network.domain().as_bytes(), hash.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_ethereum_does() {
        // The published hash of the empty string, as in Ethereum's yellow paper.
        let empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        assert_eq!(keccak256([]).to_string(), empty);
        assert_eq!(keccak256([b"ab", b"c"]), keccak256([b"abc"]));
        assert_eq!(empty.parse(), Ok(keccak256([])));
    }
}
