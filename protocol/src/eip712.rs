//! EIP-712 typed-data hashing, as far as quorate's structs need it.
//!
//! A wallet, a contract or any Ethereum library can check our signatures, and a signature over one kind of struct or
//! for one network can never be taken for another.

use crate::{
    address::Address,
    keccak::{Digest, keccak256},
    network::Network,
};

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

/// The digest to sign: of the struct of type `type_text` with these fields, in the network's domain.
pub(crate) fn digest(network: &Network, type_text: &str, fields: &[Word]) -> Digest {
    let domain = keccak256([
        keccak256([DOMAIN_TYPE]).as_bytes(),
        keccak256([DOMAIN_NAME]).as_bytes(),
        keccak256([DOMAIN_VERSION]).as_bytes(),
        network.salt().as_bytes(),
    ]);
    let hash = keccak256([keccak256([type_text.as_bytes()]).as_bytes(), &fields.concat()]);
    keccak256([b"\x19\x01", domain.as_bytes(), hash.as_bytes()])
}
