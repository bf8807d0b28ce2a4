//! Gemini: `GET /v1/pubticker/ethusd` gives
//! `{"last":"3012.45","volume":{"ETH":"..","USD":"..","timestamp":1700000100000},...}`. The names of the two volumes tell
//! which pair it is. The time in milliseconds is that of the volume.

use std::{collections::BTreeMap, time::Duration};

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
    name: "gemini",
    public_base: "https://api.gemini.com",
    path,
    together: None,
    documented_a_minute: Some(120),
    parse,
    lacks: |_| None,
    time_coarseness: TIME_COARSENESS,
};

/// Volumes are counted in steps of five minutes (the documented examples all lie on such a step), so that a price of
/// this second comes with a time up to that much earlier.
const TIME_COARSENESS: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    #[serde(borrow)]
    volume: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    /// With `"result":"error"`.
    reason: Option<String>,
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/v1/pubticker/{}{}", base.to_lowercase(), quote.to_lowercase())
}

fn parse(body: &[u8], feed: &Feed, _: UnixMillis) -> Result<Ticker, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(reason) = answer.reason {
        if reason.starts_with("RateLimit") {
            return Err(QuoteError::RateLimited { retry_after: None });
        }
        return Err(QuoteError::Refused(shown(&reason)));
    }
    let volume = answer.volume.ok_or(QuoteError::MissingField("volume"))?;
    let (base, quote) = feed.codes();
    let is_named = |code: &str| volume.keys().any(|name| name.eq_ignore_ascii_case(code));
    if !is_named(base) || !is_named(quote) {
        let said: Vec<_> = volume
            .keys()
            .filter(|name| *name != "timestamp")
            .cloned()
            .collect();
        return Err(QuoteError::WrongPair {
            asked: feed.to_string(),
            said: shown(&said.join(" ")),
        });
    }
    let price = ticker::price("last", answer.last)?;
    ticker::near_book(price, answer.bid, answer.ask)?;
    Ok(Ticker {
        price,
        at: Some(ticker::millis(
            "volume.timestamp",
            volume.get("timestamp").copied(),
        )?),
        warning: None,
    })
}
