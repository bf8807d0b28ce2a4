//! Sealed networks: messages that only those who share a secret can read and make.
//!
//! The connections between nodes are encrypted anyway; a seal goes from the node that speaks to every node that has the secret,
//! through relays that have not. A sealed message is an envelope around an encoded [`crate::Message`]; docs/protocol.md
//! describes it. Nothing here knows time or randomness: the nonce is an argument.

mod envelope;
mod keyring;
mod opening;
mod secret;

pub use envelope::{MAX_SEALED_BYTES, NONCE_BYTES, SEAL_OVERHEAD_BYTES, SealError, Sealed};
pub use keyring::{Keyring, KeyringError, MAX_SECRETS};
pub use opening::{Opened, open};
pub use secret::{KeyId, NetworkSecret};
