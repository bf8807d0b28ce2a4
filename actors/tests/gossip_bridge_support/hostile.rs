//! A peer that keeps to libp2p's protocols and to nothing else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    gossipsub::{Behaviour, ConfigBuilder, IdentTopic, MessageAuthenticity, MessageId, ValidationMode},
    identify,
    identity::Keypair,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use quorate_actors::gossip_bridge::{TOPIC, identity};
use quorate_protocol::NodeKey;
use tokio::sync::mpsc;

use super::eventually;

#[derive(NetworkBehaviour)]
struct Protocols {
    gossip: Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

enum Order {
    Say(&'static str, Vec<u8>),
    Dial(Multiaddr),
}

pub struct Hostile {
    orders: mpsc::Sender<Order>,
    connected: Arc<AtomicBool>,
    /// Whether somebody listens to what it says.
    is_listened_to: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    pub peer: libp2p::PeerId,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    pub fn start() -> Self {
        Self::start_as(Keypair::generate_secp256k1(), true)
    }

    /// With a node's key.
    pub fn start_with(key: &NodeKey) -> Self {
        Self::start_as(identity::keypair(key).unwrap(), true)
    }

    pub fn start_as(keypair: Keypair, subscribes: bool) -> Self {
        let (orders, mut inbox) = mpsc::channel(16);
        let connected = Arc::new(AtomicBool::new(false));
        let is_listened_to = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicU64::new(0));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let peer = keypair.public().to_peer_id();
        let mut swarm = swarm(keypair);
        if subscribes {
            let gossip = &mut swarm.behaviour_mut().gossip;
            gossip.subscribe(&IdentTopic::new(TOPIC)).unwrap();
        }
        let (is_connected, made, messages) = (connected.clone(), connections.clone(), heard.clone());
        let listened_to = is_listened_to.clone();
        let task = tokio::task::spawn_local(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { .. } => {
                            is_connected.store(true, SeqCst);
                            made.fetch_add(1, SeqCst);
                        }
                        SwarmEvent::ConnectionClosed { num_established: 0, .. } => is_connected.store(false, SeqCst),
                        SwarmEvent::Behaviour(ProtocolsEvent::Gossip(libp2p::gossipsub::Event::Subscribed { .. })) => {
                            listened_to.store(true, SeqCst);
                        }
                        SwarmEvent::Behaviour(ProtocolsEvent::Gossip(libp2p::gossipsub::Event::Message {
                            message, ..
                        })) => messages.lock().unwrap().push(message.data),
                        _ => {}
                    },
                    Some(order) = inbox.recv() => match order {
                        Order::Say(topic, data) => {
                            let _ = swarm.behaviour_mut().gossip.publish(IdentTopic::new(topic), data);
                        }
                        Order::Dial(address) => {
                            let _ = swarm.dial(address);
                        }
                    },
                }
            }
        });
        Self {
            orders,
            connected,
            is_listened_to,
            connections,
            heard,
            peer,
            task,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.connected.load(SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(SeqCst)
    }

    /// The bytes of everything that it was sent.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    pub async fn dial(&self, address: Multiaddr) {
        self.orders.send(Order::Dial(address)).await.unwrap();
    }

    pub async fn connect(&self, address: Multiaddr) {
        self.dial(address).await;
        // What it said before it knows of a listener would go to nobody.
        eventually("the hostile peer is connected, and listened to", async || {
            (self.is_connected() && self.is_listened_to.load(SeqCst)).then_some(())
        })
        .await;
    }

    pub async fn say(&self, data: Vec<u8>) {
        self.orders.send(Order::Say(TOPIC, data)).await.unwrap();
    }

    pub async fn is_thrown_out(&self) {
        eventually("the hostile peer is thrown out", async || {
            (!self.is_connected()).then_some(())
        })
        .await;
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
            Protocols {
                gossip: Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap(),
                identify: identify::Behaviour::new(identify::Config::new(
                    "ipfs/0.1.0".into(),
                    keypair.public(),
                )),
                ping: ping::Behaviour::default(),
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build()
}
