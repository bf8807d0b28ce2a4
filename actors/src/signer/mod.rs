//! The Signer: the only actor that holds the key. Whatever it signs it publishes.

mod actor;
mod messages;

pub use actor::{Neighbours, Signer};
pub use messages::SignerMessage;
