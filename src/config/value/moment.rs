//! A point in time: `2026-01-31T12:00:00Z`, `2026-01-31` (its midnight UTC), or `2h` (that long ago).

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime};
use quorate_protocol::UnixMillis;

use super::duration;
use crate::config::problem::{Wrong, wrong};

/// A point in time, given the present one.
pub(crate) fn moment(now: UnixMillis, text: &str) -> Result<UnixMillis, Wrong> {
    let any = Duration::ZERO..=Duration::from_millis(now.get());
    if let Ok(ago) = duration(any, text) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(UnixMillis::new(now.get().saturating_sub(ago)));
    }
    let date = || {
        text.parse::<NaiveDate>()
            .map(|date| date.and_time(NaiveTime::MIN).and_utc())
    };
    let time = DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| date());
    time.ok()
        .and_then(|time| u64::try_from(time.timestamp_millis()).ok())
        .map(UnixMillis::new)
        .ok_or_else(|| {
            wrong(
                "is not a time",
                "write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_or_how_long_ago() {
        let now = UnixMillis::new(1_800_000_000_000);
        for (text, millis) in [
            ("1970-01-02", 86_400_000),
            ("1970-01-01T00:00:01.5Z", 1500),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1m", 1_799_999_940_000),
        ] {
            assert_eq!(moment(now, text), Ok(UnixMillis::new(millis)), "{text}");
        }
        for text in ["", "yesterday", "1969-12-31", "2026-13-01", "12:00", "30"] {
            assert!(moment(now, text).is_err(), "{text:?}");
        }
    }
}
