//! Who may connect: the first behaviour that is asked, so that no other one keeps state for a peer that was turned away.
//!
//! Takes the place of libp2p's connection limits and block list. Those keep an entry for every peer id that was ever
//! connected, and bans without end; ids are free.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished, dummy,
    },
};

use super::{bans::Bans, identity};
use crate::clock::Clock;

/// Connections held at once. A fully connected network of 100 nodes needs 99, twice that for a moment while nodes dial each
/// other; each costs some 50 kB.
const MAX_ESTABLISHED: usize = 512;
/// Of these, how many may come from outside: strangers cannot use up those that the node dials itself.
const MAX_INBOUND: usize = 384;
/// Two, since nodes dial each other at the same moment; the spare one is closed soon after.
const MAX_PER_PEER: usize = 2;
/// Handshakes in progress: a stranger's costs about a millisecond of computing.
const MAX_PENDING: usize = 64;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("banned")]
    Banned,
    #[error(transparent)]
    ForeignKey(#[from] identity::ForeignKey),
    #[error("{MAX_PENDING} handshakes are in progress already")]
    Pending,
    #[error("{MAX_PER_PEER} connections to this peer are open already")]
    PerPeer,
    #[error("{MAX_INBOUND} connections from outside are open already")]
    Inbound,
    #[error("{MAX_ESTABLISHED} connections are open already")]
    Established,
}

pub(super) struct Gate {
    clock: Clock,
    bans: Bans,
    pending_inbound: HashSet<ConnectionId>,
    pending_outbound: HashSet<ConnectionId>,
    /// Whose connection, and whether it came from outside.
    established: HashMap<ConnectionId, (PeerId, bool)>,
}

impl Gate {
    pub(super) fn new(clock: Clock, bans: Bans) -> Self {
        Self {
            clock,
            bans,
            pending_inbound: HashSet::new(),
            pending_outbound: HashSet::new(),
            established: HashMap::new(),
        }
    }

    /// Keeps a peer out from now on; whoever calls closes what is open.
    pub(super) fn ban(&mut self, peer: PeerId) {
        self.bans.ban(peer, self.clock.now());
    }

    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        self.bans.holds(peer, self.clock.now())
    }

    /// The bans, to be kept over a restart.
    pub(super) fn bans(&self) -> &Bans {
        &self.bans
    }

    fn admit(&self, peer: &PeerId, inbound: bool) -> Result<(), Refusal> {
        identity::address(peer)?;
        if self.is_banned(peer) {
            return Err(Refusal::Banned);
        }
        let of_peer = self.established.values().filter(|(other, _)| other == peer);
        if of_peer.count() >= MAX_PER_PEER {
            return Err(Refusal::PerPeer);
        }
        if self.established.len() >= MAX_ESTABLISHED {
            return Err(Refusal::Established);
        }
        let from_outside = self.established.values().filter(|(_, inbound)| *inbound);
        if inbound && from_outside.count() >= MAX_INBOUND {
            return Err(Refusal::Inbound);
        }
        Ok(())
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.pending_inbound.len() >= MAX_PENDING {
            return Err(ConnectionDenied::new(Refusal::Pending));
        }
        self.pending_inbound.insert(connection);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_inbound.remove(&connection);
        self.admit(&peer, true).map_err(ConnectionDenied::new)?;
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
            return Err(ConnectionDenied::new(Refusal::Banned));
        }
        if self.pending_outbound.len() >= MAX_PENDING {
            return Err(ConnectionDenied::new(Refusal::Pending));
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
        self.admit(&peer, false).map_err(ConnectionDenied::new)?;
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
                self.established
                    .insert(connection_id, (peer_id, endpoint.is_listener()));
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

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn peer() -> PeerId {
        Keypair::generate_secp256k1().public().to_peer_id()
    }

    fn gate() -> Gate {
        Gate::new(Clock::system(), Bans::default())
    }

    fn establish(gate: &mut Gate, id: usize, peer: PeerId, inbound: bool) {
        gate.established
            .insert(ConnectionId::new_unchecked(id), (peer, inbound));
    }

    #[tokio::test]
    async fn the_banned_and_those_who_cannot_be_nodes_stay_out() {
        let (mut gate, banned) = (gate(), peer());
        gate.ban(banned);
        assert_eq!(gate.admit(&banned, true), Err(Refusal::Banned));
        assert_eq!(gate.admit(&banned, false), Err(Refusal::Banned));
        let foreign = Keypair::generate_ed25519().public().to_peer_id();
        assert!(matches!(gate.admit(&foreign, true), Err(Refusal::ForeignKey(_))));
        assert_eq!(gate.admit(&peer(), true), Ok(()));
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
        let knock = |gate: &mut Gate, id| {
            gate.handle_pending_inbound_connection(ConnectionId::new_unchecked(id), &here, &here)
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
}
