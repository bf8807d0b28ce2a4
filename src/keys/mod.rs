//! Key files: a node's secret, and that of a sealed network, on disk.

mod key_file;
mod keystore;
mod listed;
pub(crate) mod network_secret;
mod private_file;

use std::io;

use libp2p::{PeerId, identity};
use quorate_protocol::NodeKey;
use zeroize::Zeroizing;

pub(crate) use self::{
    key_file::{Format, KeyFileError, LoadedKey, load, save},
    listed::{Listed, listed, members_file},
    private_file::{Exposure, PrivateFileError, create as create_private, exposure},
};
use crate::secret::Secret;

/// What may be known of a key: its two names, a line each.
pub(crate) fn describe(key: &NodeKey) -> String {
    format!("address  {}\npeer_id  {}\n", key.address(), peer_id(key))
}

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

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    /// The terminal cannot be read.
    #[error("the password cannot be read from the terminal ({0})")]
    Terminal(#[from] io::Error),
    /// Nothing was typed.
    #[error("an empty password protects nothing: try again")]
    Empty,
    /// The second time was another text than the first.
    #[error("the two passwords differ: try again")]
    Differ,
}

/// Asks twice on the terminal, without showing what is typed.
pub(crate) fn new_password() -> Result<Secret, PromptError> {
    agreed(|prompt| rpassword::prompt_password(prompt))
}

fn agreed(mut ask: impl FnMut(&str) -> io::Result<String>) -> Result<Secret, PromptError> {
    let first = Zeroizing::new(ask("password of the new keystore: ")?);
    if first.is_empty() {
        return Err(PromptError::Empty);
    }
    let second = Zeroizing::new(ask("the same again: ")?);
    if first != second {
        return Err(PromptError::Differ);
    }
    Ok(Secret::new(first.as_str()))
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

    fn typed(texts: &[&str]) -> Result<Secret, PromptError> {
        let mut texts = texts.iter();
        agreed(|_| {
            texts
                .next()
                .map(ToString::to_string)
                .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        })
    }

    #[test]
    fn a_password_is_what_was_typed_twice() {
        assert_eq!(typed(&["hunter2", "hunter2"]).unwrap().reveal(), "hunter2");
        assert!(matches!(typed(&["hunter2", "Hunter2"]), Err(PromptError::Differ)));
        assert!(matches!(typed(&["", ""]), Err(PromptError::Empty)));
        assert!(matches!(typed(&["hunter2"]), Err(PromptError::Terminal(_))));
    }
}
