//! Bitstamp: `GET /api/v2/ticker/ethusd/` gives `{"timestamp":"1700000000","last":"3012.45",...}`, the time in seconds.
//! Where the answer names its pair it must be the one asked for.

use quorate_protocol::Feed;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer;
use crate::price_fetcher::{quote_error::QuoteError, quoted::Quoted};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    pair: Option<String>,
}

pub(super) fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/api/v2/ticker/{}{}/", base.to_lowercase(), quote.to_lowercase())
}

pub(super) fn parse(body: &[u8], feed: &Feed) -> Result<Quoted, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(pair) = answer.pair {
        answer::same(feed.as_str(), &pair)?;
    }
    Ok(Quoted {
        price: answer::price("last", answer.last)?,
        at: Some(answer::seconds("timestamp", answer.timestamp)?),
    })
}
