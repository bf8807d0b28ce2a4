//! Coinbase: `GET /v2/prices/ETH-USD/spot` gives `{"data":{"amount":"3012.45","base":"ETH","currency":"USD"}}`. No time. `errors` holds
//! why there is none; `warnings` (about the API's version) change nothing.

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
    name: "coinbase",
    public_base: "https://api.coinbase.com",
    path,
    together: None,
    // 10,000 an hour.
    documented_a_minute: Some(10_000 / 60),
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
    errors: Option<Vec<Said>>,
}

/// One of its errors.
#[derive(Deserialize)]
struct Said {
    id: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    base: Option<String>,
    currency: Option<String>,
}

fn path(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    format!("/v2/prices/{base}-{quote}/spot")
}

fn parse(body: &[u8], feed: &Feed, _: UnixMillis) -> Result<Ticker, QuoteError> {
    let (base, quote) = feed.codes();
    let answer = answer::json::<Answer<'_>>(body)?;
    if let Some(error) = answer.errors.and_then(|errors| errors.into_iter().next()) {
        if error.id.as_deref() == Some("rate_limit_exceeded") {
            return Err(QuoteError::RateLimited { retry_after: None });
        }
        let said = error.message.or(error.id).unwrap_or_default();
        return Err(QuoteError::Refused(shown(&said)));
    }
    let data = answer.data.ok_or(QuoteError::MissingField("data"))?;
    ticker::same(base, &data.base.ok_or(QuoteError::MissingField("data.base"))?)?;
    ticker::same(
        quote,
        &data.currency.ok_or(QuoteError::MissingField("data.currency"))?,
    )?;
    Ok(Ticker {
        price: ticker::price("data.amount", data.amount)?,
        at: None,
        warning: None,
    })
}
