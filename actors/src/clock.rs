//! Where the shell reads time; the decisions are given it.

use std::time::{Duration, SystemTime};

use quorate_protocol::{Instant, UnixMillis};

/// Reads stopwatch and calendar. The stopwatch is tokio's, so that tests can pause it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: tokio::time::Instant,
    /// What the calendar said at the start, if it is to follow the stopwatch from there.
    calendar_at_start: Option<UnixMillis>,
}

impl Clock {
    /// The system's clocks. All actors of a process share one value, so that their instants compare.
    pub fn system() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            calendar_at_start: None,
        }
    }

    /// A calendar that starts at `unix` and follows the stopwatch: for tests in paused time.
    pub fn starting_at(unix: UnixMillis) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            calendar_at_start: Some(unix),
        }
    }

    /// Stopwatch time.
    pub fn now(&self) -> Instant {
        Instant::after_start(self.start.elapsed())
    }

    /// Calendar time.
    pub fn unix_now(&self) -> UnixMillis {
        let elapsed = match self.calendar_at_start {
            Some(start) => Duration::from_millis(start.get()) + self.start.elapsed(),
            None => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        };
        UnixMillis::new(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// The timer's instant for a stopwatch time of this clock.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.start + at.since_start()
    }
}
