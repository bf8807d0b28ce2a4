//! Penalty points of peers for what no honest node sends, which halve with time, and a ban for as long as there are too many of
//! them. An operator's mistake on the other side heals itself; who comes back and goes on is out sooner and longer.

use std::{collections::HashMap, time::Duration};

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
/// The most that a peer can have: three half-lives of ban, half an hour. More would outlast the repair of an honest mistake.
const MOST: u64 = 400 * POINT;
/// Peers remembered. Identities are free, so an attacker can make up more; then the one with the fewest points is forgotten.
const MAX_PEERS: usize = 1024;

/// What a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    /// It sent what no honest node sends. One or two can be a bug or another version met by chance; gossipsub takes the peer out
    /// of the mesh at the first.
    Rejected,
    /// It sent so much that its token bucket ran dry for hundreds of frames. No honest peer comes near.
    Flood,
}

impl Offence {
    fn points(self) -> u64 {
        match self {
            Self::Rejected => 20 * POINT,
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
}

impl Scores {
    /// Adds to a peer's points. `Some`: with these it is banned, and was not before.
    pub(super) fn note(&mut self, peer: PeerId, offence: Offence, now: Instant) -> Option<Ban> {
        if self.scores.len() >= MAX_PEERS && !self.scores.contains_key(&peer) {
            self.make_room(now);
        }
        let score = self.scores.entry(peer).or_insert(Score {
            points: 0,
            since: now,
            banned: false,
        });
        let was_banned = score.is_banned(now);
        let points = (score.points(now) + offence.points()).min(MOST);
        let banned = was_banned || points.div_ceil(POINT) * POINT >= BANNED_FROM;
        *score = Score {
            points,
            since: now,
            banned,
        };
        (banned && !was_banned).then(|| Ban {
            points: points.div_ceil(POINT),
            lasts: time_to(points, BANNED_TO),
        })
    }

    pub(super) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.scores.get(peer).is_some_and(|score| score.is_banned(now))
    }

    /// Forgets those whose points are all but gone; failing that, the one with the fewest.
    fn make_room(&mut self, now: Instant) {
        self.scores.retain(|_, score| score.points(now) >= POINT);
        if self.scores.len() >= MAX_PEERS
            && let Some(best) = self
                .scores
                .iter()
                .min_by_key(|(_, score)| score.points(now))
                .map(|(peer, _)| *peer)
        {
            self.scores.remove(&best);
        }
    }
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
            .find_map(|n| Some((n + 1, scores.note(peer, Offence::Rejected, at(from + n))?)))
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
        let ban = scores.note(peer, Offence::Flood, at(0)).unwrap();
        assert_eq!((ban.points, ban.lasts), (100, HALF_LIFE));
        assert_eq!(
            scores.note(peer, Offence::Flood, at(1)),
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
        assert!((0..100).all(|n| scores.note(peer, Offence::Rejected, at(n * 300)).is_none()));
    }

    #[test]
    fn the_number_of_peers_is_bounded_and_the_worst_are_remembered() {
        let (mut scores, banned) = (Scores::default(), PeerId::random());
        scores.note(banned, Offence::Flood, at(0));
        for n in 0..3 * MAX_PEERS as u64 {
            scores.note(PeerId::random(), Offence::Rejected, at(n / 100));
        }
        assert_eq!(scores.scores.len(), MAX_PEERS);
        assert!(scores.is_banned(&banned, at(60)));
        scores.note(PeerId::random(), Offence::Rejected, at(100_000));
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
                        scores.note(peer, if *flood { Offence::Flood } else { Offence::Rejected }, at(now));
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
                scores.note(peer, Offence::Flood, at(0));
            }
            prop_assert!(scores.scores[&peer].points <= MOST);
            prop_assert!(!scores.is_banned(&peer, at(1800)));
        }
    }
}
