//! How long before the window opens a price is asked for: as long as it lately took to bring one to a quorum, and no longer, for
//! that is how old the price is when it is written.

use std::{collections::VecDeque, time::Duration};

use super::Timing;

/// Rounds that are remembered: one slow round keeps the lead long for four minutes of 30 s windows.
const ROUNDS: usize = 8;
/// Shortest lead. On a fast network all have stated and signed within 20 ms; the rest is for what a quiet machine never shows, like a
/// page that must be read from disk.
const SHORTEST: Duration = Duration::from_millis(200);
/// Rounds after which what was measured is used: fewer tell nothing of the slow ones among them.
const ENOUGH: usize = 3;
/// Spare time besides what was measured.
const SPARE: Duration = Duration::from_millis(50);

/// What was measured of the last rounds.
#[derive(Debug, Default)]
pub(super) struct Lead {
    rounds: VecDeque<Round>,
    /// How far from the moment for which it was asked the latest price came.
    price_off: Duration,
    /// After a window whose certificate came late: no less than this, until it has shrunk away.
    floor: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    price_off: Duration,
    agreement: Duration,
}

impl Lead {
    /// A price came this far from the moment for which it was asked, before or after.
    pub(super) fn on_price(&mut self, off: Duration) {
        self.price_off = off;
    }

    /// A report became a certificate, so long after enough nodes had a price for it; and after the window opened or before.
    pub(super) fn on_certificate(&mut self, agreement: Duration, is_late: bool, timing: &Timing) {
        self.floor = match is_late {
            true => (self.current(timing) * 2).min(timing.lead),
            false => self.floor * 9 / 10,
        };
        self.rounds.truncate(ROUNDS - 1);
        self.rounds.push_front(Round {
            price_off: self.price_off,
            agreement,
        });
    }

    /// The lead to use now. Before enough was measured it is the longest.
    ///
    /// A quorum needs the prices of several nodes, of which the latest counts, and this node knows only how its own come: three
    /// times their usual distance from the wish is more than nearly all of them take. What agreement takes besides settling is a
    /// message back and forth; the prices of the others need about as long to arrive, so that it counts three times. Where all
    /// state so fast that nobody waits until it is settled, what is spare has room for that.
    pub(super) fn current(&self, timing: &Timing) -> Duration {
        let rounds = u32::try_from(self.rounds.len()).unwrap_or(u32::MAX);
        let agreement = self.rounds.iter().map(|round| round.agreement).max();
        let Some(agreement) = agreement.filter(|_| self.rounds.len() >= ENOUGH) else {
            return timing.lead;
        };
        let off: Duration = self.rounds.iter().map(|round| round.price_off).sum();
        let messages = agreement.saturating_sub(timing.settle);
        let needed = off * 3 / rounds + agreement + messages * 2 + SPARE;
        let shortest = SHORTEST.min(timing.lead);
        needed.max(self.floor).clamp(shortest, timing.lead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: fn() -> Timing = || Timing::for_interval(Duration::from_secs(30));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A network in which it takes this long from enough prices to a certificate.
    fn known(agreement_ms: u64, timing: &Timing) -> Lead {
        let mut lead = Lead::default();
        for _ in 0..ROUNDS {
            lead.on_certificate(ms(agreement_ms), false, timing);
        }
        lead
    }

    #[test]
    fn it_begins_with_the_longest_and_follows_what_is_measured() {
        let (timing, mut lead) = (TIMING(), Lead::default());
        for _ in 0..ENOUGH {
            assert_eq!(lead.current(&timing), timing.lead);
            lead.on_certificate(ms(12), false, &timing);
        }
        assert_eq!(lead.current(&timing), SHORTEST, "a fast network");
        lead.on_certificate(ms(250), false, &timing);
        assert_eq!(
            lead.current(&timing),
            ms(250 + 2 * 100) + SPARE,
            "the slowest agreement counts"
        );
        for _ in 0..ROUNDS {
            lead.on_certificate(ms(12), false, &timing);
        }
        assert_eq!(lead.current(&timing), SHORTEST, "and is forgotten");
        lead.on_certificate(ms(5000), false, &timing);
        assert_eq!(lead.current(&timing), timing.lead, "never longer");
    }

    #[test]
    fn exchanges_whose_answers_come_at_odd_times_are_given_three_times_as_much() {
        let (timing, mut lead) = (TIMING(), Lead::default());
        for off in [0, 100, 200] {
            lead.on_price(ms(off));
            lead.on_certificate(ms(150), false, &timing);
        }
        assert_eq!(lead.current(&timing), ms(3 * 100 + 150) + SPARE);
    }

    #[test]
    fn a_late_window_doubles_it_at_once_and_the_doubling_wears_off() {
        let timing = TIMING();
        let mut lead = known(150, &timing);
        lead.on_certificate(ms(150), true, &timing);
        assert_eq!(lead.current(&timing), SHORTEST * 2);
        for _ in 0..2 {
            lead.on_certificate(ms(150), true, &timing);
        }
        assert_eq!(lead.current(&timing), timing.lead);
        for _ in 0..20 {
            lead.on_certificate(ms(150), false, &timing);
        }
        assert_eq!(lead.current(&timing), SHORTEST);
    }
}
