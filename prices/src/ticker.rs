//! What stands in an answer: prices and times without a float, the pair, the book; and naming what is wrong with them.

use std::time::Duration;

use quorate_protocol::{Price, UnixMillis};
use serde_json::value::RawValue;

use crate::quote_error::{QuoteError, shown};

/// How far an exchange's clock may be ahead of ours: more than clocks that are kept by NTP ever differ, and little
/// enough that a time in the wrong unit or zone is found.
const MAX_AHEAD: Duration = Duration::from_secs(60);

/// What the body of one answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticker {
    /// The last traded price.
    pub(crate) price: Price,
    /// The exchange's own time, where its answer has one.
    pub(crate) at: Option<UnixMillis>,
    /// What the exchange wants to be known beside a good price.
    pub(crate) warning: Option<String>,
}

/// Refuses a price that was given before `max_age` ago or in the future; `None` is a price without a time.
pub(crate) fn check_time(
    given_at: Option<UnixMillis>,
    now: UnixMillis,
    max_age: Duration,
) -> Result<(), QuoteError> {
    let Some(at) = given_at else { return Ok(()) };
    let (age, ahead) = (now.since(at), at.since(now));
    if age > max_age {
        return Err(QuoteError::Stale { age, limit: max_age });
    }
    if ahead > MAX_AHEAD {
        return Err(QuoteError::Future {
            ahead,
            limit: MAX_AHEAD,
        });
    }
    Ok(())
}

/// The text of a JSON number, or what stands in a JSON string: exchanges use both for decimals.
pub(crate) fn text(raw: &RawValue) -> &str {
    let raw = raw.get();
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .unwrap_or(raw)
}

/// A price from the digits as they were sent.
pub(crate) fn price(field: &'static str, raw: Option<&RawValue>) -> Result<Price, QuoteError> {
    decimal(text(raw.ok_or(QuoteError::MissingField(field))?))
}

/// Rounding to 18 decimals moves no price by more than a half of 10^-18: above this, by less than half a basis point.
const LEAST_ROUNDED: u128 = 10_000;

/// A decimal number, with or without an exponent, taken exactly; what stands beyond 18 decimals is rounded. A plus, a
/// space or a comma is refused: whether a comma parts thousands or decimals nobody knows.
fn decimal(text: &str) -> Result<Price, QuoteError> {
    let not_a_number = || QuoteError::NotANumber(shown(text));
    let out_of_range = || QuoteError::OutOfRange(shown(text));
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(not_a_number()),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(not_a_number());
    }
    let exponent: i64 = match exponent {
        None => 0,
        Some(text) => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            if digits.is_empty() || !is_digits(digits) {
                return Err(not_a_number());
            }
            // One that does not fit is far out of any price's range, in its own direction.
            let far = if text.starts_with('-') { -FAR } else { FAR };
            text.parse()
                .map_or(far, |exponent: i64| exponent.clamp(-FAR, FAR))
        }
    };
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if is_negative {
        return Err(QuoteError::Negative(shown(text)));
    }
    if significant.is_empty() {
        return Err(QuoteError::Zero);
    }
    // The number is its significant digits times 10^-(decimals): a body is far shorter than i64::MAX.
    let length = |part: &str| i64::try_from(part.len()).unwrap_or(FAR);
    let decimals = length(fraction) - exponent;
    let kept = length(significant) + i64::from(Price::DECIMALS) - decimals;
    let most = length("1000000000000000000") + i64::from(Price::DECIMALS);
    if !(0..=most).contains(&kept) {
        return Err(out_of_range());
    }
    // 0 to 37 digits: always a usize, and fits in a u128.
    let kept = usize::try_from(kept).unwrap_or_default();
    let (known, cut) = significant.split_at(kept.min(significant.len()));
    let scaled: u128 = format!("0{known:0<kept$}").parse().map_err(|_| out_of_range())?;
    let rounds_up = cut.as_bytes().first().is_some_and(|digit| *digit >= b'5');
    let is_exact = cut.trim_end_matches('0').is_empty();
    let scaled = scaled + u128::from(rounds_up);
    if !is_exact && scaled < LEAST_ROUNDED {
        return Err(out_of_range());
    }
    Price::from_scaled(scaled).ok_or_else(out_of_range)
}

/// An exponent beyond all that a price can have, whatever digits stand before it in [`MAX_BODY_BYTES`].
const FAR: i64 = 1_000_000;

/// How far the last trade may lie outside of what is bid and asked now, in basis points: more than a book moves in the
/// moment between a trade and its ticker, and half of what sources may differ by default.
const MAX_OFF_BOOK_BPS: u32 = 100;

/// Refuses a last trade that the book has left behind: on a thin pair it may be hours old, and no field says so. Where a bid
/// or an ask is missing, or is none, there is nothing to compare.
pub(crate) fn near_book(
    price: Price,
    bid: Option<&RawValue>,
    ask: Option<&RawValue>,
) -> Result<(), QuoteError> {
    let side = |raw: Option<&RawValue>| raw.and_then(|raw| decimal(text(raw)).ok());
    let (Some(bid), Some(ask)) = (side(bid), side(ask)) else {
        return Ok(());
    };
    let nearest = if price < bid.min(ask) {
        bid.min(ask)
    } else {
        ask.max(bid)
    };
    let is_between = (bid.min(ask)..=ask.max(bid)).contains(&price);
    if !is_between && price.deviation_bps(nearest) > MAX_OFF_BOOK_BPS {
        return Err(QuoteError::OffMarket { price, bid, ask });
    }
    Ok(())
}

/// A Unix time in whole seconds.
pub(crate) fn seconds(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
    let (text, time) = whole(field, raw)?;
    let Some(in_millis) = time.checked_mul(1000) else {
        return Err(QuoteError::BadTime(text));
    };
    if time >= FIRST_MILLIS {
        return Err(QuoteError::WrongUnit {
            said: text,
            due: "seconds",
            came: "a finer unit",
        });
    }
    Ok(UnixMillis::new(in_millis))
}

/// A Unix time in whole milliseconds.
pub(crate) fn millis(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
    let (text, time) = whole(field, raw)?;
    // Zero is no time in any unit; it is found too old.
    if (1..FIRST_MILLIS).contains(&time) {
        return Err(QuoteError::WrongUnit {
            said: text,
            due: "milliseconds",
            came: "seconds",
        });
    }
    Ok(UnixMillis::new(time))
}

/// As seconds this is the year 5138, as milliseconds 1973: no time of an exchange lies on the wrong side.
const FIRST_MILLIS: u64 = 100_000_000_000;

fn whole(field: &'static str, raw: Option<&RawValue>) -> Result<(String, u64), QuoteError> {
    let text = text(raw.ok_or(QuoteError::MissingField(field))?);
    let time = text.parse().map_err(|_| QuoteError::BadTime(shown(text)))?;
    Ok((shown(text), time))
}

/// Refuses an answer for another pair or currency than was asked for. How it is written does not matter: `ETH/USD`,
/// `eth-usd` and `ETHUSD` are one pair.
pub(crate) fn same(asked: &str, said: &str) -> Result<(), QuoteError> {
    if plain(asked) == plain(said) {
        Ok(())
    } else {
        Err(QuoteError::WrongPair {
            asked: asked.to_owned(),
            said: shown(said),
        })
    }
}

/// Letters and digits alone, in capitals.
pub(crate) fn plain(name: &str) -> String {
    let named = name.chars().filter(|c| !matches!(c, '/' | '-' | '_' | ':' | ' '));
    named.collect::<String>().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);
    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn price_of(json: &str) -> Result<Price, QuoteError> {
        price("last", Some(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn a_number_and_a_string_of_digits_are_the_same_price() {
        assert_eq!(price_of("3012.45"), price_of("\"3012.45\""));
        assert_eq!(
            price_of("3012.4512345678901234").unwrap().to_string(),
            "3012.4512345678901234"
        );
    }

    #[test]
    fn an_exponent_is_exact_decimals() {
        let rows = [
            ("1.07e-06", "0.00000107"),
            ("9.7413e-05", "0.000097413"),
            ("3.01245e3", "3012.45"),
            ("3E+3", "3000"),
            ("\"1.07E-6\"", "0.00000107"),
            ("1e-18", "0.000000000000000001"),
            ("1e18", "1000000000000000000"),
            ("0.00301245e6", "3012.45"),
            ("30124500000e-7", "3012.45"),
        ];
        for (json, price) in rows {
            assert_eq!(price_of(json), Ok(price.parse().unwrap()), "{json}");
        }
    }

    #[test]
    fn digits_beyond_eighteen_decimals_are_rounded_where_that_changes_nothing_that_counts() {
        let rows = [
            ("3012.45123456789012344999", "3012.451234567890123450"),
            ("3012.4512345678901234494", "3012.451234567890123449"),
            ("0.0000010712345678901234", "0.000001071234567890"),
            ("1.0712345678901234e-06", "0.000001071234567890"),
            ("3012.99999999999999999999", "3013"),
        ];
        for (json, price) in rows {
            assert_eq!(price_of(json), Ok(price.parse().unwrap()), "{json}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused_by_name() {
        let rows = [
            ("0", "zero"),
            ("\"0.000\"", "zero"),
            ("-3012.45", "negative"),
            ("\"-0\"", "negative"),
            ("\"NaN\"", "not_a_number"),
            ("\"Infinity\"", "not_a_number"),
            ("null", "not_a_number"),
            ("true", "not_a_number"),
            ("{}", "not_a_number"),
            ("\"\"", "not_a_number"),
            ("\"3,012.45\"", "not_a_number"),
            ("\"e\"", "not_a_number"),
            ("\"1e\"", "not_a_number"),
            ("\"1e1.5\"", "not_a_number"),
            ("\"1e+-1\"", "not_a_number"),
            ("\"+3012.45\"", "not_a_number"),
            ("\" 3012.45\"", "not_a_number"),
            ("\"3012.45 \"", "not_a_number"),
            ("\"3 012.45\"", "not_a_number"),
            ("\"3012,45\"", "not_a_number"),
            ("\"0x10\"", "not_a_number"),
            ("\".5\"", "not_a_number"),
            ("\"5.\"", "not_a_number"),
            ("-3e3", "negative"),
            ("0e9", "zero"),
            ("0.0E-3", "zero"),
            ("1e19", "out_of_range"),
            ("1e-19", "out_of_range"),
            ("1.5e-18", "out_of_range"),
            ("1e99999999999999999999", "out_of_range"),
            ("1e-99999999999999999999", "out_of_range"),
            ("1000000000000000001", "out_of_range"),
            ("0.0000000000000000001", "out_of_range"),
        ];
        for (json, name) in rows {
            assert_eq!(price_of(json).map_err(|error| error.name()), Err(name), "{json}");
        }
        assert_eq!(price("last", None), Err(QuoteError::MissingField("last")));
    }

    #[test]
    fn times_are_whole_and_fit() {
        let raw = |json: &'static str| Some(serde_json::from_str::<&RawValue>(json).unwrap());
        assert_eq!(
            seconds("timestamp", raw("\"1700000000\"")),
            Ok(UnixMillis::new(1_700_000_000_000))
        );
        assert_eq!(
            millis("timestamp", raw("1700000000000")),
            Ok(UnixMillis::new(1_700_000_000_000))
        );
        for json in ["-1", "1.5", "\"soon\"", "18446744073709551615"] {
            assert!(
                matches!(seconds("timestamp", raw(json)), Err(QuoteError::BadTime(_))),
                "{json}"
            );
        }
    }

    fn check(at_millis: Option<u64>, coarseness_secs: u64) -> Result<(), QuoteError> {
        let limit = FIVE_MINUTES + Duration::from_secs(coarseness_secs);
        check_time(at_millis.map(UnixMillis::new), NOW, limit)
    }

    #[test]
    fn a_price_is_refused_when_older_than_allowed_and_not_a_millisecond_before() {
        assert_eq!(check(Some(NOW.get() - 300_000), 0), Ok(()));
        assert!(matches!(
            check(Some(NOW.get() - 300_001), 0),
            Err(QuoteError::Stale { .. })
        ));
        assert_eq!(
            check(Some(NOW.get() - 300_001), 1),
            Ok(()),
            "what is coarse by design is granted that"
        );
    }

    #[test]
    fn a_price_from_further_ahead_than_clocks_differ_is_refused() {
        assert_eq!(check(Some(NOW.get() + 60_000), 0), Ok(()));
        assert!(matches!(
            check(Some(NOW.get() + 60_001), 0),
            Err(QuoteError::Future { .. })
        ));
        assert!(
            matches!(check(Some(u64::MAX), 0), Err(QuoteError::Future { .. })),
            "milliseconds taken for seconds"
        );
    }

    #[test]
    fn without_a_time_there_is_nothing_to_refuse() {
        assert_eq!(check(None, 0), Ok(()));
    }

    #[test]
    fn a_time_in_another_unit_says_nothing_about_clocks() {
        let raw = |json: &'static str| Some(serde_json::from_str::<&RawValue>(json).unwrap());
        for wrong in [
            seconds("timestamp", raw("1700000000000")),
            seconds("timestamp", raw("\"1700000000000000\"")),
            millis("timestamp", raw("1700000000")),
        ] {
            let error = wrong.unwrap_err();
            assert_eq!(error.name(), "bad_time");
            let text = error.to_string();
            assert!(
                text.contains("API has changed") && !text.contains("check"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_last_trade_that_the_book_has_left_behind_is_no_price() {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        let rows = [
            ("3000", "2999", "3001", true),
            ("3000", "3010", "3011", true),
            ("3000", "3100", "3101", false),
            ("3200", "3100", "3101", false),
            ("3000", "2000", "4000", true),
            ("3000", "0", "3500", true),
            ("3000", "null", "3500", true),
        ];
        for (last, bid, ask, is_taken) in rows {
            let checked = near_book(last.parse().unwrap(), Some(&raw(bid)), Some(&raw(ask)));
            assert_eq!(
                checked.map_err(|error| error.name()),
                if is_taken { Ok(()) } else { Err("off_market") }
            );
        }
        assert_eq!(near_book(Price::ONE, None, Some(&raw("3000"))), Ok(()));
    }

    #[test]
    fn a_pair_is_the_same_however_it_is_written() {
        for said in ["ETH/USD", "eth/usd", "ETHUSD", "ETH-USD", "eth_usd"] {
            assert_eq!(same("ETH/USD", said), Ok(()), "{said}");
        }
        for said in ["ETH/USDT", "ETC/USD", "", "USD/ETH"] {
            assert!(same("ETH/USD", said).is_err(), "{said}");
        }
    }
}
