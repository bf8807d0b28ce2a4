//! What others may ask the bridge.

use actix::Message;
use libp2p::{Multiaddr, PeerId};
use quorate_protocol::{Address, Instant};

use super::peers::Via;

/// Where does the node listen? Actual ports, after port 0 was given; empty while it does not listen yet.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<Multiaddr>")]
pub struct ListenAddresses;

/// Who is connected?
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<ConnectedPeer>")]
pub struct ConnectedPeers;

/// A peer as it is connected now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedPeer {
    /// Its libp2p name.
    pub peer: PeerId,
    /// Its quorate name: both stand for one key.
    pub address: Address,
    /// Whether it is of our network and listens to the topic.
    pub is_up: bool,
    /// Connections to it: two for a moment, when both dialled.
    pub connections: usize,
    /// How it was found.
    pub via: Via,
    /// Where it is, as seen from here.
    pub remote: Multiaddr,
    /// Since when, on this node's stopwatch.
    pub since: Instant,
    /// What it calls its software; cut, printable, not verified.
    pub agent: Option<String>,
    /// How long the last ping took, there and back.
    pub ping: Option<std::time::Duration>,
}
