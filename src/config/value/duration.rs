//! `500ms`, `30s`, `2m`, `1h`.

use std::{ops::RangeInclusive, time::Duration};

use crate::config::problem::{Wrong, wrong};

/// From the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration within a range: a whole number and a unit.
pub(crate) fn duration(range: RangeInclusive<Duration>, text: &str) -> Result<Duration, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let not_a_duration = |remedy| wrong("is not a duration", remedy);
    if unit.is_empty() && digits > 0 {
        return Err(not_a_duration(format!("write a unit, like {number}s")));
    }
    let millis = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, millis)| *millis);
    let (Some(millis), true) = (millis, digits > 0) else {
        return Err(not_a_duration(
            "write a whole number and a unit of ms, s, m or h, like 30s".to_owned(),
        ));
    };
    // A number that does not fit lies beyond every range.
    let total = number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(millis);
    let duration = Duration::from_millis(total);
    if range.contains(&duration) {
        Ok(duration)
    } else {
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        Err(wrong(
            "is out of range",
            format!("write a duration from {least} to {most}"),
        ))
    }
}

/// A duration as a user would write it, in the longest unit that shows it whole.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (name, unit) = UNITS
        .into_iter()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)))
        .unwrap_or(("ms", 1));
    format!("{}{name}", millis / u128::from(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

    #[test]
    fn a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(ALL, text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn says_what_to_write_instead() {
        assert_eq!(
            duration(ALL, "30"),
            Err(wrong("is not a duration", "write a unit, like 30s"))
        );
        for text in ["", "s", "-1s", "1.5s", " 1s", "1 s", "1S", "1s1s", "१s", "soon"] {
            let expected = wrong(
                "is not a duration",
                "write a whole number and a unit of ms, s, m or h, like 30s",
            );
            assert_eq!(duration(ALL, text), Err(expected), "{text:?}");
        }
        for text in ["0s", "25h", "99999999999999999999999h"] {
            let range = Duration::from_secs(1)..=Duration::from_hours(24);
            let expected = wrong("is out of range", "write a duration from 1s to 24h");
            assert_eq!(duration(range, text), Err(expected), "{text}");
        }
    }

    #[test]
    fn shows_what_it_parses() {
        for text in ["0ms", "1ms", "1500ms", "30s", "90s", "2m", "24h"] {
            assert_eq!(show_duration(duration(ALL, text).unwrap()), text);
        }
    }
}
