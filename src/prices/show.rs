//! `quorate prices`: records from the database, shown.

use std::{error::Error, time::Duration};

use quorate_actors::Clock;
use quorate_protocol::{Feed, UnixMillis};
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
    let mut stale = vec![];
    for feed in feeds {
        let query = RecordQuery {
            feed: feed.clone(),
            from: config.from,
            to: config.to,
            limit: config.limit,
            ..RecordQuery::default()
        };
        let found = store.records(query).await?;
        let newest = found.iter().map(|record| record.written_at).max();
        let judged = |max_age| staleness(feed, newest, max_age, Clock::system().unix_now());
        stale.extend(config.max_age.and_then(judged));
        records.extend(found);
    }
    records.sort_by_key(|record| std::cmp::Reverse((record.written_at, record.id)));
    records.truncate(config.limit as usize);
    let rows: Vec<PriceRow> = records.into_iter().map(to_row).collect();
    output::print(&format(&rows, config.output))?;
    if stale.is_empty() {
        Ok(())
    } else {
        Err(stale.join("; ").into())
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

#[cfg(test)]
mod tests {
    use super::*;

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
