//! What the PriceFetcher is asked; only the Aggregator asks.

use actix::Message;
use quorate_protocol::{Feed, Instant};

/// The one kind of message that goes to the PriceFetcher.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum FetcherMessage {
    /// When the next price should be at hand. The last one said counts.
    FetchFor {
        /// What is priced.
        feed: Feed,
        /// When the answers should be in; in the past: as soon as possible.
        at: Instant,
    },
    /// Fetch soon, for somebody who has just begun to listen has not heard the last price. A fetch under way serves too.
    FetchAnew(Feed),
}
