//! The two clocks, as values: what the calendar says and what a stopwatch says. Only the shell reads them.

use std::{fmt, ops::Add, time::Duration};

use serde::{Deserialize, Serialize};

/// Calendar time: milliseconds since 1970-01-01 UTC, as on the wire. Clocks of different nodes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The latest time that the database can hold exactly: the end of the year 9999.
    pub const MAX: UnixMillis = UnixMillis(253_402_300_799_999);

    /// A time from its milliseconds.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// The milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How far it lies ahead of the other, in milliseconds; negative if it lies before.
    pub fn ahead_of(self, other: Self) -> i64 {
        let apart = i64::try_from(self.0.abs_diff(other.0)).unwrap_or(i64::MAX);
        if self >= other { apart } else { -apart }
    }

    /// How far the two lie apart, whichever is the earlier.
    pub const fn apart(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stopwatch time: since some start of this process. Never jumps, means nothing to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The instant that lies `elapsed` after the start.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Time since the start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant `duration` before, or the start if that is later.
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
