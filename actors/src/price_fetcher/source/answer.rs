//! What the five parsers share: reading JSON, a price and a time without a float, and naming what is wrong.

use quorate_protocol::{ParsePriceError, Price, UnixMillis};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use crate::price_fetcher::quote_error::{QuoteError, shown};

/// Reads a body as JSON of one shape. All five answer with an object; serde would take a list for one.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, QuoteError> {
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
pub(super) fn price(field: &'static str, raw: Option<&RawValue>) -> Result<Price, QuoteError> {
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
pub(super) fn seconds(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
    whole(field, raw, 1000)
}

/// A Unix time in whole milliseconds.
pub(super) fn millis(field: &'static str, raw: Option<&RawValue>) -> Result<UnixMillis, QuoteError> {
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
pub(super) fn same(asked: &str, said: &str) -> Result<(), QuoteError> {
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
}
