//! When silence is taken for a hang. Beats are counted, not timed: a process that was paused (a frozen container, a closed lid) and
//! goes on has missed one beat, not an hour of them.

use std::time::Duration;

/// Counts heartbeats that an actor left unanswered in a row.
#[derive(Debug)]
pub(super) struct MissedBeats {
    interval: Duration,
    limit: u32,
    missed: u32,
}

impl MissedBeats {
    /// Beats come every `interval`; a silence of at least `hang_after`, found at most one beat later, is a hang.
    pub(super) fn new(interval: Duration, hang_after: Duration) -> Self {
        let limit = hang_after.as_nanos().div_ceil(interval.as_nanos().max(1));
        Self {
            interval,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            missed: 0,
        }
    }

    /// One beat is due; `answered` says whether the actor could be reached since the last. Returns for how long it could not,
    /// once that is a hang.
    pub(super) fn beat(&mut self, answered: bool) -> Option<Duration> {
        if answered {
            self.missed = 0;
            return None;
        }
        // The first silent beat only begins the silence: it may have come an instant after the actor stopped answering.
        let silent_for = self.interval.saturating_mul(self.missed);
        let is_hang = self.missed >= self.limit;
        self.missed = self.missed.saturating_add(1);
        is_hang.then_some(silent_for)
    }

    /// A new run owes nothing for the last one's silence.
    pub(super) fn reset(&mut self) {
        self.missed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silence_of_five_seconds_from_the_first_missed_beat_is_a_hang() {
        let mut beats = MissedBeats::new(SECOND, 5 * SECOND);
        for _ in 0..5 {
            assert_eq!(beats.beat(false), None);
        }
        assert_eq!(beats.beat(false), Some(5 * SECOND));
    }

    #[test]
    fn one_answer_forgives_all_that_were_missed() {
        let mut beats = MissedBeats::new(SECOND, SECOND);
        assert_eq!(beats.beat(false), None);
        assert_eq!(beats.beat(true), None);
        assert_eq!(beats.beat(false), None);
        assert_eq!(beats.beat(false), Some(SECOND));
    }

    #[test]
    fn a_new_run_owes_nothing() {
        let mut beats = MissedBeats::new(SECOND, SECOND);
        assert_eq!(beats.beat(false), None);
        beats.reset();
        assert_eq!(beats.beat(false), None);
    }
}
