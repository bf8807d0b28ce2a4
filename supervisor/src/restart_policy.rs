//! How often, and after what pause, a failed actor is started again. Pure: time and randomness are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Long enough for a socket that the failed run held to be free again, short for those who wait for an answer.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// An actor whose remedy has come, a database that is back, is not missing for longer than this.
const MAX_DELAY: Duration = Duration::from_secs(30);
/// Twice the longest pause without a failure: the last one's cause is taken to be gone.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// With pauses that double, eight restarts that all fail at once take about a minute: more will not help.
const MAX_RESTARTS: u32 = 8;
/// Restarts older than this are forgiven, so that a long life with rare failures is never ended.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// The rule for restarts of one actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The pause before the first restart; each further one doubles it.
    pub first_delay: Duration,
    /// The longest pause.
    pub max_delay: Duration,
    /// A run of this length sets the pause back to the first.
    pub healthy_after: Duration,
    /// How many restarts one window may hold; the failure after them ends the process.
    pub max_restarts: u32,
    /// How long a restart is remembered.
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_delay: FIRST_DELAY,
            max_delay: MAX_DELAY,
            healthy_after: HEALTHY_AFTER,
            max_restarts: MAX_RESTARTS,
            window: WINDOW,
        }
    }
}

impl RestartPolicy {
    /// The pause before restart number `attempt` (from 1), shortened by the jitter.
    pub(crate) fn delay(&self, attempt: u32, jitter: Jitter) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self
            .first_delay
            .saturating_mul(1 << doublings)
            .min(self.max_delay);
        full.saturating_sub(full.saturating_mul(jitter.0) / 1000)
    }
}

/// By how many thousandths a pause is shortened, so that actors, and processes, that one outage felled do not return
/// in step. It shortens and never lengthens: the cap stays a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jitter(u32);

impl Jitter {
    /// A quarter is enough to spread them, and keeps the doubling recognisable in a log.
    const MAX_PERMILLE: u32 = 250;
    /// A jitter from 64 random bits.
    pub(crate) fn from_random(bits: u64) -> Self {
        let permille = bits % (u64::from(Self::MAX_PERMILLE) + 1);
        Self(u32::try_from(permille).unwrap_or(Self::MAX_PERMILLE))
    }
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start the actor again.
    Restart {
        /// Which restart in a row this is, from 1.
        attempt: u32,
        /// How long to wait before it.
        delay: Duration,
    },
    /// It does not help: end the process, so that whatever runs it takes over.
    GiveUp {
        /// How many restarts the window holds.
        restarts: u32,
        /// How long ago the oldest of them was.
        within: Duration,
    },
}

/// What one actor's failures were so far. Bounded by [`RestartPolicy::max_restarts`].
#[derive(Debug)]
pub(crate) struct RestartHistory {
    policy: RestartPolicy,
    restarts: VecDeque<Instant>,
    attempt: u32,
    running_since: Option<Instant>,
}

impl RestartHistory {
    /// No failure yet.
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            restarts: VecDeque::new(),
            attempt: 0,
            running_since: None,
        }
    }

    /// The actor runs (again) since `now`.
    pub(crate) fn on_started(&mut self, now: Instant) {
        self.running_since = Some(now);
    }

    /// The actor failed at `now`.
    pub(crate) fn on_failure(&mut self, now: Instant, jitter: Jitter) -> Decision {
        let ran_for = self
            .running_since
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if ran_for >= self.policy.healthy_after {
            self.attempt = 0;
        }
        while self
            .restarts
            .front()
            .is_some_and(|&restart| now.saturating_duration_since(restart) >= self.policy.window)
        {
            self.restarts.pop_front();
        }
        let restarts = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if restarts >= self.policy.max_restarts {
            let within = self
                .restarts
                .front()
                .map_or(Duration::ZERO, |&oldest| now.saturating_duration_since(oldest));
            return Decision::GiveUp { restarts, within };
        }
        self.restarts.push_back(now);
        self.attempt = self.attempt.saturating_add(1);
        Decision::Restart {
            attempt: self.attempt,
            delay: self.policy.delay(self.attempt, jitter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_JITTER: Jitter = Jitter(0);

    fn delays_ms(history: &mut RestartHistory, now: Instant, failures: usize) -> Vec<u128> {
        (0..failures)
            .filter_map(|_| match history.on_failure(now, NO_JITTER) {
                Decision::Restart { delay, .. } => Some(delay.as_millis()),
                Decision::GiveUp { .. } => None,
            })
            .collect()
    }

    #[test]
    fn the_pause_doubles_from_a_quarter_second_to_its_cap() {
        let mut history = RestartHistory::new(RestartPolicy::default());
        assert_eq!(
            delays_ms(&mut history, Instant::now(), 8),
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]
        );
    }

    #[test]
    fn the_failure_after_eight_restarts_in_ten_minutes_gives_up() {
        let start = Instant::now();
        let mut history = RestartHistory::new(RestartPolicy::default());
        for minute in 0..8 {
            let now = start + Duration::from_secs(60 * minute);
            assert!(matches!(
                history.on_failure(now, NO_JITTER),
                Decision::Restart { .. }
            ));
        }
        assert_eq!(
            history.on_failure(start + Duration::from_secs(599), NO_JITTER),
            Decision::GiveUp {
                restarts: 8,
                within: Duration::from_secs(599)
            }
        );
    }

    #[test]
    fn a_restart_is_forgiven_after_ten_minutes() {
        let start = Instant::now();
        let mut history = RestartHistory::new(RestartPolicy::default());
        for _ in 0..8 {
            history.on_failure(start, NO_JITTER);
        }
        let later = start + Duration::from_secs(600);
        assert!(matches!(
            history.on_failure(later, NO_JITTER),
            Decision::Restart { .. }
        ));
    }

    #[test]
    fn a_minute_of_health_sets_the_pause_back_to_the_first() {
        let start = Instant::now();
        let mut history = RestartHistory::new(RestartPolicy::default());
        delays_ms(&mut history, start, 4);
        history.on_started(start);
        assert_eq!(
            delays_ms(&mut history, start + Duration::from_millis(59_999), 1),
            [4000]
        );
        history.on_started(start);
        assert_eq!(delays_ms(&mut history, start + Duration::from_secs(60), 1), [250]);
    }

    #[test]
    fn a_failure_to_restart_is_no_health_however_long_its_pause_was() {
        let start = Instant::now();
        let mut history = RestartHistory::new(RestartPolicy::default());
        history.on_started(start);
        delays_ms(&mut history, start, 3);
        assert_eq!(
            delays_ms(&mut history, start + Duration::from_secs(90), 1),
            [2000]
        );
    }

    proptest! {
        #[test]
        fn a_pause_is_never_above_the_cap_nor_shortened_by_more_than_a_quarter(attempt in 1_u32.., bits: u64) {
            let policy = RestartPolicy::default();
            let full = policy.delay(attempt, NO_JITTER);
            let delay = policy.delay(attempt, Jitter::from_random(bits));
            prop_assert!(full <= policy.max_delay);
            prop_assert!(delay <= full);
            prop_assert!(delay * 4 >= full * 3);
        }

        #[test]
        fn no_window_ever_holds_more_restarts_than_allowed(gaps_s in prop::collection::vec(0_u64..200, 1..80)) {
            let policy = RestartPolicy::default();
            let mut history = RestartHistory::new(policy);
            let mut now = Instant::now();
            let mut restarts: Vec<Instant> = Vec::new();
            for gap_s in gaps_s {
                now += Duration::from_secs(gap_s);
                let in_window = restarts.iter().filter(|&&at| now - at < policy.window).count();
                match history.on_failure(now, NO_JITTER) {
                    Decision::Restart { .. } => {
                        prop_assert!(in_window < 8);
                        restarts.push(now);
                    }
                    Decision::GiveUp { restarts, within } => {
                        prop_assert_eq!(in_window, 8);
                        prop_assert_eq!(restarts, 8);
                        prop_assert!(within < policy.window);
                    }
                }
            }
        }
    }
}
