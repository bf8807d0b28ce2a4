//! `quorate prices`: records from the database, shown.

use std::{error::Error, time::Duration};

use quorate_actors::Clock;
use quorate_protocol::{Feed, Record, UnixMillis};
use quorate_store::{RecordQuery, Store, StoreConfig};
use serde_json::{Value, json};

use crate::{
    config::prices::PricesConfig,
    output, ready,
    record_json::RecordJson,
    show::{self, Column, Row, rfc3339},
};

/// Reads the records that were asked for and prints them, the newest first. Fails if they are too old, or nodes not ready.
pub(crate) async fn run(config: PricesConfig) -> Result<(), Box<dyn Error>> {
    let store = Store::new(StoreConfig {
        application_name: "quorate prices".to_owned(),
        ..StoreConfig::new(config.database_url)
    });
    let feeds = if config.feeds.is_empty() {
        vec![None]
    } else {
        config.feeds.into_iter().map(Some).collect()
    };
    let mut records: Vec<Record> = vec![];
    let mut problems = match &config.ready {
        Some(nodes) => ready::what_is_missing(nodes).await,
        None => vec![],
    };
    for feed in feeds {
        let query = RecordQuery {
            feed: feed.clone(),
            from: config.from,
            to: config.to,
            limit: config.limit,
            ..RecordQuery::default()
        };
        let found = match store.records(query).await {
            Ok(found) => found,
            Err(error) => return Err(store.explain(error).await.into()),
        };
        let newest = found.iter().map(|record| record.written_at).max();
        let judged = |max_age| staleness(feed, newest, max_age, Clock::system().unix_now());
        problems.extend(config.max_age.and_then(judged));
        records.extend(found);
    }
    records.sort_by_key(|record| std::cmp::Reverse((record.written_at, record.sequence)));
    records.truncate(config.limit as usize);
    output::print(&show::format(&records, config.output)?)?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; ").into())
    }
}

/// What to say if the newest record is too old.
fn staleness(
    feed: Option<Feed>,
    newest: Option<UnixMillis>,
    max_age: Duration,
    now: UnixMillis,
) -> Option<String> {
    let of = feed.map_or_else(String::new, |feed| format!(" of {feed}"));
    let Some(newest) = newest else {
        return Some(format!("there is no record{of}"));
    };
    let age = now.since(newest);
    (age > max_age).then(|| {
        let (age, limit) = (age.as_secs(), max_age.as_secs());
        format!("the newest record{of} is {age} s old, the limit is {limit} s")
    })
}

impl Row for Record {
    const NONE: &'static str = "no records";
    const TABLE: &'static [Column] = &[
        Column::Text("feed"),
        Column::Number("sequence"),
        Column::Text("written_at"),
        Column::Number("price"),
        Column::Text("observed_at"),
        Column::Text("signatures"),
        Column::Text("written_by"),
        Column::Text("digest"),
    ];
    const CSV: &'static [&'static str] = &[
        "written_at",
        "feed",
        "sequence",
        "price",
        "observed_at",
        "observer",
        "signatures",
        "signers",
        "written_by",
        "previous",
        "digest",
    ];

    fn table(&self, full: bool) -> Vec<String> {
        let signers: Vec<String> = self
            .signatures
            .iter()
            .map(|attestation| show::address(attestation.signer, full))
            .collect();
        vec![
            self.feed.to_string(),
            self.sequence.to_string(),
            rfc3339(self.written_at),
            self.price.to_string(),
            rfc3339(self.observed_at),
            format!("{} {}", signers.len(), signers.join(" ")),
            show::address(self.written_by, full),
            show::digest(self.digest, full),
        ]
    }

    fn csv(&self) -> Vec<String> {
        let signers: Vec<String> = self
            .signatures
            .iter()
            .map(|attestation| attestation.signer.to_string())
            .collect();
        vec![
            rfc3339(self.written_at),
            self.feed.to_string(),
            self.sequence.to_string(),
            self.price.to_string(),
            rfc3339(self.observed_at),
            self.observer.to_string(),
            signers.len().to_string(),
            signers.join(" "),
            self.written_by.to_string(),
            self.previous.to_string(),
            self.digest.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let mut json = json!(RecordJson::from(self));
        json["observed_at"] = json!(rfc3339(self.observed_at));
        json
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quorate_protocol::{Attestation, Digest, Evidence, NodeKey, Quote, Signature};

    use super::*;
    use crate::show::Output;

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_bytes([byte; 32]).unwrap()
    }

    fn records() -> Vec<Record> {
        let digest = Digest::new([0xab; 32]);
        let record = |sequence, millis, price: &str, signers: &[u8]| {
            let observed_at = UnixMillis::new(millis - 1015);
            let quote = Quote {
                source: "kraken".parse().unwrap(),
                price: price.parse().unwrap(),
                at: observed_at,
            };
            let attestation = |byte: &u8| Attestation {
                signer: key(*byte).address(),
                signature: key(*byte).sign(digest),
            };
            Record {
                sequence,
                previous: Digest::new([0xcd; 32]),
                digest,
                feed: "ETH/USD".parse().unwrap(),
                price: price.parse().unwrap(),
                observed_at,
                observer: key(signers[0]).address(),
                evidence: Evidence::new(vec![quote]).unwrap(),
                network: "local".to_owned(),
                written_at: UnixMillis::new(millis),
                written_by: key(1).address(),
                signatures: signers.iter().map(attestation).collect(),
                validators: BTreeSet::new(),
            }
        };
        vec![
            record(1042, 1_769_860_830_250, "3012.45", &[1, 2, 3]),
            record(1041, 1_769_860_800_248, "998.5", &[2, 3]),
        ]
    }

    #[test]
    fn a_record_is_a_line_for_people() {
        assert_eq!(
            show::format(&records(), Output::Table { full: false }).unwrap(),
            "\
feed     sequence  written_at                  price  observed_at               signatures                          written_by  digest
ETH/USD      1042  2026-01-31T12:00:30.250Z  3012.45  2026-01-31T12:00:29.235Z  3 0x1a642f0E 0x5050A4F4 0x3325a784  0x1a642f0E  0xabababab
ETH/USD      1041  2026-01-31T12:00:00.248Z    998.5  2026-01-31T11:59:59.233Z  2 0x5050A4F4 0x3325a784             0x1a642f0E  0xabababab
"
        );
    }

    #[test]
    fn in_full_nothing_is_cut() {
        let text = show::format(&records(), Output::Table { full: true }).unwrap();
        let record = &records()[1];
        for whole in [record.digest.to_string(), record.signatures[1].signer.to_string()] {
            assert!(text.contains(&whole), "{text}");
        }
    }

    #[test]
    fn csv_has_a_cell_for_every_name() {
        let text = show::format(&records(), Output::Csv).unwrap();
        let lines: Vec<Vec<&str>> = text
            .split_terminator("\r\n")
            .map(|line| line.split(',').collect())
            .collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == Record::CSV.len()), "{text}");
        assert_eq!(
            lines[1][..4],
            ["2026-01-31T12:00:30.250Z", "ETH/USD", "1042", "3012.45"]
        );
        assert_eq!(lines[2][6], "2");
        assert_eq!(lines[2][7].split(' ').count(), 2);
        assert_eq!(lines[2][10], records()[1].digest.to_string());
    }

    #[test]
    fn json_has_every_record_with_all_its_signatures() {
        let records = records();
        let text = show::format(&records, Output::Json).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 2);
        let first = &value[0];
        assert_eq!(first["price"], "3012.45");
        assert_eq!(first["sequence"], 1042);
        assert_eq!(first["evidence"][0]["price"], "3012.45");
        assert_eq!(first["previous"], records[0].previous.to_string());
        assert_eq!(first["written_at"], "2026-01-31T12:00:30.250Z");
        assert_eq!(first["observed_at_ms"], records[0].observed_at.get());
        assert_eq!(first["digest"], records[0].digest.to_string());
        let signatures = first["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), 3);
        let signature: Signature = signatures[2]["signature"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            signature.recover(records[0].digest),
            Ok(records[0].signatures[2].signer)
        );
    }

    #[test]
    fn only_a_record_that_is_old_or_missing_is_worth_a_word() {
        let (at, second) = (UnixMillis::new, Duration::from_secs(1));
        let feed = || Some("ETH/USD".parse().unwrap());
        assert_eq!(staleness(None, Some(at(10_000)), 90 * second, at(100_000)), None);
        assert_eq!(
            staleness(feed(), Some(at(9_000)), 90 * second, at(100_000)).unwrap(),
            "the newest record of ETH/USD is 91 s old, the limit is 90 s"
        );
        assert_eq!(
            staleness(feed(), None, 90 * second, at(0)).unwrap(),
            "there is no record of ETH/USD"
        );
    }
}
