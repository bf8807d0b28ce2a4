//! Asks exchanges for prices and tells what they agree on: the right price or none. What is asked when, and what an answer
//! means, is decided in `quorate-prices`; here are the timers, the HTTP client and the log.

mod actor;
mod board;
mod client;
mod dial;
mod messages;
mod metrics;
mod probe;
mod shelf;
mod ways_out;

pub use actor::{PriceFetcher, PriceFetcherSettings};
pub use board::{SourceBoard, SourceError, SourceStatus};
pub use client::SIMULATED_HEADER;
pub use dial::Step;
pub use messages::FetcherMessage;
pub use metrics::SourceMeasures;
pub use probe::{Probed, probe, spread};
pub use ways_out::WaysOut;
