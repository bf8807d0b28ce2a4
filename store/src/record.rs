//! A record as the rows that hold it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use quorate_protocol::{Address, Attestation, Evidence, Price, Quote, Record, Source, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{error::StoreError, schema};

/// A row of `eth_prices`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schema::eth_prices)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub(crate) struct RecordRow {
    id: i64,
    timestamp: DateTime<Utc>,
    feed: String,
    price: bigdecimal::BigDecimal,
    observer: String,
    written_at: DateTime<Utc>,
    written_by: String,
    pub(crate) digest: String,
    evidence: serde_json::Value,
    network: String,
}

/// A row of `eth_price_signatures`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = schema::eth_price_signatures)]
#[diesel(check_for_backend(diesel::pg::Pg))]
pub(crate) struct SignatureRow {
    pub(crate) digest: String,
    signer: String,
    signature: String,
    validator: bool,
}

/// A quote as the database holds it: with names, for people who read it in psql.
#[derive(Serialize, Deserialize)]
struct QuoteObject {
    source: Source,
    price: Price,
    at: UnixMillis,
}

/// The evidence as JSONB.
pub(crate) fn evidence_to_json(evidence: &Evidence) -> serde_json::Result<serde_json::Value> {
    let quotes: Vec<QuoteObject> = evidence
        .quotes()
        .iter()
        .cloned()
        .map(|Quote { source, price, at }| QuoteObject { source, price, at })
        .collect();
    serde_json::to_value(quotes)
}

pub(crate) fn evidence_from_json(json: serde_json::Value) -> Result<Evidence, String> {
    let quotes: Vec<QuoteObject> = serde_json::from_value(json).map_err(|error| error.to_string())?;
    let quotes = quotes
        .into_iter()
        .map(|QuoteObject { source, price, at }| Quote { source, price, at })
        .collect();
    Evidence::new(quotes).map_err(|error| error.to_string())
}

/// An address in whatever letter case it was written: a wrong checksum is no reason not to show a record.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    text.to_ascii_lowercase()
        .parse()
        .map_err(|error: quorate_protocol::ParseAddressError| error.to_string())
}

/// Milliseconds; a time before 1970 counts as 1970, and no CHECK lets one in.
pub(crate) fn unix_millis(time: DateTime<Utc>) -> UnixMillis {
    UnixMillis::new(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

impl RecordRow {
    /// The record of this row and of its signatures' rows.
    pub(crate) fn with_signatures(self, signatures: Vec<SignatureRow>) -> Result<Record, StoreError> {
        let digest = self.digest.clone();
        let damaged = |column: &str, reason: String| StoreError::Damaged {
            digest: digest.clone(),
            reason: format!("{column}: {reason}"),
        };
        let mut validators = BTreeSet::new();
        let attestation = |row: SignatureRow| {
            let signer = address(&row.signer).map_err(|reason| damaged("signer", reason))?;
            if row.validator {
                validators.insert(signer);
            }
            let signature = parse(&row.signature).map_err(|reason| damaged("signature", reason))?;
            Ok(Attestation { signer, signature })
        };
        let signatures = signatures
            .into_iter()
            .map(attestation)
            .collect::<Result<_, _>>()?;
        Ok(Record {
            id: self.id,
            digest: parse(&self.digest).map_err(|reason| damaged("digest", reason))?,
            feed: parse(&self.feed).map_err(|reason| damaged("feed", reason))?,
            price: parse(&self.price.to_plain_string()).map_err(|reason| damaged("price", reason))?,
            observed_at: unix_millis(self.timestamp),
            observer: address(&self.observer).map_err(|reason| damaged("observer", reason))?,
            evidence: evidence_from_json(self.evidence).map_err(|reason| damaged("evidence", reason))?,
            network: self.network,
            written_at: unix_millis(self.written_at),
            written_by: address(&self.written_by).map_err(|reason| damaged("written_by", reason))?,
            signatures,
            validators,
        })
    }
}

/// What a column's text says, or why it says nothing.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
