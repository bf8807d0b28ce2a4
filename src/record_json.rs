//! A record as JSON: what `prices --output json` and `archive` write, and what `verify` and `prices --follow` read, the latter as a node's
//! API tells it. All that verifies it is in it.
//! Prices are strings: a JSON number would be read as a float.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::DateTime;
use quorate_protocol::{
    Address, Attestation, Digest, Evidence, Feed, Price, Quote, Record, Signature, Source, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::show::rfc3339;

/// The object. Fields that it does not know are left alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordJson<'a> {
    feed: Cow<'a, Feed>,
    sequence: u64,
    previous: Digest,
    digest: Digest,
    network: Cow<'a, str>,
    price: Price,
    observed_at_ms: UnixMillis,
    observer: Address,
    evidence: Vec<QuoteJson>,
    written_at: Cow<'a, str>,
    written_by: Address,
    signatures: Vec<SignatureJson>,
    #[serde(default)]
    validators: BTreeSet<Address>,
}

#[derive(Debug, Serialize, Deserialize)]
struct QuoteJson {
    source: Source,
    price: Price,
    at: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
struct SignatureJson {
    signer: Address,
    signature: Signature,
}

/// The record in this text.
///
/// # Errors
/// What is wrong with it, in words that can follow `cannot be read:`.
pub(crate) fn read(text: &[u8]) -> Result<Record, String> {
    let json: RecordJson<'_> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let written_at = DateTime::parse_from_rfc3339(&json.written_at)
        .ok()
        .and_then(|time| u64::try_from(time.timestamp_millis()).ok())
        .ok_or_else(|| {
            format!(
                "written_at is {:?}, expected a time like 2026-01-31T12:00:00.000Z",
                json.written_at
            )
        })?;
    let quotes = json.evidence.into_iter();
    let evidence = Evidence::new(
        quotes
            .map(|QuoteJson { source, price, at }| Quote { source, price, at })
            .collect(),
    )
    .map_err(|error| format!("evidence: {error}"))?;
    let signatures = json.signatures.into_iter();
    Ok(Record {
        feed: json.feed.into_owned(),
        sequence: json.sequence,
        previous: json.previous,
        digest: json.digest,
        price: json.price,
        observed_at: json.observed_at_ms,
        observer: json.observer,
        evidence,
        network: json.network.into_owned(),
        written_at: UnixMillis::new(written_at),
        written_by: json.written_by,
        signatures: signatures
            .map(|SignatureJson { signer, signature }| Attestation { signer, signature })
            .collect(),
        validators: json.validators,
    })
}

impl<'a> From<&'a Record> for RecordJson<'a> {
    fn from(record: &'a Record) -> Self {
        let quotes = record.evidence.quotes().iter();
        Self {
            feed: Cow::Borrowed(&record.feed),
            sequence: record.sequence,
            previous: record.previous,
            digest: record.digest,
            network: Cow::Borrowed(&record.network),
            price: record.price,
            observed_at_ms: record.observed_at,
            observer: record.observer,
            evidence: quotes
                .map(|quote| QuoteJson {
                    source: quote.source.clone(),
                    price: quote.price,
                    at: quote.at,
                })
                .collect(),
            written_at: Cow::Owned(rfc3339(record.written_at)),
            written_by: record.written_by,
            signatures: (record.signatures.iter())
                .map(|&Attestation { signer, signature }| SignatureJson { signer, signature })
                .collect(),
            validators: record.validators.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_testkit::history::history;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_whatever_else_stands_there() {
        for mut record in history(3) {
            record.validators.insert(record.observer);
            let text = serde_json::to_string(&RecordJson::from(&record)).unwrap();
            assert_eq!(read(text.as_bytes()), Ok(record.clone()));
            let more = text.replacen('{', "{\"observed_at\": \"2026-01-31T12:00:00Z\", ", 1);
            assert_eq!(read(more.as_bytes()), Ok(record));
        }
    }

    #[test]
    fn what_is_no_record_is_told_with_the_reason() {
        let text = serde_json::to_string(&RecordJson::from(&history(1)[0])).unwrap();
        for (from, to, reason) in [
            ("\"feed\":", "\"fed\":", "missing field `feed`"),
            (
                "\"source\":\"kraken\"",
                "\"source\":\"aaa\"",
                "evidence: the sources are not sorted",
            ),
            (
                "\"written_at\":\"2026",
                "\"written_at\":\"now",
                "written_at is \"now",
            ),
            ("\"signature\":\"0x", "\"signature\":\"0xzz", "not a hex digit"),
        ] {
            let error = read(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
