//! How long before the window opens a price is asked for: as long as it lately took to bring one to a quorum, and no longer, for
//! that is how old the price is when it is written.

use std::{collections::VecDeque, time::Duration};

use super::Timing;

/// Rounds that are remembered: one slow round keeps the lead long for four minutes of 30 s windows.
const ROUNDS: usize = 8;
/// Shortest lead. Settling takes 150 ms; the rest is for what a quiet machine never shows, like a page that must be read from disk.
const SHORTEST: Duration = Duration::from_millis(250);
/// Spare time besides what was measured.
const SPARE: Duration = Duration::from_millis(50);

/// What was measured of the last rounds.
#[derive(Debug, Default)]
pub(super) struct Lead {
    rounds: VecDeque<Round>,
    /// How long the next price comes after the moment for which it was asked.
    price_late: Duration,
    /// After a window whose certificate came late: no less than this, until it has shrunk away.
    floor: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    price_late: Duration,
    agreement: Duration,
}

impl Lead {
    /// A price came so long after the moment for which it was asked.
    pub(super) fn on_price(&mut self, late: Duration) {
        self.price_late = late;
    }

    /// A report became a certificate, so long after enough nodes had a price for it; and after the window opened or before.
    pub(super) fn on_certificate(&mut self, agreement: Duration, is_late: bool, timing: &Timing) {
        self.floor = match is_late {
            true => (self.current(timing) * 2).min(timing.lead),
            false => self.floor * 9 / 10,
        };
        self.rounds.truncate(ROUNDS - 1);
        self.rounds.push_front(Round {
            price_late: self.price_late,
            agreement: agreement.max(timing.settle),
        });
    }

    /// The lead to use now. Before anything was measured it is the longest.
    ///
    /// Agreement ends with a message back and forth, which is what it takes besides settling; the prices of the others need
    /// about as long to arrive, so that it counts three times.
    pub(super) fn current(&self, timing: &Timing) -> Duration {
        let slowest = self.rounds.iter().map(|round| {
            let messages = round.agreement.saturating_sub(timing.settle);
            round.price_late + round.agreement + messages * 2
        });
        let Some(slowest) = slowest.max() else {
            return timing.lead;
        };
        let shortest = SHORTEST.min(timing.lead);
        (slowest + SPARE).max(self.floor).clamp(shortest, timing.lead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: fn() -> Timing = || Timing::for_interval(Duration::from_secs(30));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_begins_with_the_longest_and_follows_what_is_measured() {
        let (timing, mut lead) = (TIMING(), Lead::default());
        assert_eq!(lead.current(&timing), timing.lead);
        lead.on_certificate(ms(152), false, &timing);
        assert_eq!(lead.current(&timing), SHORTEST, "a fast network");
        lead.on_price(ms(100));
        lead.on_certificate(ms(250), false, &timing);
        assert_eq!(
            lead.current(&timing),
            ms(100 + 250 + 2 * 100) + SPARE,
            "the slowest counts"
        );
        lead.on_price(Duration::ZERO);
        for _ in 0..ROUNDS {
            lead.on_certificate(ms(152), false, &timing);
        }
        assert_eq!(lead.current(&timing), SHORTEST, "and is forgotten");
        lead.on_certificate(ms(5000), false, &timing);
        assert_eq!(lead.current(&timing), timing.lead, "never longer");
    }

    #[test]
    fn a_late_window_doubles_it_at_once_and_the_doubling_wears_off() {
        let (timing, mut lead) = (TIMING(), Lead::default());
        lead.on_certificate(ms(150), false, &timing);
        lead.on_certificate(ms(150), true, &timing);
        assert_eq!(lead.current(&timing), SHORTEST * 2);
        lead.on_certificate(ms(150), true, &timing);
        assert_eq!(lead.current(&timing), timing.lead);
        for _ in 0..20 {
            lead.on_certificate(ms(150), false, &timing);
        }
        assert_eq!(lead.current(&timing), SHORTEST);
    }
}
