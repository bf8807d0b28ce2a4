//! CoinGecko: `GET /api/v3/simple/price?ids=ethereum&vs_currencies=usd&..` gives
//! `{"ethereum":{"usd":3012.45,"last_updated_at":1700000000}}`. The price is a JSON number: its digits are read as text, so
//! that no float ever touches it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_protocol::{Feed, UnixMillis};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Api, Together};
use crate::{
    answer,
    quote_error::{QuoteError, shown},
    ticker::{self, Ticker},
};

pub(super) const API: Api = Api {
    name: "coingecko",
    public_base: "https://api.coingecko.com",
    path: |feed| path(std::slice::from_ref(feed)),
    together: Some(Together {
        path,
        // It renews its prices every minute or two, and each comes with its time.
        shelf_life: Duration::from_secs(10),
    }),
    // With a demo key; without one the address shares its allowance with all behind it.
    documented_a_minute: Some(100),
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

/// The header for an API key: paid plans have a host and a header of their own, all other bases take a demo key.
pub(super) fn key_header(base: &str) -> &'static str {
    let host = base.split("://").nth(1).unwrap_or(base);
    if host.starts_with("pro-api.") {
        "x-cg-pro-api-key"
    } else {
        "x-cg-demo-api-key"
    }
}

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

/// Every coin in every currency that one of the feeds has: more than is asked for, which costs some bytes.
fn path(feeds: &[Feed]) -> String {
    let codes = feeds.iter().map(Feed::codes);
    // An unknown code never comes here ([`lacks`] is asked first); its lower case is what the exchange would refuse.
    let ids = codes
        .clone()
        .map(|(base, _)| id(base).map_or_else(|| base.to_lowercase(), str::to_owned));
    let currencies = codes.map(|(_, quote)| quote.to_lowercase());
    let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(",");
    format!(
        "/api/v3/simple/price?ids={}&vs_currencies={}&include_last_updated_at=true&precision=full",
        listed(ids.collect()),
        listed(currencies.collect())
    )
}

fn parse(body: &[u8], feed: &Feed, _: UnixMillis) -> Result<Ticker, QuoteError> {
    let (base, quote) = feed.codes();
    let answer = answer::json::<BTreeMap<String, &RawValue>>(body)?;
    if let Some(said) = refusal(&answer) {
        return Err(said);
    }
    let id = id(base).ok_or(QuoteError::MissingField("<id>"))?;
    let wrong = |said: &str| QuoteError::WrongPair {
        asked: feed.to_string(),
        said: shown(said),
    };
    let Some(coin) = answer.get(id) else {
        return Err(match answer.keys().next() {
            Some(other) => wrong(other),
            // What it answers for an id that it does not know.
            None => QuoteError::MissingField("<id>"),
        });
    };
    let coin = answer::json::<BTreeMap<String, &RawValue>>(coin.get().as_bytes())?;
    let Some((_, price)) = coin.iter().find(|(name, _)| name.eq_ignore_ascii_case(quote)) else {
        return Err(match coin.keys().find(|name| *name != "last_updated_at") {
            Some(other) => wrong(&format!("{id} in {other}")),
            None => QuoteError::MissingField("<id>.<currency>"),
        });
    };
    Ok(Ticker {
        price: ticker::price("<id>.<currency>", Some(price))?,
        at: Some(ticker::seconds(
            "<id>.last_updated_at",
            coin.get("last_updated_at").copied(),
        )?),
        warning: None,
    })
}

/// Why there is no price, in one of the three forms that it uses.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Status {
        error_code: Option<u64>,
        error_message: String,
    },
    Nested {
        status: Box<Said>,
    },
    Text(String),
}

fn refusal(answer: &BTreeMap<String, &RawValue>) -> Option<QuoteError> {
    let said = ["status", "error"].iter().find_map(|name| answer.get(*name))?;
    let mut said: Said = serde_json::from_str(said.get()).ok()?;
    while let Said::Nested { status } = said {
        said = *status;
    }
    Some(match said {
        Said::Status {
            error_code: Some(429),
            ..
        } => QuoteError::RateLimited { retry_after: None },
        Said::Status { error_message, .. } => QuoteError::Refused(shown(&error_message)),
        Said::Text(text) => QuoteError::Refused(shown(&text)),
        Said::Nested { .. } => return None,
    })
}
