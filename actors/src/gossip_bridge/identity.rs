//! One secp256k1 key is the node: the libp2p identity and the quorate address are two names of it.

use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, secp256k1},
};
use quorate_protocol::{Address, KeyError, NodeKey, keccak256};

/// Multihash code of a digest that is the data itself.
const IDENTITY: u64 = 0;

/// The peer's key is of another kind than quorate's nodes have, so that it has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its identity is no secp256k1 key, so it cannot be a quorate node")]
pub struct ForeignKey;

/// The libp2p identity of a node's key.
pub fn keypair(key: &NodeKey) -> Result<Keypair, KeyError> {
    let secret = secp256k1::SecretKey::try_from_bytes(key.secret_bytes()).map_err(|_| KeyError)?;
    Ok(secp256k1::Keypair::from(secret).into())
}

/// The address behind a peer's id: a secp256k1 id carries its public key, so no message is needed to learn it.
pub fn address(peer: &PeerId) -> Result<Address, ForeignKey> {
    let multihash = peer.as_ref();
    if multihash.code() != IDENTITY {
        return Err(ForeignKey);
    }
    let key = PublicKey::try_decode_protobuf(multihash.digest())
        .ok()
        .and_then(|key| key.try_into_secp256k1().ok())
        .ok_or(ForeignKey)?;
    let hash = keccak256([&key.to_bytes_uncompressed()[1..]]);
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&hash.as_bytes()[12..]);
    Ok(Address::new(bytes))
}

/// How the log names a peer: by its address, beside which a member's name stands; by its id if no node can have its key.
pub(super) fn shown(peer: &PeerId) -> String {
    address(peer).map_or_else(|_| peer.to_string(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret key 1: its address is widely published; the id is base58 of `00 25 08 02 12 21` and the public key.
    const SECRET: [u8; 32] = {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        bytes
    };
    const ADDRESS: &str = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
    const PEER: &str = "16Uiu2HAm3cuhhRL2msUuLF62KRSfneFDx94RsuouyW25Ho42cFMq";

    #[test]
    fn a_key_has_one_peer_id_and_one_address() {
        let key = NodeKey::from_bytes(SECRET).unwrap();
        let peer = keypair(&key).unwrap().public().to_peer_id();
        assert_eq!(peer.to_string(), PEER);
        assert_eq!(key.address().to_string(), ADDRESS);
        assert_eq!(address(&PEER.parse().unwrap()), Ok(key.address()));
    }

    #[test]
    fn any_key_has_the_address_that_signatures_recover_to() {
        for _ in 0..20 {
            let key = NodeKey::generate();
            let peer = keypair(&key).unwrap().public().to_peer_id();
            assert_eq!(address(&peer), Ok(key.address()));
        }
    }

    #[test]
    fn other_kinds_of_identity_have_no_address() {
        assert_eq!(
            address(&Keypair::generate_ed25519().public().to_peer_id()),
            Err(ForeignKey)
        );
        assert_eq!(address(&PeerId::random()), Err(ForeignKey));
        // A hashed id, as long keys have.
        let hashed: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().unwrap();
        assert_eq!(address(&hashed), Err(ForeignKey));
    }
}
