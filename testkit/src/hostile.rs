//! A peer that keeps to libp2p's protocols and to nothing else. It runs on a thread of its own until it is dropped.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::{StreamExt, executor::block_on};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    gossipsub::{
        Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, MessageId, ValidationMode,
    },
    identify,
    identity::{Keypair, secp256k1},
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use quorate_protocol::NodeKey;
use tokio::{sync::mpsc, task::unconstrained};

/// The topic of docs/protocol.md.
const TOPIC: &str = "eth_prices";
/// Orders that wait for it: few, so that who floods by it is no faster than it.
const ORDERS: usize = 16;
/// Messages that it keeps of what it heard.
const MEMORY: usize = 1000;

#[derive(NetworkBehaviour)]
struct Protocols {
    gossip: Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

enum Order {
    Say(Vec<u8>),
    Dial(Multiaddr),
}

#[derive(Default)]
struct Seen {
    connected: AtomicBool,
    connections: AtomicU64,
    accepted: AtomicBool,
    heard: Mutex<Vec<Vec<u8>>>,
}

/// The peer. It does soon what it is told, and does not say how that went: wait for what should come of it.
pub struct Hostile {
    /// Its libp2p name.
    pub peer: PeerId,
    orders: mpsc::Sender<Order>,
    seen: Arc<Seen>,
}

impl Hostile {
    /// With a fresh key of a node's kind.
    pub fn start() -> Self {
        Self::start_as(Keypair::generate_secp256k1(), true)
    }

    /// With a node's key.
    pub fn with_key(key: &NodeKey) -> Self {
        let secret = secp256k1::SecretKey::try_from_bytes(key.secret_bytes()).unwrap();
        Self::start_as(secp256k1::Keypair::from(secret).into(), true)
    }

    /// With any key; `subscribes`: whether it listens to the topic of prices.
    pub fn start_as(keypair: Keypair, subscribes: bool) -> Self {
        let peer = keypair.public().to_peer_id();
        // Dropping the sender ends the thread.
        let (orders, inbox) = mpsc::channel(ORDERS);
        let seen = Arc::new(Seen::default());
        let sees = Arc::clone(&seen);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(Box::pin(live(keypair, subscribes, inbox, &sees)));
        });
        Self { peer, orders, seen }
    }

    /// Dials an address.
    pub fn dial(&self, address: Multiaddr) {
        self.order(Order::Dial(address));
    }

    /// Gossips this, if anybody is there to hear it. It may say the same again and again.
    pub fn say(&self, data: Vec<u8>) {
        self.order(Order::Say(data));
    }

    fn order(&self, order: Order) {
        // Its thread takes them whatever this one does, so waiting here is safe in asynchronous tests too, if tokio does not count
        // it as the test's own work.
        let sent = block_on(unconstrained(self.orders.send(order)));
        assert!(sent.is_ok(), "the hostile peer's thread has ended");
    }

    /// Whether any connection is open.
    pub fn is_connected(&self) -> bool {
        self.seen.connected.load(SeqCst)
    }

    /// Whether somebody was ever connected who listens to what it says. What it says before goes to nobody.
    pub fn is_listened_to(&self) -> bool {
        self.seen.accepted.load(SeqCst)
    }

    /// Connections ever made.
    pub fn connections(&self) -> u64 {
        self.seen.connections.load(SeqCst)
    }

    /// The messages that it was sent, the first thousand.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.seen.heard.lock().unwrap().clone()
    }

    /// The messages that it was sent since this was asked last.
    pub fn heard_since(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.seen.heard.lock().unwrap())
    }
}

async fn live(identity: Keypair, subscribes: bool, mut inbox: mpsc::Receiver<Order>, seen: &Seen) {
    let mut swarm = swarm(identity);
    let topic = IdentTopic::new(TOPIC);
    if subscribes {
        swarm.behaviour_mut().gossip.subscribe(&topic).unwrap();
    }
    loop {
        tokio::select! {
            event = swarm.select_next_some() => see(event, seen),
            order = inbox.recv() => match order {
                // Nobody to hear it, or too much at once: both are what it is here for.
                Some(Order::Say(data)) => drop(swarm.behaviour_mut().gossip.publish(topic.clone(), data)),
                Some(Order::Dial(address)) => drop(swarm.dial(address)),
                None => return,
            },
        }
    }
}

fn see(event: SwarmEvent<ProtocolsEvent>, seen: &Seen) {
    match event {
        SwarmEvent::ConnectionEstablished { .. } => {
            seen.connected.store(true, SeqCst);
            seen.connections.fetch_add(1, SeqCst);
        }
        SwarmEvent::ConnectionClosed {
            num_established: 0, ..
        } => seen.connected.store(false, SeqCst),
        SwarmEvent::Behaviour(ProtocolsEvent::Gossip(Event::Subscribed { .. })) => {
            seen.accepted.store(true, SeqCst);
        }
        SwarmEvent::Behaviour(ProtocolsEvent::Gossip(Event::Message { message, .. })) => {
            let mut heard = seen.heard.lock().unwrap();
            if heard.len() < MEMORY {
                heard.push(message.data);
            }
        }
        _ => {}
    }
}

fn swarm(identity: Keypair) -> Swarm<Protocols> {
    SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|keypair| {
            // Every message is a new one to it, so that it can say the same again and again.
            let unique = AtomicU64::new(0);
            let config = ConfigBuilder::default()
                .validation_mode(ValidationMode::None)
                .message_id_fn(move |_| MessageId::new(&unique.fetch_add(1, SeqCst).to_be_bytes()))
                .max_transmit_size(4 << 20)
                .flood_publish(true)
                .build()
                .unwrap();
            let identify = identify::Config::new("ipfs/0.1.0".into(), keypair.public());
            Protocols {
                gossip: Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap(),
                identify: identify::Behaviour::new(identify),
                ping: ping::Behaviour::default(),
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build()
}
