//! A peer that keeps to libp2p's protocols and to nothing else. It runs on a thread of its own until it is dropped.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    gossipsub::{
        Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, MessageId, ValidationMode,
    },
    identify,
    identity::Keypair,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use quorate_actors::gossip_bridge::{TOPIC, identity};
use quorate_protocol::NodeKey;
use tokio::sync::mpsc;

use super::{Node, SOON, wait::eventually};

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

pub(crate) struct Hostile {
    orders: mpsc::Sender<Order>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connected: AtomicBool,
    /// Connections ever made.
    connections: AtomicU64,
    /// The other side takes its messages.
    accepted: AtomicBool,
    heard: Mutex<Vec<Vec<u8>>>,
}

impl Hostile {
    /// A peer with a member's key, connected to `node` and taken for a peer.
    pub(crate) fn meet(node: &Node, key: &NodeKey) -> Self {
        let hostile = Self::knock(node, identity::keypair(key).unwrap());
        eventually("the hostile peer is taken for a peer", SOON, || {
            hostile.seen.accepted.load(SeqCst).then_some(())
        });
        hostile
    }

    /// A new identity that dials `node`, whatever becomes of that.
    pub(crate) fn stranger(node: &Node) -> Self {
        Self::knock(node, Keypair::generate_secp256k1())
    }

    fn knock(node: &Node, keypair: Keypair) -> Self {
        // Dropping the sender ends the thread.
        let (orders, inbox) = mpsc::channel(16);
        let seen = Arc::new(Seen::default());
        let sees = Arc::clone(&seen);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(Box::pin(live(inbox, &sees, keypair)));
        });
        let hostile = Self { orders, seen };
        hostile.dial(node);
        hostile
    }

    pub(crate) fn dial(&self, node: &Node) {
        let address = format!("/ip4/127.0.0.1/tcp/{}", node.port);
        self.order(Order::Dial(address.parse().unwrap()));
    }

    /// Gossips this, if anybody is there to hear it.
    pub(crate) fn say(&self, data: Vec<u8>) {
        self.order(Order::Say(data));
    }

    fn order(&self, order: Order) {
        assert!(self.orders.blocking_send(order).is_ok());
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.seen.connected.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(SeqCst)
    }

    /// The network's messages so far.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.seen.heard.lock().unwrap().clone()
    }

    pub(crate) fn is_thrown_out(&self) {
        eventually("the hostile peer is thrown out", SOON, || {
            (!self.is_connected()).then_some(())
        });
    }
}

async fn live(mut inbox: mpsc::Receiver<Order>, seen: &Seen, keypair: Keypair) {
    let mut swarm = swarm(keypair);
    let topic = IdentTopic::new(TOPIC);
    swarm.behaviour_mut().gossip.subscribe(&topic).unwrap();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => see(event, seen),
            order = inbox.recv() => match order {
                // Nobody to hear it, or too much at once: both are what it is here for.
                Some(Order::Say(data)) => drop(swarm.behaviour_mut().gossip.publish(topic.clone(), data)),
                Some(Order::Dial(address)) => swarm.dial(address).unwrap(),
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

fn swarm(keypair: Keypair) -> Swarm<Protocols> {
    SwarmBuilder::with_existing_identity(keypair)
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
