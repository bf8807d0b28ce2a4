//! The same key as libp2p names it.

use libp2p::{PeerId, identity};
use quorate_protocol::NodeKey;

/// The PeerId of a node with this key.
pub(crate) fn peer_id(key: &NodeKey) -> PeerId {
    #[expect(
        clippy::expect_used,
        reason = "a NodeKey's bytes are a secp256k1 key: that is its invariant"
    )]
    let secret = identity::secp256k1::SecretKey::try_from_bytes(key.secret_bytes()).expect("a secp256k1 key");
    let public = identity::secp256k1::Keypair::from(secret).public().clone();
    identity::PublicKey::from(public).to_peer_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_id_carries_the_public_key_of_the_address() {
        let key = NodeKey::generate();
        let id = peer_id(&key).to_bytes();
        // An identity multihash (2 bytes) of a protobuf (type: secp256k1, 4 bytes with the length) and the 33-byte key.
        let public = secp256k1::PublicKey::from_slice(&id[id.len() - 33..]).unwrap();
        assert_eq!(quorate_protocol::Address::from_public_key(&public), key.address());
        assert!(peer_id(&key).to_string().starts_with("16Uiu2HA"));
    }
}
