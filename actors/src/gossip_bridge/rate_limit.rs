//! How much a node takes from one peer: a token bucket each, and a mark on those who keep running into it.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// Gossip frames a second that a peer may send for as long as it likes. Two orders above what is normal: a network of 100
/// nodes makes about 215 publishes a window.
const PER_SECOND: u64 = 100;
/// Frames at once: a whole window of that network may come through one mesh peer within a second.
const BURST: u64 = 400;
/// Frames dropped within [`WINDOW`] that make a flood of it; an honest peer that is caught up with never comes near.
const FLOOD: u32 = 500;
const WINDOW: Duration = Duration::from_secs(60);
/// Peers remembered: above the most connections that a node holds, so that only the disconnected are forgotten.
const MAX_PEERS: usize = 1024;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is handled.
    Pass,
    /// It is dropped unread.
    Drop,
    /// It is dropped, and its sender has now sent so much too much that it should go.
    Flood,
}

/// Counts in thousandths of a token, so that no time is lost to rounding.
#[derive(Debug)]
struct Bucket {
    level: u64,
    filled_at: Instant,
    dropped: u32,
    window_since: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self {
            level: BURST * 1000,
            filled_at: now,
            dropped: 0,
            window_since: now,
        }
    }

    fn take(&mut self, now: Instant) -> Decision {
        let elapsed_ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        if elapsed_ms > 0 {
            self.level = elapsed_ms
                .saturating_mul(PER_SECOND)
                .saturating_add(self.level)
                .min(BURST * 1000);
            self.filled_at = now;
        }
        if self.level >= 1000 {
            self.level -= 1000;
            return Decision::Pass;
        }
        if now.since(self.window_since) > WINDOW {
            self.window_since = now;
            self.dropped = 0;
        }
        self.dropped = self.dropped.saturating_add(1);
        if self.dropped == FLOOD {
            Decision::Flood
        } else {
            Decision::Drop
        }
    }
}

/// The buckets of all peers. A peer keeps its bucket when it reconnects.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    buckets: HashMap<PeerId, Bucket>,
}

impl RateLimit {
    pub(super) fn take(&mut self, peer: PeerId, now: Instant) -> Decision {
        if self.buckets.len() >= MAX_PEERS && !self.buckets.contains_key(&peer) {
            self.make_room(now);
        }
        self.buckets
            .entry(peer)
            .or_insert_with(|| Bucket::full(now))
            .take(now)
    }

    /// A bucket that was not touched for a window is as good as new; failing that, the longest untouched goes.
    fn make_room(&mut self, now: Instant) {
        self.buckets
            .retain(|_, bucket| now.since(bucket.filled_at) <= WINDOW);
        if self.buckets.len() >= MAX_PEERS
            && let Some(idle) = self
                .buckets
                .iter()
                .min_by_key(|(_, bucket)| bucket.filled_at)
                .map(|(peer, _)| *peer)
        {
            self.buckets.remove(&idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip_bridge::documented;

    #[test]
    fn the_documented_numbers_are_those_that_count() {
        assert_eq!(
            documented("frames a second from one peer"),
            format!("{PER_SECOND}, and {BURST} at once")
        );
    }

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn passed(limit: &mut RateLimit, peer: PeerId, frames: u64, now: Instant) -> u64 {
        (0..frames)
            .filter(|_| limit.take(peer, now) == Decision::Pass)
            .count() as u64
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        assert_eq!(passed(&mut limit, peer, 1000, at(0)), BURST);
        assert_eq!(passed(&mut limit, peer, 1000, at(500)), PER_SECOND / 2);
        assert_eq!(
            passed(&mut limit, peer, 1, at(505)),
            0,
            "half a token is none yet"
        );
        assert_eq!(passed(&mut limit, peer, 1, at(510)), 1);
        assert_eq!(
            passed(&mut limit, peer, 1000, at(60_000)),
            BURST,
            "it never holds more"
        );
    }

    #[test]
    fn one_peer_does_not_use_up_anothers_share() {
        let (mut limit, loud, quiet) = (RateLimit::default(), PeerId::random(), PeerId::random());
        passed(&mut limit, loud, 10_000, at(0));
        assert_eq!(limit.take(quiet, at(0)), Decision::Pass);
    }

    #[test]
    fn too_many_dropped_in_a_window_are_a_flood_said_once() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        let decisions: Vec<_> = (0..BURST + 2 * u64::from(FLOOD))
            .map(|_| limit.take(peer, at(0)))
            .collect();
        assert_eq!(
            decisions.iter().position(|a| *a == Decision::Flood),
            Some((BURST + u64::from(FLOOD) - 1) as usize)
        );
        assert_eq!(decisions.iter().filter(|a| **a == Decision::Flood).count(), 1);
    }

    #[test]
    fn a_few_too_many_every_minute_are_no_flood() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        for minute in 0..20 {
            let now = at(minute * 61_000);
            assert!((0..BURST + 100).all(|_| limit.take(peer, now) != Decision::Flood));
        }
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut limit = RateLimit::default();
        for index in 0..3 * MAX_PEERS as u64 {
            limit.take(PeerId::random(), at(index));
        }
        assert_eq!(limit.buckets.len(), MAX_PEERS);
        limit.take(PeerId::random(), at(1_000_000));
        assert_eq!(limit.buckets.len(), 1, "the idle are forgotten together");
    }
}
