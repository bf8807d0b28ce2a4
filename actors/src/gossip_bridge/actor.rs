//! The actor: one match over its messages, the swarm driven in its own turn, and what outlives a restart.

use std::{
    collections::BTreeSet,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, Supervised, WrapFuture,
    fut::ActorFuture,
};
use futures::StreamExt;
use libp2p::identity::Keypair;
use quorate_protocol::{KeyError, NodeKey, seal::Keyring};
use quorate_supervisor::{Mailbox, SupervisedActor};

use super::{
    config::{BridgeConfig, DnsPeers},
    connections::Connections,
    dialling, identity,
    inbound::Inbound,
    messages::{BridgeMessage, BridgeStatus},
    metrics::BridgeMetrics,
    outbound::Outbound,
    peers::{Announced, Change},
    score::Scores,
};
use crate::{aggregator::AggregatorMessage, clock::Clock};

/// How soon the Aggregator is told again what its mailbox had no room for.
const TELL_AGAIN: Duration = Duration::from_millis(250);
/// Events of the swarm handled before others on this thread get their turn.
const EVENTS_A_TURN: usize = 64;

/// The node's connections to the others. What outlives a restart are the configuration with the members and the keys, the peers' scores,
/// the metrics and what the Aggregator knows of peers.
pub struct GossipBridge {
    config: BridgeConfig,
    keypair: Keypair,
    clock: Clock,
    aggregator: Mailbox<AggregatorMessage>,
    metrics: BridgeMetrics,
    scores: Scores,
    announced: Announced,
    /// The next look at what is due by the clock.
    timer: Option<SpawnHandle>,
    running: Option<Running>,
}

/// What `started` builds and `restarting` drops.
struct Running {
    connections: Connections,
    inbound: Inbound,
    outbound: Outbound,
}

impl GossipBridge {
    /// A bridge that connects when it is started.
    ///
    /// # Errors
    /// If libp2p refuses the key; it takes every valid one.
    pub fn new(
        config: BridgeConfig,
        key: &NodeKey,
        clock: Clock,
        aggregator: Mailbox<AggregatorMessage>,
        metrics: BridgeMetrics,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            config,
            keypair: identity::keypair(key)?,
            clock,
            aggregator,
            metrics,
            scores: Scores::default(),
            announced: Announced::default(),
            timer: None,
            running: None,
        })
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Err(error) = running.connections.tick() {
            log::error!("{error}");
            ctx.stop();
        }
        self.set_timer(ctx);
    }

    /// Has what is due by the clock looked at when it is, and tells the Aggregator what has changed until now.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let all_told = self.announce();
        let Some(running) = &self.running else { return };
        let next = running.connections.next_look();
        let wait = if all_told { next } else { next.min(TELL_AGAIN) };
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = Some(ctx.run_later(wait, |bridge, ctx| {
            bridge.timer = None;
            bridge.tick(ctx);
        }));
    }

    /// Tells the Aggregator who came up and who went down; whether its mailbox had room for all of it.
    fn announce(&mut self) -> bool {
        let up = match &self.running {
            Some(running) => running.connections.peers().up(),
            None => BTreeSet::new(),
        };
        self.metrics.peers.set(up.len().try_into().unwrap_or(i64::MAX));
        for change in self.announced.changes(&up) {
            let message = match change {
                Change::Up(address) => AggregatorMessage::PeerUp(address),
                Change::Down(address) => AggregatorMessage::PeerDown(address),
            };
            if self.aggregator.try_send(message).is_err() {
                return false;
            }
            self.announced.sent(change);
        }
        true
    }

    /// Looks a name up now and, when that is done, again and again.
    fn look_up(&mut self, name: DnsPeers, failures: u32, ctx: &mut Context<Self>) {
        let looked_up = {
            let name = name.clone();
            async move { dialling::look_up(&name).await }
        };
        let done = looked_up.into_actor(self).map(move |found, bridge, ctx| {
            let Some(running) = &mut bridge.running else {
                return;
            };
            let failures = running.connections.resolved(&name, found, failures);
            let pause = dialling::pause(!running.connections.peers().up().is_empty());
            bridge.set_timer(ctx);
            ctx.run_later(pause, move |bridge, ctx| bridge.look_up(name, failures, ctx));
        });
        ctx.spawn(done);
    }

    fn forget_connections(&mut self) {
        // The context has cancelled it, or is about to.
        self.timer = None;
        if let Some(running) = self.running.take() {
            self.scores = running.connections.scores();
        }
        self.metrics.mesh_peers.set(0);
        self.metrics.listening_addresses.set(0);
        self.announce();
    }
}

impl Actor for GossipBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (config, metrics) = (&self.config, &self.metrics);
        let scores = self.scores.clone();
        let connections = match Connections::new(config, &self.keypair, self.clock, scores, metrics.clone()) {
            Ok(connections) => connections,
            Err(error) => {
                log::error!("gossip bridge cannot start: reason=\"{error}\"");
                return ctx.stop();
            }
        };
        self.running = Some(Running {
            connections,
            inbound: Inbound::new(config, self.clock, self.aggregator.clone(), metrics.clone()),
            outbound: Outbound::new(config, metrics.clone()),
        });
        for name in self.config.dns_peers.clone() {
            self.look_up(name, 0, ctx);
        }
        self.tick(ctx);
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

impl Handler<BridgeMessage> for GossipBridge {
    type Result = ();

    fn handle(&mut self, message: BridgeMessage, ctx: &mut Context<Self>) {
        // What the next start needs is kept before anything else: the actor may be on its way down.
        match &message {
            BridgeMessage::CommitteeIs(committee) => self.config.judge.committee = committee.clone(),
            BridgeMessage::EndpointsAre(endpoints) => self.config.endpoints.clone_from(endpoints),
            BridgeMessage::KeyringIs(keyring) => {
                let ids: Vec<String> = keyring.key_ids().iter().map(ToString::to_string).collect();
                log::info!("network secret changed: key_ids={}", ids.join(","));
                self.config.keyring = Some(keyring.clone());
            }
            BridgeMessage::Publish(_) | BridgeMessage::AskStatus(_) => {}
        }
        let Some(Running {
            connections,
            inbound,
            outbound,
        }) = &mut self.running
        else {
            if let BridgeMessage::Publish(_) = message {
                self.metrics.publish_failures.inc();
            }
            return;
        };
        match message {
            BridgeMessage::Publish(message) => {
                inbound.remember_own(&message);
                outbound.publish(&message, connections.gossip(), self.clock.now());
                connections.wake();
            }
            BridgeMessage::CommitteeIs(committee) => {
                connections.set_members(committee.members.clone());
                inbound.set_committee(committee);
                self.set_timer(ctx);
            }
            BridgeMessage::EndpointsAre(endpoints) => {
                connections.set_endpoints(&endpoints);
                self.set_timer(ctx);
            }
            BridgeMessage::KeyringIs(keyring) => {
                outbound.set_keyring(keyring.clone());
                inbound.set_keyring(keyring);
            }
            BridgeMessage::AskStatus(answer) => {
                let keyring = self.config.keyring.as_ref();
                let status = BridgeStatus {
                    listening: connections.listening(),
                    peers: connections.connected_peers(),
                    key_ids: keyring.map(Keyring::key_ids).unwrap_or_default(),
                    foreign_key: inbound.foreign_key(),
                };
                let _ = answer.send(status);
            }
        }
    }
}

/// Keeps the swarm running: a future of the actor, so that events are handled in the actor's own turn, without a lock. Ends when
/// the actor has no swarm any more.
struct Drive;

impl ActorFuture<GossipBridge> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        bridge: &mut GossipBridge,
        ctx: &mut Context<GossipBridge>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        for _ in 0..EVENTS_A_TURN {
            let Some(running) = &mut bridge.running else {
                return Poll::Ready(());
            };
            match running.connections.swarm().poll_next_unpin(task) {
                Poll::Ready(Some(event)) => running.connections.on_event(event, &mut running.inbound),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            if running.connections.take_stirred() {
                bridge.set_timer(ctx);
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
