//! Wakes connections on which gossipsub would sleep through what it has to send.
//!
//! gossipsub 0.50 has one queue for a peer and a handler for each connection to it. A handler asks to be woken by the queue
//! only once it has a stream of its own, and opens that only when it is polled while the queue holds something. When two
//! nodes dial each other at the same moment, the second connection's handler finds the queue emptied by the first; after the
//! first is closed as spare, nobody is woken, and messages wait for the next ping. So such connections are polled
//! whenever something may have been queued. Remove this when gossipsub wakes all handlers.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse, upgrade::DeniedUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, behaviour::ConnectionEstablished, handler::ConnectionEvent,
    },
};

#[derive(Debug, Default)]
pub(super) struct SecondConnections {
    /// Connections that were made beside another one to the same peer. The gate bounds their number.
    second: BTreeMap<ConnectionId, PeerId>,
    due: VecDeque<(ConnectionId, PeerId)>,
}

impl SecondConnections {
    /// Has those connections polled.
    pub(super) fn wake(&mut self) {
        self.due = self
            .second
            .iter()
            .map(|(connection, peer)| (*connection, *peer))
            .collect();
    }
}

impl NetworkBehaviour for SecondConnections {
    type ConnectionHandler = Woken;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Woken)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Woken)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                other_established,
                ..
            }) if other_established > 0 => {
                self.second.insert(connection_id, peer_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.second.remove(&closed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.due.pop_front() {
            Some((connection, peer_id)) => {
                let handler = NotifyHandler::One(connection);
                Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id,
                    handler,
                    event: Wake,
                })
            }
            None => Poll::Pending,
        }
    }
}

/// Says nothing; its arrival has the whole connection polled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wake;

/// Speaks no protocol.
#[derive(Debug)]
pub(super) struct Woken;

impl ConnectionHandler for Woken {
    type FromBehaviour = Wake;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn on_behaviour_event(&mut self, Wake: Wake) {}

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        Poll::Pending
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
    }
}
