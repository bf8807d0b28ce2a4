//! What this node says, on its way out: encoded, sealed if the network is, and put into the queues of its peers.

use libp2p::gossipsub::PublishError;
use quorate_protocol::{
    Instant, Message, Network,
    seal::{Keyring, NONCE_BYTES},
};

use super::{
    config::BridgeConfig,
    gossip::{self, Gossipsub},
    log_limit::LogLimit,
    metrics::BridgeMetrics,
};

pub(super) struct Outbound {
    network: Network,
    keyring: Option<Keyring>,
    metrics: BridgeMetrics,
    failures: LogLimit,
}

impl Outbound {
    pub(super) fn new(config: &BridgeConfig, metrics: BridgeMetrics) -> Self {
        Self {
            network: config.judge.network.clone(),
            keyring: config.keyring.clone(),
            metrics,
            failures: LogLimit::default(),
        }
    }

    /// Seals with this from now on.
    pub(super) fn set_keyring(&mut self, keyring: Keyring) {
        self.keyring = Some(keyring);
    }

    /// Hands a message to gossipsub, which queues it for each peer. What cannot be sent is lost, counted and logged: the
    /// next message is news, this one no more.
    pub(super) fn publish(&mut self, message: &Message, gossip: &mut Gossipsub, now: Instant) {
        let clear = message.encode(&self.network);
        let bytes = match &self.keyring {
            None => clear,
            Some(keyring) => match nonce() {
                Ok(nonce) => keyring.seal(&clear, nonce),
                Err(error) => {
                    self.metrics.publish_failures.inc();
                    return log::error!(
                        "message not published: reason=\"no randomness to seal it: {error}\""
                    );
                }
            },
        };
        let length = bytes.len();
        match gossip.publish(gossip::topic(), bytes) {
            Ok(_) => {
                self.metrics.published.inc();
                self.metrics.published_bytes.inc_by(length as u64);
            }
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => {
                self.metrics.publish_failures.inc();
                log::debug!("nobody to publish to: size_bytes={length}");
            }
            Err(error) => {
                self.metrics.publish_failures.inc();
                if let Some(count) = self.failures.count(now) {
                    log::warn!(
                        "messages not published: count={count} size_bytes={length} last_reason=\"{error}\""
                    );
                }
            }
        }
    }
}

/// A new one for each message, from the operating system's randomness.
///
/// # Errors
/// The system gives none; then nothing may be sealed.
fn nonce() -> Result<[u8; NONCE_BYTES], getrandom::Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}
