//! How much a node takes from one peer: a token bucket each, and a mark on those who keep running into it. A new identity goes on with
//! the bucket that the last one from its address left behind.

use std::{collections::HashMap, hash::Hash, net::IpAddr, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// What a peer may send in a second for as long as it likes: frames, or where a frame holds more than one, messages,
/// subscriptions and control actions. Two orders above what is normal: a network of 100
/// nodes makes about 215 publishes a window.
const PER_SECOND: u64 = 100;
/// At once: a whole window of that network may be asked of one peer within a second.
const BURST: u64 = 400;
/// As many dropped within [`WINDOW`] that make a flood of it; an honest peer that is caught up with never comes near.
const FLOOD: u64 = 500;
const WINDOW: Duration = Duration::from_secs(60);
/// What a new identity may send whatever the last one from its address did: what it listens to, and some grafts.
const INTRODUCTION: u64 = 10;
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
#[derive(Debug, Clone)]
struct Bucket {
    level: u64,
    filled_at: Instant,
    dropped: u64,
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

    fn take(&mut self, tokens: u64, now: Instant) -> Decision {
        self.refill(now);
        match self.level.checked_sub(tokens.saturating_mul(1000)) {
            Some(level) => {
                self.level = level;
                Decision::Pass
            }
            None => self.drop(tokens, now),
        }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed_ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        if elapsed_ms > 0 {
            self.level = elapsed_ms
                .saturating_mul(PER_SECOND)
                .saturating_add(self.level)
                .min(BURST * 1000);
            self.filled_at = now;
        }
    }

    fn drop(&mut self, tokens: u64, now: Instant) -> Decision {
        if now.since(self.window_since) > WINDOW {
            self.window_since = now;
            self.dropped = 0;
        }
        let before = self.dropped;
        self.dropped = before.saturating_add(tokens);
        if before < FLOOD && self.dropped >= FLOOD {
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
    /// What peers had in theirs when they left, by the address that they came from.
    left: HashMap<IpAddr, Bucket>,
}

impl RateLimit {
    /// A frame came that holds so much.
    pub(super) fn take(&mut self, peer: PeerId, tokens: u64, now: Instant) -> Decision {
        self.bucket(peer, now).take(tokens, now)
    }

    /// A frame came that is dropped for another reason than its size.
    pub(super) fn drop_one(&mut self, peer: PeerId, now: Instant) -> Decision {
        self.bucket(peer, now).drop(1, now)
    }

    /// A peer came. One that nobody knows gets what was left behind at its address: identities are free.
    pub(super) fn connected(&mut self, peer: PeerId, source: Option<IpAddr>, now: Instant) {
        if !self.buckets.contains_key(&peer)
            && let Some(left) = source.and_then(|source| self.left.get(&source))
            && now.since(left.filled_at) <= WINDOW
        {
            let left = left.clone();
            make_room(&mut self.buckets, now);
            self.buckets.insert(peer, left);
        }
    }

    /// A peer went: what it leaves behind is the emptier of its bucket and the one that was there.
    pub(super) fn disconnected(&mut self, peer: &PeerId, source: Option<IpAddr>, now: Instant) {
        let (Some(source), Some(bucket)) = (source, self.buckets.get_mut(peer)) else {
            return;
        };
        bucket.refill(now);
        let mut leaves = bucket.clone();
        if let Some(left) = self.left.get_mut(&source)
            && now.since(left.filled_at) <= WINDOW
        {
            left.refill(now);
            leaves.level = leaves.level.min(left.level);
            leaves.dropped = leaves.dropped.max(left.dropped);
        }
        // Whoever comes next may be somebody else: it can introduce itself, and is a flood only by what it sends itself.
        leaves.level = leaves.level.max(INTRODUCTION * 1000);
        leaves.dropped = leaves.dropped.min(FLOOD / 2);
        make_room(&mut self.left, now);
        self.left.insert(source, leaves);
    }

    fn bucket(&mut self, peer: PeerId, now: Instant) -> &mut Bucket {
        if !self.buckets.contains_key(&peer) {
            make_room(&mut self.buckets, now);
        }
        self.buckets.entry(peer).or_insert_with(|| Bucket::full(now))
    }
}

/// A bucket that was not touched for a window is as good as new; failing that, the longest untouched goes.
fn make_room<K: Copy + Eq + Hash>(buckets: &mut HashMap<K, Bucket>, now: Instant) {
    if buckets.len() < MAX_PEERS {
        return;
    }
    buckets.retain(|_, bucket| now.since(bucket.filled_at) <= WINDOW);
    if buckets.len() >= MAX_PEERS
        && let Some(idle) = buckets
            .iter()
            .min_by_key(|(_, bucket)| bucket.filled_at)
            .map(|(key, _)| *key)
    {
        buckets.remove(&idle);
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
            .filter(|_| limit.take(peer, 1, now) == Decision::Pass)
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
        assert_eq!(limit.take(quiet, 1, at(0)), Decision::Pass);
    }

    #[test]
    fn too_many_dropped_in_a_window_are_a_flood_said_once() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        let decisions: Vec<_> = (0..BURST + 2 * FLOOD)
            .map(|_| limit.take(peer, 1, at(0)))
            .collect();
        assert_eq!(
            decisions.iter().position(|a| *a == Decision::Flood),
            Some((BURST + FLOOD - 1) as usize)
        );
        assert_eq!(decisions.iter().filter(|a| **a == Decision::Flood).count(), 1);
    }

    #[test]
    fn a_few_too_many_every_minute_are_no_flood() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        for minute in 0..20 {
            let now = at(minute * 61_000);
            assert!((0..BURST + 100).all(|_| limit.take(peer, 1, now) != Decision::Flood));
        }
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut limit = RateLimit::default();
        for index in 0..3 * MAX_PEERS as u64 {
            limit.take(PeerId::random(), 1, at(index));
        }
        assert_eq!(limit.buckets.len(), MAX_PEERS);
        limit.take(PeerId::random(), 1, at(1_000_000));
        assert_eq!(limit.buckets.len(), 1, "the idle are forgotten together");
    }

    #[test]
    fn a_frame_costs_what_it_holds() {
        let (mut limit, peer) = (RateLimit::default(), PeerId::random());
        assert_eq!(limit.take(peer, BURST - 1, at(0)), Decision::Pass);
        assert_eq!(limit.take(peer, 2, at(0)), Decision::Drop);
        assert_eq!(limit.take(peer, 1, at(0)), Decision::Pass);
        assert_eq!(
            limit.take(peer, FLOOD, at(0)),
            Decision::Flood,
            "a million at once"
        );
    }

    #[test]
    fn a_new_identity_goes_on_where_the_last_one_from_its_address_stopped() {
        let (here, elsewhere) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let (mut limit, first, second) = (RateLimit::default(), PeerId::random(), PeerId::random());
        limit.connected(first, here, at(0));
        passed(&mut limit, first, BURST + 10 * FLOOD, at(0));
        limit.disconnected(&first, here, at(0));
        limit.connected(second, here, at(0));
        let decisions: Vec<_> = (0..FLOOD).map(|_| limit.take(second, 1, at(0))).collect();
        let passed_through = decisions.iter().filter(|decision| **decision == Decision::Pass);
        assert_eq!(passed_through.count() as u64, INTRODUCTION, "no fresh bucket");
        assert!(decisions.contains(&Decision::Flood), "and half the patience");
        let other = PeerId::random();
        limit.connected(other, elsewhere, at(0));
        assert_eq!(limit.take(other, BURST, at(0)), Decision::Pass);
        // What is left behind fills up as a peer's own does.
        let third = PeerId::random();
        limit.connected(third, here, at(2_000));
        let fills_up = INTRODUCTION + 2 * PER_SECOND;
        assert_eq!(passed(&mut limit, third, 1000, at(2_000)), fills_up);
    }

    #[test]
    fn who_shares_an_address_keeps_its_own_bucket_while_others_come_and_go() {
        let here = Some([10, 0, 0, 1].into());
        let (mut limit, honest, loud) = (RateLimit::default(), PeerId::random(), PeerId::random());
        for peer in [honest, loud] {
            limit.connected(peer, here, at(0));
            limit.take(peer, 1, at(0));
        }
        passed(&mut limit, loud, 10_000, at(0));
        limit.disconnected(&loud, here, at(0));
        limit.connected(honest, here, at(0));
        assert_eq!(limit.take(honest, 100, at(0)), Decision::Pass);
    }
}
