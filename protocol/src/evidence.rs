//! The quotes behind a price, the hash that binds a signature to them, and the one rule that makes a price of them.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    digest::{Digest, keccak256},
    encoding::bounded_list,
    names::Feed,
    price::Price,
    time::{Instant, UnixMillis},
};

/// Most quotes that an observation may carry.
pub const MAX_QUOTES: usize = 16;

/// The name of an exchange's API: 1 to 32 of `a-z`, `0-9`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Source(String);

impl Source {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Source {
    type Err = EvidenceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EvidenceError::SourceName)
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// One answer of one exchange. On the wire: the array `[source, price, at]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "(Source, Price, UnixMillis)")]
pub struct Quote {
    /// Whose answer it is.
    pub source: Source,
    /// What it said.
    pub price: Price,
    /// When the price was: the exchange's own time where its answer has one, else when the answer came.
    pub at: UnixMillis,
}

impl From<(Source, Price, UnixMillis)> for Quote {
    fn from((source, price, at): (Source, Price, UnixMillis)) -> Self {
        Self { source, price, at }
    }
}

impl Serialize for Quote {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.source, self.price, self.at).serialize(serializer)
    }
}

/// Between one and [`MAX_QUOTES`] quotes, sorted by source, one of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Evidence(Vec<Quote>);

/// Why a list of quotes is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A source's name has other characters, or is too long.
    #[error("a source's name is 1 to 32 of the characters a-z, 0-9 and -")]
    SourceName,
    /// There is no quote.
    #[error("no quote at all")]
    Empty,
    /// There are more than [`MAX_QUOTES`].
    #[error("{0} quotes, at most {MAX_QUOTES} are allowed")]
    TooMany(usize),
    /// The sources are not in strictly ascending order, so that the list would hash differently for others.
    #[error("the sources are not sorted, or one stands twice")]
    Order,
}

impl Evidence {
    /// Takes quotes that are sorted by source already; [`Evidence::sorted`] sorts.
    pub fn new(quotes: Vec<Quote>) -> Result<Self, EvidenceError> {
        match quotes.len() {
            0 => Err(EvidenceError::Empty),
            n if n > MAX_QUOTES => Err(EvidenceError::TooMany(n)),
            _ if !quotes.is_sorted_by(|a, b| a.source < b.source) => Err(EvidenceError::Order),
            _ => Ok(Self(quotes)),
        }
    }

    /// Sorts, then takes the quotes.
    pub fn sorted(mut quotes: Vec<Quote>) -> Result<Self, EvidenceError> {
        quotes.sort();
        Self::new(quotes)
    }

    /// The quotes, sorted by source.
    pub fn quotes(&self) -> &[Quote] {
        &self.0
    }

    /// The canonical list: for each quote the line `source price at` and a line feed, the price in plain decimals
    /// without trailing zeros, the time in Unix milliseconds. Text, so that any language can rebuild it from the database.
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * 40);
        for Quote { source, price, at } in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{source} {price} {at}");
        }
        text
    }

    /// The Keccak-256 of the canonical list: what the observation's digest, and so every signature, covers.
    pub fn hash(&self) -> Digest {
        keccak256([self.canonical().as_bytes()])
    }

    /// The middle price; of an even number, the midpoint of the two in the middle.
    pub fn median(&self) -> Price {
        median(self.0.iter().map(|quote| quote.price).collect())
    }
}

impl<'de> Deserialize<'de> for Evidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(bounded_list::<_, _, MAX_QUOTES>(deserializer)?).map_err(D::Error::custom)
    }
}

fn median(mut prices: Vec<Price>) -> Price {
    prices.sort_unstable();
    let upper = prices.len() / 2;
    if prices.len().is_multiple_of(2) {
        prices[upper - 1].midpoint(prices[upper])
    } else {
        prices[upper]
    }
}

/// What the exchanges' quotes agreed on, before the node has put its name to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedPrice {
    /// What is priced.
    pub feed: Feed,
    /// The quotes; the price is their median.
    pub evidence: Evidence,
    /// When the last answer was in, by this node's calendar.
    pub observed_at: UnixMillis,
    /// The same moment on the stopwatch.
    pub observed: Instant,
}

impl AgreedPrice {
    /// The price.
    pub fn price(&self) -> Price {
        self.evidence.median()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(source: &str, price: &str) -> Quote {
        Quote {
            source: source.parse().unwrap(),
            price: price.parse().unwrap(),
            at: UnixMillis::new(1_700_000_000_000),
        }
    }

    #[test]
    fn the_canonical_list_is_a_line_a_source() {
        let evidence = Evidence::sorted(vec![quote("kraken", "3000.50"), quote("coinbase", "3000")]).unwrap();
        assert_eq!(
            evidence.canonical(),
            "coinbase 3000 1700000000000\nkraken 3000.5 1700000000000\n"
        );
        assert_eq!(evidence.hash(), keccak256([evidence.canonical().as_bytes()]));
        assert_eq!(evidence.median(), "3000.25".parse().unwrap());
    }

    #[test]
    fn evidence_is_sorted_unique_and_bounded() {
        assert_eq!(Evidence::new(vec![]), Err(EvidenceError::Empty));
        assert_eq!(
            Evidence::new(vec![quote("b", "1"), quote("a", "1")]),
            Err(EvidenceError::Order)
        );
        assert_eq!(
            Evidence::new(vec![quote("a", "1"), quote("a", "1")]),
            Err(EvidenceError::Order)
        );
        let many = (0..17).map(|n| quote(&format!("s{n:02}"), "1")).collect();
        assert_eq!(Evidence::new(many), Err(EvidenceError::TooMany(17)));
    }
}
