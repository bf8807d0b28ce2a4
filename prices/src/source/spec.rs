//! `--source NAME` or `NAME=BASE_URL`: which exchange is asked, and where.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};
use quorate_protocol::Feed;

use super::{SourceKind, UnknownSource, coingecko};

/// A source and where its API is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceSpec {
    kind: SourceKind,
    /// Scheme, host and maybe a port and a path; never ends in a slash.
    base: String,
}

/// Why a text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSourceError {
    /// The name is none of ours.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// What follows `=` cannot be asked.
    #[error("source {name}: {url:?} is no base URL ({why}); write it like {name}=http://127.0.0.1:8100")]
    BaseUrl {
        /// The source.
        name: &'static str,
        /// What was given; without what may be a password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl SourceSpec {
    /// Which exchange.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Where it is: no slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What is asked for a feed.
    pub fn url(&self, feed: &Feed) -> String {
        format!("{}{}", self.base, self.kind.path(feed))
    }

    /// What is asked for several feeds at once, and `None` if each is asked for alone.
    pub fn url_together(&self, feeds: &[Feed]) -> Option<String> {
        let path = self.kind.path_together(feeds)?;
        Some(format!("{}{path}", self.base))
    }

    /// The header in which the source takes an API key; `None`: it takes none.
    pub fn key_header(&self) -> Option<&'static str> {
        match self.kind {
            SourceKind::Coingecko => Some(coingecko::key_header(&self.base)),
            SourceKind::Coinbase | SourceKind::Kraken | SourceKind::Bitstamp | SourceKind::Gemini => None,
        }
    }

    /// Whether answers travel unprotected over a network: somebody on the way could change the price.
    pub fn is_exposed(&self) -> bool {
        let Some(rest) = self.base.strip_prefix("http://") else {
            return false;
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        !(authority.starts_with("127.")
            || authority.starts_with("localhost")
            || authority.starts_with("[::1]"))
    }
}

impl From<SourceKind> for SourceSpec {
    /// The public API.
    fn from(kind: SourceKind) -> Self {
        Self {
            kind,
            base: kind.public_base().to_owned(),
        }
    }
}

impl FromStr for SourceSpec {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, url)) = text.split_once('=') else {
            return Ok(Self::from(text.parse::<SourceKind>()?));
        };
        let kind: SourceKind = name.parse()?;
        match base_url(url) {
            Ok(base) => Ok(Self { kind, base }),
            Err(why) => Err(ParseSourceError::BaseUrl {
                name: kind.name(),
                url: without_secrets(url),
                why,
            }),
        }
    }
}

/// The base URL without its last slash, or what is wrong with it.
fn base_url(url: &str) -> Result<String, &'static str> {
    if url.is_empty() {
        return Err("it is empty; for the public API write the name alone");
    }
    let uri: Uri = url.parse().map_err(|_| "it does not parse")?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
        Some(_) => return Err("only http and https are spoken"),
        None => return Err("it starts with neither http:// nor https://"),
    }
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("credentials in it would end up in logs, and no source needs any");
    }
    if authority.host().is_empty() {
        return Err("it names no host");
    }
    if authority.port().is_some_and(|port| port.as_u16() == 0) || authority.as_str().ends_with(':') {
        return Err("the port is none");
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(
            "the path of the API is added to it, so that nothing may follow its own path; for CoinGecko's API key there is \
             --coingecko-key-file",
        );
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A URL without what may be a password or a key.
fn without_secrets(url: &str) -> String {
    let url = match url.find(['?', '#']) {
        Some(at) => format!("{}***", &url[..=at]),
        None => url.to_owned(),
    };
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://***{}", &url[..scheme], &url[at..]),
        _ => url,
    }
}

impl fmt::Display for SourceSpec {
    /// As it is written in an option: `kraken`, or `kraken=http://127.0.0.1:8100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.base == self.kind.public_base() {
            fmt::Display::fmt(&self.kind, f)
        } else {
            write!(f, "{}={}", self.kind, self.base)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> SourceSpec {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_alone_is_the_public_https_api() {
        for kind in SourceKind::ALL {
            let spec = spec(kind.name());
            assert_eq!(spec, SourceSpec::from(kind));
            assert!(spec.base().starts_with("https://") && !spec.base().ends_with('/'));
            assert_eq!(spec.to_string(), kind.name());
        }
    }

    #[test]
    fn a_base_url_may_have_a_port_and_a_path() {
        let feed: Feed = "ETH/USD".parse().unwrap();
        assert_eq!(
            spec("coinbase=http://127.0.0.1:8100/").url(&feed),
            "http://127.0.0.1:8100/v2/prices/ETH-USD/spot"
        );
        assert_eq!(
            spec("gemini=https://proxy.example/gemini").url(&feed),
            "https://proxy.example/gemini/v1/pubticker/ethusd"
        );
        assert_eq!(
            spec("kraken=http://[::1]:80").to_string(),
            "kraken=http://[::1]:80"
        );
    }

    #[test]
    fn errors_name_the_value_and_the_remedy() {
        for wrong in [
            "kraken=",
            "kraken=ftp://a",
            "kraken=127.0.0.1:8100",
            "kraken=http://",
            "kraken=http://a?b=c",
            "kraken=http://a#b",
            "kraken=http://a b",
            "kraken=http://u@a",
            "kraken=http://a:0",
            "kraken=http://:80",
            "kraken=http://a:",
            "kraken=/path",
        ] {
            let error = wrong.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.contains("kraken=http://127.0.0.1:8100"), "{wrong}: {error}");
        }
        let error = "binance".parse::<SourceSpec>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"binance\" is no source; known are coinbase, kraken, bitstamp, gemini and coingecko"
        );
    }

    #[test]
    fn a_password_never_stands_in_an_error() {
        let error = "kraken=http://me:secret@host"
            .parse::<SourceSpec>()
            .unwrap_err()
            .to_string();
        assert!(!error.contains("secret") && error.contains("@host"), "{error}");
    }

    #[test]
    fn what_follows_a_question_mark_never_stands_in_an_error() {
        for wrong in [
            "coingecko=https://api.coingecko.com/?x_cg_demo_api_key=CG-topsecret",
            "coingecko=https://api.coingecko.com?CG-topsecret",
            "coingecko=https://api.coingecko.com/#CG-topsecret",
            "coingecko=ftp://a?CG-topsecret@b",
        ] {
            let error = wrong.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(!error.contains("topsecret") && error.contains("***"), "{error}");
        }
    }

    #[test]
    fn the_key_goes_in_the_header_of_its_plan() {
        let header = |text: &str| spec(text).key_header();
        assert_eq!(header("coingecko"), Some("x-cg-demo-api-key"));
        assert_eq!(header("coingecko=http://127.0.0.1:1"), Some("x-cg-demo-api-key"));
        assert_eq!(
            header("coingecko=https://pro-api.coingecko.com"),
            Some("x-cg-pro-api-key")
        );
        assert_eq!(header("kraken"), None);
    }

    #[test]
    fn plain_http_to_elsewhere_is_known_as_exposed() {
        assert!(spec("kraken=http://exchange.example").is_exposed());
        for safe in [
            "kraken",
            "kraken=http://127.0.0.1:1",
            "kraken=http://localhost:1",
            "kraken=http://[::1]:1",
        ] {
            assert!(!spec(safe).is_exposed(), "{safe}");
        }
    }
}
