//! What is worth one line in the log for each peer, and no more however often it happens.

use std::collections::BTreeSet;

use libp2p::PeerId;

/// Peers remembered. Ids are free: once there are so many, nothing is said of further ones until [`Told::forget`].
const MAX_PEERS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Told {
    peers: BTreeSet<PeerId>,
}

impl Told {
    /// Whether it is the first time for this peer.
    pub(super) fn is_news(&mut self, peer: PeerId) -> bool {
        self.peers.len() < MAX_PEERS && self.peers.insert(peer)
    }

    /// Things have changed for this peer.
    pub(super) fn forget_peer(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Things have changed for everybody.
    pub(super) fn forget(&mut self) {
        self.peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_peer_it_is_said_once_and_of_many_at_all() {
        let (mut told, peer) = (Told::default(), PeerId::random());
        assert!(told.is_news(peer) && !told.is_news(peer));
        let said = (0..1000).filter(|_| told.is_news(PeerId::random())).count();
        assert_eq!(said, MAX_PEERS - 1);
        told.forget_peer(&peer);
        assert!(told.is_news(peer));
        told.forget();
        assert!(told.is_news(peer));
    }
}
