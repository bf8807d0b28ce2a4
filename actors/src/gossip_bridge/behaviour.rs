//! What runs on every connection.

use std::{sync::Arc, time::Duration};

use libp2p::{
    PeerId, identify,
    identity::Keypair,
    mdns, ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};
use quorate_protocol::Network;

use super::{
    config::BridgeConfig, counts::Counts, gate::Gate, gossip, metered::Metered, nudge::Nudge,
    standing::Standing, swarm::BuildError,
};
use crate::clock::Clock;

/// Between pings. Finds a dead host within two minutes; until then the other mesh peers carry its share. The pings are nearly all
/// of the idle traffic, and grow with the square of the nodes: a round among 10 fully connected ones is 44 kB with all
/// headers, a message of each to all others about 90 kB.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What identify says never changes, so once a connection is enough; the interval is for peers that want a reminder.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(3600);

/// The order matters: the gate is asked first, so that the others keep nothing for peers that it turns away.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gate: Gate,
    pub(super) gossip: Metered,
    pub(super) nudge: Nudge,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

impl Behaviour {
    pub(super) fn new(
        config: &BridgeConfig,
        keypair: &Keypair,
        clock: Clock,
        standing: Standing,
        counts: Arc<Counts>,
    ) -> Result<Self, BuildError> {
        let gossip = gossip::build(&config.judge, Arc::clone(&counts))?;
        let identify = identify::Config::new(protocol_version(&config.judge.network), keypair.public())
            .with_agent_version(concat!("quorate/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_interval(IDENTIFY_INTERVAL)
            .with_cache_size(0);
        let ping = ping::Config::new()
            .with_interval(PING_INTERVAL)
            .with_timeout(PING_TIMEOUT);
        Ok(Self {
            gate: Gate::new(
                clock,
                config.judge.committee.members.clone(),
                standing,
                Arc::clone(&counts),
            ),
            gossip: Metered::new(gossip, clock, counts),
            nudge: Nudge::default(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            mdns: Toggle::from(
                config
                    .mdns
                    .then(|| start_mdns(keypair.public().to_peer_id()))
                    .flatten(),
            ),
        })
    }
}

/// What nodes of one network call their protocol when they introduce themselves.
pub(super) fn protocol_version(network: &Network) -> String {
    format!(
        "{PROTOCOL_PREFIX}{}/{network}",
        quorate_protocol::PROTOCOL_VERSION
    )
}

pub(super) const PROTOCOL_PREFIX: &str = "quorate/";

/// Without multicast the other ways to find peers remain.
fn start_mdns(local: PeerId) -> Option<mdns::tokio::Behaviour> {
    mdns::tokio::Behaviour::new(mdns::Config::default(), local)
        .inspect_err(|error| {
            log::warn!("mdns unavailable: reason=\"{error}\" remedy=\"give peers by --peer or --dns-peers\"");
        })
        .ok()
}
