//! Numbers and times as people read them. No float: prices are fixed-point here too.

use std::time::Duration;

use quorate_protocol::{Price, UnixMillis};

use crate::show::rfc3339;

/// A price in three parts, of which the page sets the first large and the last small: `3,012` `.45` `7`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SplitPrice {
    pub(super) whole: String,
    pub(super) rest: String,
    pub(super) fine: String,
}

impl SplitPrice {
    pub(super) fn of(price: Price) -> Self {
        let text = price.to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        // Below one, every digit is part of what the eye looks for.
        let shown = if whole == "0" { fraction.len() } else { 2 };
        let padded = format!("{fraction:0<shown$}");
        let (rest, fine) = padded.split_at(shown);
        Self {
            whole: grouped(whole),
            rest: format!(".{rest}"),
            fine: fine.to_owned(),
        }
    }
}

/// A price in one line: `3,012.457`.
pub(super) fn price(price: Price) -> String {
    let SplitPrice { whole, rest, fine } = SplitPrice::of(price);
    whole + &rest + &fine
}

/// Thousands apart.
pub(super) fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How far two prices are apart, in hundredths of a basis point of the second: what a page can show and a person read.
pub(super) fn centi_bps(price: Price, reference: Price) -> i64 {
    let distance = price.scaled().abs_diff(reference.scaled());
    let scaled = distance
        .checked_mul(1_000_000)
        .map_or(u128::MAX, |scaled| scaled / reference.scaled());
    let size = i64::try_from(scaled).unwrap_or(i64::MAX);
    if price < reference { -size } else { size }
}

/// `+0.42 bps`.
pub(super) fn bps(centi: i64) -> String {
    let sign = match centi {
        0 => "",
        1.. => "+",
        _ => "−",
    };
    let size = centi.unsigned_abs();
    format!("{sign}{}.{:02} bps", size / 100, size % 100)
}

/// `0.42 %`, of hundredths of a basis point, without a sign.
pub(super) fn percent(centi: i64) -> String {
    let size = centi.unsigned_abs();
    format!("{}.{:03} %", size / 10_000, size % 10_000 / 10)
}

/// A moment in the forms that the page needs.
pub(super) struct Moment {
    pub(super) ms: u64,
    pub(super) rfc3339: String,
    pub(super) clock: String,
    pub(super) ago: String,
}

impl Moment {
    pub(super) fn of(at: UnixMillis, now: UnixMillis) -> Self {
        Self {
            ms: at.get(),
            rfc3339: rfc3339(at),
            clock: clock(at),
            ago: ago(now.since(at)),
        }
    }
}

/// The time of day, in UTC.
pub(super) fn clock(at: UnixMillis) -> String {
    let text = rfc3339(at);
    text.get(11..19).map(str::to_owned).unwrap_or(text)
}

/// As `app.js` has it too, which goes on counting.
pub(super) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "now".to_owned(),
        seconds => format!("{} ago", duration(Duration::from_secs(seconds))),
    }
}

/// In the two largest units.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Milliseconds up to a second, then seconds with one digit.
pub(super) fn short_time(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_price_keeps_every_digit() {
        assert_eq!(price(parsed("3012.457")), "3,012.457");
        assert_eq!(price(parsed("1234567")), "1,234,567.00");
        assert_eq!(price(parsed("0.000123")), "0.000123");
        assert_eq!(price(parsed("998.5")), "998.50");
    }

    #[test]
    fn distances_have_a_sign_and_no_float() {
        let from = |a, b| centi_bps(parsed(a), parsed(b));
        assert_eq!(bps(from("3000.3", "3000")), "+1.00 bps");
        assert_eq!(bps(from("2999.85", "3000")), "−0.50 bps");
        assert_eq!(bps(from("3000", "3000")), "0.00 bps");
        assert_eq!(percent(from("3030", "3000")), "1.000 %");
        assert_eq!(from("1000000000000000000", "0.000000000000000001"), i64::MAX);
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let seconds = Duration::from_secs;
        assert_eq!(ago(seconds(0)), "now");
        assert_eq!(ago(seconds(59)), "59 s ago");
        assert_eq!(duration(seconds(3725)), "1 h 2 min");
        assert_eq!(duration(seconds(90_000)), "1 d 1 h");
        assert_eq!(short_time(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(clock(UnixMillis::new(1_769_860_830_250)), "12:00:30");
    }
}
