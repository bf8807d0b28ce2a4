//! Sealed networks: messages that only those who share a secret can read and make.
//!
//! The connections between nodes are encrypted anyway; a seal goes from the node that speaks to every node that has the secret,
//! through relays that have not. A sealed message is an envelope around an encoded [`crate::Message`]; docs/protocol.md
//! describes it. Nothing here knows time or randomness: the nonce is an argument.

mod envelope;
mod keyring;
mod secret;

use std::borrow::Cow;

pub use envelope::{MAX_SEALED_BYTES, NONCE_BYTES, SEAL_OVERHEAD_BYTES, SealError, Sealed};
pub use keyring::{Keyring, KeyringError, MAX_SECRETS};
pub use secret::{KeyId, NetworkSecret};

use crate::{
    judge::{Finding, Verdict},
    message::{DecodeError, Message},
    names::Network,
};

/// The bytes of a message, to be judged, and how they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The encoded [`Message`], if it is one.
    pub message: Cow<'a, [u8]>,
    /// Whether it was sealed, so that who passed it on may not have been able to look inside.
    pub was_sealed: bool,
}

impl Opened<'_> {
    /// What gossipsub is told of a message in which this was found. An invalid one in a valid seal is not passed on, and held
    /// against nobody: the sender may be a relay without the key.
    pub fn verdict(&self, finding: &Finding) -> Verdict {
        match finding.verdict() {
            Verdict::Reject if self.was_sealed => Verdict::Ignore,
            verdict => verdict,
        }
    }
}

/// Opens what was received in `network`. With a keyring, only what it opens is a message; without one, only what is in clear,
/// and what is sealed is passed on unread if this node `relays`.
///
/// # Errors
/// The finding, as the table in docs/protocol.md has it.
pub fn open<'a>(
    bytes: &'a [u8],
    network: &Network,
    keyring: Option<&Keyring>,
    relays: bool,
) -> Result<Opened<'a>, Finding> {
    let opened = match keyring {
        Some(keyring) => keyring.open(bytes).map(Some),
        None => match Sealed::decode(bytes, network) {
            Ok(Sealed { key_id, .. }) => {
                return Err(Finding::Sealed {
                    key_id,
                    relayed: relays,
                });
            }
            Err(SealError::Clear) => Ok(None),
            Err(error) => Err(error),
        },
    };
    match opened {
        Ok(Some(message)) => Ok(Opened {
            message: message.into(),
            was_sealed: true,
        }),
        Ok(None) => Ok(Opened {
            message: bytes.into(),
            was_sealed: false,
        }),
        // A clear message of another node is its operator's slip; what is no message at all is what it is everywhere.
        Err(SealError::Clear) => {
            Err(Message::decode(bytes, network).map_or_else(Finding::Malformed, |_| Finding::Unsealed))
        }
        Err(SealError::Oversize(length)) => Err(Finding::Malformed(DecodeError::Oversize(length))),
        Err(SealError::Malformed(what)) => Err(Finding::Malformed(DecodeError::Malformed(what.to_owned()))),
        Err(SealError::UnknownKey { theirs, .. }) => Err(Finding::UnknownKey { theirs }),
        Err(SealError::Forged(key_id)) => Err(Finding::BadSeal(key_id)),
    }
}
