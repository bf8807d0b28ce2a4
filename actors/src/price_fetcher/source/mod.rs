//! The exchanges: for each one the path that is asked and the shape that is answered, after its public documentation.

mod answer;
mod bitstamp;
mod coinbase;
mod coingecko;
mod gemini;
mod kraken;

use std::{fmt, str::FromStr, time::Duration};

use quorate_protocol::{Feed, Source};

use super::{quote_error::QuoteError, quoted::Quoted};

/// An exchange whose API is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Coinbase's spot price.
    Coinbase,
    /// Kraken's ticker.
    Kraken,
    /// Bitstamp's ticker.
    Bitstamp,
    /// Gemini's public ticker.
    Gemini,
    /// CoinGecko's mean over many exchanges; up to a minute old.
    Coingecko,
}

/// The source does not price that feed: an error of the configuration, found before anything is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "source {source_name} cannot price feed {feed}: it has no {lacks}; leave out that source or that feed"
)]
pub struct UnsupportedFeed {
    /// The source.
    pub source_name: &'static str,
    /// The feed.
    pub feed: Feed,
    /// What it lacks.
    pub lacks: String,
}

/// A name that is no source's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no source; known are coinbase, kraken, bitstamp, gemini and coingecko")]
pub struct UnknownSource(pub String);

impl SourceKind {
    /// All, in the order in which the documentation lists them.
    pub const ALL: [SourceKind; 5] = [
        Self::Coinbase,
        Self::Kraken,
        Self::Bitstamp,
        Self::Gemini,
        Self::Coingecko,
    ];

    /// The name in options, logs and evidence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coinbase => "coinbase",
            Self::Kraken => "kraken",
            Self::Bitstamp => "bitstamp",
            Self::Gemini => "gemini",
            Self::Coingecko => "coingecko",
        }
    }

    /// The name as evidence carries it.
    #[expect(
        clippy::expect_used,
        reason = "every name is lowercase and short; a test asks for all of them"
    )]
    pub fn source(self) -> Source {
        self.name().parse().expect("a source's name")
    }

    /// Where the public API is.
    pub const fn public_base(self) -> &'static str {
        match self {
            Self::Coinbase => "https://api.coinbase.com",
            Self::Kraken => "https://api.kraken.com",
            Self::Bitstamp => "https://www.bitstamp.net",
            Self::Gemini => "https://api.gemini.com",
            Self::Coingecko => "https://api.coingecko.com",
        }
    }

    /// Whether the source can be asked for that feed at all. Whether it lists the pair only its answer tells.
    pub fn supports(self, feed: &Feed) -> Result<(), UnsupportedFeed> {
        let (base, quote) = feed.codes();
        let lacks = match self {
            _ if base == quote => Some(format!("market of {base} against itself")),
            Self::Coingecko => coingecko::lacks(feed),
            Self::Coinbase | Self::Kraken | Self::Bitstamp | Self::Gemini => None,
        };
        match lacks {
            Some(lacks) => Err(UnsupportedFeed {
                source_name: self.name(),
                feed: feed.clone(),
                lacks,
            }),
            None => Ok(()),
        }
    }

    /// What is asked for a feed, after the base URL: starts with a slash.
    pub fn path(self, feed: &Feed) -> String {
        match self {
            Self::Coinbase => coinbase::path(feed),
            Self::Kraken => kraken::path(feed),
            Self::Bitstamp => bitstamp::path(feed),
            Self::Gemini => gemini::path(feed),
            Self::Coingecko => coingecko::path(feed),
        }
    }

    /// Reads the body of an answer with status 200. Never panics, whatever the bytes.
    pub fn parse(self, body: &[u8], feed: &Feed) -> Result<Quoted, QuoteError> {
        match self {
            Self::Coinbase => coinbase::parse(body, feed),
            Self::Kraken => kraken::parse(body, feed),
            Self::Bitstamp => bitstamp::parse(body, feed),
            Self::Gemini => gemini::parse(body, feed),
            Self::Coingecko => coingecko::parse(body, feed),
        }
    }

    /// By how much the time in a fresh answer may lag by design. Where it does, it serves only to find a feed that
    /// stands still, and the quote is dated by its arrival.
    pub const fn time_coarseness(self) -> Duration {
        match self {
            Self::Gemini => gemini::TIME_COARSENESS,
            Self::Coinbase | Self::Kraken | Self::Bitstamp | Self::Coingecko => Duration::ZERO,
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SourceKind {
    type Err = UnknownSource;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownSource(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_protocol::UnixMillis;

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn feed(text: &str) -> Feed {
        text.parse().unwrap()
    }

    #[test]
    fn every_documented_answer_is_read() {
        let rows = [
            (
                SourceKind::Coinbase,
                "coinbase-eth-usd.json",
                "ETH/USD",
                "3012.455",
                None,
            ),
            (
                SourceKind::Kraken,
                "kraken-eth-usd.json",
                "ETH/USD",
                "3012.61",
                None,
            ),
            (
                SourceKind::Kraken,
                "kraken-btc-usd.json",
                "BTC/USD",
                "30303.2",
                None,
            ),
            (
                SourceKind::Bitstamp,
                "bitstamp-eth-usd.json",
                "ETH/USD",
                "3011.9",
                Some(1_700_000_000_000),
            ),
            (
                SourceKind::Gemini,
                "gemini-eth-usd.json",
                "ETH/USD",
                "3012.07",
                Some(1_699_999_800_000),
            ),
            (
                SourceKind::Coingecko,
                "coingecko-eth-usd.json",
                "ETH/USD",
                "3012.4512345678901",
                Some(1_699_999_987_000),
            ),
        ];
        for (kind, file, asked, price, at) in rows {
            let quoted = kind.parse(&fixture(file), &feed(asked)).unwrap();
            assert_eq!(quoted.price.to_string(), price, "{file}");
            assert_eq!(quoted.at, at.map(UnixMillis::new), "{file}");
        }
    }

    #[test]
    fn every_documented_refusal_is_named() {
        let rows = [
            (SourceKind::Coinbase, "coinbase-error.json", "missing_field"),
            (SourceKind::Kraken, "kraken-unknown-pair.json", "refused"),
            (SourceKind::Kraken, "kraken-rate-limit.json", "rate_limited"),
            (SourceKind::Bitstamp, "bitstamp-error.json", "missing_field"),
            (SourceKind::Gemini, "gemini-error.json", "refused"),
            (
                SourceKind::Coingecko,
                "coingecko-unknown-id.json",
                "missing_field",
            ),
            (SourceKind::Coingecko, "coingecko-rate-limit.json", "refused"),
        ];
        for (kind, file, name) in rows {
            let refused = kind.parse(&fixture(file), &feed("ETH/USD")).unwrap_err();
            assert_eq!(refused.name(), name, "{file}: {refused}");
        }
    }

    #[test]
    fn an_answer_for_another_pair_is_refused_however_plausible() {
        let rows = [
            (SourceKind::Coinbase, "coinbase-eth-usd.json"),
            (SourceKind::Kraken, "kraken-eth-usd.json"),
            (SourceKind::Gemini, "gemini-eth-usd.json"),
            (SourceKind::Coingecko, "coingecko-eth-usd.json"),
        ];
        for (kind, file) in rows {
            for asked in ["ETH/EUR", "BTC/USD"] {
                let refused = kind.parse(&fixture(file), &feed(asked)).unwrap_err();
                assert_eq!(refused.name(), "wrong_pair", "{file} for {asked}");
            }
        }
        let named = br#"{"timestamp":"1700000000","last":"3011.90","pair":"BTC/USD"}"#;
        assert_eq!(
            SourceKind::Bitstamp
                .parse(named, &feed("ETH/USD"))
                .unwrap_err()
                .name(),
            "wrong_pair"
        );
    }

    #[test]
    fn paths_are_the_documented_ones() {
        let paths = SourceKind::ALL.map(|kind| kind.path(&feed("ETH/USD")));
        assert_eq!(
            paths,
            [
                "/v2/prices/ETH-USD/spot",
                "/0/public/Ticker?pair=ETHUSD",
                "/api/v2/ticker/ethusd/",
                "/v1/pubticker/ethusd",
                "/api/v3/simple/price?ids=ethereum&vs_currencies=usd&include_last_updated_at=true&precision=full",
            ]
        );
    }

    #[test]
    fn a_feed_that_a_source_cannot_price_is_known_before_it_is_asked() {
        for kind in SourceKind::ALL {
            assert_eq!(kind.supports(&feed("ETH/USD")), Ok(()));
            assert_eq!(kind.supports(&feed("BTC/EUR")), Ok(()));
            assert!(kind.supports(&feed("USD/USD")).is_err());
        }
        let error = SourceKind::Coingecko.supports(&feed("WOOF/USD")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "source coingecko cannot price feed WOOF/USD: it has no id for \"WOOF\"; leave out that source or that feed"
        );
        assert!(SourceKind::Coingecko.supports(&feed("ETH/XYZ")).is_err());
    }

    #[test]
    fn names_are_sources_names_and_parse_back() {
        for kind in SourceKind::ALL {
            assert_eq!(kind.source().as_str().parse(), Ok(kind));
        }
        assert!("binance".parse::<SourceKind>().is_err());
    }

    /// Bodies that an exchange, or somebody in its place, may send.
    fn hostile() -> Vec<Vec<u8>> {
        let mut bodies: Vec<Vec<u8>> = [
            "",
            "{}",
            "[]",
            "null",
            "0",
            "\"\"",
            "{\"data\":null}",
            "{\"data\":[]}",
            "{\"result\":{}}",
            "{\"error\":\"x\"}",
            "{\"error\":[],\"result\":{\"XETHZUSD\":{\"c\":[]}}}",
            "{\"error\":[],\"result\":{\"XETHZUSD\":{\"c\":null}}}",
            "{\"volume\":{}}",
            "{\"ethereum\":{}}",
            "{\"ethereum\":null}",
            "{\"last\":\"1\",\"last\":\"2\",\"timestamp\":\"1\"}",
            "\u{feff}{}",
        ]
        .iter()
        .map(|body| body.as_bytes().to_vec())
        .collect();
        bodies.push("[".repeat(60_000).into_bytes());
        bodies.push("{\"a\":".repeat(10_000).into_bytes());
        bodies.push(vec![0xff; 1000]);
        bodies
    }

    #[test]
    fn hostile_bodies_are_refused() {
        for kind in SourceKind::ALL {
            for body in hostile() {
                assert!(
                    kind.parse(&body, &feed("ETH/USD")).is_err(),
                    "{kind}: {:?}",
                    body.get(..60)
                );
            }
        }
    }

    const FIXTURES: [(SourceKind, &str); 5] = [
        (SourceKind::Coinbase, "coinbase-eth-usd.json"),
        (SourceKind::Kraken, "kraken-eth-usd.json"),
        (SourceKind::Bitstamp, "bitstamp-eth-usd.json"),
        (SourceKind::Gemini, "gemini-eth-usd.json"),
        (SourceKind::Coingecko, "coingecko-eth-usd.json"),
    ];

    #[test]
    fn an_answer_cut_short_is_never_a_price() {
        for (kind, file) in FIXTURES {
            let body = fixture(file);
            let whole = body.trim_ascii_end().len();
            for length in 0..whole {
                assert!(
                    kind.parse(&body[..length], &feed("ETH/USD")).is_err(),
                    "{file} cut to {length}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in SourceKind::ALL {
                let _ = kind.parse(&body, &feed("ETH/USD"));
            }
        }

        #[test]
        fn no_damaged_answer_panics(
            which in 0..FIXTURES.len(),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let (kind, file) = FIXTURES[which];
            let mut body = fixture(file);
            let at = at.index(body.len());
            body[at] = byte;
            let _ = kind.parse(&body, &feed("ETH/USD"));
        }
    }
}
