//! How far apart the fetches of different feeds begin: feeds whose windows open together are spread, and from then on stay so.

use std::time::Duration;

use quorate_protocol::Instant;

/// Gemini recommends at most one request a second, and no other source asks for more.
const WIDEST_GAP: Duration = Duration::from_secs(1);

/// Lets one fetch begin at a time.
///
/// A feed's window opens an interval after its last record. After a start or an outage all windows are open, and would open together
/// ever after, with all exchanges asked for everything within a second. Begun one after the other, the feeds are recorded one
/// after the other, and so their windows lie apart. The gaps fill three quarters of an interval: a fetch that begins a little late
/// finds room, and delays no other. For the exchanges this bounds what a node asks of them, whatever goes wrong with it.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    free_at: Option<Instant>,
}

impl Pace {
    /// For so many feeds, each fetched once an interval.
    pub(crate) fn new(feeds: usize, interval: Duration) -> Self {
        let gap = match u32::try_from(feeds) {
            Ok(0 | 1) => Duration::ZERO,
            Ok(feeds) => (interval * 3 / 4 / feeds).min(WIDEST_GAP),
            Err(_) => WIDEST_GAP,
        };
        Self { gap, free_at: None }
    }

    /// The first moment from `start` on at which a fetch may begin.
    pub(crate) fn from(&self, start: Instant) -> Instant {
        self.free_at.map_or(start, |free_at| start.max(free_at))
    }

    /// A fetch begins now.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.free_at = Some(now + self.gap);
    }

    /// How many fetches begin within this time after one, at most.
    pub(crate) fn within(&self, time: Duration) -> usize {
        let count = time.as_nanos() / self.gap.as_nanos().max(1);
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(ms: u64) -> Instant {
        Instant::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn one_feed_never_waits_few_are_a_second_apart_and_many_fill_three_quarters_of_the_interval() {
        let next = |feeds, interval| {
            let mut pace = Pace::new(feeds, interval);
            assert_eq!(pace.from(at(7)), at(7), "the first begins at once");
            pace.begin(at(7));
            pace.from(at(7)).since(at(7))
        };
        assert_eq!(next(1, INTERVAL), Duration::ZERO);
        assert_eq!(next(3, INTERVAL), Duration::from_secs(1));
        assert_eq!(next(100, INTERVAL), Duration::from_millis(225));
        assert_eq!(next(3, Duration::from_secs(1)), Duration::from_millis(250));
    }

    #[test]
    fn it_knows_how_many_begin_within_a_time() {
        assert_eq!(Pace::new(100, INTERVAL).within(Duration::from_secs(1)), 4);
        assert_eq!(Pace::new(3, INTERVAL).within(Duration::from_secs(1)), 1);
    }
}
