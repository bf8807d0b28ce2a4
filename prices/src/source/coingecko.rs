//! CoinGecko: `GET /api/v3/simple/price?ids=ethereum&vs_currencies=usd&..` gives
//! `{"ethereum":{"usd":3012.45,"last_updated_at":1700000000}}`. The price is a JSON number: its digits are read as text, so
//! that no float ever touches it.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::Feed;
use serde_json::value::RawValue;

use super::Api;
use crate::{
    answer::{self, Ticker},
    quote_error::{QuoteError, shown},
};

pub(super) const API: Api = Api {
    name: "coingecko",
    public_base: "https://api.coingecko.com",
    path,
    parse,
    lacks,
    time_coarseness: Duration::ZERO,
};

/// CoinGecko's ids: codes are not unique there, so that an id must be known, not guessed.
const IDS: [(&str, &str); 20] = [
    ("AAVE", "aave"),
    ("ADA", "cardano"),
    ("ATOM", "cosmos"),
    ("AVAX", "avalanche-2"),
    ("BCH", "bitcoin-cash"),
    ("BNB", "binancecoin"),
    ("BTC", "bitcoin"),
    ("DAI", "dai"),
    ("DOGE", "dogecoin"),
    ("DOT", "polkadot"),
    ("ETC", "ethereum-classic"),
    ("ETH", "ethereum"),
    ("LINK", "chainlink"),
    ("LTC", "litecoin"),
    ("SOL", "solana"),
    ("UNI", "uniswap"),
    ("USDC", "usd-coin"),
    ("USDT", "tether"),
    ("XLM", "stellar"),
    ("XRP", "ripple"),
];

/// The currencies that it prices in and that we may be asked for.
const CURRENCIES: [&str; 14] = [
    "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "CNY", "INR", "KRW", "SGD", "TRY", "BTC", "ETH",
];

/// Its id of a coin: `ETH` is `ethereum`.
pub fn id(code: &str) -> Option<&'static str> {
    IDS.iter().find(|(known, _)| *known == code).map(|(_, id)| *id)
}

/// The coin with that id: `ethereum` is `ETH`.
pub fn code(id: &str) -> Option<&'static str> {
    IDS.iter().find(|(_, known)| *known == id).map(|(code, _)| *code)
}

fn lacks(feed: &Feed) -> Option<String> {
    let (base, quote) = feed.codes();
    if id(base).is_none() {
        return Some(format!("id for {base:?}"));
    }
    (!CURRENCIES.contains(&quote)).then(|| format!("prices in {quote:?}"))
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    // An unknown code never comes here ([`lacks`] is asked first); its lower case is what the exchange would refuse.
    let id = id(base).map_or_else(|| base.to_lowercase(), str::to_owned);
    format!(
        "/api/v3/simple/price?ids={id}&vs_currencies={}&include_last_updated_at=true&precision=full",
        quote.to_lowercase()
    )
}

fn parse(body: &[u8], feed: &Feed) -> Result<Ticker, QuoteError> {
    let (base, quote) = feed.codes();
    let coins = answer::json::<BTreeMap<String, BTreeMap<String, &RawValue>>>(body)?;
    let id = id(base).ok_or(QuoteError::MissingField("<id>"))?;
    let wrong = |said: &str| QuoteError::WrongPair {
        asked: feed.to_string(),
        said: shown(said),
    };
    if let Some(said) = coins.get("status").and_then(|status| status.get("error_message")) {
        return Err(QuoteError::Refused(shown(said.get())));
    }
    let Some(coin) = coins.get(id) else {
        return Err(match coins.keys().next() {
            Some(other) => wrong(other),
            // What it answers for an id that it does not know.
            None => QuoteError::MissingField("<id>"),
        });
    };
    let Some(price) = coin.get(&quote.to_lowercase()) else {
        return Err(match coin.keys().find(|name| *name != "last_updated_at") {
            Some(other) => wrong(&format!("{id} in {other}")),
            None => QuoteError::MissingField("<id>.<currency>"),
        });
    };
    Ok(Ticker {
        price: answer::price("<id>.<currency>", Some(price))?,
        at: Some(answer::seconds(
            "<id>.last_updated_at",
            coin.get("last_updated_at").copied(),
        )?),
    })
}
