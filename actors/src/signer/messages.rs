//! What the Signer is asked; only the Aggregator asks.

use actix::Message;
use quorate_protocol::{
    Address, Certificate, Digest, Feed, Heartbeat, Observation, UnixMillis, rounds::Quoted,
};

/// The one kind of message that goes to the Signer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum SignerMessage {
    /// State what the exchanges agree on as this node's observation.
    State {
        /// What is priced.
        feed: Feed,
        /// The answers, and when they were in.
        quoted: Quoted,
    },
    /// Vouch for this observation.
    CoSign {
        /// What to sign.
        observation: Observation,
        /// Its digest, for the answer; the signer computes it anew.
        digest: Digest,
    },
    /// Tell the network that we wrote this.
    Announce {
        /// What was written.
        certificate: Certificate,
        /// When, by the database's clock.
        written_at: UnixMillis,
    },
    /// Tell the network why this node does not sign an observation.
    Object {
        /// The observation's digest.
        digest: Digest,
        /// Whose observation it is.
        observer: Address,
        /// The name of the reason.
        reason: &'static str,
    },
    /// Sign this sign of life and send it.
    Beat(Heartbeat),
}
