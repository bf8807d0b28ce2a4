//! A line for each record.

use std::time::Duration;

use quorate_protocol::{Address, UnixMillis};
use quorate_store::{DatabaseUrl, Order, Record, RecordQuery, Store, StoreConfig};

pub(super) struct Follower {
    store: Store,
    nodes: Vec<Address>,
    last: Option<(i64, UnixMillis)>,
}

impl Follower {
    pub(super) fn new(url: &DatabaseUrl, nodes: Vec<Address>) -> Self {
        let config = StoreConfig {
            application_name: "quorate devnet".to_owned(),
            pool_size: 1,
            connect_timeout: Duration::from_secs(1),
            ..StoreConfig::new(url.clone())
        };
        Self {
            store: Store::new(config),
            nodes,
            last: None,
        }
    }

    /// What was written since the last call; nothing while the database is away.
    pub(super) async fn news(&mut self) -> Vec<String> {
        let after = self.last.map(|(id, _)| id);
        let query = RecordQuery {
            after,
            order: Order::AsWritten,
            ..RecordQuery::default()
        };
        let records = self.store.records(query).await.unwrap_or_default();
        records.iter().map(|record| self.tell(record)).collect()
    }

    fn tell(&mut self, record: &Record) -> String {
        let spacing = match self.last {
            Some((_, last)) => format!("{:.3} s after the last", seconds(record.written_at.since(last))),
            None => "the first".to_owned(),
        };
        self.last = Some((record.id, record.written_at));
        let writer = self.nodes.iter().position(|node| *node == record.written_by);
        format!(
            "record {}  {} {}  {} signatures  written by {}  price {:.2} s old  {spacing}\n",
            record.digest.short(),
            record.feed,
            record.price,
            record.signatures.len(),
            writer.map_or(record.written_by.to_string(), |index| format!(
                "node {}",
                index + 1
            )),
            seconds(record.written_at.since(record.observed_at)),
        )
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
