//! `n` of the quorum rule in an open network: it follows who is alive upwards at once, and downwards slowly.

use std::time::Duration;

use crate::time::Instant;

/// A tenth of the nodes, and at least one, may be written off in a window. So whoever cuts a node off from the others, or
/// stops them, cannot lower the quorum by more: a network of 10 that loses half counts 5 after five windows.
const TENTH: usize = 10;

/// How many nodes count.
#[derive(Debug)]
pub(super) struct Headcount {
    counted: usize,
    lowered_at: Instant,
}

impl Headcount {
    /// One node alone.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counted: 1,
            lowered_at: now,
        }
    }

    /// Follows the number of live nodes.
    pub(super) fn follow(&mut self, live: usize, now: Instant, window: Duration) {
        if live >= self.counted {
            (self.counted, self.lowered_at) = (live, now);
        }
        while self.counted > live && now.since(self.lowered_at) >= window {
            let step = (self.counted / TENTH).max(1);
            self.counted = live.max(self.counted - step);
            self.lowered_at = self.lowered_at + window;
        }
    }

    pub(super) fn get(&self) -> usize {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn it_rises_at_once_and_falls_by_one_node_a_window() {
        let mut count = Headcount::new(at(0));
        let mut follow = |live, seconds| {
            count.follow(live, at(seconds), WINDOW);
            count.get()
        };
        assert_eq!(follow(10, 1), 10);
        assert_eq!(follow(5, 2), 10);
        assert_eq!(follow(5, 30), 10, "a window has not passed since ten were alive");
        assert_eq!(follow(5, 31), 9);
        assert_eq!(follow(5, 32), 9);
        assert_eq!(follow(5, 121), 6);
        assert_eq!(follow(7, 122), 7, "two came back");
        assert_eq!(follow(5, 1000), 5, "never below who is alive");
    }

    #[test]
    fn a_large_network_is_written_off_by_a_tenth_a_window() {
        let mut count = Headcount::new(at(0));
        count.follow(100, at(0), WINDOW);
        count.follow(1, at(30), WINDOW);
        assert_eq!(count.get(), 90);
        count.follow(1, at(60), WINDOW);
        assert_eq!(count.get(), 81);
    }
}
