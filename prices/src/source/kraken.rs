//! Kraken: `GET /0/public/Ticker?pair=ETHUSD` gives `{"error":[],"result":{"XETHZUSD":{"c":["3012.45","0.1"],...}}}`,
//! where `c` is the last trade's price and lot. Errors come with status 200 and a text in `error`. No time.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::Feed;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Api;
use crate::{
    answer::{self, Ticker},
    quote_error::{QuoteError, shown},
};

pub(super) const API: Api = Api {
    name: "kraken",
    public_base: "https://api.kraken.com",
    path,
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    error: Vec<String>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, Market<'a>>>,
}

#[derive(Deserialize)]
struct Market<'a> {
    #[serde(borrow)]
    c: Option<Vec<&'a RawValue>>,
}

/// Kraken's own names for two coins, and everybody else's.
const OWN_CODES: [(&str, &str); 2] = [("BTC", "XBT"), ("DOGE", "XDG")];

/// Kraken's name of a coin or currency: `BTC` is `XBT`.
pub fn own_code(usual: &str) -> &str {
    OWN_CODES
        .iter()
        .find(|(known, _)| *known == usual)
        .map_or(usual, |(_, own)| own)
}

/// Everybody else's name: `XBT` is `BTC`.
pub fn usual_code(own: &str) -> &str {
    OWN_CODES
        .iter()
        .find(|(_, known)| *known == own)
        .map_or(own, |(usual, _)| usual)
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/0/public/Ticker?pair={}{}", own_code(base), own_code(quote))
}

/// Older markets are named with a class letter before each code (X for coins, Z for currencies), newer ones without.
fn is_pair(name: &str, feed: &Feed) -> bool {
    let (base, quote) = feed.codes();
    let classes = ["", "X", "Z"];
    classes.iter().any(|base_class| {
        classes.iter().any(|quote_class| {
            name == format!("{base_class}{}{quote_class}{}", own_code(base), own_code(quote))
        })
    })
}

fn parse(body: &[u8], feed: &Feed) -> Result<Ticker, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(said) = answer.error.first() {
        return Err(
            if said.contains("Rate limit") || said.contains("Too many requests") {
                QuoteError::RateLimited { retry_after: None }
            } else {
                QuoteError::Refused(shown(said))
            },
        );
    }
    let result = answer.result.ok_or(QuoteError::MissingField("result"))?;
    let mut tickers = result.into_iter();
    // Only one pair was asked for: an answer with more is for somebody else, or for all markets.
    let (Some((name, ticker)), rest) = (tickers.next(), tickers.len()) else {
        return Err(QuoteError::MissingField("result.<pair>"));
    };
    if rest > 0 || !is_pair(&name, feed) {
        return Err(QuoteError::WrongPair {
            asked: feed.to_string(),
            said: shown(&name),
        });
    }
    let last_trade = ticker.c.ok_or(QuoteError::MissingField("result.<pair>.c"))?;
    Ok(Ticker {
        price: answer::price("result.<pair>.c[0]", last_trade.first().copied())?,
        at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitcoin_and_dogecoin_have_krakens_own_codes() {
        assert_eq!(path(&"BTC/USD".parse().unwrap()), "/0/public/Ticker?pair=XBTUSD");
        assert_eq!(path(&"ETH/BTC".parse().unwrap()), "/0/public/Ticker?pair=ETHXBT");
        assert_eq!(path(&"DOGE/EUR".parse().unwrap()), "/0/public/Ticker?pair=XDGEUR");
    }

    #[test]
    fn old_and_new_names_of_a_market_are_known_and_others_are_not() {
        let rows = [
            ("XETHZUSD", "ETH/USD", true),
            ("ETHUSD", "ETH/USD", true),
            ("XXBTZUSD", "BTC/USD", true),
            ("XETHXXBT", "ETH/BTC", true),
            ("USDTZUSD", "USDT/USD", true),
            ("SOLUSD", "SOL/USD", true),
            ("XETHZEUR", "ETH/USD", false),
            ("XETCZUSD", "ETH/USD", false),
            ("WETHUSD", "ETH/USD", false),
            ("BTCUSD", "BTC/USD", false),
        ];
        for (name, feed, known) in rows {
            assert_eq!(is_pair(name, &feed.parse().unwrap()), known, "{name} for {feed}");
        }
    }
}
