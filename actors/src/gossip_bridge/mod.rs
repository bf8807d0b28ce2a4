//! The GossipBridge: the node's connections to the others. It publishes what the node says, and judges what others say before
//! it reaches the Aggregator or anybody else.
//!
//! The reading order is a message's way in: the `gate` lets a peer in, the `metered` frames reach `gossip`, the judge looks at
//! the message, and the Aggregator gets it. `peers`, `redial`, `throttle`, `conduct` and `bans` decide; this file
//! and `drive` carry out.

mod bans;
mod behaviour;
mod conduct;
mod config;
mod counts;
mod dns;
mod drive;
mod gate;
mod gossip;
pub mod identity;
mod listen;
mod metered;
mod nudge;
mod peers;
mod query;
mod redial;
mod roster;
mod sampled;
mod swarm;
mod throttle;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, Recipient,
    Supervised, WrapFuture,
};
pub use bans::BAN;
use bans::Bans;
use behaviour::{Behaviour, BehaviourEvent};
use conduct::Conduct;
pub use config::{BridgeConfig, DnsPeers, ParseDnsPeersError};
pub use counts::{ACCEPTED, Counts, CountsSnapshot, FINDINGS};
use drive::Drive;
pub use gossip::TOPIC;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::ConnectedPoint,
    gossipsub::{self, MessageAcceptance, MessageId, PublishError},
    identify,
    identity::Keypair,
    mdns, ping,
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use listen::Listen;
use metered::MeteredEvent;
pub use peers::Via;
use peers::{Close, Connection, Peers};
pub use query::{ConnectedPeer, ConnectedPeers, ListenAddresses};
use quorate_protocol::{
    KeyError, NodeKey,
    judge::{Finding, Judge, Verdict},
};
use redial::{Dial, Redial};
use roster::{News, Roster};
use sampled::Sampled;

use crate::{
    clock::Clock,
    messages::{Heard, PeerDown, PeerUp, Publish},
    supervisor::SupervisedActor,
};

/// How often schedules are looked at: as fine as the shortest pause before a redial.
const TICK: Duration = Duration::from_millis(250);

/// Who is told what the bridge hears: the Aggregator, in the node.
#[derive(Clone)]
pub struct Listeners {
    /// Every message that passed the judge.
    pub heard: Recipient<Heard>,
    /// Every node that comes up.
    pub peer_up: Recipient<PeerUp>,
    /// Every node that goes down.
    pub peer_down: Recipient<PeerDown>,
}

/// The actor. Everything about connections is built in `started` and dropped in `restarting`; what outlives a restart are the
/// configuration, the bans, the counters and what the Aggregator was told.
pub struct GossipBridge {
    config: BridgeConfig,
    keypair: Keypair,
    clock: Clock,
    listeners: Listeners,
    counts: Arc<Counts>,
    bans: Bans,
    roster: Roster,

    swarm: Option<Swarm<Behaviour>>,
    judge: Judge,
    listen: Listen,
    peers: Peers,
    redial: Redial,
    conduct: Conduct,
    rejected: Sampled,
    overloaded: Sampled,
    unsent: Sampled,
    jitter: RandomState,
}

impl GossipBridge {
    /// A bridge that connects when it is started; `counts` is shared with whoever shows them.
    ///
    /// # Errors
    /// If libp2p refuses the key; it takes every valid one.
    pub fn new(
        config: BridgeConfig,
        key: &NodeKey,
        clock: Clock,
        listeners: Listeners,
        counts: Arc<Counts>,
    ) -> Result<Self, KeyError> {
        let keypair = identity::keypair(key)?;
        let local = keypair.public().to_peer_id();
        Ok(Self {
            judge: Judge::new(config.judge.clone()),
            listen: Listen::new(config.listen.clone()),
            config,
            keypair,
            clock,
            listeners,
            counts,
            bans: Bans::default(),
            roster: Roster::default(),
            swarm: None,
            peers: Peers::new(local),
            redial: Redial::new(local),
            conduct: Conduct::default(),
            rejected: Sampled::default(),
            overloaded: Sampled::default(),
            unsent: Sampled::default(),
            jitter: RandomState::new(),
        })
    }

    /// Everything as at the start, but without a swarm.
    fn forget_connections(&mut self) {
        if let Some(swarm) = self.swarm.take() {
            self.bans = swarm.behaviour().gate.bans().clone();
        }
        let local = self.keypair.public().to_peer_id();
        self.judge = Judge::new(self.config.judge.clone());
        self.listen = Listen::new(self.config.listen.clone());
        self.peers = Peers::new(local);
        self.redial = Redial::new(local);
        self.conduct = Conduct::default();
        self.tell_news();
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        // For what gossipsub sends by itself: grafts, and what it tells of messages.
        if let Some(swarm) = &mut self.swarm {
            swarm.behaviour_mut().nudge.all();
        }
        self.open_listeners(ctx);
        self.dial_due();
        let overdue = self.peers.overdue(self.clock.now());
        for (close, reason) in overdue {
            match close {
                Close::Spare(id) => self.close_connection(id, reason),
                Close::Peer(peer) => self.disconnect(&peer, reason),
            }
        }
        self.tell_news();
    }

    fn open_listeners(&mut self, ctx: &mut Context<Self>) {
        let Some(swarm) = &mut self.swarm else {
            return;
        };
        if let Err(error) = self.listen.open(|address| swarm.listen_on(address)) {
            log::error!("{error}");
            ctx.stop();
        }
    }

    fn dial_due(&mut self) {
        let now = self.clock.now();
        let Some(swarm) = &mut self.swarm else {
            return;
        };
        let gate = &swarm.behaviour().gate;
        let due = self
            .redial
            .due(now, |peer| self.peers.is_connected(peer) || gate.is_banned(peer));
        for dial in due {
            let options = dial_options(&dial);
            let connection = options.connection_id();
            match swarm.dial(options) {
                Ok(()) => self.redial.dialling(dial.address, connection),
                Err(DialError::DialPeerConditionFalse(_)) => self.redial.not_dialled(&dial.address, now),
                Err(error) => {
                    let jitter = self.jitter.hash_one(connection);
                    if let Some(failure) = self.redial.refused(&dial.address, now, jitter) {
                        log_failure(&failure, &error);
                    }
                }
            }
        }
    }

    fn tell_news(&mut self) {
        let up = self.peers.up();
        self.counts.peers(up.len());
        for news in self.roster.news(&up) {
            let told = match news {
                News::Up(address) => self.listeners.peer_up.try_send(PeerUp(address)).is_ok(),
                News::Down(address) => self.listeners.peer_down.try_send(PeerDown(address)).is_ok(),
            };
            if !told {
                // Its mailbox is full; the next tick tries again.
                return;
            }
            self.roster.told(news);
        }
    }

    fn disconnect(&mut self, peer: &PeerId, reason: &'static str) {
        if self.peers.bid_farewell(peer, reason)
            && let Some(swarm) = &mut self.swarm
        {
            let _ = swarm.disconnect_peer_id(*peer);
        }
    }

    fn close_connection(&mut self, connection: ConnectionId, reason: &'static str) {
        log::debug!("closing a spare connection: id={connection} reason=\"{reason}\"");
        if let Some(swarm) = &mut self.swarm {
            swarm.close_connection(connection);
        }
    }

    fn ban(&mut self, peer: &PeerId, reason: &'static str) {
        let Some(swarm) = &mut self.swarm else { return };
        if swarm.behaviour().gate.is_banned(peer) {
            return;
        }
        swarm.behaviour_mut().gate.ban(*peer);
        self.counts.banned();
        let address = show_address(peer);
        log::warn!("peer banned: address={address} peer={peer} reason=\"{reason}\" for={BAN:?}");
        self.disconnect(peer, reason);
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>, ctx: &mut Context<Self>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
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
                connection_id, error, ..
            } => self.on_dial_failed(connection_id, &error),
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                peer_id,
                ..
            } => {
                let peer = peer_id.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
                log::debug!(
                    "connection refused: addr={send_back_addr} peer={peer} reason=\"{}\"",
                    with_causes(&error)
                );
            }
            SwarmEvent::NewListenAddr { address, .. } => log::info!("listening: address={address}"),
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => {
                let reason = reason.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
                log::warn!("listener closed, it will be opened again: reason=\"{reason}\"");
                self.listen.closed(listener_id);
                self.open_listeners(ctx);
            }
            SwarmEvent::ListenerError { error, .. } => log::debug!("listener error: reason=\"{error}\""),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(MeteredEvent::Gossip(event)) => self.on_gossip(event),
            BehaviourEvent::Gossip(MeteredEvent::Flood(peer)) => self.ban(&peer, "a flood of messages"),
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
            BehaviourEvent::Nudge(never) => match never {},
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => self.on_message(&propagation_source, &message_id, &message.data),
            gossipsub::Event::Subscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, true) {
                    self.on_up(&peer_id);
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, false) {
                    log::info!(
                        "peer lost: address={} peer={peer_id} reason=\"it unsubscribed\"",
                        show_address(&peer_id)
                    );
                    self.tell_news();
                }
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                self.disconnect(&peer_id, "it does not speak gossipsub");
                self.redial.not_for_us(&peer_id, self.clock.now());
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => log::debug!("peer is slow: peer={peer_id}"),
        }
    }

    fn on_message(&mut self, source: &PeerId, id: &MessageId, data: &[u8]) {
        let now = self.clock.now();
        self.counts.received(data.len());
        let heard = self
            .judge
            .judge(data, self.clock.unix_now())
            .and_then(|verified| {
                let heard = Heard { verified, seen: now };
                self.listeners
                    .heard
                    .try_send(heard)
                    .map_err(|_| Finding::Overload)
            });
        let acceptance = match &heard {
            Ok(()) => {
                self.counts.accepted();
                MessageAcceptance::Accept
            }
            Err(finding) => {
                self.counts.refused(finding);
                self.log_refusal(source, finding);
                match finding.verdict() {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                    Verdict::Reject => MessageAcceptance::Reject,
                }
            }
        };
        let rejected = matches!(acceptance, MessageAcceptance::Reject);
        if let Some(swarm) = &mut self.swarm {
            let gossip = &mut swarm.behaviour_mut().gossip.gossip;
            gossip.report_message_validation_result(id, source, acceptance);
            swarm.behaviour_mut().nudge.all();
        }
        if rejected && self.conduct.reject(*source, now) {
            self.ban(source, "too many invalid messages");
        } else if self.peers.is_out_of_step(source, now) {
            self.disconnect(source, "its subscription was lost; connecting anew");
        }
    }

    fn log_refusal(&mut self, source: &PeerId, finding: &Finding) {
        let now = self.clock.now();
        let label = finding.label();
        log::debug!("message refused: finding={label} peer={source} reason=\"{finding}\"");
        let since = match (finding.verdict(), finding) {
            (Verdict::Reject, _) => self.rejected.note(now),
            (_, Finding::Overload) => self.overloaded.note(now),
            _ => None,
        };
        if let Some(count) = since {
            log::warn!(
                "messages refused: count={count} last_finding={label} last_peer={source} last_reason=\"{finding}\""
            );
        }
    }

    fn on_up(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get(peer)
            && let Some(connection) = known.connections.first()
        {
            let (address, via, remote) = (known.address, connection.via, &connection.remote);
            log::info!("peer found: address={address} peer={peer} via={via} addr={remote}");
        }
        self.tell_news();
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
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

    fn on_closed(&mut self, peer: &PeerId, connection: ConnectionId, cause: Option<String>) {
        let Some((gone, farewell)) = self.peers.closed(peer, connection) else {
            return;
        };
        let now = self.clock.now();
        self.redial.lost(peer, now, self.jitter.hash_one(connection));
        if farewell == Some(OTHER_NETWORK) {
            self.redial.not_for_us(peer, now);
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

    fn on_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        let now = self.clock.now();
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.redial.is_ourselves(connection, now);
        } else if let Some(failure) = self
            .redial
            .failed(connection, now, self.jitter.hash_one(connection))
        {
            log_failure(&failure, error);
        }
    }

    fn on_introduced(&mut self, peer: &PeerId, info: &identify::Info) {
        let ours = behaviour::protocol_version(&self.config.judge.network);
        // Others than quorate's own nodes may call their protocol what they like.
        if info.protocol_version.starts_with(behaviour::PROTOCOL_PREFIX) && info.protocol_version != ours {
            self.disconnect(peer, OTHER_NETWORK);
        } else if self.peers.introduced(peer, Some(&info.agent_version)) {
            self.on_up(peer);
        }
    }

    fn on_ping(&mut self, event: &ping::Event) {
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

    fn on_mdns(&mut self, event: mdns::Event) {
        let now = self.clock.now();
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    let address = address.with_p2p(peer).unwrap_or_else(|address| address);
                    self.redial.add(address, Via::Mdns, now);
                }
                self.dial_due();
            }
            mdns::Event::Expired(gone) => {
                for (_, address) in gone {
                    self.redial.expired(address);
                }
            }
        }
    }

    /// Looks a name up now and, when that is done, again and again.
    fn resolve(&mut self, name: DnsPeers, ctx: &mut Context<Self>) {
        let looked_up = {
            let name = name.clone();
            async move { dns::resolve(&name).await }
        };
        let done = looked_up.into_actor(self).map(move |found, bridge, ctx| {
            match found {
                Ok(addresses) => {
                    log::debug!("name resolved: name={name} addresses={}", addresses.len());
                    bridge.redial.resolved(&name, &addresses, bridge.clock.now());
                    bridge.dial_due();
                }
                // What it resolved to before stays: the resolver may be away for a moment.
                Err(error) => log::debug!("name not resolved: name={name} reason=\"{error}\""),
            }
            ctx.run_later(dns::RESOLVE_EVERY, move |bridge, ctx| bridge.resolve(name, ctx));
        });
        ctx.spawn(done);
    }
}

/// Two networks on one wire find each other by multicast.
const OTHER_NETWORK: &str = "it belongs to another network or speaks another version";

/// A new port each, since a port in use for listening cannot be used again towards the same peer right after a restart.
fn dial_options(dial: &Dial) -> DialOpts {
    match dial.expected {
        Some(peer) => DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![dial.address.clone()])
            .allocate_new_port()
            .build(),
        None => DialOpts::unknown_peer_id()
            .address(dial.address.clone())
            .allocate_new_port()
            .build(),
    }
}

/// The first failure of what the operator named is worth a warning; that it goes on failing is not.
fn log_failure(failure: &redial::Failure, error: &DialError) {
    let redial::Failure {
        address,
        via,
        failures,
        pause,
    } = failure;
    let level = match (via, failures) {
        (Via::Static, 1) => log::Level::Warn,
        _ => log::Level::Debug,
    };
    log::log!(
        level,
        "peer unreachable: addr={address} via={via} failures={failures} retry_in={pause:?} reason=\"{}\"",
        with_causes(error)
    );
}

/// libp2p's errors keep the interesting half in their source.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn show_address(peer: &PeerId) -> String {
    identity::address(peer).map_or_else(|_| "none".to_owned(), |address| address.to_string())
}

impl Actor for GossipBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let behaviour = Behaviour::new(
            &self.config,
            &self.keypair,
            self.clock,
            self.bans.clone(),
            Arc::clone(&self.counts),
        );
        match behaviour.and_then(|behaviour| swarm::build(&self.keypair, behaviour)) {
            Ok(swarm) => self.swarm = Some(swarm),
            Err(error) => {
                log::error!("gossip bridge cannot start: reason=\"{error}\"");
                return ctx.stop();
            }
        }
        let now = self.clock.now();
        for address in self.config.peers.clone() {
            self.redial.add(address, Via::Static, now);
        }
        for name in self.config.dns_peers.clone() {
            self.resolve(name, ctx);
        }
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
        ctx.spawn(Drive);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.forget_connections();
    }
}

impl SupervisedActor for GossipBridge {}

impl Supervised for GossipBridge {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.forget_connections();
    }
}

impl Handler<Publish> for GossipBridge {
    type Result = ();

    fn handle(&mut self, Publish(message): Publish, _: &mut Self::Context) {
        let bytes = message.encode(&self.config.judge.network);
        let length = bytes.len();
        self.judge.remember_own(&message);
        let Some(swarm) = &mut self.swarm else {
            return self.counts.publish_failed();
        };
        let gossip = &mut swarm.behaviour_mut().gossip.gossip;
        let published = gossip.publish(gossip::topic(), bytes);
        swarm.behaviour_mut().nudge.all();
        match published {
            Ok(_) => self.counts.published(length),
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => {
                self.counts.publish_failed();
                log::debug!("nobody to publish to: size_bytes={length}");
            }
            Err(error) => {
                self.counts.publish_failed();
                if let Some(count) = self.unsent.note(self.clock.now()) {
                    log::warn!(
                        "messages not published: count={count} size_bytes={length} last_reason=\"{error}\""
                    );
                }
            }
        }
    }
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
        MessageResult(peers.collect())
    }
}
