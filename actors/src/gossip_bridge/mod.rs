//! The GossipBridge: the node's connections to the others. It publishes what the node says, and judges what others say before
//! it reaches the Aggregator or anybody else.
//!
//! The reading order is a message's way in: the `gate` lets a peer in, the `metered` frames reach `gossip`, `hearing` has the
//! judge look at the message, and the Aggregator gets it. `peers`, `redial`, `throttle`, `standing` and `mirror` decide; `life`, `drive`,
//! `events`, `connections`, `dialling`, `hearing`, `publishing`, `admit` and `sealing` carry out.

mod admit;
mod behaviour;
mod config;
mod connections;
mod counts;
mod dialling;
mod dns;
mod drive;
mod events;
mod gate;
mod gossip;
mod hearing;
pub mod identity;
mod life;
mod listen;
mod messages;
mod metered;
mod mirror;
mod nudge;
mod peers;
mod publishing;
mod query;
mod redial;
mod roster;
mod sampled;
mod sealing;
mod standing;
mod swarm;
mod throttle;
mod told;
mod wire_meter;

use std::{hash::RandomState, sync::Arc};

use behaviour::Behaviour;
pub use config::{BridgeConfig, DnsPeers, ParseDnsPeersError};
pub use counts::{ACCEPTED, Counts, CountsSnapshot, FINDINGS, TURNED_AWAY, VERDICTS};
pub use gossip::TOPIC;
use libp2p::{Swarm, identity::Keypair};
use listen::Listen;
pub use messages::BridgeMessage;
use mirror::Mirror;
use peers::Peers;
pub use peers::Via;
pub use query::{ConnectedPeer, ConnectedPeers, ListenAddresses};
use quorate_protocol::{Address, KeyError, NodeKey, judge::Judge};
use quorate_supervisor::Mailbox;
use redial::Redial;
use roster::Roster;
use sampled::Sampled;
use sealing::Seals;
pub use sealing::{AskSeal, SealStatus};
pub use standing::HALF_LIFE;
use standing::Standing;
use told::Told;

use actix::{Context, Handler};

use crate::{aggregator::AggregatorMessage, clock::Clock};

/// The actor. Everything about connections is built in `started` and dropped in `restarting`; what outlives a restart are the
/// configuration with the members and the keys, how peers stand, the counters and what the Aggregator was told.
pub struct GossipBridge {
    config: BridgeConfig,
    keypair: Keypair,
    address: Address,
    clock: Clock,
    aggregator: Mailbox<AggregatorMessage>,
    counts: Arc<Counts>,
    standing: Standing,
    seals: Seals,
    roster: Roster,

    swarm: Option<Swarm<Behaviour>>,
    judge: Judge,
    listen: Listen,
    peers: Peers,
    redial: Redial,
    /// Who was turned away, or turned us away.
    strangers: Told,
    rejected: Sampled,
    overloaded: Sampled,
    mirror: Mirror,
    our_key: Sampled,
    unopened: Sampled,
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
        aggregator: Mailbox<AggregatorMessage>,
        counts: Arc<Counts>,
    ) -> Result<Self, KeyError> {
        let keypair = identity::keypair(key)?;
        let local = keypair.public().to_peer_id();
        Ok(Self {
            judge: Judge::new(config.judge.clone(), clock.unix_now()),
            listen: Listen::new(config.listen.clone()),
            seals: Seals::new(config.keyring.clone()),
            config,
            keypair,
            address: key.address(),
            clock,
            aggregator,
            counts,
            standing: Standing::default(),
            roster: Roster::default(),
            swarm: None,
            peers: Peers::new(local),
            redial: Redial::new(local),
            strangers: Told::default(),
            rejected: Sampled::default(),
            overloaded: Sampled::default(),
            mirror: Mirror::default(),
            our_key: Sampled::default(),
            unopened: Sampled::default(),
            unsent: Sampled::default(),
            jitter: RandomState::new(),
        })
    }
}

impl Handler<BridgeMessage> for GossipBridge {
    type Result = ();

    fn handle(&mut self, message: BridgeMessage, _: &mut Context<Self>) {
        match message {
            BridgeMessage::Publish(message) => self.publish(&message),
            BridgeMessage::CommitteeIs(committee) => self.admit_only(committee),
            BridgeMessage::EndpointsAre(endpoints) => self.dial_members_at(endpoints),
            BridgeMessage::KeyringIs(keyring) => self.seal_with(keyring),
        }
    }
}
