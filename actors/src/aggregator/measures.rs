//! How long it takes from a price to its record, for each feed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus::{HistogramVec, Registry};
use quorate_protocol::{Feed, rounds::Note};
use tokio::sync::watch;

use crate::histogram;

/// From some messages on a fast network to one observation after the other, each given up.
const QUORUM: [f64; 10] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 15.0];
/// Around the lead of a second with which prices are fetched; the last is a window.
const RECORD: [f64; 11] = [0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 5.0, 15.0, 30.0];
/// From a commit, which takes some 20 ms, to an outage of the database.
const LATENESS: [f64; 11] = [0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// What the Aggregator measures. It outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct AggregatorMeasures {
    quorum: HistogramVec,
    record: HistogramVec,
    price_age: HistogramVec,
    lateness: HistogramVec,
    /// How many records of each feed were seen written: whoever shows them looks at the database when it changes.
    written: Arc<BTreeMap<Feed, watch::Sender<u64>>>,
}

impl AggregatorMeasures {
    /// Measures of these feeds, shown by `registry`.
    ///
    /// # Errors
    /// `registry` has metrics of these names already.
    pub fn new<'a>(
        registry: &Registry,
        feeds: impl IntoIterator<Item = &'a Feed>,
    ) -> prometheus::Result<Self> {
        let by_feed = |what, buckets: &[f64]| histogram::register(registry, what, "feed", buckets);
        let unwritten = |feed: &Feed| (feed.clone(), watch::Sender::new(0));
        let measures = Self {
            quorum: by_feed(
                (
                    "quorum_latency_seconds",
                    "From when this node first saw an observation to its quorum",
                ),
                &QUORUM,
            )?,
            record: by_feed(
                (
                    "record_latency_seconds",
                    "From when this node first saw an observation to the news of its record",
                ),
                &RECORD,
            )?,
            price_age: by_feed(
                (
                    "price_age_seconds",
                    "Age of a record's price at the news of the record, by this node's calendar",
                ),
                &RECORD,
            )?,
            lateness: by_feed(
                (
                    "window_lateness_seconds",
                    "From the moment a write window opened to the news of its record",
                ),
                &LATENESS,
            )?,
            written: Arc::new(feeds.into_iter().map(unwritten).collect()),
        };
        measures.written.keys().for_each(|feed| measures.start(feed));
        Ok(measures)
    }

    /// Tells of each feed when a record was seen written, by this node or by another.
    pub fn written(&self) -> BTreeMap<Feed, watch::Receiver<u64>> {
        let subscribed = |(feed, written): (&Feed, &watch::Sender<u64>)| (feed.clone(), written.subscribe());
        self.written.iter().map(subscribed).collect()
    }

    /// Has a feed shown before there is anything to show.
    fn start(&self, feed: &Feed) {
        for histogram in [&self.quorum, &self.record, &self.price_age, &self.lateness] {
            histogram.with_label_values(&[feed.to_string()]);
        }
    }

    pub(super) fn take_note(&self, feed: &Feed, note: &Note) {
        let measure = |histogram: &HistogramVec, took: Duration| {
            histogram
                .with_label_values(&[feed.to_string()])
                .observe(took.as_secs_f64());
        };
        match note {
            Note::Quorum { took, .. } => measure(&self.quorum, *took),
            Note::Written { age, took, late, .. } => {
                if let Some(written) = self.written.get(feed) {
                    written.send_modify(|count| *count += 1);
                }
                measure(&self.price_age, *age);
                if let Some(took) = took {
                    measure(&self.record, *took);
                }
                if let Some(late) = late {
                    measure(&self.lateness, *late);
                }
            }
            _ => {}
        }
    }
}
