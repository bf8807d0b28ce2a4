//! How often a peer sent what no honest node sends, and when that is enough.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// Rejected messages within [`WINDOW`] that end the acquaintance. One or two can be a bug or another version met by chance;
/// gossipsub takes the peer out of the mesh at the first.
const MAX_REJECTS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Peers remembered; the one whose window began first is forgotten for a new one.
const MAX_PEERS: usize = 1024;

/// Rejects by peer; survives reconnections, so that reconnecting does not wash a peer clean.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    rejects: HashMap<PeerId, (Instant, u32)>,
}

impl Conduct {
    /// Notes a rejected message; `true` if it was one too many.
    pub(super) fn reject(&mut self, peer: PeerId, now: Instant) -> bool {
        if self.rejects.len() >= MAX_PEERS && !self.rejects.contains_key(&peer) {
            self.rejects.retain(|_, (since, _)| now.since(*since) <= WINDOW);
            if self.rejects.len() >= MAX_PEERS
                && let Some(first) = self
                    .rejects
                    .iter()
                    .min_by_key(|(_, (since, _))| *since)
                    .map(|(peer, _)| *peer)
            {
                self.rejects.remove(&first);
            }
        }
        let (since, count) = self.rejects.entry(peer).or_insert((now, 0));
        if now.since(*since) > WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let too_many = *count >= MAX_REJECTS;
        if too_many {
            self.rejects.remove(&peer);
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_fifth_reject_within_a_minute_is_one_too_many() {
        let (mut conduct, peer) = (Conduct::default(), PeerId::random());
        assert!((0..4).all(|second| !conduct.reject(peer, at(second))));
        assert!(conduct.reject(peer, at(60)));
    }

    #[test]
    fn a_reject_now_and_then_is_forgiven() {
        let (mut conduct, peer) = (Conduct::default(), PeerId::random());
        assert!((0..100).all(|index| !conduct.reject(peer, at(index * 20))));
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let mut conduct = Conduct::default();
        for index in 0..3 * MAX_PEERS as u64 {
            conduct.reject(PeerId::random(), at(index / 1000));
        }
        assert_eq!(conduct.rejects.len(), MAX_PEERS);
    }
}
