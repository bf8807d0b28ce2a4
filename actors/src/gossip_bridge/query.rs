//! What others may ask the bridge.

use actix::{Handler, Message, MessageResult};
use libp2p::{Multiaddr, PeerId};
use quorate_protocol::{Address, Instant};

use super::{GossipBridge, gossip, peers::Via};

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
    /// Whether it is among the few that messages go to directly.
    pub is_in_mesh: bool,
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

impl Handler<ListenAddresses> for GossipBridge {
    type Result = Vec<Multiaddr>;

    fn handle(&mut self, _: ListenAddresses, _: &mut Self::Context) -> Self::Result {
        self.swarm
            .as_ref()
            .map_or_else(Vec::new, |swarm| swarm.listeners().cloned().collect())
    }
}

impl Handler<ConnectedPeers> for GossipBridge {
    type Result = MessageResult<ConnectedPeers>;

    fn handle(&mut self, _: ConnectedPeers, _: &mut Self::Context) -> Self::Result {
        let topic = gossip::topic().hash();
        let mesh: Vec<PeerId> = self.swarm.as_ref().map_or_else(Vec::new, |swarm| {
            swarm
                .behaviour()
                .gossip
                .gossip
                .mesh_peers(&topic)
                .copied()
                .collect()
        });
        let peers = self.peers.iter().filter_map(|(id, peer)| {
            let connection = peer.connections.first()?;
            Some(ConnectedPeer {
                peer: *id,
                address: peer.address,
                is_up: peer.is_up(),
                is_in_mesh: mesh.contains(id),
                connections: peer.connections.len(),
                via: connection.via,
                remote: connection.remote.clone(),
                since: connection.since,
                agent: peer.agent.clone(),
                ping: peer.ping,
            })
        });
        MessageResult(peers.collect())
    }
}
