//! Bitstamp: `GET /api/v2/ticker/ethusd/` gives `{"timestamp":"1700000000","last":"3012.45",...}`, the time in seconds.
//! Where the answer names its pair it must be the one asked for.

use std::time::Duration;

use quorate_protocol::Feed;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Api;
use crate::{
    answer::{self, Ticker},
    quote_error::QuoteError,
};

pub(super) const API: Api = Api {
    name: "bitstamp",
    public_base: "https://www.bitstamp.net",
    path,
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    pair: Option<String>,
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/api/v2/ticker/{}{}/", base.to_lowercase(), quote.to_lowercase())
}

fn parse(body: &[u8], feed: &Feed) -> Result<Ticker, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(pair) = answer.pair {
        answer::same(feed.as_str(), &pair)?;
    }
    Ok(Ticker {
        price: answer::price("last", answer.last)?,
        at: Some(answer::seconds("timestamp", answer.timestamp)?),
    })
}
