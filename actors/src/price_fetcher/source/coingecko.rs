//! CoinGecko: `GET /api/v3/simple/price?ids=ethereum&vs_currencies=usd&..` gives
//! `{"ethereum":{"usd":3012.45,"last_updated_at":1700000000}}`. The price is a JSON number: its digits are read as text, so
//! that no float ever touches it.

use std::collections::BTreeMap;

use quorate_protocol::Feed;
use serde_json::value::RawValue;

use super::answer;
use crate::price_fetcher::{
    quote_error::{QuoteError, shown},
    quoted::Quoted,
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

fn id(code: &str) -> Option<&'static str> {
    IDS.iter().find(|(known, _)| *known == code).map(|(_, id)| *id)
}

/// What is wrong with a feed for this source: the words that complete "it has no ...".
pub(super) fn lacks(feed: &Feed) -> Option<String> {
    let (base, quote) = feed.codes();
    if id(base).is_none() {
        return Some(format!("id for {base:?}"));
    }
    (!CURRENCIES.contains(&quote)).then(|| format!("prices in {quote:?}"))
}

pub(super) fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    // An unknown code never comes here ([`lacks`] is asked first); its lower case is what the exchange would refuse.
    let id = id(base).map_or_else(|| base.to_lowercase(), str::to_owned);
    format!(
        "/api/v3/simple/price?ids={id}&vs_currencies={}&include_last_updated_at=true&precision=full",
        quote.to_lowercase()
    )
}

pub(super) fn parse(body: &[u8], feed: &Feed) -> Result<Quoted, QuoteError> {
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
    Ok(Quoted {
        price: answer::price("<id>.<currency>", Some(price))?,
        at: Some(answer::seconds(
            "<id>.last_updated_at",
            coin.get("last_updated_at").copied(),
        )?),
    })
}
