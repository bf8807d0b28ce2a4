//! The Aggregator: keeps the rounds of each feed. It hands messages, answers and time to [`quorate_protocol::rounds`], and
//! carries out what is decided there.

mod actor;
mod measures;
mod messages;
mod notes;

pub use actor::{Aggregator, Neighbours};
pub use measures::AggregatorMeasures;
pub use messages::AggregatorMessage;
