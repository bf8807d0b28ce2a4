//! How long a fetch takes until its price is at hand: an estimate from those that were. Pure.

use std::time::Duration;

/// What is assumed before the first fetch: a TLS handshake and an answer across an ocean.
const AT_FIRST: Duration = Duration::from_millis(500);
/// A fetch never begins earlier than this before it is due: a price should be fresh, and what takes longer is waited for
/// by `patience` and `source_timeout`, not by everybody.
pub const LONGEST_LEAD: Duration = Duration::from_secs(2);

/// A running mean of durations and of how far they stray from it, a fetch counting a quarter: twenty fetches after
/// the network changed little is left of how it was.
#[derive(Debug, Clone, Default)]
pub struct AnswerTime {
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    mean: Duration,
    deviation: Duration,
}

impl AnswerTime {
    /// A fetch took that long from its beginning to its price.
    pub fn took(&mut self, duration: Duration) {
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
    pub fn lead(&self) -> Duration {
        self.seen
            .map_or(AT_FIRST, |seen| seen.mean + seen.deviation)
            .min(LONGEST_LEAD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
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
    }
}
