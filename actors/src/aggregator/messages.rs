//! What the Aggregator is told, grouped by who tells it.

use std::time::Duration;

use actix::Message;
use quorate_protocol::{
    Address, AgreedPrice, Committee, Digest, Feed, LastRecord, ProvenEquivocation, RoundTrace,
    VerifiedReport, WriteOutcome, cosign::Refusal, judge::Verified, rounds::FeedStatus, scorecard::Heard,
};
use tokio::sync::oneshot;

/// The one kind of message that goes to the Aggregator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum AggregatorMessage {
    /// PriceFetcher: what the exchanges agree on.
    Price(AgreedPrice),

    /// Signer: this node's own report, signed and published.
    OwnReport(VerifiedReport),
    /// Signer: what came of [`SignRequest::CoSign`](quorate_protocol::rounds::SignRequest::CoSign).
    CoSigned {
        /// The feed of the observation.
        feed: Feed,
        /// Which observation.
        digest: Digest,
        /// The report with this node's signature, published; or why it was not signed.
        answer: Result<VerifiedReport, Refusal>,
    },

    /// GossipBridge: a message that passed the judge.
    Heard(Verified),
    /// GossipBridge: two messages that cannot both be honest, and nobody has said so yet.
    Contradicted(ProvenEquivocation),
    /// GossipBridge: a peer's own messages are ignored for their time.
    ClockIs {
        /// Whose clock.
        node: Address,
        /// How far it is ahead of this node's, in milliseconds; behind, if negative.
        ahead_ms: i64,
    },
    /// GossipBridge: a peer is connected and listens to the topic.
    PeerUp(Address),
    /// GossipBridge: a peer's last connection is closed, or it no longer listens.
    PeerDown(Address),

    /// DbWriter: what came of [`StoreRequest::Write`](quorate_protocol::rounds::StoreRequest::Write).
    Wrote {
        /// The feed of the certificate.
        feed: Feed,
        /// Which certificate.
        digest: Digest,
        /// What came of it.
        outcome: WriteOutcome,
    },
    /// DbWriter: the answer to [`StoreRequest::LastRecord`](quorate_protocol::rounds::StoreRequest::LastRecord).
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
    /// The API: what happened in the last rounds of this feed, the newest first? Nobody answers for a feed that is none.
    AskRounds(Feed, oneshot::Sender<Vec<RoundTrace>>),
    /// The API: who had a part in the windows of this feed, in the last while or since the start? Likewise.
    AskScorecard(Feed, Option<Duration>, oneshot::Sender<Heard>),
}
