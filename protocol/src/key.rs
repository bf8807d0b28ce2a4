//! A node's secret key.

use std::fmt;

use secp256k1::{Message, PublicKey, SecretKey, ecdsa::RecoverableSignature, rand};
use zeroize::Zeroizing;

use crate::{address::Address, keccak::Digest, signature::Signature};

/// The secp256k1 key that is the node: it signs, and it is the node's libp2p identity. Never shown, and overwritten when it is
/// dropped; what the compiler moved or copied before stays where it was.
#[derive(Clone)]
pub struct NodeKey {
    /// On the heap, so that moving the value leaves no copy behind.
    secret: Box<SecretKey>,
    address: Address,
}

/// The bytes are zero, or not below the group's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 secret key: it must lie between 1 and the group order")]
pub struct KeyError;

impl NodeKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Self {
        Self::from_secret(SecretKey::new(&mut rand::rng()))
    }

    /// The key with these 32 bytes, big-endian.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(bytes);
        SecretKey::from_secret_bytes(*bytes)
            .map(Self::from_secret)
            .map_err(|_| KeyError)
    }

    fn from_secret(secret: SecretKey) -> Self {
        let address = Address::from_public_key(&PublicKey::from_secret_key(&secret));
        Self {
            secret: Box::new(secret),
            address,
        }
    }

    /// The 32 secret bytes, for a key file or for libp2p's identity; erased when dropped.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_secret_bytes())
    }

    /// The node's name.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest: deterministic (RFC 6979), low `s`.
    pub fn sign(&self, digest: Digest) -> Signature {
        let message = Message::from_digest(*digest.as_bytes());
        Signature::from_recoverable(&RecoverableSignature::sign_ecdsa_recoverable(
            message,
            &self.secret,
        ))
    }
}

impl Drop for NodeKey {
    fn drop(&mut self) {
        // The library's own name for it: it cannot know of copies. With volatile writes, so it is not optimized away.
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.address)
    }
}
