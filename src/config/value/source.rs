//! `coinbase`, or `coinbase=http://127.0.0.1:9000`.

use quorate_protocol::Source;

use crate::config::problem::{Wrong, wrong};

/// The exchanges whose answers a node understands.
pub(crate) const SOURCE_NAMES: [&str; 5] = ["coinbase", "kraken", "bitstamp", "gemini", "coingecko"];

/// An exchange to ask, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceChoice {
    /// Which exchange: the shape of its answers.
    pub(crate) name: Source,
    /// Scheme, host and perhaps a path, without a slash at the end. `None`: the exchange's public HTTPS address.
    pub(crate) base_url: Option<String>,
}

/// One of [`SOURCE_NAMES`], and perhaps a base URL.
pub(crate) fn source(text: &str) -> Result<SourceChoice, Wrong> {
    let (name, base_url) = match text.split_once('=') {
        Some((name, url)) => (name, Some(url)),
        None => (text, None),
    };
    let known = SOURCE_NAMES.contains(&name).then(|| name.parse().ok()).flatten();
    let name = known.ok_or_else(|| {
        wrong(
            "is not a known source",
            format!("write NAME or NAME=BASE_URL with {}", SOURCE_NAMES.join(", ")),
        )
    })?;
    let base_url = base_url.map(checked_url).transpose()?;
    Ok(SourceChoice { name, base_url })
}

fn checked_url(url: &str) -> Result<String, Wrong> {
    let remedy = || "write NAME=http://HOST:PORT or NAME=https://HOST, without user, query or fragment";
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| wrong("has no HTTP address after the =", remedy()))?;
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '"' | '<' | '>' | '\\');
    if rest.starts_with('/') || rest.is_empty() || !rest.chars().all(is_plain) {
        return Err(wrong("has no plain HTTP address after the =", remedy()));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_and_perhaps_where_it_is() {
        for name in SOURCE_NAMES {
            let choice = source(name).unwrap();
            assert_eq!((choice.name.as_str(), choice.base_url), (name, None));
        }
        let choice = source("kraken=http://127.0.0.1:9000/kraken/").unwrap();
        assert_eq!(choice.base_url.as_deref(), Some("http://127.0.0.1:9000/kraken"));
    }

    #[test]
    fn says_what_to_write_instead() {
        for text in ["", "Coinbase", "binance", "binance=http://x"] {
            assert_eq!(
                source(text).unwrap_err().rule,
                "is not a known source",
                "{text:?}"
            );
        }
        for text in ["kraken=", "kraken=127.0.0.1:1", "kraken=ftp://x"] {
            assert_eq!(
                source(text).unwrap_err().rule,
                "has no HTTP address after the =",
                "{text:?}"
            );
        }
        for text in [
            "kraken=http://",
            "kraken=http://u:p@x",
            "kraken=http://x?a",
            "kraken=http://a b",
        ] {
            assert_eq!(
                source(text).unwrap_err().rule,
                "has no plain HTTP address after the =",
                "{text:?}"
            );
        }
    }
}
