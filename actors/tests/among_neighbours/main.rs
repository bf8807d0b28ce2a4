//! The Signer, the Aggregator and the DbWriter, each among neighbours that write down what they are told. Signer and Aggregator
//! run in paused time on one thread; the DbWriter in real time against a Postgres of its own.
#![expect(clippy::unwrap_used, reason = "a failure is the test's result")]

mod aggregator;
mod db_writer;
mod neighbours;
mod reports;
mod running;
mod signer;
