//! What a peer's frames cost it before gossipsub reads them: too many are dropped, and those that no node sends are held against their
//! sender. All of it would otherwise never come as far as the judge: repeated copies, control messages, messages to other topics,
//! and what gossipsub refuses by itself without a word.

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll},
};

use futures::{StreamExt, channel::mpsc};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub::{self, TopicHash},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use quorate_protocol::{
    Instant,
    judge::{Finding, JudgeConfig},
};

use super::{
    gate::source_of,
    gossip::{self, GRAYLIST, Gossipsub},
    metrics::BridgeMetrics,
    rate_limit::{Decision, RateLimit},
};
use crate::clock::Clock;

/// Subscriptions in one frame. A node has one topic; another program of libp2p may have a few.
const MAX_SUBSCRIPTIONS: usize = 16;
/// Control actions in one frame: a heartbeat of a node that is connected to 100 others tells each of one topic.
const MAX_CONTROL: usize = 64;

/// Why a frame was refused; counted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub(super) enum FrameFault {
    /// What cannot be read: a frame that is too large, holds too many messages, or is none.
    Unreadable,
    /// A message with an author, a number or a signature of gossipsub's own: ours are anonymous and sign for themselves.
    Signed,
    /// A message to a topic to which nobody here subscribed.
    OtherTopic,
    /// More subscriptions than any node has topics.
    Subscriptions,
    /// More control actions than a heartbeat needs.
    Control,
    /// gossipsub takes nothing from this peer for now, because of what it did before.
    Graylisted,
}

/// What comes out of [`LimitedGossip`].
#[derive(Debug)]
pub(super) enum LimitedEvent {
    /// gossipsub's own event.
    Gossip(gossipsub::Event),
    /// A peer has sent so much too much that it should go.
    Flood(PeerId),
    /// A peer has sent what no node sends.
    Refused(PeerId, FrameFault),
    /// A peer tells on this connection what it subscribes to: for it, it is the first one.
    Introduces(PeerId, ConnectionId),
}

/// gossipsub, which sees of each peer no more than it should.
pub(super) struct LimitedGossip {
    pub(super) gossip: Gossipsub,
    topic: TopicHash,
    limit: RateLimit,
    clock: Clock,
    metrics: BridgeMetrics,
    /// When a message last came by each connection. The gate bounds their number.
    words: HashMap<ConnectionId, Instant>,
    /// Whose stream of frames gossipsub gave up.
    given_up: mpsc::Receiver<PeerId>,
    /// Taken out at the next polls; one entry a frame at most. A swarm polls its behaviour before it takes more from connections.
    events: VecDeque<LimitedEvent>,
}

type GossipFrame = THandlerOutEvent<Gossipsub>;

impl LimitedGossip {
    /// For the network that the judge judges for.
    ///
    /// # Errors
    /// What gossipsub refuses about its settings: a defect.
    pub(super) fn new(
        judge: &JudgeConfig,
        clock: Clock,
        metrics: BridgeMetrics,
        given_up: mpsc::Receiver<PeerId>,
    ) -> Result<Self, String> {
        Ok(Self {
            gossip: gossip::build(judge, metrics.message_copies.clone())?,
            topic: gossip::topic().hash(),
            limit: RateLimit::default(),
            clock,
            metrics,
            words: HashMap::new(),
            given_up,
            events: VecDeque::new(),
        })
    }

    /// When a message last came by a connection.
    pub(super) fn last_word(&self, connection: ConnectionId) -> Option<Instant> {
        self.words.get(&connection).copied()
    }

    /// What one frame holds, in tokens of the rate limit, and what is wrong with it.
    fn look(&self, frame: &GossipFrame) -> (u64, Option<FrameFault>) {
        let GossipFrame::Message {
            rpc,
            invalid_messages,
        } = frame
        else {
            return (1, None);
        };
        // The decoder adds one action to all that came, for extensions.
        let control = rpc.control_msgs.len().saturating_sub(1);
        let fault = if !invalid_messages.is_empty() {
            Some(FrameFault::Signed)
        } else if rpc.messages.iter().any(|message| message.topic != self.topic) {
            Some(FrameFault::OtherTopic)
        } else if rpc.subscriptions.len() > MAX_SUBSCRIPTIONS {
            Some(FrameFault::Subscriptions)
        } else if control > MAX_CONTROL {
            Some(FrameFault::Control)
        } else {
            None
        };
        let messages = rpc.messages.len() + invalid_messages.len();
        let items = messages + rpc.subscriptions.len() + control;
        (items.max(1) as u64, fault)
    }

    fn refuse(&mut self, peer: PeerId, fault: FrameFault) {
        self.metrics.frame_refused(fault);
        self.events.push_back(LimitedEvent::Refused(peer, fault));
    }

    fn dropped(&mut self, peer: PeerId, decision: Decision) {
        if decision == Decision::Flood {
            self.events.push_back(LimitedEvent::Flood(peer));
        }
    }
}

impl NetworkBehaviour for LimitedGossip {
    type ConnectionHandler = <Gossipsub as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = LimitedEvent;

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
        let handler = self
            .gossip
            .handle_established_inbound_connection(connection, peer, local, remote)?;
        self.limit.connected(peer, source_of(remote), self.clock.now());
        Ok(handler)
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
        if let FromSwarm::ConnectionClosed(closed) = &event {
            self.words.remove(&closed.connection_id);
        }
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            endpoint,
            remaining_established: 0,
            ..
        }) = &event
        {
            let source = source_of(endpoint.get_remote_address());
            self.limit.disconnected(peer_id, source, self.clock.now());
        }
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        frame: THandlerOutEvent<Self>,
    ) {
        let now = self.clock.now();
        let (tokens, fault) = self.look(&frame);
        if let Some(fault) = fault {
            return self.refuse(peer, fault);
        }
        let decision = self.limit.take(peer, tokens, now);
        if decision != Decision::Pass {
            self.metrics.found(&Finding::Overload);
            return self.dropped(peer, decision);
        }
        if let GossipFrame::Message { rpc, .. } = &frame {
            if self
                .gossip
                .peer_score(&peer)
                .is_some_and(|score| score < GRAYLIST)
            {
                self.metrics.frame_refused(FrameFault::Graylisted);
                let decision = self.limit.drop_one(peer, now);
                return self.dropped(peer, decision);
            }
            if !rpc.messages.is_empty() {
                self.words.insert(connection, now);
            }
            if !rpc.subscriptions.is_empty() {
                self.events.push_back(LimitedEvent::Introduces(peer, connection));
            }
        }
        self.gossip.on_connection_handler_event(peer, connection, frame);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some(peer)) = self.given_up.poll_next_unpin(cx) {
            self.refuse(peer, FrameFault::Unreadable);
        }
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        self.gossip
            .poll(cx)
            .map(|event| event.map_out(LimitedEvent::Gossip))
    }
}
