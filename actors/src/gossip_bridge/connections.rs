//! Connections that come and go, and who counts as up through them.

use std::{hash::BuildHasher, time::Duration};

use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, identify, ping, swarm::ConnectionId};
use quorate_protocol::Instant;

use super::{
    GossipBridge, admit, behaviour, identity,
    peers::{Connection, Peer, Via},
    roster::News,
    standing::{Ban, Offence},
};
use crate::aggregator::AggregatorMessage;

/// A peer that ends a connection that we made within this has looked at who we are, and not at anything that we said.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Two networks on one wire find each other by multicast.
const OTHER_NETWORK: &str = "it belongs to another network or speaks another version";

impl GossipBridge {
    pub(super) fn on_up(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get(peer)
            && let Some(connection) = known.connections.first()
        {
            let (address, via, remote) = (known.address, connection.via, &connection.remote);
            log::info!("peer found: address={address} peer={peer} via={via} addr={remote}");
        }
        self.strangers.forget_peer(peer);
        self.tell_news();
    }

    pub(super) fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = self.clock.now();
        let found = self.redial.connected(connection, peer, now);
        let via = match endpoint {
            ConnectedPoint::Dialer { .. } => found.unwrap_or(Via::Static),
            ConnectedPoint::Listener { .. } => Via::Inbound,
        };
        // The gate has refused every peer without an address.
        let Ok(address) = identity::address(&peer) else {
            return;
        };
        let remote = endpoint.get_remote_address().clone();
        log::debug!("connected: address={address} peer={peer} via={via} addr={remote}");
        self.peers
            .connected(peer, address, Connection::new(connection, via, remote, now));
    }

    pub(super) fn on_closed(&mut self, peer: &PeerId, connection: ConnectionId, cause: Option<String>) {
        let Some((gone, farewell)) = self.peers.closed(peer, connection) else {
            return;
        };
        let now = self.clock.now();
        self.redial.lost(peer, now, self.jitter.hash_one(connection));
        if farewell == Some(OTHER_NETWORK) || farewell == Some(admit::NO_MEMBER) {
            self.redial.not_for_us(peer, now);
        }
        if farewell.is_none() {
            self.log_if_refused(peer, &gone, now);
        }
        let reason = farewell.map_or_else(
            || cause.unwrap_or_else(|| "it closed the connection".to_owned()),
            str::to_owned,
        );
        let address = gone.address;
        if gone.is_up() {
            log::info!("peer lost: address={address} peer={peer} reason=\"{reason}\"");
        } else {
            log::debug!("disconnected: address={address} peer={peer} reason=\"{reason}\"");
        }
        self.tell_news();
    }

    pub(super) fn on_introduced(&mut self, peer: &PeerId, info: &identify::Info) {
        let ours = behaviour::protocol_version(&self.config.judge.network);
        // Others than quorate's own nodes may call their protocol what they like.
        if info.protocol_version.starts_with(behaviour::PROTOCOL_PREFIX) && info.protocol_version != ours {
            self.disconnect(peer, OTHER_NETWORK);
        } else if self.peers.introduced(peer, Some(&info.agent_version)) {
            self.on_up(peer);
        }
    }

    pub(super) fn on_ping(&mut self, event: &ping::Event) {
        let took = match &event.result {
            Ok(took) => Some(*took),
            Err(ping::Failure::Unsupported) => return,
            Err(_) => None,
        };
        if self.peers.pinged(&event.peer, event.connection, took) {
            self.peers.bid_farewell(&event.peer, "three pings failed");
            self.close_connection(event.connection, "three pings failed");
        }
    }

    pub(super) fn tell_news(&mut self) {
        let up = self.peers.up();
        self.counts.peers(up.len());
        for news in self.roster.news(&up) {
            let message = match news {
                News::Up(address) => AggregatorMessage::PeerUp(address),
                News::Down(address) => AggregatorMessage::PeerDown(address),
            };
            if self.aggregator.try_send(message).is_err() {
                // Its mailbox is full; the next tick tries again.
                return;
            }
            self.roster.told(news);
        }
    }

    pub(super) fn disconnect(&mut self, peer: &PeerId, reason: &'static str) {
        if self.peers.bid_farewell(peer, reason)
            && let Some(swarm) = &mut self.swarm
        {
            let _ = swarm.disconnect_peer_id(*peer);
        }
    }

    pub(super) fn close_connection(&mut self, connection: ConnectionId, reason: &'static str) {
        log::debug!("closing a spare connection: id={connection} reason=\"{reason}\"");
        if let Some(swarm) = &mut self.swarm {
            swarm.close_connection(connection);
        }
    }

    /// Holds something against a peer; whether that was one thing too many, so that it is banned now.
    pub(super) fn offended(&mut self, peer: &PeerId, offence: Offence, reason: &'static str) -> bool {
        let Some(swarm) = &mut self.swarm else {
            return false;
        };
        let Some(Ban { points, lasts }) = swarm.behaviour_mut().gate.offended(*peer, offence) else {
            return false;
        };
        self.counts.banned();
        let (address, seconds) = (show_address(peer), lasts.as_secs());
        log::warn!(
            "peer banned: address={address} peer={peer} reason=\"{reason}\" points={points} for={seconds}s"
        );
        self.disconnect(peer, reason);
        true
    }

    /// Somebody who is no member came, or was dialled: said once for each until the members change.
    pub(super) fn log_stranger(&mut self, peer: PeerId, remote: &Multiaddr) {
        if self.strangers.is_news(peer) {
            let address = show_address(&peer);
            log::warn!(
                "connection refused: address={address} peer={peer} addr={remote} reason=\"not a member\" \
                 remedy=\"add it to the file of --members, if it is one of yours\""
            );
        }
    }

    /// A peer that we dialled and that ended it at once will not have us: said once for each until it does.
    fn log_if_refused(&mut self, peer: &PeerId, gone: &Peer, now: Instant) {
        let Some(since) = gone.last_dialled else { return };
        if !gone.introduced && now.since(since) < AT_ONCE && self.strangers.is_news(*peer) {
            let (theirs, ours) = (gone.address, self.address);
            log::warn!(
                "peer refuses us: address={theirs} peer={peer} our_address={ours} \
                 reason=\"it closed the connection right after the handshake\" \
                 remedy=\"see its log: this node may be missing from its --members, or banned\""
            );
        }
    }
}

pub(super) fn show_address(peer: &PeerId) -> String {
    identity::address(peer).map_or_else(|_| "none".to_owned(), |address| address.to_string())
}
