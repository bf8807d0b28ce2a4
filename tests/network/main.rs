//! Whole networks of the built executable, each node a process of its own: what users, operators and attackers meet.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in tests a panic is the verdict, and standard error is where its circumstances are told"
)]

mod harness;

mod database;
mod ending;
mod failover;
mod hostility;
mod logging;
mod members;
mod metrics;
mod quorum;
mod readiness;
mod records;
mod rest;
mod restart;
mod scorecard;
mod sealed;
mod sources;
mod supervision;
mod treason;
mod twins;
