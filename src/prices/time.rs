//! Calendar time as text.

use chrono::{DateTime, SecondsFormat};
use quorate_protocol::UnixMillis;

/// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:30.250Z`.
pub(crate) fn rfc3339(time: UnixMillis) -> String {
    let date = i64::try_from(time.get())
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    // Beyond the calendar's end nothing but the number itself can be said.
    date.map_or_else(
        || time.to_string(),
        |date| date.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_kept_and_nothing_panics() {
        assert_eq!(
            rfc3339(UnixMillis::new(1_769_860_830_250)),
            "2026-01-31T12:00:30.250Z"
        );
        assert_eq!(rfc3339(UnixMillis::new(u64::MAX)), u64::MAX.to_string());
    }
}
