//! Which sources are asked, and which rest for how long: one value for each source of a feed.

use std::time::Duration;

use quorate_protocol::Instant;

/// The first rest after an error. It doubles with every further one: 5, 10, 20, 40 s ... With the usual fetch every
/// 30 s the first three errors in a row cost no fetch at all; only what stays broken is asked less often.
pub(crate) const FIRST_REST: Duration = Duration::from_secs(5);
/// The first rest of a source that the others contradict: long enough to be left out of the next fetch, since an answer
/// that is wrong is worse than none.
pub(crate) const FIRST_OUTLIER_REST: Duration = Duration::from_secs(60);
/// The longest rest that is our own idea: a source that recovers is back within five minutes.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(300);
/// The longest rest that an exchange can demand, so that a mistaken `Retry-After` does not take it away for a day.
pub(crate) const LONGEST_DEMANDED_REST: Duration = Duration::from_secs(900);
/// By how much jitter lengthens a rest at most, in percent: nodes that failed together do not come back together.
const JITTER_PERCENT: u32 = 20;

/// Why a source goes to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It gave no usable answer.
    Failed,
    /// It demands to be left alone that long (429, or 503 with `Retry-After`).
    Demanded(Duration),
    /// The others agree on another price.
    Outlier,
}

/// The state of one source for one feed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Health {
    /// Errors since the last success.
    errors: u32,
    rest: Option<Rest>,
    /// The others contradicted it, and since then nobody has borne it out.
    suspect: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    cause: Cause,
}

impl Health {
    /// Sends the source to rest and returns for how long. `jitter` is anything; its remainder lengthens the rest.
    pub(crate) fn rest(&mut self, cause: Cause, now: Instant, jitter: u64) -> Duration {
        let doubled = |first: Duration| {
            // 2^6 * 5 s is above the longest rest already: the shift cannot overflow.
            first.saturating_mul(1 << self.errors.min(6)).min(LONGEST_REST)
        };
        let rest = match cause {
            Cause::Failed => doubled(FIRST_REST),
            Cause::Outlier => doubled(FIRST_OUTLIER_REST),
            // It knows best: no longer than that, however many errors there were before.
            Cause::Demanded(demanded) => demanded.clamp(FIRST_REST, LONGEST_DEMANDED_REST),
        };
        let percent = u32::try_from(jitter % u64::from(JITTER_PERCENT + 1)).unwrap_or_default();
        let rest = rest + rest * percent / 100;
        self.errors = self.errors.saturating_add(1);
        self.suspect |= cause == Cause::Outlier;
        // What comes in late never shortens a rest that runs: least of all one that the exchange demanded.
        let until = now + rest;
        if self.rest.is_none_or(|running| running.until <= until) {
            self.rest = Some(Rest { until, cause });
        }
        rest
    }

    /// The source answered, and was not contradicted. `borne_out`: another one that is above suspicion agrees with it.
    /// Returns whether it was in trouble before.
    ///
    /// A rest that the exchange demanded still runs to its end: the answer may be to an older request.
    pub(crate) fn succeeded(&mut self, borne_out: bool, now: Instant) -> bool {
        let was_in_trouble = self.errors > 0;
        if self
            .rest
            .is_some_and(|rest| !rest.is_demanded() || rest.until <= now)
        {
            self.rest = None;
        }
        self.errors = 0;
        if borne_out {
            self.suspect = false;
        }
        was_in_trouble
    }

    /// Whether the source is left alone.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.rest.is_some_and(|rest| rest.until > now)
    }

    /// Whether its answer alone must not make a price.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// When it would be asked early if too few others are left: never while the exchange demands rest, and never
    /// because it contradicted the others.
    fn spare(&self) -> Option<Instant> {
        match self.rest {
            Some(Rest {
                until,
                cause: Cause::Failed,
            }) if !self.suspect => Some(until),
            _ => None,
        }
    }
}

impl Rest {
    fn is_demanded(&self) -> bool {
        matches!(self.cause, Cause::Demanded(_))
    }
}

/// Which of the sources a fetch asks: those that do not rest; and if these are fewer than `needed`, as many of the
/// merely failed ones as are missing, those first whose rest ends first. So an outage of this node's own network costs no
/// fetch after it is over, and still an exchange that demanded rest gets it, and a liar never speaks alone.
///
/// Returns indices in ascending order.
pub(crate) fn choose(sources: &[Health], needed: usize, now: Instant) -> Vec<usize> {
    let (mut chosen, resting): (Vec<usize>, Vec<usize>) =
        (0..sources.len()).partition(|index| !sources[*index].is_resting(now));
    let mut spares: Vec<(Instant, usize)> = resting
        .into_iter()
        .filter_map(|index| Some((sources[index].spare()?, index)))
        .collect();
    spares.sort_unstable();
    let missing = needed.max(1).saturating_sub(chosen.len());
    chosen.extend(spares.into_iter().take(missing).map(|(_, index)| index));
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn resting(cause: Cause, now: Instant) -> Health {
        let mut health = Health::default();
        health.rest(cause, now, 0);
        health
    }

    #[test]
    fn rests_double_up_to_five_minutes_and_start_anew_after_a_success() {
        let mut source = Health::default();
        let rests: Vec<u64> = (0..9)
            .map(|_| source.rest(Cause::Failed, at(0), 0).as_secs())
            .collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(source.succeeded(true, at(1000)), "it is back");
        assert!(!source.succeeded(true, at(1030)), "it was back already");
        assert_eq!(source.rest(Cause::Failed, at(1060), 0), secs(5));
    }

    #[test]
    fn three_errors_in_a_row_cost_no_fetch_at_thirty_seconds() {
        let mut source = Health::default();
        for fetch in 0..3 {
            assert!(!source.is_resting(at(fetch * 30)));
            source.rest(Cause::Failed, at(fetch * 30), u64::MAX);
        }
        assert!(!source.is_resting(at(90)));
    }

    #[test]
    fn what_the_exchange_demands_is_kept_within_reason() {
        let mut source = Health::default();
        assert_eq!(source.rest(Cause::Demanded(secs(120)), at(0), 0), secs(120));
        assert!(source.is_resting(at(119)) && !source.is_resting(at(120)));
        let mut day = Health::default();
        assert_eq!(
            day.rest(Cause::Demanded(secs(86_400)), at(0), 0),
            LONGEST_DEMANDED_REST
        );
        let mut none = Health::default();
        assert_eq!(
            none.rest(Cause::Demanded(secs(0)), at(0), 0),
            FIRST_REST,
            "at least what an error costs"
        );
        let mut broken = Health::default();
        for _ in 0..8 {
            broken.rest(Cause::Failed, at(0), 0);
        }
        let rest = broken.rest(Cause::Demanded(secs(20)), at(1000), 0);
        assert_eq!(rest, secs(20), "after many errors it still knows best");
    }

    #[test]
    fn neither_a_late_success_nor_a_late_error_shortens_a_demanded_rest() {
        let mut source = resting(Cause::Demanded(secs(120)), at(0));
        source.succeeded(true, at(1));
        assert!(source.is_resting(at(119)));
        source.rest(Cause::Failed, at(2), 0);
        assert!(source.is_resting(at(119)));
        assert!(choose(&[source], 1, at(119)).is_empty());
    }

    #[test]
    fn an_outlier_misses_the_next_fetch_and_is_suspect_until_another_agrees() {
        let mut source = resting(Cause::Outlier, at(0));
        assert!(source.is_resting(at(30)) && !source.is_resting(at(60)));
        assert!(source.is_suspect());
        source.succeeded(false, at(60));
        assert!(source.is_suspect(), "its own word is not enough");
        source.succeeded(true, at(90));
        assert!(!source.is_suspect());
    }

    #[test]
    fn those_that_do_not_rest_are_asked() {
        let sources = [
            Health::default(),
            resting(Cause::Failed, at(0)),
            Health::default(),
        ];
        assert_eq!(choose(&sources, 1, at(1)), [0, 2]);
        assert_eq!(choose(&sources, 1, at(5)), [0, 1, 2]);
    }

    #[test]
    fn when_all_rest_the_one_whose_rest_ends_first_is_asked_all_the_same() {
        let sources = [
            resting(Cause::Failed, at(3)),
            resting(Cause::Failed, at(1)),
            resting(Cause::Failed, at(2)),
        ];
        assert_eq!(choose(&sources, 0, at(4)), [1]);
        assert_eq!(choose(&sources, 2, at(4)), [1, 2], "as many as a price needs");
        assert_eq!(choose(&sources, 9, at(4)), [0, 1, 2]);
    }

    #[test]
    fn an_exchange_that_demanded_rest_and_a_liar_are_never_asked_early() {
        let sources = [
            resting(Cause::Demanded(secs(60)), at(0)),
            resting(Cause::Outlier, at(0)),
        ];
        assert!(choose(&sources, 2, at(1)).is_empty());
    }

    fn cause() -> impl Strategy<Value = Cause> {
        prop_oneof![
            Just(Cause::Failed),
            Just(Cause::Outlier),
            (0u64..200_000).prop_map(|seconds| Cause::Demanded(secs(seconds))),
        ]
    }

    proptest! {
        #[test]
        fn every_rest_ends_within_its_bound(
            causes in proptest::collection::vec((cause(), 0u64..1000, any::<u64>()), 1..30)
        ) {
            let mut source = Health::default();
            let mut now = 0;
            for (cause, wait, jitter) in causes {
                now += wait;
                let rest = source.rest(cause, at(now), jitter);
                prop_assert!(rest >= FIRST_REST);
                prop_assert!(rest <= LONGEST_DEMANDED_REST + LONGEST_DEMANDED_REST / 5);
                prop_assert!(source.is_resting(at(now)));
            }
            prop_assert!(!source.is_resting(at(now) + LONGEST_DEMANDED_REST + LONGEST_DEMANDED_REST / 5));
        }

        #[test]
        fn whoever_does_not_rest_is_asked_and_nobody_twice(
            states in proptest::collection::vec(proptest::option::of((cause(), 0u64..100)), 0..8),
            needed in 0usize..10,
        ) {
            let sources: Vec<Health> = states
                .into_iter()
                .map(|state| state.map_or_else(Health::default, |(cause, from)| resting(cause, at(from))))
                .collect();
            let now = at(50);
            let chosen = choose(&sources, needed, now);
            prop_assert!(chosen.is_sorted_by(|a, b| a < b));
            for (index, source) in sources.iter().enumerate() {
                if !source.is_resting(now) {
                    prop_assert!(chosen.contains(&index));
                } else if chosen.contains(&index) {
                    prop_assert!(source.spare().is_some());
                }
            }
        }
    }
}
