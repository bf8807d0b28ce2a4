//! `quorate prices`: records from the database, shown.

use std::error::Error;

use quorate_store::{Record, RecordQuery, Store, StoreConfig};

use super::{PriceRow, format};
use crate::{config::prices::PricesConfig, output};

/// Reads the records that were asked for and prints them, the newest first.
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
    for feed in feeds {
        let query = RecordQuery {
            feed,
            from: config.from,
            to: config.to,
            limit: config.limit,
            ..RecordQuery::default()
        };
        records.extend(store.records(query).await?);
    }
    records.sort_by_key(|record| std::cmp::Reverse((record.written_at, record.id)));
    records.truncate(config.limit as usize);
    let rows: Vec<PriceRow> = records.into_iter().map(to_row).collect();
    Ok(output::print(&format(&rows, config.output))?)
}

fn to_row(record: Record) -> PriceRow {
    PriceRow {
        written_at: record.written_at,
        feed: record.feed,
        price: record.price,
        observed_at: record.observed_at,
        observer: record.observer,
        written_by: record.written_by,
        digest: record.digest,
        signatures: record.signatures,
    }
}
