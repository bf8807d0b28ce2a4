//! A node's key, its recoverable ECDSA signatures in Ethereum's 65-byte form, and whose they are.

use std::fmt;

use secp256k1::{
    Message, PublicKey, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
    rand,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    address::Address,
    digest::Digest,
    encoding::{fixed_bytes, shown_as_hex},
};

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

fixed_bytes!(
    /// `r`, `s` (32 bytes each, `s` in the lower half of the group's order) and `v` (27 or 28). Not yet checked.
    Signature, 65
);
shown_as_hex!(Signature);

/// Half of secp256k1's group order: the largest `s` of a canonical signature (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Why a signature names no signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `v` is neither 27 nor 28.
    #[error("v is {0}, not 27 or 28")]
    RecoveryId(u8),
    /// `s` lies in the upper half of the order: the same signature could be written in two ways.
    #[error("s is in the upper half of the group order")]
    HighS,
    /// No public key fits.
    #[error("no public key can be recovered")]
    NoKey,
}

impl Signature {
    pub(crate) fn from_recoverable(signature: &RecoverableSignature) -> Self {
        let (recovery_id, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = 27 + recovery_id.to_u8();
        Self(bytes)
    }

    /// The address whose key made this signature over `digest`: the only way to learn a signer.
    pub fn recover(&self, digest: Digest) -> Result<Address, SignatureError> {
        let recovery_id = match self.0[64] {
            27 => RecoveryId::Zero,
            28 => RecoveryId::One,
            v => return Err(SignatureError::RecoveryId(v)),
        };
        if self.0[32..64] > HALF_ORDER[..] {
            return Err(SignatureError::HighS);
        }
        RecoverableSignature::from_compact(&self.0[..64], recovery_id)
            .and_then(|signature| signature.recover_ecdsa(Message::from_digest(*digest.as_bytes())))
            .map(|key| Address::from_public_key(&key))
            .map_err(|_| SignatureError::NoKey)
    }
}

/// Who says to have signed, and the signature. On the wire: the array `[signer, signature]`.
///
/// The signer is a claim until [`crate::Report::verify`] has recovered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(Address, Signature)", into = "(Address, Signature)")]
pub struct Attestation {
    /// Who signed.
    pub signer: Address,
    /// The signature.
    pub signature: Signature,
}

impl Attestation {
    /// Checks that the signature over `digest` is the signer's, by recovering it (about 40 µs).
    ///
    /// # Errors
    /// It is not: whoever claims so broke the protocol, or changed what is stored.
    pub fn verify(&self, digest: Digest) -> Result<(), VerifyError> {
        let claimed = self.signer;
        match self.signature.recover(digest) {
            Ok(recovered) if recovered == claimed => Ok(()),
            Ok(recovered) => Err(VerifyError::OtherSigner { claimed, recovered }),
            Err(error) => Err(VerifyError::Invalid {
                signer: claimed,
                error,
            }),
        }
    }
}

/// A signature that does not prove what its report claims: whoever made this report broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It names no signer at all.
    #[error("the signature of {signer} is invalid: {error}")]
    Invalid {
        /// Whose it claims to be.
        signer: Address,
        /// What is wrong with it.
        error: SignatureError,
    },
    /// It is somebody else's, or over something else.
    #[error("the signature of {claimed} recovers to {recovered}")]
    OtherSigner {
        /// Whose it claims to be.
        claimed: Address,
        /// Whose it would be.
        recovered: Address,
    },
}

impl From<(Address, Signature)> for Attestation {
    fn from((signer, signature): (Address, Signature)) -> Self {
        Self { signer, signature }
    }
}

impl From<Attestation> for (Address, Signature) {
    fn from(attestation: Attestation) -> Self {
        (attestation.signer, attestation.signature)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::keccak256;

    fn key() -> NodeKey {
        NodeKey::from_bytes([7; 32]).unwrap()
    }

    #[test]
    fn only_the_canonical_form_recovers() {
        let digest = keccak256([b"price"]);
        let signature = key().sign(digest);
        assert_eq!(signature.recover(digest), Ok(key().address()));

        let mut other_v = *signature.as_bytes();
        other_v[64] -= 27;
        assert_eq!(
            Signature::new(other_v).recover(digest),
            Err(SignatureError::RecoveryId(other_v[64]))
        );

        // The twin signature (r, n - s, other v) is valid mathematics, and refused.
        let mut twin = *signature.as_bytes();
        let order = {
            let mut doubled = [0; 32];
            let mut carry = 1; // n = 2 * half + 1
            for i in (0..32).rev() {
                let sum = u16::from(HALF_ORDER[i]) * 2 + carry;
                doubled[i] = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
            doubled
        };
        let mut borrow = 0;
        for i in (0..32).rev() {
            let difference = i16::from(order[i]) - i16::from(twin[32 + i]) - borrow;
            twin[32 + i] = difference.rem_euclid(256).to_le_bytes()[0];
            borrow = i16::from(difference < 0);
        }
        twin[64] = 55 - twin[64];
        assert_eq!(Signature::new(twin).recover(digest), Err(SignatureError::HighS));
    }

    #[test]
    fn all_zeros_and_all_ones_name_nobody() {
        let digest = keccak256([b"price"]);
        let mut zeros = [0; 65];
        zeros[64] = 27;
        assert_eq!(Signature::new(zeros).recover(digest), Err(SignatureError::NoKey));
        assert!(Signature::new([0xff; 65]).recover(digest).is_err());
    }

    proptest! {
        #[test]
        fn any_changed_bit_names_somebody_else(bit in 0..520usize) {
            let digest = keccak256([b"price"]);
            let mut bytes = *key().sign(digest).as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Signature::new(bytes).recover(digest), Ok(key().address()));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 65), digest in any::<[u8; 32]>()) {
            let _ = Signature::new(bytes.try_into().unwrap()).recover(Digest::new(digest));
        }
    }
}
