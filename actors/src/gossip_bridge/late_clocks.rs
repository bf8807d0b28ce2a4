//! Whether a peer's clock is off, by messages of its own that are ignored for their time.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{Address, Instant, judge::JudgeConfig};

/// Two messages that are as late as each other show a clock that is behind; of one alone it may be the way that took long. Between
/// them lies at least this.
const APART: Duration = Duration::from_secs(1);
/// Peers remembered: as many as may be connected.
const MAX_PEERS: usize = 512;

/// The last late message of each peer.
#[derive(Debug, Default)]
pub(super) struct LateClocks {
    late: BTreeMap<Address, (i64, Instant)>,
}

impl LateClocks {
    /// Whether a message so far ahead of our clock, in milliseconds, shows that its sender's is off. Nothing comes from the future,
    /// but what is old may have been held up.
    pub(super) fn is_told_off(&mut self, peer: Address, ahead_ms: i64, now: Instant) -> bool {
        if ahead_ms > 0 {
            return true;
        }
        if self.late.len() >= MAX_PEERS && !self.late.contains_key(&peer) {
            self.late.clear();
        }
        let before = self.late.insert(peer, (ahead_ms, now));
        let tolerance = JudgeConfig::FUTURE_TOLERANCE.as_millis();
        before.is_some_and(|(ahead_before, at)| {
            now.since(at) >= APART && u128::from(ahead_ms.abs_diff(ahead_before)) <= tolerance
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn what_comes_from_the_future_shows_it_at_once() {
        let mut clocks = LateClocks::default();
        assert!(clocks.is_told_off(Address::new([1; 20]), 5_001, at(0)));
    }

    #[test]
    fn what_is_old_shows_it_when_the_next_is_as_old() {
        let (mut clocks, peer) = (LateClocks::default(), Address::new([1; 20]));
        assert!(!clocks.is_told_off(peer, -40_000, at(0)));
        assert!(!clocks.is_told_off(peer, -40_000, at(500)), "held up together");
        assert!(
            !clocks.is_told_off(peer, -31_000, at(9_500)),
            "held up until the same moment"
        );
        assert!(clocks.is_told_off(peer, -31_200, at(24_500)));
        assert!(!clocks.is_told_off(Address::new([2; 20]), -31_200, at(24_500)));
    }

    #[test]
    fn however_many_peers_are_late_few_are_remembered() {
        let mut clocks = LateClocks::default();
        for peer in 0..2_000u16 {
            let mut address = [0; 20];
            address[..2].copy_from_slice(&peer.to_be_bytes());
            clocks.is_told_off(Address::new(address), -40_000, at(0));
        }
        assert!(clocks.late.len() <= MAX_PEERS);
    }
}
