//! The GossipBridge: the node's connections to the others. It publishes what the node says, and judges what others say before
//! it reaches the Aggregator or anybody else.
//!
//! - `actor` and `messages`: the actor's loop, and what it is told and asked.
//! - `inbound` and `outbound`: a message's way in and its way out.
//! - `connections`: what the swarm reports, with `dialling` and `listeners`.
//! - `swarm`, `gossip`, `gate`, `frames`, `streams`, `second_connections`: what libp2p is configured to and taught.
//! - Policy that sees no swarm: `peers` (who is up, and which connections are too many), `dial_queue` (whom to dial when),
//!   `rate_limit` (how much one may send), `score` (who is banned, and for how long), `duplicate_key` (whether another node has
//!   our key), `late_clocks` (whose clock is off), `log_limit` (how often the network can make us log).

mod actor;
mod config;
mod connections;
mod dial_queue;
mod dialling;
mod duplicate_key;
mod frames;
mod gate;
mod gossip;
pub mod identity;
mod inbound;
mod late_clocks;
mod listeners;
mod log_limit;
mod messages;
mod metrics;
mod outbound;
mod peers;
mod rate_limit;
mod score;
mod second_connections;
mod streams;
mod swarm;

pub use actor::GossipBridge;
pub use config::{BridgeConfig, DnsPeers, ParseDnsPeersError};
pub use gossip::TOPIC;
pub use messages::{BridgeMessage, BridgeStatus, ConnectedPeer};
pub use metrics::{ACCEPTED, BridgeMetrics};
pub use peers::Via;
pub use swarm::protocol_version;

/// The number that a table of docs/architecture.md has for this.
#[cfg(test)]
fn documented(what: &str) -> &'static str {
    let text = include_str!("../../../docs/architecture.md");
    let rows = text
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim));
    let mut found = rows.filter_map(|mut row| (row.next()? == what).then(|| row.next())?);
    found.next().unwrap_or_default()
}
