//! What the actors say to each other. Who sends what to whom stands in docs/architecture.md.

use actix::Message;
use quorate_protocol::{
    Address, Attestation, Certificate, Committee, Digest, Evidence, Feed, Heartbeat, Instant, Observation,
    ProvenEquivocation, UnixMillis, VerifiedReport,
    cosign::Refusal,
    judge::Verified,
    rounds::{LastRecord, Quoted, WriteOutcome},
};

/// PriceFetcher to Aggregator: what the exchanges said, and when that was complete.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Observed {
    /// What is priced.
    pub feed: Feed,
    /// When the last answer was in, by this node's calendar.
    pub observed_at: UnixMillis,
    /// The same moment on the stopwatch.
    pub observed_instant: Instant,
    /// The answers; the price is their median.
    pub evidence: Evidence,
}

/// Aggregator to PriceFetcher: when the next price should be at hand. The last one said counts.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct FetchFor {
    /// What is priced.
    pub feed: Feed,
    /// When the answers should be in; in the past: as soon as possible.
    pub at: Instant,
}

/// Aggregator to PriceFetcher: fetch soon, for somebody who has just begun to listen has not heard the last price. A fetch
/// under way serves too.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct FetchAnew {
    /// What is priced.
    pub feed: Feed,
}

/// Aggregator to Signer: put this node's name to what the exchanges said.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct State {
    /// What is priced.
    pub feed: Feed,
    /// The answers, and when they were in.
    pub quoted: Quoted,
}

/// Signer to Aggregator: this node's own report, signed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct OwnReport(pub VerifiedReport);

/// Aggregator to Signer: vouch for this observation.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CoSign {
    /// What to sign.
    pub observation: Observation,
    /// Its digest, for the answer; the signer computes it anew.
    pub digest: Digest,
}

/// Signer to Aggregator: the answer to [`CoSign`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct CoSigned {
    /// The feed of the observation.
    pub feed: Feed,
    /// Which observation.
    pub digest: Digest,
    /// The signature, or why there is none.
    pub answer: Result<Attestation, Refusal>,
}

/// Aggregator to Signer: tell the network that we wrote this.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Announce {
    /// What was written.
    pub certificate: Certificate,
    /// When, by the database's clock.
    pub written_at: UnixMillis,
}

/// Aggregator to Signer: sign this sign of life and send it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Beat(pub Heartbeat);

/// Aggregator to Signer: tell the network why this node does not sign an observation.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Object {
    /// The observation's digest.
    pub digest: Digest,
    /// Whose observation it is.
    pub observer: Address,
    /// The name of the reason.
    pub reason: &'static str,
}

/// Signer and Aggregator to GossipBridge: send this to the network.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Publish(pub quorate_protocol::Message);

/// GossipBridge to Aggregator: a message that passed the judge.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Heard {
    /// What was heard.
    pub verified: Verified,
    /// When, on the stopwatch.
    pub seen: Instant,
}

/// GossipBridge to Aggregator: two messages that cannot both be honest, and nobody has said so yet.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Contradicted(pub ProvenEquivocation);

/// To GossipBridge, Aggregator and DbWriter: from now on, others count.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CommitteeIs(pub Committee);

/// GossipBridge to Aggregator: a peer is connected and listens to the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerUp(pub Address);

/// GossipBridge to Aggregator: a peer's last connection is closed, or it no longer listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerDown(pub Address);

/// Aggregator to DbWriter: write this certificate.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Write(pub Certificate);

/// Aggregator to DbWriter: keep this proof.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct KeepEvidence(pub ProvenEquivocation);

/// DbWriter to Aggregator: what came of a [`Write`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Wrote {
    /// The feed of the certificate.
    pub feed: Feed,
    /// Which certificate.
    pub digest: Digest,
    /// What came of it.
    pub outcome: WriteOutcome,
}

/// Aggregator to DbWriter: what is the last record of this feed?
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct AskLastRecord(pub Feed);

/// DbWriter to Aggregator: the answer to [`AskLastRecord`], or why there is none.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct LastRecordIs {
    /// What is priced.
    pub feed: Feed,
    /// The last record, `None` if there is none yet.
    pub answer: Result<Option<LastRecord>, String>,
}
