//! The swarm and what it reports: connections that come and go, who counts as up through them, and who is shown out.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::ConnectedPoint,
    gossipsub::{self, MessageAcceptance, MessageId},
    identify,
    identity::Keypair,
    multiaddr::Protocol,
    ping,
    swarm::{ConnectionId, ListenError, SwarmEvent},
};
use quorate_protocol::{
    Instant, Members,
    judge::{Finding, Verdict},
};

use super::{
    config::{BridgeConfig, DnsPeers},
    dialling::{Answered, Dialler, with_causes},
    duplicate_key::{self, DuplicateKey},
    frames::{FrameFault, LimitedEvent},
    gate::Refusal,
    gossip::Gossipsub,
    identity,
    inbound::Inbound,
    listeners::{self, Listeners},
    log_limit::{LogLimit, OncePerPeer},
    messages::ConnectedPeer,
    metrics::BridgeMetrics,
    peers::{Close, Connection, Peer, Peers, Via},
    score::{Ban, Offence, Scores},
    swarm::{self, Behaviour, BehaviourEvent, BuildError},
};
use crate::clock::Clock;

/// Between two looks at what is due by the clock while something is under way: as fine as the shortest pause before a redial.
const LOOK: Duration = Duration::from_millis(250);
/// The same while everybody is up and nobody is to be dialled. What happens meanwhile is looked at at once; this is for peers that
/// fall silent, and for a ban that is over.
const LOOK_AT_REST: Duration = Duration::from_secs(10);
/// A peer that ends a connection that we made within this has looked at who we are, and not at anything that we said.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Two networks on one wire find each other by multicast.
const OTHER_NETWORK: &str = "it belongs to another network or speaks another version";
/// Why a connection that stood is closed when the members change.
const NO_MEMBER: &str = "it is no member any more";

/// Everything that ends with the swarm.
pub(super) struct Connections {
    swarm: Swarm<Behaviour>,
    listeners: Listeners,
    dialler: Dialler,
    peers: Peers,
    clock: Clock,
    metrics: BridgeMetrics,
    /// What nodes of this network call their protocol.
    protocol_version: String,
    /// Whether anything happened since this was last asked, as that somebody came up: there may be something to tell, and the next look may
    /// be due earlier.
    stirred: bool,
    /// Who was turned away, or turned us away.
    strangers: OncePerPeer,
    duplicate_key: DuplicateKey,
    own_key: LogLimit,
    refused_frames: LogLimit,
    own_key_dials: Arc<AtomicU64>,
}

impl Connections {
    /// Neither listens nor dials before the first [`Connections::tick`].
    ///
    /// # Errors
    /// libp2p refuses what it is configured to.
    pub(super) fn new(
        config: &BridgeConfig,
        keypair: &Keypair,
        clock: Clock,
        scores: Scores,
        metrics: BridgeMetrics,
    ) -> Result<Self, BuildError> {
        let local = keypair.public().to_peer_id();
        let own_key_dials = Arc::default();
        Ok(Self {
            swarm: swarm::build(config, keypair, clock, scores, &metrics, &own_key_dials)?,
            listeners: Listeners::new(config.listen.clone()),
            dialler: Dialler::new(local, config, clock.now()),
            peers: Peers::new(local),
            clock,
            metrics,
            protocol_version: swarm::protocol_version(&config.judge.network),
            stirred: false,
            strangers: OncePerPeer::default(),
            duplicate_key: DuplicateKey::default(),
            own_key: LogLimit::default(),
            refused_frames: LogLimit::default(),
            own_key_dials,
        })
    }

    /// To be polled for events, each of which belongs to [`Connections::on_event`].
    pub(super) fn swarm(&mut self) -> &mut Swarm<Behaviour> {
        &mut self.swarm
    }

    /// For a message of this node. Whoever publishes by it then calls [`Connections::wake`].
    pub(super) fn gossip(&mut self) -> &mut Gossipsub {
        &mut self.swarm.behaviour_mut().gossip.gossip
    }

    /// Something may have been queued for peers.
    pub(super) fn wake(&mut self) {
        self.swarm.behaviour_mut().second_connections.wake();
    }

    /// To be kept for a later start.
    pub(super) fn scores(&self) -> Scores {
        self.swarm.behaviour().gate.scores().clone()
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether, since this was last asked, anything happened that may be news, or make the next look due earlier.
    pub(super) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// How long until [`Connections::tick`] has something to do.
    pub(super) fn next_look(&self) -> Duration {
        if !self.listeners.are_open() || !self.peers.are_settled() {
            return LOOK;
        }
        let due = self.dialler.next_due(&self.swarm, &self.peers);
        let wait = due.map_or(LOOK_AT_REST, |due| due.since(self.clock.now()));
        wait.clamp(LOOK, LOOK_AT_REST)
    }

    /// Addresses that the node listens on, with their actual ports.
    pub(super) fn listening(&self) -> Vec<Multiaddr> {
        self.swarm.listeners().cloned().collect()
    }

    /// Every peer as it is connected now.
    pub(super) fn connected_peers(&self) -> Vec<ConnectedPeer> {
        let peers = self.peers.iter().filter_map(|(id, peer)| {
            let connection = peer.connections.first()?;
            Some(ConnectedPeer {
                peer: *id,
                address: peer.address,
                is_up: peer.is_up(),
                connections: peer.connections.len(),
                via: connection.via,
                remote: connection.remote.clone(),
                since: connection.since,
                agent: peer.agent.clone(),
                ping: peer.ping,
            })
        });
        peers.collect()
    }

    /// What is due by the clock.
    ///
    /// # Errors
    /// An address cannot be listened on, and not for a moment only.
    pub(super) fn tick(&mut self) -> Result<(), listeners::ListenFailure> {
        let now = self.clock.now();
        // For what gossipsub sends by itself: grafts, and what it tells of messages.
        self.wake();
        self.listeners.open(|address| self.swarm.listen_on(address))?;
        self.dial_due();
        let gossip = &self.swarm.behaviour().gossip;
        self.peers.spoke(|connection| gossip.last_word(connection));
        for (close, reason) in self.peers.overdue(now) {
            match close {
                Close::Spare(id) => self.close_connection(id, reason),
                Close::Peer(peer) => self.disconnect(&peer, reason),
            }
        }
        for _ in 0..self.own_key_dials.swap(0, Relaxed) {
            self.duplicate_key.we_were_dialled(now);
        }
        if self.duplicate_key.is_used_elsewhere(now) {
            self.metrics.found(&Finding::OurKey);
            duplicate_key::log(&mut self.own_key, "a connection", now);
        }
        let told = self.peers.up().len();
        self.metrics.mesh_peers.set(told.try_into().unwrap_or(i64::MAX));
        let listening = self.swarm.listeners().count();
        self.metrics
            .listening_addresses
            .set(listening.try_into().unwrap_or(i64::MAX));
        Ok(())
    }

    fn dial_due(&mut self) {
        self.dialler
            .dial_due(&mut self.swarm, &self.peers, self.clock.now());
    }

    /// Connections of those who do not count any more are closed, and those who now do may come at once.
    pub(super) fn set_members(&mut self, members: Members) {
        let gate = &mut self.swarm.behaviour_mut().gate;
        gate.update_members(members);
        let peers = self.peers.iter().map(|(peer, _)| *peer);
        let gone: Vec<PeerId> = peers.filter(|peer| !gate.admits(peer)).collect();
        for peer in &gone {
            self.disconnect(peer, NO_MEMBER);
        }
        self.strangers.forget_all();
        self.dialler.queue.all_are_due(self.clock.now());
        self.dial_due();
    }

    /// Members listen here from now on, and no more where they did before.
    pub(super) fn set_endpoints(&mut self, endpoints: &[Multiaddr]) {
        self.dialler.queue.listed(endpoints, self.clock.now());
        self.dial_due();
    }

    /// A look-up of a name is done, after so many failures in a row; how many it is now.
    pub(super) fn resolved(
        &mut self,
        name: &DnsPeers,
        found: io::Result<Vec<Multiaddr>>,
        failures: u32,
    ) -> u32 {
        let failures = self.dialler.resolved(name, found, failures, self.clock.now());
        self.dial_due();
        failures
    }

    /// Takes what the swarm reports. Messages go to `inbound`.
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>, inbound: &mut Inbound) {
        self.stirred |= !is_routine(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event, inbound),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => self.on_closed(&peer_id, connection_id, cause.map(|cause| cause.to_string())),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                peer_id,
            } => {
                let now = self.clock.now();
                match self.dialler.failed(connection_id, peer_id, &error, now) {
                    Answered::OwnKey => self.duplicate_key.we_dialled(now),
                    Answered::Stranger(peer, address) => self.log_stranger(peer, &address),
                    Answered::Nobody => {}
                }
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                peer_id,
                ..
            } => self.on_refused(peer_id, &send_back_addr, &error),
            SwarmEvent::NewListenAddr { address, .. } => log::info!("listening: address={address}"),
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => {
                let reason = reason.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
                log::warn!("listener closed, it will be opened again: reason=\"{reason}\"");
                // At the next tick.
                self.listeners.closed(listener_id);
            }
            SwarmEvent::ListenerError { error, .. } => log::debug!("listener error: reason=\"{error}\""),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent, inbound: &mut Inbound) {
        match event {
            BehaviourEvent::Gossip(LimitedEvent::Gossip(event)) => self.on_gossip(event, inbound),
            BehaviourEvent::Gossip(LimitedEvent::Flood(peer)) => {
                self.offended(&peer, Offence::Flood, "a flood of messages");
            }
            BehaviourEvent::Gossip(LimitedEvent::Refused(peer, fault)) => self.on_frame_refused(&peer, fault),
            BehaviourEvent::Gossip(LimitedEvent::Introduces(peer, connection)) => {
                self.peers.introduces(&peer, connection);
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_introduced(&peer_id, &info);
            }
            // Without identify there is nothing to tell networks apart by but the messages themselves.
            BehaviourEvent::Identify(identify::Event::Error { peer_id, .. }) => {
                if self.peers.introduced(&peer_id, None) {
                    self.on_up(&peer_id);
                }
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::SecondConnections(never) => match never {},
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Mdns(event) => {
                self.dialler.on_mdns(event, self.clock.now());
                self.dial_due();
            }
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event, inbound: &mut Inbound) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let verdict = inbound.receive(&propagation_source, &message.data);
                self.on_verdict(&propagation_source, &message_id, verdict);
            }
            gossipsub::Event::Subscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, true) {
                    self.on_up(&peer_id);
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, false) {
                    let address = show_address(&peer_id);
                    log::info!("peer lost: address={address} reason=\"it unsubscribed\"");
                }
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                self.disconnect(&peer_id, "it does not speak gossipsub");
                self.dialler.queue.not_for_us(&peer_id, self.clock.now());
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => log::debug!("peer is slow: peer={peer_id}"),
        }
    }

    /// A message was judged: gossipsub passes it on, or does not, and who brought it answers for it.
    fn on_verdict(&mut self, from: &PeerId, id: &MessageId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        self.gossip()
            .report_message_validation_result(id, from, acceptance);
        self.wake();
        if verdict == Verdict::Reject && self.offended(from, Offence::Rejected, "too many invalid messages") {
            return;
        }
        if self.peers.lost_its_subscription(from, self.clock.now()) {
            self.disconnect(from, "its subscription was lost; connecting anew");
        }
    }

    /// A frame came that no node sends.
    fn on_frame_refused(&mut self, peer: &PeerId, fault: FrameFault) {
        let label: &str = fault.into();
        log::debug!("frame refused: peer={peer} reason={label}");
        if let Some(count) = self.refused_frames.count(self.clock.now()) {
            let peer = identity::shown(peer);
            log::warn!("frames refused: count={count} last_peer={peer} last_reason={label}");
        }
        if fault == FrameFault::Unreadable {
            self.offended(peer, Offence::Unreadable, "too many frames that cannot be read");
            // gossipsub hears nothing more on this connection.
            self.disconnect(peer, "it sent a frame that cannot be read");
        } else {
            self.offended(peer, Offence::Rejected, "too many frames that no node sends");
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = self.clock.now();
        let found = self.dialler.queue.connected(connection, peer, now);
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

    fn on_introduced(&mut self, peer: &PeerId, info: &identify::Info) {
        // Others than quorate's own nodes may call their protocol what they like.
        let is_node = info.protocol_version.starts_with(swarm::PROTOCOL_PREFIX);
        if is_node && info.protocol_version != self.protocol_version {
            self.disconnect(peer, OTHER_NETWORK);
        } else if self.peers.introduced(peer, Some(&info.agent_version)) {
            self.on_up(peer);
        }
    }

    fn on_up(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get(peer)
            && let Some(connection) = known.connections.first()
        {
            let (address, via, remote) = (known.address, connection.via, &connection.remote);
            // Its PeerId stands in the line of its connection, at debug: the address is the same key.
            let remote: Multiaddr = remote
                .iter()
                .filter(|part| !matches!(part, Protocol::P2p(_)))
                .collect();
            log::info!("peer found: address={address} via={via} addr={remote}");
        }
        self.strangers.forget(peer);
    }

    fn on_ping(&mut self, event: &ping::Event) {
        let (peer, connection) = (&event.peer, event.connection);
        match event.result {
            Ok(took) => self.peers.answered(peer, connection, took, self.clock.now()),
            Err(ping::Failure::Unsupported) => self.peers.knows_no_pings(peer, connection),
            // What is not answered shows by the time that passes.
            Err(_) => {}
        }
    }

    fn on_closed(&mut self, peer: &PeerId, connection: ConnectionId, cause: Option<String>) {
        let Some((gone, ours)) = self.peers.closed(peer, connection) else {
            return;
        };
        let now = self.clock.now();
        self.dialler.lost(peer, connection, now);
        if ours == Some(OTHER_NETWORK) || ours == Some(NO_MEMBER) {
            self.dialler.queue.not_for_us(peer, now);
        }
        if ours.is_none() {
            self.log_if_refused(peer, &gone, now);
        }
        let reason = ours.map_or_else(
            || cause.unwrap_or_else(|| "it closed the connection".to_owned()),
            str::to_owned,
        );
        let address = gone.address;
        if gone.is_up() {
            log::info!("peer lost: address={address} reason=\"{reason}\"");
        } else {
            log::debug!("disconnected: address={address} peer={peer} reason=\"{reason}\"");
        }
    }

    fn on_refused(&mut self, peer: Option<PeerId>, remote: &Multiaddr, error: &ListenError) {
        if let (Some(peer), ListenError::Denied { cause }) = (peer, error)
            && cause.downcast_ref() == Some(&Refusal::NotMember)
        {
            self.log_stranger(peer, remote);
        }
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        let reason = with_causes(error);
        log::debug!("connection refused: addr={remote} peer={peer} reason=\"{reason}\"");
    }

    fn disconnect(&mut self, peer: &PeerId, reason: &'static str) {
        if self.peers.closing(peer, reason) {
            // It fails if there is nothing to close.
            let _ = self.swarm.disconnect_peer_id(*peer);
        }
    }

    fn close_connection(&mut self, connection: ConnectionId, reason: &'static str) {
        log::debug!("closing a spare connection: id={connection} reason=\"{reason}\"");
        self.swarm.close_connection(connection);
    }

    /// Holds something against a peer; whether that was one thing too many, so that it is banned now.
    fn offended(&mut self, peer: &PeerId, offence: Offence, reason: &'static str) -> bool {
        let gate = &mut self.swarm.behaviour_mut().gate;
        let Some(Ban { points, lasts }) = gate.offended(*peer, offence) else {
            return false;
        };
        self.metrics.bans.inc();
        let (address, seconds) = (show_address(peer), lasts.as_secs());
        log::warn!(
            "peer banned: address={address} peer={peer} reason=\"{reason}\" points={points} for={seconds}s"
        );
        self.disconnect(peer, reason);
        true
    }

    /// Somebody who is no member came, or was dialled: logged once for each until the members change.
    fn log_stranger(&mut self, peer: PeerId, remote: &Multiaddr) {
        if self.strangers.is_first(peer) {
            let (address, level) = (show_address(&peer), self.level_for(&peer));
            log::log!(
                level,
                "connection refused: address={address} addr={remote} remedy=\"no member: add it to --members\""
            );
        }
    }

    /// Two networks on one wire find each other by multicast all the time, and neither is to be mended.
    fn level_for(&self, peer: &PeerId) -> log::Level {
        if self.dialler.queue.is_known_by_multicast(peer) {
            log::Level::Debug
        } else {
            log::Level::Warn
        }
    }

    /// A peer that we dialled and that ended it at once will not have us: logged once for each until it does.
    fn log_if_refused(&mut self, peer: &PeerId, gone: &Peer, now: Instant) {
        let Some(since) = gone.last_dialled else { return };
        if !gone.introduced && now.since(since) < AT_ONCE && self.strangers.is_first(*peer) {
            let (theirs, level) = (gone.address, self.level_for(peer));
            log::log!(
                level,
                "peer refuses us: address={theirs} \
                 remedy=\"see its log: is this node missing from its --members, or banned?\""
            );
        }
    }
}

/// What happens all the time in a network at rest.
fn is_routine(event: &SwarmEvent<BehaviourEvent>) -> bool {
    matches!(
        event,
        SwarmEvent::Behaviour(
            BehaviourEvent::Ping(_)
                | BehaviourEvent::Gossip(LimitedEvent::Gossip(gossipsub::Event::Message { .. }))
        )
    )
}

fn show_address(peer: &PeerId) -> String {
    identity::address(peer).map_or_else(|_| "none".to_owned(), |address| address.to_string())
}
