//! Reading an answer: what HTTP says of it, then JSON, prices and times without a float; and naming what is wrong.

use std::time::{Duration, SystemTime};

use quorate_protocol::{ParsePriceError, Price, UnixMillis};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use crate::quote_error::{QuoteError, shown};

/// More than any of the documented answers needs (about 1 KiB), and nothing that would hurt if all sources sent it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How far an exchange's clock may be ahead of ours: more than clocks that are kept by NTP ever differ, and little
/// enough that a time in the wrong unit or zone is found.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// An answer over HTTP, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`, if there is one.
    pub retry_after: Option<String>,
    /// At most [`MAX_BODY_BYTES`]; read only with status 200.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// An answer with status 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            retry_after: None,
            body: body.into(),
        }
    }

    /// The body of an answer that says it is one; otherwise why it is none.
    pub(crate) fn body(&self, now: UnixMillis) -> Result<&[u8], QuoteError> {
        let status = self.status;
        let retry_after = self
            .retry_after
            .as_deref()
            .and_then(|text| retry_after(text, now));
        Err(match status {
            200 => return Ok(&self.body),
            429 => QuoteError::RateLimited { retry_after },
            300..400 => QuoteError::Redirect { status },
            503 => QuoteError::Status { status, retry_after },
            // Elsewhere than with these the header means something else, or nothing.
            _ => QuoteError::Status {
                status,
                retry_after: None,
            },
        })
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticker {
    /// The last traded price.
    pub(crate) price: Price,
    /// The exchange's own time, where its answer has one.
    pub(crate) at: Option<UnixMillis>,
}

impl Ticker {
    /// Refuses a price that its exchange dates before `max_age` ago or in the future. `coarseness` is by how much
    /// the exchange's time may lag by design ([`crate::SourceKind::time_coarseness`]).
    pub(crate) fn check_time(
        &self,
        now: UnixMillis,
        max_age: Duration,
        coarseness: Duration,
    ) -> Result<(), QuoteError> {
        let Some(at) = self.at else { return Ok(()) };
        let (age, ahead) = (now.since(at), at.since(now));
        let limit = max_age.saturating_add(coarseness);
        if age > limit {
            return Err(QuoteError::Stale { age, limit });
        }
        if ahead > MAX_AHEAD {
            return Err(QuoteError::Future {
                ahead,
                limit: MAX_AHEAD,
            });
        }
        Ok(())
    }
}

/// Reads a body as JSON of one shape. All five answer with an object; serde would take a list for one.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, QuoteError> {
    let body = body.trim_ascii();
    match body.first() {
        None => return Err(QuoteError::Empty),
        Some(b'<') => return Err(QuoteError::Html),
        Some(b'[') => return Err(QuoteError::WrongShape { line: 1, column: 1 }),
        Some(_) => {}
    }
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => QuoteError::WrongShape { line, column },
            Category::Syntax | Category::Eof | Category::Io => QuoteError::NotJson { line, column },
        }
    })
}

/// The text of a JSON number, or what stands in a JSON string: exchanges use both for decimals.
fn text(raw: &RawValue) -> &str {
    let raw = raw.get();
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .unwrap_or(raw)
}

/// A price from the digits as they were sent.
pub(crate) fn price(field: &'static str, raw: Option<&RawValue>) -> Result<Price, QuoteError> {
    let text = text(raw.ok_or(QuoteError::MissingField(field))?);
    text.parse().map_err(|error| match error {
        ParsePriceError::Zero(_) => QuoteError::Zero,
        ParsePriceError::TooPrecise(_) | ParsePriceError::TooLarge(_) => QuoteError::OutOfRange(shown(text)),
        ParsePriceError::NotDecimal(_) if is_like(text, b"+-.0123456789") && text.starts_with('-') => {
            QuoteError::Negative(shown(text))
        }
        ParsePriceError::NotDecimal(_)
            if is_like(text, b"+-.eE0123456789")
                && text.contains(['e', 'E'])
                && text.contains(|c: char| c.is_ascii_digit()) =>
        {
            QuoteError::Exponent(shown(text))
        }
        ParsePriceError::NotDecimal(_) => QuoteError::NotANumber(shown(text)),
    })
}

fn is_like(text: &str, allowed: &[u8]) -> bool {
    text.bytes().all(|byte| allowed.contains(&byte))
}

/// A Unix time in whole seconds.
pub(crate) fn seconds(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
    whole(field, raw, 1000)
}

/// A Unix time in whole milliseconds.
pub(crate) fn millis(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
    whole(field, raw, 1)
}

fn whole(field: &'static str, raw: Option<&RawValue>, factor: u64) -> Result<UnixMillis, QuoteError> {
    let text = text(raw.ok_or(QuoteError::MissingField(field))?);
    text.parse::<u64>()
        .ok()
        .and_then(|time| time.checked_mul(factor))
        .map(UnixMillis::new)
        .ok_or_else(|| QuoteError::BadTime(shown(text)))
}

/// Refuses an answer for another pair or currency than was asked for.
pub(crate) fn same(asked: &str, said: &str) -> Result<(), QuoteError> {
    if asked.eq_ignore_ascii_case(said) {
        Ok(())
    } else {
        Err(QuoteError::WrongPair {
            asked: asked.to_owned(),
            said: shown(said),
        })
    }
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
            ("3.01245e3", "exponent"),
            ("-3e3", "exponent"),
            ("1E-9", "exponent"),
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
        let ticker = Ticker {
            price: Price::ONE,
            at: at_millis.map(UnixMillis::new),
        };
        ticker.check_time(NOW, FIVE_MINUTES, Duration::from_secs(coarseness_secs))
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
        let rows = [
            (
                204,
                QuoteError::Status {
                    status: 204,
                    retry_after: None,
                },
            ),
            (302, QuoteError::Redirect { status: 302 }),
            (
                404,
                QuoteError::Status {
                    status: 404,
                    retry_after: None,
                },
            ),
            (429, QuoteError::RateLimited { retry_after: wait }),
            (
                500,
                QuoteError::Status {
                    status: 500,
                    retry_after: None,
                },
            ),
            (
                503,
                QuoteError::Status {
                    status: 503,
                    retry_after: wait,
                },
            ),
        ];
        for (status, refused) in rows {
            let answer = HttpAnswer {
                status,
                retry_after: Some("60".to_owned()),
                body: b"{}".to_vec(),
            };
            assert_eq!(answer.body(NOW), Err(refused));
        }
    }
}
