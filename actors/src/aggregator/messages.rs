//! What the Aggregator is told, grouped by who tells it.

use actix::Message;
use quorate_protocol::{
    Address, Attestation, Committee, Digest, Feed, ProvenEquivocation, VerifiedReport,
    cosign::Refusal,
    judge::Verified,
    rounds::{LastRecord, Quoted, WriteOutcome},
};
use tokio::sync::oneshot;

use super::FeedStatus;

/// The one kind of message that goes to the Aggregator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum AggregatorMessage {
    /// PriceFetcher: what the exchanges agree on.
    Quoted {
        /// What is priced.
        feed: Feed,
        /// The answers, and when the last of them was in.
        quoted: Quoted,
    },

    /// Signer: this node's own report, signed and published.
    OwnReport(VerifiedReport),
    /// Signer: what came of [`SignerMessage::CoSign`](crate::signer::SignerMessage::CoSign).
    CoSigned {
        /// The feed of the observation.
        feed: Feed,
        /// Which observation.
        digest: Digest,
        /// The signature, or why there is none.
        answer: Result<Attestation, Refusal>,
    },

    /// GossipBridge: a message that passed the judge.
    Heard(Verified),
    /// GossipBridge: two messages that cannot both be honest, and nobody has said so yet.
    Contradicted(ProvenEquivocation),
    /// GossipBridge: a peer is connected and listens to the topic.
    PeerUp(Address),
    /// GossipBridge: a peer's last connection is closed, or it no longer listens.
    PeerDown(Address),

    /// DbWriter: what came of [`DbWriterMessage::Write`](crate::db_writer::DbWriterMessage::Write).
    Wrote {
        /// The feed of the certificate.
        feed: Feed,
        /// Which certificate.
        digest: Digest,
        /// What came of it.
        outcome: WriteOutcome,
    },
    /// DbWriter: the answer to [`DbWriterMessage::AskLastRecord`](crate::db_writer::DbWriterMessage::AskLastRecord).
    LastRecordIs {
        /// What is priced.
        feed: Feed,
        /// The last record, `None` if there is none yet; or why there is no answer.
        answer: Result<Option<LastRecord>, String>,
    },

    /// The members file: from now on, others count.
    CommitteeIs(Committee),
    /// The API: how are the feeds? An asker that has gone away is no failure.
    AskStatus(oneshot::Sender<Vec<FeedStatus>>),
}
