//! One signer's signature over a digest.

use serde::{Deserialize, Serialize};

use crate::{address::Address, signature::Signature};

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
