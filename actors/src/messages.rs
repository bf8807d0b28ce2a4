//! What the actors say to each other. Who sends what to whom stands in docs/architecture.md.

use actix::Message;
use quorate_protocol::{Address, Evidence, Feed, Instant, UnixMillis, judge::Verified};

/// PriceFetcher to Signer and Aggregator: what the exchanges said, and when that was complete.
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

/// Signer and Aggregator to GossipBridge: tell the network.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Publish(pub quorate_protocol::Message);

/// GossipBridge to Aggregator: a message from the network that passed the judge.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Heard {
    /// What was said.
    pub verified: Verified,
    /// When it came in, on this node's stopwatch.
    pub seen: Instant,
}

/// GossipBridge to Aggregator: this node is connected and listens to the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerUp(pub Address);

/// GossipBridge to Aggregator: the last connection to this node is closed, or it no longer listens to the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerDown(pub Address);
