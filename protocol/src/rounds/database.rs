//! Whether the database answers, and when to ask it again.

use std::time::Duration;

use crate::time::Instant;

/// First wait after a failure: a restart of the server's process takes about as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest wait: how late the first write after an outage can be.
const MAX_RETRY: Duration = Duration::from_secs(4);

/// The state of the connection as its last answers show it.
#[derive(Debug, Default)]
pub(super) struct Database {
    lost_at: Option<Instant>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Database {
    /// Notes a failure: the wait before the next attempt, and whether this one is the first.
    pub(super) fn failed(&mut self, now: Instant) -> (Duration, bool) {
        let wait = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(8))
            .min(MAX_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + wait);
        let first = self.lost_at.is_none();
        self.lost_at.get_or_insert(now);
        (wait, first)
    }

    /// Notes an answer: how long there had been none, if there had been none.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let outage = self.lost_at.map(|lost_at| now.since(lost_at));
        *self = Self::default();
        outage
    }

    /// Not before this moment, if the last attempt failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}
