//! quorate's five actors and their messages: IO and scheduling. What is decided is decided in
//! `quorate-protocol`.

pub mod aggregator;
mod clock;
pub mod db_writer;
pub mod gossip_bridge;
mod histogram;
pub mod price_fetcher;
pub mod signer;

pub use clock::Clock;
pub use histogram::NAMESPACE;
