//! Records and archives as docs/verifying.md describes them, written by hand: what reads them shares no code with this.

use std::io::{self, Write};

use chrono::DateTime;
use flate2::{Compression, write::GzEncoder};
use quorate_protocol::Record;
use serde_json::{Value, json};

/// A record as JSON.
pub fn object(record: &Record) -> Value {
    let written_at = DateTime::from_timestamp_millis(record.written_at.get().try_into().unwrap()).unwrap();
    let quotes = record.evidence.quotes().iter();
    let signatures = record.signatures.iter();
    json!({
        "feed": record.feed.to_string(),
        "sequence": record.sequence,
        "previous": record.previous.to_string(),
        "digest": record.digest.to_string(),
        "network": record.network,
        "price": record.price.to_string(),
        "observed_at_ms": record.observed_at.get(),
        "observer": record.observer.to_string(),
        "evidence": quotes
            .map(|q| json!({ "source": q.source.as_str(), "price": q.price.to_string(), "at": q.at.get() }))
            .collect::<Value>(),
        "written_at": written_at.to_rfc3339(),
        "written_by": record.written_by.to_string(),
        "signatures": signatures
            .map(|by| json!({ "signer": by.signer.to_string(), "signature": by.signature.to_string() }))
            .collect::<Value>(),
        "validators": record.validators.iter().map(ToString::to_string).collect::<Value>(),
    })
}

/// The records of `ETH/USD` as an archive of the network `test`, open, with windows of 30 s.
pub fn write(out: impl Write, records: impl IntoIterator<Item = Value>) -> io::Result<()> {
    let mut out = GzEncoder::new(out, Compression::default());
    out.write_all(
        b"{\"quorate_archive\":1,\"network\":\"test\",\"write_interval_ms\":30000,\"min_signatures\":3,\"members\":[]}\n",
    )?;
    let (mut count, mut first, mut last, mut digest) = (0, json!(null), json!(null), json!(null));
    for record in records {
        writeln!(out, "{record}")?;
        count += 1;
        if first.is_null() {
            first = record["sequence"].clone();
        }
        (last, digest) = (record["sequence"].clone(), record["digest"].clone());
    }
    let feeds = json!({ "ETH/USD": { "first": first, "last": last, "digest": digest } });
    writeln!(out, "{}", json!({ "end": { "records": count, "feeds": feeds } }))?;
    out.finish().map(drop)
}
