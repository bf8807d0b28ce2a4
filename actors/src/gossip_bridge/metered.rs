//! gossipsub behind a meter: what a peer sends too much is dropped before gossipsub reads it.
//!
//! The meter stands here and not at the messages that gossipsub hands out, because repeated copies, control messages and
//! messages to other topics would never come that far.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};
use quorate_protocol::judge::Finding;

use super::{
    counts::Counts,
    gossip::Gossip,
    throttle::{Admission, Throttle},
};
use crate::clock::Clock;

/// What comes out of the meter.
#[derive(Debug)]
pub(super) enum MeteredEvent {
    /// gossipsub's own event.
    Gossip(libp2p::gossipsub::Event),
    /// A peer has sent so much too much that it should go.
    Flood(PeerId),
}

pub(super) struct Metered {
    pub(super) gossip: Gossip,
    throttle: Throttle,
    clock: Clock,
    counts: Arc<Counts>,
    /// One entry a flood, taken out at the next poll.
    floods: VecDeque<PeerId>,
}

impl Metered {
    pub(super) fn new(gossip: Gossip, clock: Clock, counts: Arc<Counts>) -> Self {
        Self {
            gossip,
            throttle: Throttle::default(),
            clock,
            counts,
            floods: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Metered {
    type ConnectionHandler = <Gossip as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = MeteredEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.gossip
            .handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.gossip
            .handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match self.throttle.take(peer, self.clock.now()) {
            Admission::Pass => self.gossip.on_connection_handler_event(peer, connection, event),
            Admission::Drop => self.counts.refused(&Finding::Overload),
            Admission::Flood => {
                self.counts.refused(&Finding::Overload);
                self.floods.push_back(peer);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer) = self.floods.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(MeteredEvent::Flood(peer)));
        }
        self.gossip
            .poll(cx)
            .map(|event| event.map_out(MeteredEvent::Gossip))
    }
}
