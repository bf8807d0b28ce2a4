//! The swarm: TCP, encrypted, with the node's key as identity.

use std::{sync::Arc, time::Duration};

use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport,
    core::{ConnectedPoint, upgrade::Version},
    identity::Keypair,
    noise, tcp, yamux,
};

use super::{behaviour::Behaviour, counts::Counts, wire_meter};

/// A connection outside the mesh counts as idle and must live on: it carries gossip, and is a way out when the mesh breaks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

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

/// Builds the swarm; it neither listens nor dials yet.
pub(super) fn build(
    keypair: &Keypair,
    behaviour: Behaviour,
    counts: &Arc<Counts>,
) -> Result<Swarm<Behaviour>, BuildError> {
    let transports = || {
        let (of_tcp, of_noise) = (Arc::clone(counts), Arc::clone(counts));
        let local = keypair.public().to_peer_id();
        // Here, and not when the connection is whole: who dials with our key hangs up before it is.
        let note_own_key = move |counts: &Counts, peer: &PeerId, endpoint: &ConnectedPoint| {
            if *peer == local && endpoint.is_listener() {
                counts.dialled_with_our_key();
            }
        };
        let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(keypair)?)
            .multiplex_ext(move |peer, endpoint| {
                note_own_key(&of_noise, peer, endpoint);
                yamux::Config::default()
            })
            .map(move |(peer, connection), _| wire_meter::count(peer, connection, Arc::clone(&of_tcp)));
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
