//! Warnings that the network can provoke are said once in a while, with how many there were.

use std::time::Duration;

use quorate_protocol::Instant;

/// Between two warnings of a kind.
const EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Sampled {
    last: Option<Instant>,
    since_last: u64,
}

impl Sampled {
    /// Notes one more; the number to report if it is time to.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        self.since_last += 1;
        if self.last.is_some_and(|last| now.since(last) < EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since_last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_in_sum() {
        let mut sampled = Sampled::default();
        let said: Vec<_> = (0..61)
            .filter_map(|second| sampled.note(Instant::after_start(Duration::from_secs(second))))
            .collect();
        assert_eq!(said, [1, 30, 30]);
    }
}
