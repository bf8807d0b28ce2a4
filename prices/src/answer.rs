//! Reading an answer: what HTTP says of it, then JSON, prices and times without a float; and naming what is wrong.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime},
};

use quorate_protocol::{Price, UnixMillis};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::quote_error::{QuoteError, shown};

/// More than any of the documented answers needs (about 1 KiB), and nothing that would hurt if all sources sent it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How far an exchange's clock may be ahead of ours: more than clocks that are kept by NTP ever differ, and little
/// enough that a time in the wrong unit or zone is found.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// An answer over HTTP, as far as it matters here. Headers as they came, where they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `Content-Encoding`. None is asked for, so that only `identity` is expected.
    pub encoding: Option<String>,
    /// The header `Age`: for how many seconds a cache on the way has had the answer (RFC 9111, 5.1).
    pub age: Option<String>,
    /// At most [`MAX_BODY_BYTES`].
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// An answer with status 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    /// The body of an answer that says it is one; otherwise why it is none.
    pub(crate) fn body(&self, now: UnixMillis) -> Result<&[u8], QuoteError> {
        match self.status {
            200 => self.check_encoding().map(|()| self.body.as_slice()),
            _ => Err(self.refusal(now, None)),
        }
    }

    /// What a status that is no success says. `said`: why, in the exchange's own words.
    pub(crate) fn refusal(&self, now: UnixMillis, said: Option<String>) -> QuoteError {
        let status = self.status;
        let retry_after = self
            .retry_after
            .as_deref()
            .and_then(|text| retry_after(text, now));
        match status {
            429 => QuoteError::RateLimited { retry_after },
            300..400 => QuoteError::Redirect {
                status,
                location: self.location.as_deref().map(without_query),
            },
            _ => QuoteError::Status {
                status,
                // RFC 9110 has it with 503, others use it with 403 and the like; with a success it means nothing.
                retry_after: retry_after.filter(|_| status >= 400),
                said,
            },
        }
    }

    /// What is compressed is named as such: all that reading it as JSON would find is the first wrong byte.
    fn check_encoding(&self) -> Result<(), QuoteError> {
        let said = self.encoding.as_deref().map(str::trim).unwrap_or_default();
        if !said.is_empty() && !said.eq_ignore_ascii_case("identity") {
            return Err(QuoteError::Compressed(shown(said)));
        }
        // The magic numbers of gzip (RFC 1952) and Zstandard (RFC 8878): some caches forget the header.
        match self.body.as_slice() {
            [0x1f, 0x8b, ..] => Err(QuoteError::Compressed("gzip".to_owned())),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(QuoteError::Compressed("zstd".to_owned())),
            _ => Ok(()),
        }
    }

    /// When the exchange gave this answer, by what caches on the way say.
    pub(crate) fn given_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let seconds: u64 = self.age.as_deref()?.trim().parse().ok()?;
        (seconds > 0).then(|| UnixMillis::new(now.get().saturating_sub(seconds.saturating_mul(1000))))
    }
}

/// Where a redirect leads, without what may be a secret.
fn without_query(location: &str) -> String {
    shown(location.split(['?', '#']).next().unwrap_or_default())
}

/// How long to wait by a `Retry-After`: seconds, or a date of HTTP (RFC 9110, 10.2.3). `None` when it cannot be read; a
/// date in the past is zero.
fn retry_after(text: &str, now: UnixMillis) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let until = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(until.saturating_sub(Duration::from_millis(now.get())))
}

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

/// Reads a body as JSON of one shape. All five answer with an object; serde would take a list for one. Which of two
/// values of one key is meant nobody knows: a key that stands twice, wherever, is no answer.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, QuoteError> {
    // RFC 8259, 8.1: who reads may ignore a byte-order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match body.first() {
        None => return Err(QuoteError::Empty),
        Some(b'<') => return Err(QuoteError::Html),
        Some(b'[') => return Err(QuoteError::WrongShape { line: 1, column: 1 }),
        Some(_) => {}
    }
    let refused = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => QuoteError::WrongShape { line, column },
            Category::Syntax | Category::Eof | Category::Io => QuoteError::NotJson { line, column },
        }
    };
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let keys = Keys { twice: &twice }
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    if let Some(key) = twice.take() {
        return Err(QuoteError::DuplicateKey(shown(&key)));
    }
    keys.map_err(refused)?;
    serde_json::from_slice(body).map_err(refused)
}

/// Walks through any JSON and ends at the first key that stands twice in one object.
#[derive(Clone, Copy)]
struct Keys<'k> {
    twice: &'k RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                *self.twice.borrow_mut() = Some(key);
                return Err(A::Error::custom("a key twice"));
            }
            seen.insert(key);
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
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
    fn a_body_that_is_no_json_is_refused_by_name() {
        let rows: [(&[u8], &str); 8] = [
            (b"", "empty"),
            (b" \r\n ", "empty"),
            (b"<!doctype html><html></html>", "html"),
            (b"\n<html>", "html"),
            (b"Service unavailable", "not_json"),
            (b"{\"a\":", "not_json"),
            (b"\xff\xfe\x00", "not_json"),
            (b"[1]", "wrong_shape"),
        ];
        for (body, name) in rows {
            #[derive(Debug, PartialEq, Deserialize)]
            struct Nothing {
                a: Option<u8>,
            }
            let read = json::<Nothing>(body).map(|nothing| nothing.a);
            assert_eq!(read.map_err(|error| error.name()), Err(name), "{body:?}");
        }
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
    fn retry_after_is_seconds_or_a_date_and_nonsense_is_not_read() {
        let rows = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 14 Nov 2023 22:15:20 GMT", Some(120)),
            ("Tue, 14 Nov 2023 22:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
        ];
        for (text, seconds) in rows {
            assert_eq!(
                retry_after(text, NOW),
                seconds.map(Duration::from_secs),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_http_says_is_no_price() {
        let wait = Some(Duration::from_secs(60));
        let status = |status, retry_after| QuoteError::Status {
            status,
            retry_after,
            said: None,
        };
        let moved = QuoteError::Redirect {
            status: 302,
            location: Some("https://elsewhere.example/x".to_owned()),
        };
        let rows = [
            (204, status(204, None)),
            (302, moved),
            (403, status(403, wait)),
            (429, QuoteError::RateLimited { retry_after: wait }),
            (500, status(500, wait)),
            (503, status(503, wait)),
        ];
        for (status, refused) in rows {
            let answer = HttpAnswer {
                status,
                retry_after: Some("60".to_owned()),
                location: Some("https://elsewhere.example/x?key=secret".to_owned()),
                body: b"{}".to_vec(),
                ..HttpAnswer::default()
            };
            assert_eq!(answer.body(NOW), Err(refused));
        }
    }

    #[test]
    fn a_compressed_body_is_named_whether_its_header_says_so_or_not() {
        let rows: [(Option<&str>, &[u8], Option<&str>); 6] = [
            (Some("gzip"), b"\x1f\x8b\x08", Some("gzip")),
            (Some("br"), b"\x0b\x02\x80{}", Some("br")),
            (None, b"\x1f\x8b\x08", Some("gzip")),
            (None, b"\x28\xb5\x2f\xfd", Some("zstd")),
            (Some(" Identity "), b"{}", None),
            (Some(""), b"{}", None),
        ];
        for (encoding, body, named) in rows {
            let answer = HttpAnswer {
                encoding: encoding.map(str::to_owned),
                ..HttpAnswer::ok(body)
            };
            let refused = named.map(|name| QuoteError::Compressed(name.to_owned()));
            assert_eq!(answer.body(NOW).err(), refused, "{encoding:?} {body:?}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_every_level() {
        for (body, key) in [
            (r#"{"a":1,"a":1}"#, Some("a")),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"{"x":{"y":[{"b":1,"b":2}]},"a":1}"#, Some("b")),
            (r#"{"x":{"a":1},"a":1}"#, None),
        ] {
            let read = json::<serde::de::IgnoredAny>(body.as_bytes());
            let refused = key.map(|key| QuoteError::DuplicateKey(key.to_owned()));
            assert_eq!(read.err(), refused, "{body}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_ignored_once() {
        assert!(json::<serde::de::IgnoredAny>(b"\xef\xbb\xbf{}").is_ok());
        let twice = json::<serde::de::IgnoredAny>(b"\xef\xbb\xbf\xef\xbb\xbf{}");
        assert_eq!(twice.map_err(|error| error.name()).err(), Some("not_json"));
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
