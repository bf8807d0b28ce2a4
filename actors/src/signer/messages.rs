//! What the Signer is asked; only the Aggregator asks.

use actix::Message;
use quorate_protocol::rounds::SignRequest;

/// The one kind of message that goes to the Signer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct SignerMessage(pub SignRequest);
