//! What libp2p is configured to: TCP, encrypted by Noise with the node's key as identity, yamux, and what runs on every connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport,
    core::{
        muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
        upgrade::Version,
    },
    identify,
    identity::Keypair,
    mdns, noise, ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};
use prometheus::IntCounter;
use quorate_protocol::Network;

use super::{
    config::BridgeConfig, gate::Gate, gossip::LimitedGossip, metrics::BridgeMetrics, score::Scores,
    second_connections::SecondConnections,
};
use crate::clock::Clock;

/// A connection outside the mesh counts as idle and must live on: it carries gossip, and is a way out when the mesh breaks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
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
            gossip: LimitedGossip::new(&config.judge, clock, metrics.clone()).map_err(BuildError::Gossip)?,
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
    let behaviour = Behaviour::new(config, keypair, clock, scores, metrics)?;
    let transports = || {
        let (local, own_key_dials) = (keypair.public().to_peer_id(), Arc::clone(own_key_dials));
        let bytes = [
            metrics.network_bytes.with_label_values(&["in"]),
            metrics.network_bytes.with_label_values(&["out"]),
        ];
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
            .map(move |(peer, connection), _| {
                let inner = StreamMuxerBox::new(connection);
                let [read, written] = bytes;
                (peer, Counted { inner, read, written })
            });
        let builder = SwarmBuilder::with_existing_identity(keypair.clone()).with_tokio();
        let Ok(builder) = builder.with_other_transport(|_| tcp);
        Ok::<_, noise::Error>(builder)
    };
    let failed = |error: libp2p::BehaviourBuilderError| BuildError::Behaviour(error.to_string());
    let idle = |config: libp2p::swarm::Config| config.with_idle_connection_timeout(IDLE_TIMEOUT);
    match transports()?.with_dns() {
        Ok(builder) => {
            let builder = builder.with_behaviour(|_| Ok(behaviour)).map_err(failed)?;
            Ok(builder.with_swarm_config(idle).build())
        }
        Err(error) => {
            log::warn!(
                "peers given by name cannot be dialled: reason=\"{error}\" remedy=\"give them by ip address\""
            );
            let builder = transports()?.with_behaviour(|_| Ok(behaviour)).map_err(failed)?;
            Ok(builder.with_swarm_config(idle).build())
        }
    }
}

/// A connection, or one of its streams, whose bytes are counted.
struct Counted<T> {
    inner: T,
    read: IntCounter,
    written: IntCounter,
}

impl<T: Unpin> Counted<T> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl Counted<StreamMuxerBox> {
    fn count_stream<E>(&self, opened: Result<SubstreamBox, E>) -> Result<Counted<SubstreamBox>, E> {
        opened.map(|inner| Counted {
            inner,
            read: self.read.clone(),
            written: self.written.clone(),
        })
    }
}

impl StreamMuxer for Counted<StreamMuxerBox> {
    type Substream = Counted<SubstreamBox>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_inbound(cx));
        Poll::Ready(self.count_stream(opened))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_outbound(cx));
        Poll::Ready(self.count_stream(opened))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner().poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.inner().poll(cx)
    }
}

impl AsyncRead for Counted<SubstreamBox> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.as_mut().inner().poll_read(cx, buffer));
        if let Ok(bytes) = read {
            self.read.inc_by(bytes as u64);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted<SubstreamBox> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().inner().poll_write(cx, bytes));
        if let Ok(bytes) = written {
            self.written.inc_by(bytes as u64);
        }
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().inner().poll_write_vectored(cx, slices));
        if let Ok(bytes) = written {
            self.written.inc_by(bytes as u64);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_close(cx)
    }
}
