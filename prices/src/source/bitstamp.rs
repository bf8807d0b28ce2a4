//! Bitstamp: `GET /api/v2/ticker/ethusd/` gives `{"timestamp":"1700000000","last":"3012.45",...}`, the time in seconds.
//! Where the answer names its pair it must be the one asked for.

use std::time::Duration;

use quorate_protocol::{Feed, UnixMillis};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Api;
use crate::{
    answer,
    quote_error::{QuoteError, shown},
    ticker::{self, Ticker},
};

pub(super) const API: Api = Api {
    name: "bitstamp",
    public_base: "https://www.bitstamp.net",
    path,
    together: None,
    // 10,000 in ten minutes.
    documented_a_minute: Some(10_000 / 10),
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

/// The response codes that mean: too often.
const RATE_LIMITED: [&str; 3] = ["400.002", "400.067", "400.068"];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    pair: Option<String>,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    /// With an error: a text, or a list of texts by field.
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    /// With an error, in another form.
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    /// With an error, in the newest form.
    response_code: Option<String>,
    response_explanation: Option<String>,
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/api/v2/ticker/{}{}/", base.to_lowercase(), quote.to_lowercase())
}

fn parse(body: &[u8], feed: &Feed, _: UnixMillis) -> Result<Ticker, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(code) = answer.response_code {
        if RATE_LIMITED.contains(&code.as_str()) {
            return Err(QuoteError::RateLimited { retry_after: None });
        }
        let said = answer.response_explanation.unwrap_or(code);
        return Err(QuoteError::Refused(shown(&said)));
    }
    if let Some(said) = answer.reason.or(answer.error) {
        return Err(QuoteError::Refused(shown(ticker::text(said))));
    }
    if let Some(pair) = answer.pair {
        ticker::same(feed.as_str(), &pair)?;
    }
    let price = ticker::price("last", answer.last)?;
    ticker::near_book(price, answer.bid, answer.ask)?;
    Ok(Ticker {
        price,
        at: Some(ticker::seconds("timestamp", answer.timestamp)?),
        warning: None,
    })
}
