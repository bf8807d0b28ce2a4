//! Bridges on loopback, and a hostile peer: what the bridge's tests share.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it"
)]

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{
    Actor, Addr, Context, Handler,
    dev::{ContextFut, channel::channel},
};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::AggregatorMessage,
    gossip_bridge::{
        BridgeConfig, BridgeMessage, BridgeMetrics, BridgeStatus, ConnectedPeer, GossipBridge, identity,
    },
};
use quorate_protocol::{
    Address, Committee, Heartbeat, Members, Message, NodeKey, ProvenEquivocation, QuorumRule, Signature,
    UnixMillis, VerifiedReport,
    judge::{JudgeConfig, Verified},
    seal::Keyring,
};
pub use quorate_testkit::{
    builders::{feed, network, unix_now},
    wait::eventually,
};
use quorate_testkit::{
    builders::{observation, open, sign},
    hostile::Hostile,
    port,
};
use tokio::sync::oneshot;

pub mod crossing;

pub fn tcp0() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

/// A TCP address whose port is free.
pub fn free_tcp() -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{}", port::free()).parse().unwrap()
}

/// What the Aggregator would have been told.
#[derive(Debug, Default)]
pub struct Told {
    pub heard: Vec<Verified>,
    pub contradicted: Vec<ProvenEquivocation>,
    pub clocks: Vec<(Address, i64)>,
    pub up: BTreeSet<Address>,
    pub ups: usize,
    pub downs: usize,
}

#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Told>>);

impl Actor for Ears {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(256);
    }
}

impl Handler<AggregatorMessage> for Ears {
    type Result = ();
    fn handle(&mut self, message: AggregatorMessage, _: &mut Self::Context) {
        let mut told = self.0.lock().unwrap();
        match message {
            AggregatorMessage::Contradicted(proof) => told.contradicted.push(proof),
            AggregatorMessage::Heard(verified) => told.heard.push(verified),
            AggregatorMessage::ClockIs { node, ahead_ms } => told.clocks.push((node, ahead_ms)),
            AggregatorMessage::PeerUp(address) => {
                assert!(told.up.insert(address), "told twice that {address} is up");
                told.ups += 1;
            }
            AggregatorMessage::PeerDown(address) => {
                assert!(
                    told.up.remove(&address),
                    "told that {address} is down, but it was not up"
                );
                told.downs += 1;
            }
            other => panic!("the bridge does not say this: {other:?}"),
        }
    }
}

/// Runs the actor as the supervisor does, and restarts it on request.
struct Supervised {
    actor: ContextFut<GossipBridge, Context<GossipBridge>>,
    restart: Arc<AtomicBool>,
}

impl Future for Supervised {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        if self.restart.swap(false, Ordering::SeqCst) {
            assert!(self.actor.restart());
        }
        Pin::new(&mut self.actor).poll(task)
    }
}

/// A bridge that runs until it is dropped.
pub struct Node {
    pub key: NodeKey,
    pub bridge: Addr<GossipBridge>,
    pub metrics: BridgeMetrics,
    told: Arc<Mutex<Told>>,
    restart: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn config(listen: Vec<Multiaddr>, peers: Vec<Multiaddr>) -> BridgeConfig {
    let judge = JudgeConfig::new(
        network(),
        BTreeSet::from([feed()]),
        // Whose bridge it is: filled in when it starts.
        Address::new([0; 20]),
        open(3),
        Duration::from_secs(30),
    );
    BridgeConfig {
        listen,
        peers,
        endpoints: Vec::new(),
        dns_peers: Vec::new(),
        mdns: false,
        judge,
        keyring: None,
    }
}

/// A configuration with these secrets, each 32 times the byte; the first seals.
pub fn sealed_config(listen: Vec<Multiaddr>, peers: Vec<Multiaddr>, secrets: &[u8]) -> BridgeConfig {
    BridgeConfig {
        keyring: (!secrets.is_empty()).then(|| keyring(secrets)),
        ..config(listen, peers)
    }
}

pub fn keyring(secrets: &[u8]) -> Keyring {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|byte| format!("{byte:02x}").repeat(32).parse().unwrap())
        .collect();
    Keyring::new(&network(), &secrets).unwrap()
}

pub fn members(keys: &[&NodeKey]) -> Members {
    Members::Closed(keys.iter().map(|key| key.address()).collect())
}

impl Node {
    pub fn start(listen: Vec<Multiaddr>, peers: Vec<Multiaddr>) -> Self {
        Self::start_as(NodeKey::generate(), config(listen, peers))
    }

    pub fn start_as(key: NodeKey, mut config: BridgeConfig) -> Self {
        config.judge.me = key.address();
        let told = Arc::new(Mutex::new(Told::default()));
        let ears = Ears(Arc::clone(&told)).start();
        let aggregator = ears.recipient().into();
        let metrics = BridgeMetrics::new(&Registry::new()).unwrap();
        let bridge = GossipBridge::new(config, &key, Clock::system(), aggregator, metrics.clone()).unwrap();
        let (sender, receiver) = channel(256);
        let restart = Arc::new(AtomicBool::new(false));
        let task = tokio::task::spawn_local(Supervised {
            actor: Context::with_receiver(receiver).into_future(bridge),
            restart: Arc::clone(&restart),
        });
        Self {
            key,
            bridge: Addr::new(sender),
            metrics,
            told,
            restart,
            task,
        }
    }

    /// Does what the supervisor does after a panic.
    pub fn restart(&self) {
        self.restart.store(true, Ordering::SeqCst);
    }

    /// Ends the node as a kill would: no goodbye. Waits until its sockets are gone.
    pub async fn kill(self) -> NodeKey {
        let (key, task) = (self.key.clone(), &self.task);
        task.abort();
        eventually("the node is gone", async || task.is_finished().then_some(())).await;
        key
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub fn peer_id(&self) -> PeerId {
        identity::keypair(&self.key).unwrap().public().to_peer_id()
    }

    /// Where it listens, without its id.
    pub async fn listens(&self) -> Multiaddr {
        eventually("the node listens", async || {
            self.status().await.listening.into_iter().next()
        })
        .await
    }

    /// Its TCP port.
    pub async fn port(&self) -> u16 {
        let address = self.listens().await.to_string();
        address.rsplit('/').next().unwrap().parse().unwrap()
    }

    /// Where it listens, with its id.
    pub async fn full_address(&self) -> Multiaddr {
        self.listens().await.with(Protocol::P2p(self.peer_id()))
    }

    pub fn told<T>(&self, look: impl Fn(&Told) -> T) -> T {
        look(&self.told.lock().unwrap())
    }

    pub fn heard(&self) -> Vec<Verified> {
        self.told(|told| told.heard.clone())
    }

    /// Messages counted with this finding.
    pub fn counted(&self, finding: &str) -> u64 {
        self.metrics.messages.with_label_values(&[finding]).get()
    }

    /// Frames refused for this reason.
    pub fn frames_refused(&self, reason: &str) -> u64 {
        self.metrics.frames_refused.with_label_values(&[reason]).get()
    }

    /// Connections refused for this reason.
    pub fn turned_away(&self, reason: &str) -> u64 {
        self.metrics.turned_away.with_label_values(&[reason]).get()
    }

    /// Of a bridge that has none of it, since it is about to start or to end: nothing.
    pub async fn status(&self) -> BridgeStatus {
        let (answer, status) = oneshot::channel();
        self.bridge.send(BridgeMessage::AskStatus(answer)).await.unwrap();
        status.await.unwrap_or_default()
    }

    pub async fn peers(&self) -> Vec<ConnectedPeer> {
        self.status().await.peers
    }

    pub async fn has_up(&self, others: &[&Node]) {
        for other in others {
            let address = other.address();
            eventually("the peer is up", async || {
                self.told(|told| told.up.contains(&address)).then_some(())
            })
            .await;
        }
    }

    pub async fn has_down(&self, address: Address) {
        eventually("the peer is down", async || {
            self.told(|told| !told.up.contains(&address)).then_some(())
        })
        .await;
    }

    pub async fn has_heard(&self, count: usize) {
        eventually("the message is heard", async || {
            (self.heard().len() >= count).then_some(())
        })
        .await;
        assert_eq!(self.heard().len(), count, "{:?}", self.heard());
    }

    pub async fn has_counted(&self, finding: &str, at_least: u64) {
        eventually(&format!("{at_least} {finding}"), async || {
            (self.counted(finding) >= at_least).then_some(())
        })
        .await;
    }

    pub async fn update_keyring(&self, secrets: &[u8]) {
        self.bridge
            .send(BridgeMessage::KeyringIs(keyring(secrets)))
            .await
            .unwrap();
    }

    pub async fn update_members(&self, members: Members) {
        let rule = QuorumRule::at_least(3);
        let committee = Committee { members, rule };
        self.bridge
            .send(BridgeMessage::CommitteeIs(committee))
            .await
            .unwrap();
    }

    pub async fn has_turned_away(&self, reason: &str) {
        eventually(&format!("somebody is turned away: {reason}"), async || {
            (self.turned_away(reason) > 0).then_some(())
        })
        .await;
    }

    pub async fn publish(&self, message: Message) {
        self.bridge.send(BridgeMessage::Publish(message)).await.unwrap();
    }
}

/// Has the hostile peer connect, and waits until somebody listens to it.
pub async fn meet(hostile: &Hostile, address: Multiaddr) {
    hostile.dial(address);
    eventually("the hostile peer is connected, and listened to", async || {
        (hostile.is_connected() && hostile.is_listened_to()).then_some(())
    })
    .await;
}

pub async fn is_thrown_out(hostile: &Hostile) {
    eventually("the hostile peer is thrown out", async || {
        (!hostile.is_connected()).then_some(())
    })
    .await;
}

/// Each of the nodes is up for each.
pub async fn all_up(nodes: &[&Node]) {
    for node in nodes {
        let others: Vec<&Node> = nodes
            .iter()
            .copied()
            .filter(|other| other.address() != node.address())
            .collect();
        node.has_up(&others).await;
    }
}

/// A report of `observer`'s own, as of `at`.
pub fn report_at(observer: &NodeKey, at: UnixMillis) -> VerifiedReport {
    sign(observation(observer, "3012.45", at), observer, &[])
}

pub fn report(observer: &NodeKey) -> Message {
    Message::Report(report_at(observer, unix_now()).to_report())
}

/// A sign of life, later than all before it. Of those a node may send many; of prices, it states one for a window.
pub fn heartbeat(node: &NodeKey) -> Message {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = unix_now().get();
    let before = LAST.fetch_max(now, Ordering::SeqCst);
    let sent_at = if before >= now {
        LAST.fetch_add(1, Ordering::SeqCst) + 1
    } else {
        now
    };
    let blank = Heartbeat {
        node: node.address(),
        version: "0.1.0".to_owned(),
        feeds: vec![feed()],
        sent_at: UnixMillis::new(sent_at),
        last_observation: UnixMillis::new(0),
        last_record: quorate_protocol::Digest::new([0; 32]),
        uptime_s: 1,
        signature: Signature::new([0; 65]),
    };
    Message::Heartbeat(blank.signed(&network(), node))
}
