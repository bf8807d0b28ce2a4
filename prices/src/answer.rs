//! Reading an answer: what HTTP says of it, then its body as JSON; and naming what is wrong.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime},
};

use quorate_protocol::UnixMillis;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::error::Category;

use crate::quote_error::{QuoteError, shown};

/// More than any of the documented answers needs (about 1 KiB), and nothing that would hurt if all sources sent it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

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
    /// The header `Date`: when it was sent, by the exchange's clock and in whole seconds (RFC 9110, 6.6.1). No price depends on it.
    pub date: Option<String>,
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

    /// The second in which it was sent, by the exchange's clock; `None`: it does not say, or a cache on the way has kept it.
    pub fn sent_at(&self) -> Option<UnixMillis> {
        let kept = self.age.as_deref().is_some_and(|age| age.trim() != "0");
        let date = self.date.as_deref().filter(|_| !kept)?;
        let since_epoch = httpdate::parse_http_date(date)
            .ok()?
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()?;
        u64::try_from(since_epoch.as_millis()).ok().map(UnixMillis::new)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

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
    fn when_it_was_sent_is_what_the_exchange_says_and_not_what_a_cache_has_kept() {
        let sent = |date: &str, age: Option<&str>| {
            let (date, age) = (Some(date.to_owned()), age.map(str::to_owned));
            HttpAnswer {
                date,
                age,
                ..HttpAnswer::default()
            }
            .sent_at()
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = Some(UnixMillis::new(784_111_777_000));
        assert_eq!((sent(date, None), sent(date, Some("0"))), (at, at));
        assert_eq!((sent(date, Some("7")), sent("yesterday", None)), (None, None));
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
}
