//! Penalty points of peers for what no honest node sends, which halve with time, and a ban for as long as there are too many of
//! them. An operator's mistake on the other side heals itself; who comes back and goes on is out sooner and longer, also under a new
//! identity from the same address.

use std::{collections::HashMap, hash::Hash, net::IpAddr, time::Duration};

use libp2p::PeerId;
use quorate_protocol::Instant;

/// In this time points halve. Long enough that misbehaving costs far more than behaving, short enough that a peer that was
/// repaired comes back without anybody's help.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// Points are counted in thousandths, so that decay is not lost to rounding.
const POINT: u64 = 1000;
/// Points from which a peer is banned, counted up to the next whole one: five rejected messages within 20 s are a hundred.
const BANNED_FROM: u64 = 100 * POINT;
/// Points at which a ban ends: so the first lasts one half-life, and half the room is left afterwards.
const BANNED_TO: u64 = 50 * POINT;
/// What a new identity begins with at most, because of others from its address: at its first offence it is banned, and no sooner.
const INHERITED: u64 = BANNED_FROM - POINT;
/// The most that a peer can have: three half-lives of ban, half an hour. More would outlast the repair of an honest mistake.
const MOST: u64 = 400 * POINT;
/// Peers remembered. Identities are free, so an attacker can make up more; then the one with the fewest points is forgotten.
const MAX_PEERS: usize = 1024;

/// What a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    /// It sent what no honest node sends. One or two can be a bug or another version met by chance.
    Rejected,
    /// It sent a frame that cannot be read, such as one that is too large. It costs the connection each time; three are a ban.
    Unreadable,
    /// It sent so much that its token bucket ran dry for hundreds of frames. No honest peer comes near.
    Flood,
}

impl Offence {
    fn points(self) -> u64 {
        match self {
            Self::Rejected => 20 * POINT,
            Self::Unreadable => 34 * POINT,
            Self::Flood => 100 * POINT,
        }
    }
}

/// A ban that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ban {
    /// Whole points that the peer has now.
    pub(super) points: u64,
    /// How long the ban lasts if nothing is added.
    pub(super) lasts: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Score {
    /// As of `since`.
    points: u64,
    since: Instant,
    banned: bool,
}

impl Score {
    fn none(now: Instant) -> Self {
        Self {
            points: 0,
            since: now,
            banned: false,
        }
    }

    /// Whether a ban begins with it.
    fn add(&mut self, offence: Offence, now: Instant) -> bool {
        let was_banned = self.is_banned(now);
        let points = (self.points(now) + offence.points()).min(MOST);
        let banned = was_banned || points.div_ceil(POINT) * POINT >= BANNED_FROM;
        *self = Self {
            points,
            since: now,
            banned,
        };
        banned && !was_banned
    }

    fn points(&self, now: Instant) -> u64 {
        decayed(self.points, now.since(self.since))
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned && self.points(now) > BANNED_TO
    }
}

/// The points of all peers that have any; survives reconnections and the actor's restarts.
#[derive(Debug, Clone, Default)]
pub(super) struct Scores {
    scores: HashMap<PeerId, Score>,
    /// What was done from an address, by whomever.
    sources: HashMap<IpAddr, Score>,
}

impl Scores {
    /// Adds to a peer's points, and to those of the address that it comes from. `Some`: with these it is banned, and was not before.
    pub(super) fn note(
        &mut self,
        peer: PeerId,
        source: Option<IpAddr>,
        offence: Offence,
        now: Instant,
    ) -> Option<Ban> {
        if let Some(source) = source {
            entry(&mut self.sources, source, now).add(offence, now);
        }
        let score = entry(&mut self.scores, peer, now);
        score.add(offence, now).then(|| Ban {
            points: score.points.div_ceil(POINT),
            lasts: time_to(score.points, BANNED_TO),
        })
    }

    /// A peer comes from an address. One that has no points yet begins with those of the address: identities are free.
    pub(super) fn inherit(&mut self, peer: PeerId, source: IpAddr, now: Instant) {
        let points = self.sources.get(&source).map_or(0, |score| score.points(now));
        if points >= POINT && !self.scores.contains_key(&peer) {
            entry(&mut self.scores, peer, now).points = points.min(INHERITED);
        }
    }

    pub(super) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.scores.get(peer).is_some_and(|score| score.is_banned(now))
    }
}

/// A score in a bounded map. To make room, those whose points are all but gone are forgotten; failing that, the one with the fewest.
fn entry<K: Copy + Eq + Hash>(scores: &mut HashMap<K, Score>, key: K, now: Instant) -> &mut Score {
    if scores.len() >= MAX_PEERS && !scores.contains_key(&key) {
        scores.retain(|_, score| score.points(now) >= POINT);
        if scores.len() >= MAX_PEERS
            && let Some(best) = scores
                .iter()
                .min_by_key(|(_, score)| score.points(now))
                .map(|(key, _)| *key)
        {
            scores.remove(&best);
        }
    }
    scores.entry(key).or_insert(Score::none(now))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `points` after `elapsed`: halved for every whole half-life, and on a straight line to the next half within one. The line lies
/// above the true curve, and starting a new line on the way stays above the old one: what is added never shortens a ban.
fn decayed(points: u64, elapsed: Duration) -> u64 {
    let (elapsed, half_life) = (millis(elapsed), millis(HALF_LIFE));
    let halvings = u32::try_from(elapsed / half_life).unwrap_or(u32::MAX);
    let points = points.checked_shr(halvings).unwrap_or(0);
    points - points * (elapsed % half_life) / (2 * half_life)
}

/// How long `points` take to decay to `target`, which is above 0.
fn time_to(points: u64, target: u64) -> Duration {
    let half_life = millis(HALF_LIFE);
    let (mut points, mut elapsed) = (points, 0);
    while points / 2 > target {
        points /= 2;
        elapsed += half_life;
    }
    if points > target {
        elapsed += ((points - target) * 2 * half_life).div_ceil(points);
    }
    Duration::from_millis(elapsed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    /// As often as it takes until a ban begins, a message each second.
    fn rejects_until_banned(scores: &mut Scores, peer: PeerId, from: u64) -> (u64, Ban) {
        (0..100)
            .find_map(|n| Some((n + 1, scores.note(peer, None, Offence::Rejected, at(from + n))?)))
            .unwrap()
    }

    #[test]
    fn five_rejected_messages_are_a_ban_for_one_half_life() {
        let (mut scores, peer) = (Scores::default(), PeerId::random());
        let (rejects, ban) = rejects_until_banned(&mut scores, peer, 0);
        assert_eq!((rejects, ban.points), (5, 100));
        assert!(scores.is_banned(&peer, at(590)));
        assert!(!scores.is_banned(&peer, at(605)));
        assert!(!scores.is_banned(&PeerId::random(), at(4)));
    }

    #[test]
    fn a_flood_is_a_ban_at_once() {
        let (mut scores, peer) = (Scores::default(), PeerId::random());
        let ban = scores.note(peer, None, Offence::Flood, at(0)).unwrap();
        assert_eq!((ban.points, ban.lasts), (100, HALF_LIFE));
        assert_eq!(
            scores.note(peer, None, Offence::Flood, at(1)),
            None,
            "it is banned already"
        );
    }

    #[test]
    fn who_comes_back_and_goes_on_is_banned_sooner_and_longer() {
        let (mut scores, peer) = (Scores::default(), PeerId::random());
        let (first, ban) = rejects_until_banned(&mut scores, peer, 0);
        let (second, again) = rejects_until_banned(&mut scores, peer, 605);
        assert_eq!((first, second), (5, 3));
        assert!(again.lasts > ban.lasts, "{again:?} {ban:?}");
    }

    #[test]
    fn a_rejected_message_now_and_then_is_forgiven() {
        let (mut scores, peer) = (Scores::default(), PeerId::random());
        assert!((0..100).all(|n| scores.note(peer, None, Offence::Rejected, at(n * 300)).is_none()));
    }

    #[test]
    fn the_number_of_peers_is_bounded_and_the_worst_are_remembered() {
        let (mut scores, banned) = (Scores::default(), PeerId::random());
        scores.note(banned, None, Offence::Flood, at(0));
        for n in 0..3 * MAX_PEERS as u64 {
            scores.note(PeerId::random(), None, Offence::Rejected, at(n / 100));
        }
        assert_eq!(scores.scores.len(), MAX_PEERS);
        assert!(scores.is_banned(&banned, at(60)));
        scores.note(PeerId::random(), None, Offence::Rejected, at(100_000));
        assert_eq!(scores.scores.len(), 1, "what has decayed is forgotten together");
    }

    proptest! {
        #[test]
        fn points_halve_in_a_half_life_and_never_rise(
            points in 0..=MOST, first in 0u64..10_000_000, later in 0u64..10_000_000
        ) {
            let after = |ms| decayed(points, Duration::from_millis(ms));
            prop_assert!(after(first + later) <= after(first));
            prop_assert_eq!(decayed(points, HALF_LIFE), points / 2);
            prop_assert_eq!(decayed(points, Duration::MAX), 0);
        }

        #[test]
        fn a_ban_lasts_as_long_as_it_says(points in BANNED_FROM..=MOST) {
            let lasts = time_to(points, BANNED_TO);
            prop_assert!(decayed(points, lasts) <= BANNED_TO);
            prop_assert!(decayed(points, lasts - Duration::from_millis(2)) > BANNED_TO);
            prop_assert!(lasts <= 3 * HALF_LIFE);
        }

        #[test]
        fn more_offences_never_end_a_ban_earlier(
            offences in prop::collection::vec((0u64..900, any::<bool>()), 1..20), extra in 0usize..20, seconds in 0u64..4000
        ) {
            let peer = PeerId::random();
            let play = |skip: Option<usize>| {
                let (mut scores, mut now) = (Scores::default(), 0);
                for (index, (pause, flood)) in offences.iter().enumerate() {
                    now += pause;
                    if Some(index) != skip {
                        scores.note(peer, None, if *flood { Offence::Flood } else { Offence::Rejected }, at(now));
                    }
                }
                scores.is_banned(&peer, at(now + seconds))
            };
            let (with, without) = (play(None), play(Some(extra % offences.len())));
            prop_assert!(with || !without, "banned without it, and not with it");
        }

        #[test]
        fn nobody_has_more_than_the_most(offences in 1usize..200) {
            let (mut scores, peer) = (Scores::default(), PeerId::random());
            for _ in 0..offences {
                scores.note(peer, None, Offence::Flood, at(0));
            }
            prop_assert!(scores.scores[&peer].points <= MOST);
            prop_assert!(!scores.is_banned(&peer, at(1800)));
        }
    }

    #[test]
    fn a_new_identity_from_the_address_of_a_banned_one_is_banned_at_its_first_offence() {
        let (here, elsewhere) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut scores = Scores::default();
        scores.note(PeerId::random(), Some(here), Offence::Flood, at(0));
        for (source, is_banned) in [(here, true), (elsewhere, false)] {
            let peer = PeerId::random();
            scores.inherit(peer, source, at(1));
            assert!(!scores.is_banned(&peer, at(1)), "it may be somebody else");
            let ban = scores.note(peer, Some(source), Offence::Rejected, at(1));
            assert_eq!(ban.is_some(), is_banned);
        }
    }

    #[test]
    fn what_was_done_from_an_address_is_forgiven_in_time_and_never_held_against_the_known() {
        let (here, known, newcomer) = ([10, 0, 0, 1].into(), PeerId::random(), PeerId::random());
        let mut scores = Scores::default();
        scores.note(known, Some(here), Offence::Rejected, at(0));
        scores.note(PeerId::random(), Some(here), Offence::Flood, at(0));
        scores.inherit(known, here, at(1));
        assert_eq!(scores.note(known, Some(here), Offence::Rejected, at(1)), None);
        scores.inherit(newcomer, here, at(10_000));
        assert_eq!(
            scores.note(newcomer, Some(here), Offence::Rejected, at(10_000)),
            None
        );
    }
}
