//! Who may connect: the first behaviour that is asked, so that no other one keeps state for a peer that was turned away.
//!
//! Takes the place of libp2p's connection limits and block list. Those keep an entry for every peer id that was ever
//! connected, and bans without end; ids are free.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::{IpAddr, Ipv6Addr},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished, dummy,
    },
};

use quorate_protocol::Members;

use super::{
    identity,
    metrics::BridgeMetrics,
    score::{Ban, Offence, Scores},
};
use crate::clock::Clock;

/// Connections held at once. A fully connected network of 100 nodes needs 99, twice that for a moment while nodes dial each
/// other; each costs some 50 kB.
const MAX_ESTABLISHED: usize = 512;
/// Of these, how many may come from outside: strangers cannot use up those that the node dials itself.
const MAX_INBOUND: usize = 384;
/// Two, since nodes dial each other at the same moment; the spare one is closed soon after.
const MAX_PER_PEER: usize = 2;
/// Handshakes in progress, those that we began counted apart: a stranger's costs about a millisecond of computing, and one that does
/// not go on ends with [`super::swarm::HANDSHAKE`].
const MAX_PENDING: usize = 256;
/// Of these, how many may come from one address: who opens connections and says nothing keeps out nobody else. As many as the nodes of
/// a large machine that start at once.
const MAX_PENDING_PER_ADDRESS: usize = 32;

/// Why a connection was refused; counted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Refusal {
    #[error("banned")]
    Banned,
    #[error(transparent)]
    ForeignKey(#[from] identity::ForeignKey),
    #[error("not a member")]
    NotMember,
    #[error("{MAX_PENDING} handshakes are in progress already")]
    Pending,
    #[error("{MAX_PENDING_PER_ADDRESS} handshakes with this address are in progress already")]
    PendingPerAddress,
    #[error("{MAX_PER_PEER} connections to this peer are open already")]
    PerPeer,
    #[error("{MAX_INBOUND} connections from outside are open already")]
    Inbound,
    #[error("{MAX_ESTABLISHED} connections are open already")]
    Established,
}

pub(super) struct Gate {
    clock: Clock,
    members: Members,
    scores: Scores,
    metrics: BridgeMetrics,
    /// With the address that it comes from.
    pending_inbound: HashMap<ConnectionId, Option<IpAddr>>,
    pending_outbound: HashSet<ConnectionId>,
    established: HashMap<ConnectionId, Established>,
}

struct Established {
    peer: PeerId,
    is_inbound: bool,
    source: Option<IpAddr>,
}

impl Gate {
    pub(super) fn new(clock: Clock, members: Members, scores: Scores, metrics: BridgeMetrics) -> Self {
        Self {
            clock,
            members,
            scores,
            metrics,
            pending_inbound: HashMap::new(),
            pending_outbound: HashSet::new(),
            established: HashMap::new(),
        }
    }

    /// Notes what a peer did; the ban that begins with it, if one does. Whoever calls closes what is open.
    pub(super) fn offended(&mut self, peer: PeerId, offence: Offence) -> Option<Ban> {
        let mut connections = self.established.values();
        let source = connections
            .find(|connection| connection.peer == peer)
            .and_then(|connection| connection.source);
        // Members cannot make up identities, so nobody answers for another one.
        let source = source.filter(|_| self.is_open());
        self.scores.note(peer, source, offence, self.clock.now())
    }

    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        self.scores.is_banned(peer, self.clock.now())
    }

    /// Whether a peer may be connected, as far as that depends on who it is. Who has no address is no node.
    pub(super) fn admits(&self, peer: &PeerId) -> bool {
        identity::address(peer).is_ok_and(|address| self.members.admit(&address))
    }

    /// These may connect from now on; whoever calls closes what is open.
    pub(super) fn update_members(&mut self, members: Members) {
        self.members = members;
    }

    /// To be kept over a restart.
    pub(super) fn scores(&self) -> &Scores {
        &self.scores
    }

    fn is_open(&self) -> bool {
        self.members.count().is_none()
    }

    fn admit(&self, peer: &PeerId, inbound: bool) -> Result<(), Refusal> {
        identity::address(peer)?;
        if !self.admits(peer) {
            return Err(Refusal::NotMember);
        }
        if self.is_banned(peer) {
            return Err(Refusal::Banned);
        }
        let of_peer = self.established.values().filter(|other| other.peer == *peer);
        if of_peer.count() >= MAX_PER_PEER {
            return Err(Refusal::PerPeer);
        }
        if self.established.len() >= MAX_ESTABLISHED {
            return Err(Refusal::Established);
        }
        let from_outside = self.established.values().filter(|other| other.is_inbound);
        if inbound && from_outside.count() >= MAX_INBOUND {
            return Err(Refusal::Inbound);
        }
        Ok(())
    }

    fn deny(&self, refusal: Refusal) -> ConnectionDenied {
        self.metrics.turned_away(refusal);
        ConnectionDenied::new(refusal)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.pending_inbound.len() >= MAX_PENDING {
            return Err(self.deny(Refusal::Pending));
        }
        let source = source_of(remote);
        let from_there = self.pending_inbound.values().filter(|other| **other == source);
        if from_there.count() >= MAX_PENDING_PER_ADDRESS {
            return Err(self.deny(Refusal::PendingPerAddress));
        }
        self.pending_inbound.insert(connection, source);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_inbound.remove(&connection);
        self.admit(&peer, true).map_err(|refusal| self.deny(refusal))?;
        if let Some(source) = source_of(remote).filter(|_| self.is_open()) {
            self.scores.inherit(peer, source, self.clock.now());
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if peer.is_some_and(|peer| self.is_banned(&peer)) {
            return Err(self.deny(Refusal::Banned));
        }
        if peer.is_some_and(|peer| !self.admits(&peer)) {
            return Err(self.deny(Refusal::NotMember));
        }
        if self.pending_outbound.len() >= MAX_PENDING {
            return Err(self.deny(Refusal::Pending));
        }
        self.pending_outbound.insert(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_outbound.remove(&connection);
        self.admit(&peer, false).map_err(|refusal| self.deny(refusal))?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                let connection = Established {
                    peer: peer_id,
                    is_inbound: endpoint.is_listener(),
                    source: source_of(endpoint.get_remote_address()),
                };
                self.established.insert(connection_id, connection);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.established.remove(&connection_id);
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.pending_outbound.remove(&connection_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending_inbound.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// Where a connection comes from, as far as somebody can be held to it: an IPv4 address, or the network of 64 bits that an IPv6 host
/// has for itself.
pub(super) fn source_of(remote: &Multiaddr) -> Option<IpAddr> {
    match remote.iter().next()? {
        Protocol::Ip4(address) => Some(address.into()),
        Protocol::Ip6(address) => match address.to_ipv4_mapped() {
            Some(address) => Some(address.into()),
            None => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use prometheus::Registry;

    use super::*;
    use crate::gossip_bridge::documented;

    #[test]
    fn the_documented_numbers_are_those_that_count() {
        assert_eq!(documented("connections"), MAX_ESTABLISHED.to_string());
        assert_eq!(documented("connections from outside"), MAX_INBOUND.to_string());
        assert_eq!(documented("connections to one peer"), MAX_PER_PEER.to_string());
        assert_eq!(documented("handshakes at a time"), MAX_PENDING.to_string());
        assert_eq!(
            documented("handshakes with one address"),
            MAX_PENDING_PER_ADDRESS.to_string()
        );
    }

    fn peer() -> PeerId {
        Keypair::generate_secp256k1().public().to_peer_id()
    }

    fn gate() -> Gate {
        gate_of(Members::Open)
    }

    fn gate_of(members: Members) -> Gate {
        let metrics = BridgeMetrics::new(&Registry::new()).unwrap();
        Gate::new(Clock::system(), members, Scores::default(), metrics)
    }

    fn establish(gate: &mut Gate, id: usize, peer: PeerId, inbound: bool) {
        let connection = Established {
            peer,
            is_inbound: inbound,
            source: None,
        };
        gate.established
            .insert(ConnectionId::new_unchecked(id), connection);
    }

    #[tokio::test]
    async fn the_banned_and_those_who_cannot_be_nodes_stay_out() {
        let (mut gate, banned) = (gate(), peer());
        assert!(gate.offended(banned, Offence::Flood).is_some());
        assert_eq!(gate.admit(&banned, true), Err(Refusal::Banned));
        assert_eq!(gate.admit(&banned, false), Err(Refusal::Banned));
        let foreign = Keypair::generate_ed25519().public().to_peer_id();
        assert!(matches!(gate.admit(&foreign, true), Err(Refusal::ForeignKey(_))));
        assert_eq!(gate.admit(&peer(), true), Ok(()));
    }

    #[tokio::test]
    async fn in_a_network_of_members_only_they_come_in_by_either_side() {
        let (member, stranger) = (peer(), peer());
        let members = |peer: &PeerId| Members::Closed([identity::address(peer).unwrap()].into());
        let mut gate = gate_of(members(&member));
        for inbound in [true, false] {
            assert_eq!(gate.admit(&member, inbound), Ok(()));
            assert_eq!(gate.admit(&stranger, inbound), Err(Refusal::NotMember));
        }
        gate.update_members(members(&stranger));
        assert_eq!(gate.admit(&member, true), Err(Refusal::NotMember));
        assert_eq!(gate.admit(&stranger, true), Ok(()));
    }

    #[tokio::test]
    async fn who_is_turned_away_is_counted_by_the_reason() {
        let (mut gate, here) = (gate_of(Members::Closed([].into())), Multiaddr::empty());
        let id = ConnectionId::new_unchecked(1);
        assert!(
            gate.handle_established_inbound_connection(id, peer(), &here, &here)
                .is_err()
        );
        let dial = |gate: &mut Gate| {
            gate.handle_pending_outbound_connection(id, Some(peer()), &[], Endpoint::Dialer)
        };
        assert!(dial(&mut gate).is_err());
        assert_eq!(
            gate.metrics.turned_away.with_label_values(&["not_member"]).get(),
            2
        );
        assert!(!gate.is_banned(&peer()), "it is no offence");
    }

    #[tokio::test]
    async fn a_peer_has_two_connections_at_most() {
        let (mut gate, twin) = (gate(), peer());
        establish(&mut gate, 0, twin, true);
        assert_eq!(gate.admit(&twin, false), Ok(()));
        establish(&mut gate, 1, twin, false);
        assert_eq!(gate.admit(&twin, true), Err(Refusal::PerPeer));
    }

    #[tokio::test]
    async fn strangers_cannot_use_up_the_connections_that_we_open() {
        let mut gate = gate();
        for id in 0..MAX_INBOUND {
            establish(&mut gate, id, PeerId::random(), true);
        }
        assert_eq!(gate.admit(&peer(), true), Err(Refusal::Inbound));
        assert_eq!(gate.admit(&peer(), false), Ok(()));
        for id in MAX_INBOUND..MAX_ESTABLISHED {
            establish(&mut gate, id, PeerId::random(), false);
        }
        assert_eq!(gate.admit(&peer(), false), Err(Refusal::Established));
    }

    #[tokio::test]
    async fn handshakes_in_progress_are_bounded_and_forgotten_when_they_end() {
        let (mut gate, here) = (gate(), Multiaddr::empty());
        let knock = |gate: &mut Gate, id: usize| {
            let from = format!("/ip4/10.0.0.{}/tcp/1", id / MAX_PENDING_PER_ADDRESS)
                .parse()
                .unwrap();
            gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &here, &from)
        };
        for id in 0..MAX_PENDING {
            assert!(knock(&mut gate, id).is_ok());
        }
        assert!(knock(&mut gate, MAX_PENDING).is_err());
        // One gets through, one is refused for what it is: both make room.
        let foreign = Keypair::generate_ed25519().public().to_peer_id();
        for (id, peer) in [(0, peer()), (1, foreign)] {
            let id = ConnectionId::new_unchecked(id);
            let _ = gate.handle_established_inbound_connection(id, peer, &here, &here);
        }
        assert_eq!(gate.pending_inbound.len(), MAX_PENDING - 2);
    }

    #[tokio::test]
    async fn who_opens_connections_and_says_nothing_keeps_nobody_else_out() {
        let (mut gate, here) = (gate(), Multiaddr::empty());
        let mut id = 0;
        let mut knock = |gate: &mut Gate, from: &str| {
            id += 1;
            let (connection, from) = (ConnectionId::new_unchecked(id), from.parse().unwrap());
            gate.handle_pending_inbound_connection(connection, &here, &from)
        };
        for _ in 0..MAX_PENDING_PER_ADDRESS {
            assert!(knock(&mut gate, "/ip6/2001:db8::1/tcp/1").is_ok());
        }
        assert!(
            knock(&mut gate, "/ip6/2001:db8::2/tcp/1").is_err(),
            "the same host"
        );
        assert!(knock(&mut gate, "/ip6/2001:db8:0:1::1/tcp/1").is_ok());
        assert!(knock(&mut gate, "/ip4/10.0.0.1/tcp/1").is_ok());
        let refused = gate
            .metrics
            .turned_away
            .with_label_values(&["pending_per_address"]);
        assert_eq!(refused.get(), 1);
    }

    #[tokio::test]
    async fn a_new_identity_answers_for_its_address_in_an_open_network_only() {
        let here: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let (banned, newcomer) = (peer(), peer());
        let address = |peer: &PeerId| identity::address(peer).unwrap();
        let closed = Members::Closed([address(&banned), address(&newcomer)].into());
        for (members, answers) in [(Members::Open, true), (closed, false)] {
            let mut gate = gate_of(members);
            let connection = Established {
                peer: banned,
                is_inbound: true,
                source: source_of(&here),
            };
            gate.established
                .insert(ConnectionId::new_unchecked(1), connection);
            assert!(gate.offended(banned, Offence::Flood).is_some());
            let id = ConnectionId::new_unchecked(2);
            let admitted = gate.handle_established_inbound_connection(id, newcomer, &here, &here);
            assert!(admitted.is_ok());
            assert_eq!(gate.offended(newcomer, Offence::Rejected).is_some(), answers);
        }
    }
}
