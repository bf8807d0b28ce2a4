//! When a feed is fetched: every interval, in the phase that the next record asks for, and as much earlier as answers take.

use std::time::Duration;

use quorate_protocol::Instant;

/// Two fetches of a feed are at least this far apart, whatever is asked: no wish of ours may look like an attack to an
/// exchange. Shorter only where the interval itself is.
pub const MIN_GAP: Duration = Duration::from_millis(500);

/// Decides when the next fetch of one feed begins.
///
/// Answers are expected a *lead* after a fetch begins (an estimate, [`AnswerTime`]). All times
/// below are those at which answers are expected, so that they lie in phase whatever the lead is.
///
/// - Nothing fetched yet: at once.
/// - Asked for a time that has come or passed: at once.
/// - Asked for a time at most one interval after the last answers: then.
/// - Asked for a later time: at the first of the times that lie whole intervals before it, but not sooner than half an
///   interval after the last answers. So a change of phase neither doubles a fetch nor leaves a gap of more than 1.5
///   intervals, however often the phase changes.
/// - Not asked: one interval after the last answers.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    interval: Duration,
    /// What was asked for last.
    wanted: Option<Instant>,
    /// Any time of the grid that fetches follow: set by a wish for the future.
    phase: Option<Instant>,
    at_once: bool,
    /// A price is wanted that was not told yet; no other wish takes that back.
    anew: bool,
    last: Option<Fetch>,
}

#[derive(Debug, Clone, Copy)]
struct Fetch {
    began: Instant,
    /// When its answers are expected.
    due: Instant,
}

impl Schedule {
    /// Fetches every `interval` (at least a millisecond), the first at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_millis(1)),
            wanted: None,
            phase: None,
            at_once: false,
            anew: false,
            last: None,
        }
    }

    fn min_gap(&self) -> Duration {
        MIN_GAP.min(self.interval)
    }

    /// Answers are wanted `at` that time. The same wish twice is one wish.
    pub(crate) fn want(&mut self, at: Instant, now: Instant) {
        if self.wanted == Some(at) {
            return;
        }
        self.wanted = Some(at);
        let is_served = self
            .last
            .is_some_and(|last| at.since(last.due).max(last.due.since(at)) < self.min_gap());
        if at <= now && !is_served {
            self.at_once = true;
            self.phase = None;
        } else {
            self.at_once = false;
            self.phase = Some(at);
        }
    }

    /// A price is wanted that was not told yet, as soon as the gap allows.
    pub(crate) fn want_anew(&mut self) {
        self.anew = true;
    }

    /// When the next fetch begins: `now` or later. Asks again after every [`Schedule::want`] and [`Schedule::begin`].
    pub(crate) fn next_start(&self, now: Instant, lead: Duration) -> Instant {
        let Some(last) = self.last else { return now };
        let due = if self.at_once || self.anew {
            now
        } else {
            self.next_due(last)
        };
        due.before(lead).max(last.began + self.min_gap()).max(now)
    }

    /// When the next fetch begins for a time that was asked for in advance; `None`: none is, or it is wanted at once. What waits
    /// for a window goes before what is late anyway.
    pub(crate) fn planned_start(&self, lead: Duration) -> Option<Instant> {
        match (self.last, self.phase) {
            _ if self.at_once || self.anew => None,
            (Some(last), Some(_)) => Some(self.next_due(last).before(lead)),
            (None, phase) => phase.map(|at| at.before(lead)),
            (Some(_), None) => None,
        }
    }

    /// When the last fetch began.
    pub(crate) fn last_began(&self) -> Option<Instant> {
        self.last.map(|last| last.began)
    }

    fn next_due(&self, last: Fetch) -> Instant {
        match self.phase {
            None => last.due + self.interval,
            Some(at) if at >= last.due + self.min_gap() && at <= last.due + self.interval => at,
            Some(at) => first_on_grid(at, self.interval, last.due + self.interval / 2),
        }
    }

    /// A fetch begins now, and its answers are expected a lead later.
    pub(crate) fn begin(&mut self, now: Instant, lead: Duration) {
        let expected = now + lead;
        let due = match self.last {
            Some(last) if !self.at_once && !self.anew => {
                let planned = self.next_due(last);
                // About on time: the grid is kept exactly. Late (a suspended machine): counted from here.
                if expected.since(planned) < self.min_gap() {
                    planned
                } else {
                    expected
                }
            }
            _ => expected,
        };
        self.last = Some(Fetch { began: now, due });
        (self.at_once, self.anew) = (false, false);
    }
}

/// The first of the times `phase + k * interval` (k any integer) that is not before `earliest`.
fn first_on_grid(phase: Instant, interval: Duration, earliest: Instant) -> Instant {
    let interval_ns = interval.as_nanos().max(1);
    let remainder = |time: Instant| time.since_start().as_nanos() % interval_ns;
    let ahead = (remainder(phase) + interval_ns - remainder(earliest)) % interval_ns;
    // Less than an interval, which is a Duration: nanoseconds of more than 584 years do not occur.
    earliest + Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX))
}

/// What is assumed before the first fetch: a TLS handshake and an answer across an ocean.
const AT_FIRST: Duration = Duration::from_millis(500);
/// A fetch never begins earlier than this before it is due: a price should be fresh, and what takes longer is waited for
/// by `patience` and `source_timeout`, not by everybody.
pub const LONGEST_LEAD: Duration = Duration::from_secs(2);

/// A running mean of durations and of how far they stray from it, a fetch counting a quarter: twenty fetches after
/// the network changed little is left of how it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerTime {
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    mean: Duration,
    deviation: Duration,
}

impl AnswerTime {
    /// A fetch took that long from its beginning to its price.
    pub(crate) fn took(&mut self, duration: Duration) {
        // One fetch that hung must not be remembered for minutes.
        let duration = duration.min(LONGEST_LEAD);
        self.seen = Some(match self.seen {
            None => Seen {
                mean: duration,
                deviation: duration / 4,
            },
            Some(Seen { mean, deviation }) => Seen {
                mean: (mean * 3 + duration) / 4,
                deviation: (deviation * 3 + mean.abs_diff(duration)) / 4,
            },
        });
    }

    /// How long before it is due a fetch begins, so that its price is most likely there in time.
    pub(crate) fn lead(&self) -> Duration {
        self.seen
            .map_or(AT_FIRST, |seen| seen.mean + seen.deviation)
            .min(LONGEST_LEAD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    const LEAD: Duration = Duration::from_millis(400);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(after_start: u64) -> Instant {
        Instant::after_start(millis(after_start))
    }

    /// Runs to the next fetch and returns when its answers are expected, in milliseconds.
    fn next(schedule: &mut Schedule, now: u64) -> u64 {
        let start = schedule.next_start(at(now), LEAD);
        schedule.begin(start, LEAD);
        u64::try_from((start + LEAD).since_start().as_millis()).unwrap()
    }

    #[test]
    fn the_first_fetch_is_at_once_and_then_every_interval() {
        let mut schedule = Schedule::new(INTERVAL);
        assert_eq!(schedule.next_start(at(7_000), LEAD), at(7_000));
        assert_eq!(next(&mut schedule, 7_000), 7_400);
        let start = schedule.next_start(at(7_001), LEAD);
        schedule.begin(start, LEAD);
        let further = schedule.next_start(start, LEAD);
        assert_eq!(further.since(start), INTERVAL);
    }

    #[test]
    fn answers_come_at_the_time_that_was_asked_for() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(29_000), at(1_000));
        assert_eq!(next(&mut schedule, 1_000), 29_000);
        assert_eq!(
            next(&mut schedule, 29_000),
            59_000,
            "the phase stays without a newer wish"
        );
    }

    #[test]
    fn the_last_wish_counts() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(29_000), at(1_000));
        schedule.want(at(20_000), at(2_000));
        assert_eq!(next(&mut schedule, 2_000), 20_000);
    }

    #[test]
    fn a_wish_that_has_passed_is_fetched_at_once_but_not_within_the_minimal_gap() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(9_000), at(10_000));
        assert_eq!(schedule.next_start(at(10_000), LEAD), at(10_000));
        next(&mut schedule, 10_000);
        schedule.want(at(5_000), at(10_100));
        assert_eq!(schedule.next_start(at(10_100), LEAD), at(10_500));
    }

    #[test]
    fn a_wish_that_is_repeated_or_just_served_fetches_nothing_more() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(29_000), at(1_000));
        assert_eq!(next(&mut schedule, 1_000), 29_000);
        for (wish, now) in [
            (29_000, 28_700),
            (29_000, 29_500),
            (28_990, 29_600),
            (29_010, 28_800),
        ] {
            schedule.want(at(wish), at(now));
            let due = schedule.next_start(at(now), LEAD) + LEAD;
            assert!(
                due >= at(58_000) && due <= at(60_000),
                "wish {wish} at {now}: {due:?}"
            );
        }
    }

    #[test]
    fn a_price_that_was_not_told_yet_is_fetched_as_soon_as_the_gap_allows() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want_anew();
        schedule.want(at(5_000), at(10));
        assert_eq!(
            schedule.next_start(at(100), LEAD),
            at(500),
            "a later wish does not take it back"
        );
        assert_eq!(next(&mut schedule, 100), 900);
        assert_eq!(next(&mut schedule, 900), 5_000, "and then as ever");
    }

    #[test]
    fn a_wish_far_ahead_is_led_up_to_in_whole_intervals() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(100_000), at(1_000));
        assert_eq!(
            next(&mut schedule, 1_000),
            40_000,
            "10 s would be too soon after the last"
        );
        assert_eq!(next(&mut schedule, 40_000), 70_000);
        assert_eq!(next(&mut schedule, 70_000), 100_000);
        assert_eq!(next(&mut schedule, 100_000), 130_000);
    }

    #[test]
    fn after_a_long_sleep_there_is_one_fetch_not_a_burst() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(29_000), at(1_000));
        assert_eq!(next(&mut schedule, 600_000), 600_400);
        let then = schedule.next_start(at(600_001), LEAD);
        assert!(then.since(at(600_000)) >= INTERVAL / 2, "{then:?}");
    }

    #[test]
    fn a_lead_that_changes_moves_the_start_not_the_phase() {
        let mut schedule = Schedule::new(INTERVAL);
        next(&mut schedule, 0);
        schedule.want(at(29_000), at(1_000));
        let long = Duration::from_secs(2);
        let start = schedule.next_start(at(1_000), long);
        assert_eq!(start, at(27_000));
        schedule.begin(start, long);
        assert_eq!(schedule.next_start(start, LEAD), at(58_600));
    }

    #[test]
    fn steady_answers_lead_to_their_duration() {
        let mut time = AnswerTime::default();
        assert_eq!(time.lead(), AT_FIRST);
        for _ in 0..40 {
            time.took(millis(120));
        }
        assert!(
            time.lead() >= millis(120) && time.lead() <= millis(122),
            "{:?}",
            time.lead()
        );
    }

    #[test]
    fn answers_that_stray_get_more_time_than_their_mean() {
        let mut time = AnswerTime::default();
        for _ in 0..40 {
            time.took(millis(100));
            time.took(millis(300));
        }
        assert!(time.lead() > millis(250), "{:?}", time.lead());
    }

    #[test]
    fn one_fetch_that_hung_is_soon_forgotten() {
        let mut time = AnswerTime::default();
        time.took(Duration::from_secs(3600));
        for _ in 0..20 {
            time.took(millis(100));
        }
        assert!(time.lead() < millis(200), "{:?}", time.lead());
    }

    proptest! {
        #[test]
        fn the_lead_is_bounded(durations in proptest::collection::vec(any::<u64>(), 0..50)) {
            let mut time = AnswerTime::default();
            for duration in durations {
                time.took(millis(duration));
                prop_assert!(time.lead() <= LONGEST_LEAD);
            }
        }

        /// Any wishes at any times: fetches keep their distance, and none stays out.
        #[test]
        fn fetches_are_never_too_close_nor_too_far_apart(
            interval_ms in 2_000u64..60_000,
            lead_ms in 0u64..900,
            wishes in proptest::collection::vec((0u64..20_000, 0u64..200_000), 0..60),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let lead = Duration::from_millis(lead_ms);
            let mut schedule = Schedule::new(interval);
            let mut starts = vec![];
            let mut now = 50_000;
            for (wait, wish) in wishes.into_iter().chain([(200_000, 0)]) {
                let until = now + wait;
                loop {
                    let start = schedule.next_start(at(now), lead);
                    prop_assert!(start >= at(now));
                    if start > at(until) {
                        break;
                    }
                    schedule.begin(start, lead);
                    starts.push(start);
                    now = u64::try_from(start.since_start().as_millis()).unwrap();
                }
                now = until;
                schedule.want(at((now + wish).saturating_sub(50_000)), at(now));
            }
            for pair in starts.windows(2) {
                let gap = pair[1].since(pair[0]);
                prop_assert!(gap >= MIN_GAP.min(interval), "gap {gap:?}");
                prop_assert!(gap <= interval * 3 / 2 + lead + MIN_GAP, "gap {gap:?}");
            }
        }

        #[test]
        fn without_wishes_fetches_are_exactly_an_interval_apart(
            interval_ms in 1_000u64..60_000,
            lead_ms in 0u64..2_000,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let lead = Duration::from_millis(lead_ms.min(interval_ms / 2));
            let mut schedule = Schedule::new(interval);
            let mut now = at(1_234);
            schedule.begin(now, lead);
            for _ in 0..10 {
                let start = schedule.next_start(now, lead);
                prop_assert_eq!(start.since(now), interval);
                schedule.begin(start, lead);
                now = start;
            }
        }

        #[test]
        fn what_is_asked_for_within_the_interval_is_met_to_the_nanosecond(
            wish_ns in 1_500_000_000u64..30_000_000_000,
        ) {
            let mut schedule = Schedule::new(INTERVAL);
            schedule.begin(at(0), LEAD);
            let wish = Instant::after_start(LEAD) + Duration::from_nanos(wish_ns);
            schedule.want(wish, at(500));
            prop_assert_eq!(schedule.next_start(at(500), LEAD) + LEAD, wish);
        }

        #[test]
        fn the_grid_is_hit_at_or_after_the_earliest_time(
            phase in any::<u32>(), interval in 1u64..100_000, earliest in any::<u32>(),
        ) {
            let (phase, earliest) = (at(phase.into()), at(earliest.into()));
            let interval = Duration::from_millis(interval);
            let hit = first_on_grid(phase, interval, earliest);
            prop_assert!(hit >= earliest && hit.since(earliest) < interval);
            let distance = hit.since(phase).max(phase.since(hit));
            prop_assert_eq!(distance.as_nanos() % interval.as_nanos(), 0);
        }
    }
}
