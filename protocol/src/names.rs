//! The names in every message: the network's and the feed's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::digest::{Digest, eip712, keccak256};

/// A pair of currency codes such as `ETH/USD`: the price of one unit of the base in units of the quote currency.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Feed(String);

/// Why a text is no feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected two codes of 2 to 10 capital letters or digits with a slash between, like ETH/USD")]
pub struct ParseFeedError;

impl Feed {
    /// The base and the quote currency: `ETH` and `USD`.
    pub fn codes(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }

    /// The feed as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Feed {
    type Err = ParseFeedError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_code = |code: &str| {
            (2..=10).contains(&code.len())
                && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        match text.split_once('/') {
            Some((base, quote)) if is_code(base) && is_code(quote) => Ok(Self(text.to_owned())),
            _ => Err(ParseFeedError),
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Feed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A network's name: 1 to 32 of `a-z`, `0-9` and `-`. A signature made for one network is worthless in another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    name: String,
    /// Computed once: everything that is hashed for the network begins with it.
    domain: Digest,
}

/// Why a text is no network name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 32 of the characters a-z, 0-9 and -")]
pub struct ParseNetworkError;

impl Network {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The EIP-712 domain's salt: the Keccak-256 of the name.
    pub fn salt(&self) -> Digest {
        keccak256([self.name.as_bytes()])
    }

    /// The EIP-712 domain's separator.
    pub(crate) fn domain(&self) -> &Digest {
        &self.domain
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            let domain = eip712::domain(&keccak256([text.as_bytes()]));
            let name = text.to_owned();
            Ok(Self { name, domain })
        } else {
            Err(ParseNetworkError)
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_two_codes() {
        let feed: Feed = "ETH/USD".parse().unwrap();
        assert_eq!(feed.codes(), ("ETH", "USD"));
        for wrong in [
            "",
            "ETH",
            "ETHUSD",
            "eth/usd",
            "ETH/",
            "/USD",
            "ETH/USD/EUR",
            "E/USD",
            "ABCDEFGHIJK/USD",
        ] {
            assert_eq!(wrong.parse::<Feed>(), Err(ParseFeedError), "{wrong:?}");
        }
    }
}
