//! What the GossipBridge is told and asked, grouped by who does.

use std::time::Duration;

use actix::Message;
use libp2p::{Multiaddr, PeerId};
use quorate_protocol::{
    Address, Committee, Instant,
    seal::{KeyId, Keyring},
};
use tokio::sync::oneshot;

use super::peers::Via;

/// The one kind of message that goes to the GossipBridge.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum BridgeMessage {
    /// Signer, and Aggregator for what needs no signature of this node: send this to the network.
    Publish(quorate_protocol::Message),

    /// The members file: from now on, others count.
    CommitteeIs(Committee),
    /// The members file: members listen here from now on, and no more where they did before.
    EndpointsAre(Vec<Multiaddr>),

    /// The file of the network secret: seal and open with these from now on.
    KeyringIs(Keyring),

    /// Whoever wants to know: who is connected? An asker that has gone away is no failure.
    AskStatus(oneshot::Sender<BridgeStatus>),
}

/// How the bridge is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BridgeStatus {
    /// Where the node listens, with actual ports after port 0 was given; empty while it does not listen yet.
    pub listening: Vec<Multiaddr>,
    /// Who is connected.
    pub peers: Vec<ConnectedPeer>,
    /// This node's keys, the one that seals first; empty if messages go in clear.
    pub key_ids: Vec<KeyId>,
    /// The last key that a message was sealed with and this node has not, and when that was heard. Forgotten when the keys
    /// change.
    pub foreign_key: Option<(KeyId, Instant)>,
}

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
    pub ping: Option<Duration>,
}
