//! For tests only: what several of them need to set the scene.
//!
//! - [`builders`]: keys, prices, observations, reports, certificates, committees.
//! - `archive` (feature): records as `quorate verify` reads them.
//! - [`history`]: the records that a network would have written.
//! - [`wait`]: conditions with a deadline, in place of sleeping and hoping.
//! - `port`: ports that nobody else takes.
//! - `postgres` (feature): a private server, and a database of each test's own.
//! - `hostile` and `raw_peer` (feature `hostile`): libp2p peers that keep to no rule of ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[cfg(feature = "archive")]
pub mod archive;
pub mod builders;
pub mod history;
#[cfg(feature = "hostile")]
pub mod hostile;
pub mod port;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "hostile")]
pub mod raw_peer;
pub mod wait;
