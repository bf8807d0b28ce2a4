//! What a single value may look like. Each parser is pure, but for those of files, and says what to write instead.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use actix_web::http::Uri;
use chrono::{DateTime, NaiveDate, NaiveTime};
use humantime::format_duration;
use libp2p::{Multiaddr, multiaddr::Protocol};
use quorate_protocol::UnixMillis;
use quorate_store::SecretFileError;

use crate::secret::Secret;

/// The rule that a value breaks, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {remedy}")]
pub(crate) struct Wrong {
    /// Reads after the value: `is not a duration`.
    pub(crate) rule: String,
    /// Says what to do: `write a number and a unit, like 30s`.
    pub(crate) remedy: String,
}

/// A [`Wrong`] from its two halves.
pub(crate) fn wrong(rule: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong {
        rule: rule.into(),
        remedy: remedy.into(),
    }
}

/// A value of a type whose own error says what is expected; `what` it is reads like `a feed`.
pub(crate) fn parsed<T>(what: &'static str) -> impl Fn(&str) -> Result<T, Wrong> + Clone
where
    T: FromStr<Err: Display>,
{
    move |text| {
        text.parse()
            .map_err(|error: T::Err| wrong(format!("is not {what}"), error.to_string()))
    }
}

/// A whole number in plain decimal digits.
pub(crate) fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, Wrong> + Clone
where
    N: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let remedy = || format!("write a number from {} to {}", range.start(), range.end());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("is not a whole number", remedy()));
        }
        // Digits that do not parse are too many.
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(wrong("is out of range", remedy())),
        }
    }
}

/// A duration like `500ms`, `30s` or `1h 30m`.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, Wrong> + Clone {
    move |text| {
        let duration = any_duration(text)?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
        Err(wrong(
            "is out of range",
            format!("write a duration from {least} to {most}"),
        ))
    }
}

fn any_duration(text: &str) -> Result<Duration, Wrong> {
    let remedy = match humantime::parse_duration(text) {
        Ok(duration) => return Ok(duration),
        // It lies beyond every range.
        Err(humantime::DurationError::NumberOverflow) => return Ok(Duration::MAX),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            format!("write a unit, like {text}s")
        }
        Err(_) => "write a number and a unit of ms, s, m or h, like 30s".to_owned(),
    };
    Err(wrong("is not a duration", remedy))
}

/// The value that belongs to one of a few words.
pub(crate) fn choice<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&str) -> Result<T, Wrong> + Clone {
    move |text| {
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let words = match words.as_slice() {
                [one, other] => format!("{one} or {other}"),
                words => words.join(", "),
            };
            wrong("is not one of the choices", format!("write {words}"))
        })
    }
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, Wrong> {
    choice(&[("true", true), ("false", false)])(text)
}

/// A path, which is not looked at.
pub(crate) fn path(text: &str) -> Result<PathBuf, Wrong> {
    match text {
        "" => Err(wrong("is empty", "name a file")),
        path => Ok(PathBuf::from(path)),
    }
}

/// A secret as it is. It is never wrong by itself, so no parser can repeat it.
pub(crate) fn hidden(text: &str) -> Result<Secret, Wrong> {
    Ok(Secret::new(text))
}

/// A secret and the file that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretFile {
    /// Where it stands.
    pub(crate) path: PathBuf,
    /// What it held.
    pub(crate) secret: Secret,
}

/// The secret in the file at this path, without one line end at its end, which editors and `echo` leave there.
pub(crate) fn secret_file(text: &str) -> Result<SecretFile, Wrong> {
    let path = path(text)?;
    let secret = Secret::read(&path).map_err(|error| match error {
        SecretFileError::Unreadable { error, .. } => wrong(
            format!("cannot be read ({error})"),
            "name a file that this user can read and that holds the secret alone",
        ),
        SecretFileError::Empty { .. } => {
            let remedy = "write the secret into it, or name the file that holds it";
            wrong("is empty", remedy)
        }
    })?;
    Ok(SecretFile { path, secret })
}

/// An IP address and a port; `None` is `off`.
pub(crate) fn listen_address(text: &str) -> Result<Option<SocketAddr>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        wrong(
            "is not an address to listen on",
            "write IP:PORT, like 127.0.0.1:8080, or off",
        )
    })
}

/// A point in time, of which some are told from the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This one.
    At(UnixMillis),
    /// So long ago.
    Ago(Duration),
}

impl Moment {
    /// When it is, seen from `now`.
    pub(crate) fn when(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => {
                let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                UnixMillis::new(now.get().saturating_sub(ago))
            }
        }
    }
}

/// `2026-01-31T12:00:00Z`, `2026-01-31` (its midnight UTC), or `2h` (that long ago).
pub(crate) fn moment(text: &str) -> Result<Moment, Wrong> {
    if let Ok(ago) = any_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let date = || {
        text.parse::<NaiveDate>()
            .map(|date| date.and_time(NaiveTime::MIN).and_utc())
    };
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| date())
        .ok()
        .and_then(|time| u64::try_from(time.timestamp_millis()).ok())
        .map(|millis| Moment::At(UnixMillis::new(millis)))
        .ok_or_else(|| {
            wrong(
                "is not a time",
                "write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h",
            )
        })
}

/// The address of a node's API.
pub(crate) fn api_address(text: &str) -> Result<String, Wrong> {
    let url = text.parse::<Uri>().ok();
    let is_api =
        url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
    let like = || {
        let remedy = "write one like http://127.0.0.1:8080";
        wrong("is not the address of an API", remedy)
    };
    is_api.then(|| text.to_owned()).ok_or_else(like)
}

/// An address to listen on: an IP address, then TCP. Port 0 lets the system choose.
pub(crate) fn listen_multiaddr(text: &str) -> Result<Multiaddr, Wrong> {
    let address = transport(text, "/ip4/0.0.0.0/tcp/5000")?;
    let is_ip = matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
    let names_peer = address.iter().any(|part| matches!(part, Protocol::P2p(_)));
    match (is_ip, names_peer) {
        (true, false) => Ok(address),
        (false, _) => Err(wrong(
            "is no place to listen",
            "begin with /ip4/ or /ip6/; a name is for --peer",
        )),
        (true, true) => Err(wrong(
            "names a peer",
            "drop the part from /p2p/: the node's key says who it is",
        )),
    }
}

/// An address of a peer: a DNS name or IP address, TCP, and perhaps the PeerId that must answer.
pub(crate) fn peer_multiaddr(text: &str) -> Result<Multiaddr, Wrong> {
    let example = "/dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID";
    let address = transport(text, example)?;
    let has_port = address.iter().all(|part| part != Protocol::Tcp(0));
    if has_port {
        Ok(address)
    } else {
        Err(wrong("has no port", "write the port that the peer listens on"))
    }
}

fn transport(text: &str, example: &str) -> Result<Multiaddr, Wrong> {
    let address: Multiaddr = text
        .parse()
        .map_err(|_| wrong("is not a multiaddress", format!("write one like {example}")))?;
    let mut parts: Vec<_> = address.iter().collect();
    parts.pop_if(|last| matches!(last, Protocol::P2p(_)));
    let is_host = |part: &Protocol<'_>| {
        use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6};
        matches!(part, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
    };
    let rule = match parts.as_slice() {
        [host, Protocol::Tcp(_)] if is_host(host) => return Ok(address),
        [_, Protocol::Udp(_), Protocol::QuicV1] => "is QUIC, which nodes do not speak",
        _ => "is not a transport that nodes speak",
    };
    Err(wrong(rule, format!("write one like {example}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_number_is_digits_within_bounds() {
        let number = number(1..=10u8);
        assert_eq!(number("10"), Ok(10));
        for text in ["0", "11", "99999999999999999999"] {
            assert_eq!(
                number(text),
                Err(wrong("is out of range", "write a number from 1 to 10"))
            );
        }
        for text in ["", "-1", "+1", "1.5", "1e1", "three"] {
            assert_eq!(
                number(text),
                Err(wrong("is not a whole number", "write a number from 1 to 10"))
            );
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        let any = duration(Duration::ZERO..=Duration::from_hours(24));
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m 30s", 90_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(any(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(
            any("30"),
            Err(wrong("is not a duration", "write a unit, like 30s"))
        );
        for text in ["", "s", "-1s", "1S", "१s", "soon"] {
            let remedy = "write a number and a unit of ms, s, m or h, like 30s";
            assert_eq!(any(text), Err(wrong("is not a duration", remedy)), "{text:?}");
        }
        let short = duration(Duration::from_secs(1)..=Duration::from_hours(24 * 7));
        for text in ["0s", "25000h", "99999999999999999999999h"] {
            let expected = wrong("is out of range", "write a duration from 1s to 7days");
            assert_eq!(short(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_choice_is_a_word_of_the_list_which_is_named_otherwise() {
        let form = choice(&[("text", 1), ("json", 2), ("csv", 3)]);
        assert_eq!(form("json"), Ok(2));
        assert_eq!(
            form("yaml"),
            Err(wrong("is not one of the choices", "write text, json, csv"))
        );
        assert_eq!(
            switch("yes"),
            Err(wrong("is not one of the choices", "write true or false"))
        );
    }

    #[test]
    fn a_secret_file_loses_one_line_end_and_must_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let read = |content: &str| {
            fs::write(&file, content).unwrap();
            secret_file(file.to_str().unwrap()).map(|read| read.secret.reveal().to_owned())
        };
        for (content, secret) in [
            ("a b", "a b"),
            ("a b\n", "a b"),
            ("a b\r\n", "a b"),
            (" a\n\n", " a\n"),
        ] {
            assert_eq!(read(content).unwrap(), secret);
        }
        for empty in ["", "\n", "\r\n"] {
            assert_eq!(read(empty).unwrap_err().rule, "is empty");
        }
        fs::remove_file(&file).unwrap();
        let missing = secret_file(file.to_str().unwrap()).unwrap_err();
        assert!(missing.rule.starts_with("cannot be read"), "{missing}");
    }

    #[test]
    fn the_api_listens_at_an_address_or_not_at_all() {
        assert_eq!(listen_address("off"), Ok(None));
        assert_eq!(listen_address("[::1]:80"), Ok("[::1]:80".parse().ok()));
        for text in ["", "8080", ":8080", "localhost:8080", "127.0.0.1", "none"] {
            assert!(listen_address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_how_long_ago() {
        let now = UnixMillis::new(1_800_000_000_000);
        for (text, millis) in [
            ("1970-01-02", 86_400_000),
            ("1970-01-01T00:00:01.5Z", 1500),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1m", 1_799_999_940_000),
        ] {
            assert_eq!(moment(text).unwrap().when(now), UnixMillis::new(millis), "{text}");
        }
        for text in ["", "yesterday", "1969-12-31", "2026-13-01", "12:00", "30"] {
            assert!(moment(text).is_err(), "{text:?}");
        }
    }

    const PEER: &str = "/p2p/16Uiu2HAmPLe7Mzm8TsYUubgCAW1aJoeFScxrLj8ppHFivPo97bUZ";

    #[test]
    fn listens_on_tcp_of_an_ip_address() {
        for text in [
            "/ip4/0.0.0.0/tcp/5000",
            "/ip6/::/tcp/5000",
            "/ip4/127.0.0.1/tcp/0",
        ] {
            assert_eq!(listen_multiaddr(text).unwrap().to_string(), text);
        }
        for (text, rule) in [
            ("0.0.0.0:5000", "is not a multiaddress"),
            ("/ip4/0.0.0.0", "is not a transport that nodes speak"),
            ("/ip4/0.0.0.0/udp/5000", "is not a transport that nodes speak"),
            (
                "/ip4/0.0.0.0/udp/5000/quic-v1",
                "is QUIC, which nodes do not speak",
            ),
            ("/ip4/0.0.0.0/tcp/5000/ws", "is not a transport that nodes speak"),
            ("/dns4/localhost/tcp/5000", "is no place to listen"),
        ] {
            assert_eq!(listen_multiaddr(text).unwrap_err().rule, rule, "{text}");
        }
        let named = format!("/ip4/0.0.0.0/tcp/5000{PEER}");
        assert_eq!(listen_multiaddr(&named).unwrap_err().rule, "names a peer");
    }

    #[test]
    fn a_peer_may_be_named_by_dns_and_pinned_to_its_id() {
        for text in ["/dns4/node-1/tcp/5000", "/ip4/10.0.0.7/tcp/5000"] {
            assert_eq!(peer_multiaddr(text).unwrap().to_string(), text);
            assert_eq!(
                peer_multiaddr(&format!("{text}{PEER}")).unwrap().to_string(),
                format!("{text}{PEER}")
            );
        }
        assert_eq!(
            peer_multiaddr("/ip4/10.0.0.7/tcp/0").unwrap_err().rule,
            "has no port"
        );
        assert_eq!(
            peer_multiaddr(PEER).unwrap_err().rule,
            "is not a transport that nodes speak"
        );
    }
}
