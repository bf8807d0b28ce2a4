//! What the PriceFetcher is asked; only the Aggregator asks.

use actix::Message;
use quorate_protocol::rounds::FetchRequest;

/// The one kind of message that goes to the PriceFetcher.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct FetcherMessage(pub FetchRequest);
