//! What the network can provoke is logged within bounds.

use std::{collections::BTreeSet, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// Between two warnings of a kind.
const EVERY: Duration = Duration::from_secs(30);
/// Peers remembered. Ids are free: once there are so many, nothing is logged of further ones until [`OncePerPeer::forget_all`].
const MAX_PEERS: usize = 64;

/// A warning that is logged once in a while, with how often it was due.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    last: Option<Instant>,
    since_last: u64,
}

impl LogLimit {
    /// Counts one more; the number to log if it is time to.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.since_last += 1;
        if self.last.is_some_and(|last| now.since(last) < EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since_last))
    }
}

/// What is worth one line in the log for each peer, and no more however often it happens.
#[derive(Debug, Default)]
pub(super) struct OncePerPeer {
    peers: BTreeSet<PeerId>,
}

impl OncePerPeer {
    /// Whether it is the first time for this peer.
    pub(super) fn is_first(&mut self, peer: PeerId) -> bool {
        self.peers.len() < MAX_PEERS && self.peers.insert(peer)
    }

    /// Things have changed for this peer.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Things have changed for everybody.
    pub(super) fn forget_all(&mut self) {
        self.peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_rest_in_sum() {
        let mut limit = LogLimit::default();
        let logged: Vec<_> = (0..61)
            .filter_map(|second| limit.count(Instant::after_start(Duration::from_secs(second))))
            .collect();
        assert_eq!(logged, [1, 30, 30]);
    }

    #[test]
    fn of_every_peer_it_is_logged_once_and_of_a_bounded_number_at_all() {
        let (mut once, peer) = (OncePerPeer::default(), PeerId::random());
        assert!(once.is_first(peer) && !once.is_first(peer));
        let logged = (0..1000).filter(|_| once.is_first(PeerId::random())).count();
        assert_eq!(logged, MAX_PEERS - 1);
        once.forget(&peer);
        assert!(once.is_first(peer));
        once.forget_all();
        assert!(once.is_first(peer));
    }
}
