//! Who is kept out, and until when. Bounded in number and in time: an operator's mistake on the other side heals itself.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// How long a ban lasts: long enough that misbehaving costs far more than behaving, short enough that a peer that was
/// repaired comes back without anybody's help.
pub const BAN: Duration = Duration::from_secs(600);

/// Bans kept. Identities are free, so an attacker can make up more; then the ban that ends first is dropped.
const MAX_BANS: usize = 1024;

#[derive(Debug, Clone, Default)]
pub(super) struct Bans {
    until: HashMap<PeerId, Instant>,
}

impl Bans {
    /// Keeps `peer` out for [`BAN`] from now.
    pub(super) fn ban(&mut self, peer: PeerId, now: Instant) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= MAX_BANS
            && let Some(first) = self
                .until
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer)
        {
            self.until.remove(&first);
        }
        self.until.insert(peer, now + BAN);
    }

    pub(super) fn holds(&self, peer: &PeerId, now: Instant) -> bool {
        self.until.get(peer).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_ban_ends_by_itself() {
        let (mut bans, peer) = (Bans::default(), PeerId::random());
        bans.ban(peer, at(1));
        assert!(bans.holds(&peer, at(600)));
        assert!(!bans.holds(&peer, at(601)));
        assert!(!bans.holds(&PeerId::random(), at(2)));
    }

    #[test]
    fn bans_are_bounded_and_the_one_that_ends_first_goes() {
        let (mut bans, first) = (Bans::default(), PeerId::random());
        bans.ban(first, at(0));
        for _ in 0..2 * MAX_BANS {
            bans.ban(PeerId::random(), at(1));
        }
        assert_eq!(bans.until.len(), MAX_BANS);
        assert!(!bans.holds(&first, at(1)));
        bans.ban(first, at(700));
        assert_eq!(bans.until.len(), 1, "those that ended are forgotten");
    }
}
