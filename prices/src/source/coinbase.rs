//! Coinbase: `GET /v2/prices/ETH-USD/spot` gives `{"data":{"amount":"3012.45","base":"ETH","currency":"USD"}}`. No time.

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
    name: "coinbase",
    public_base: "https://api.coinbase.com",
    path,
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
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

fn parse(body: &[u8], feed: &Feed) -> Result<Ticker, QuoteError> {
    let (base, quote) = feed.codes();
    let data = answer::json::<Answer<'_>>(body)?
        .data
        .ok_or(QuoteError::MissingField("data"))?;
    answer::same(base, &data.base.ok_or(QuoteError::MissingField("data.base"))?)?;
    answer::same(
        quote,
        &data.currency.ok_or(QuoteError::MissingField("data.currency"))?,
    )?;
    Ok(Ticker {
        price: answer::price("data.amount", data.amount)?,
        at: None,
    })
}
