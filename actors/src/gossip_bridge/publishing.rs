//! What this node says.

use libp2p::gossipsub::PublishError;

use super::{GossipBridge, gossip, sealing};
use quorate_protocol::Message;

impl GossipBridge {
    pub(super) fn publish(&mut self, message: &Message) {
        let clear = message.encode(&self.config.judge.network);
        self.judge.remember_own(message);
        let bytes = match &self.seals.keyring {
            None => clear,
            Some(keyring) => match sealing::nonce() {
                Ok(nonce) => keyring.seal(&clear, nonce),
                Err(error) => {
                    self.counts.publish_failed();
                    return log::error!(
                        "message not published: reason=\"no randomness to seal it: {error}\""
                    );
                }
            },
        };
        let length = bytes.len();
        let Some(swarm) = &mut self.swarm else {
            return self.counts.publish_failed();
        };
        let gossip = &mut swarm.behaviour_mut().gossip.gossip;
        let published = gossip.publish(gossip::topic(), bytes);
        swarm.behaviour_mut().nudge.all();
        match published {
            Ok(_) => self.counts.published(length),
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => {
                self.counts.publish_failed();
                log::debug!("nobody to publish to: size_bytes={length}");
            }
            Err(error) => {
                self.counts.publish_failed();
                if let Some(count) = self.unsent.note(self.clock.now()) {
                    log::warn!(
                        "messages not published: count={count} size_bytes={length} last_reason=\"{error}\""
                    );
                }
            }
        }
    }
}
