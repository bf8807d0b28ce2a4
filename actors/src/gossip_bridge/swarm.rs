//! What libp2p is configured to: TCP, encrypted by Noise with the node's key as identity, yamux, and what runs on every connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::channel::mpsc;
use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport,
    core::upgrade::Version,
    identify,
    identity::Keypair,
    mdns, noise, ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};
use quorate_protocol::Network;

use super::{
    config::BridgeConfig,
    frames::LimitedGossip,
    gate::Gate,
    metrics::BridgeMetrics,
    score::Scores,
    second_connections::SecondConnections,
    streams::{Watch, Watched},
};
use crate::clock::Clock;

/// To gossipsub, a connection outside its mesh is idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a handshake may take, ours or a stranger's: some round trips, on the slowest of lines. Until then it holds one of the
/// places of [`super::gate`].
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// Streams of frames given up and not yet looked at. Each costs its peer the connection.
const GIVEN_UP: usize = 256;
/// Between pings. They grow with the square of the nodes, and are for who has nothing to say: who has, is missed by that.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long an answer may take: a machine that is busy for a moment answers in time.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(8);
/// What identify says never changes, so once a connection is enough; the interval is for peers that want a reminder.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(3600);

/// The order matters: the gate is asked first, so that the others keep nothing for peers that it turns away.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gate: Gate,
    pub(super) gossip: LimitedGossip,
    pub(super) second_connections: SecondConnections,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

impl Behaviour {
    pub(super) fn new(
        config: &BridgeConfig,
        keypair: &Keypair,
        clock: Clock,
        scores: Scores,
        metrics: &BridgeMetrics,
        given_up: mpsc::Receiver<PeerId>,
    ) -> Result<Self, BuildError> {
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
                scores,
                metrics.clone(),
            ),
            gossip: LimitedGossip::new(&config.judge, clock, metrics.clone(), given_up)
                .map_err(BuildError::Gossip)?,
            second_connections: SecondConnections::default(),
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
pub fn protocol_version(network: &Network) -> String {
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

/// Why there is no swarm. All of these are defects of the build or of the machine; the supervisor tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// gossipsub refused its settings.
    #[error("gossipsub settings: {0}")]
    Gossip(String),
    /// Noise refused the node's key.
    #[error("noise: {0}")]
    Noise(#[from] noise::Error),
    /// The behaviour refused to start.
    #[error("behaviour: {0}")]
    Behaviour(String),
}

/// Builds the swarm; it neither listens nor dials yet. Counts in `own_key_dials` who dials with this node's own key.
pub(super) fn build(
    config: &BridgeConfig,
    keypair: &Keypair,
    clock: Clock,
    scores: Scores,
    metrics: &BridgeMetrics,
    own_key_dials: &Arc<AtomicU64>,
) -> Result<Swarm<Behaviour>, BuildError> {
    let (gave_up, given_up) = mpsc::channel(GIVEN_UP);
    let watch = Watch::new(metrics, gave_up);
    let behaviour = Behaviour::new(config, keypair, clock, scores, metrics, given_up)?;
    let transports = || {
        let (local, own_key_dials) = (keypair.public().to_peer_id(), Arc::clone(own_key_dials));
        let watch = watch.clone();
        let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(keypair)?)
            .multiplex_ext(move |peer, endpoint| {
                // Here, and not when the connection is whole: who dials with our key hangs up before it is.
                if *peer == local && endpoint.is_listener() {
                    own_key_dials.fetch_add(1, Relaxed);
                }
                yamux::Config::default()
            })
            .map(move |(peer, connection), _| (peer, Watched::new(peer, connection, watch)));
        let builder = SwarmBuilder::with_existing_identity(keypair.clone()).with_tokio();
        let Ok(builder) = builder.with_other_transport(|_| tcp);
        Ok::<_, noise::Error>(builder)
    };
    let failed = |error: libp2p::BehaviourBuilderError| BuildError::Behaviour(error.to_string());
    let idle = |config: libp2p::swarm::Config| config.with_idle_connection_timeout(IDLE_TIMEOUT);
    match transports()?.with_dns() {
        Ok(builder) => {
            let builder = builder.with_behaviour(|_| Ok(behaviour)).map_err(failed)?;
            Ok(builder
                .with_swarm_config(idle)
                .with_connection_timeout(HANDSHAKE)
                .build())
        }
        Err(error) => {
            log::warn!(
                "peers given by name cannot be dialled: reason=\"{error}\" remedy=\"give them by ip address\""
            );
            let builder = transports()?.with_behaviour(|_| Ok(behaviour)).map_err(failed)?;
            Ok(builder
                .with_swarm_config(idle)
                .with_connection_timeout(HANDSHAKE)
                .build())
        }
    }
}
