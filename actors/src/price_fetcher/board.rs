//! What each source said last, for people: its price, how long it took, and what went wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_prices::{Fetch, SourceEvent, SourceSpec};
use quorate_protocol::{Feed, Instant, Price, Quote, Source, UnixMillis};

/// A source of a feed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// What is priced.
    pub feed: Feed,
    /// Who is asked.
    pub source: Source,
    /// Its last price.
    pub price: Option<Price>,
    /// When that was in, by this node's calendar.
    pub answered_at: Option<UnixMillis>,
    /// How long that took.
    pub took: Option<Duration>,
    /// What last went wrong.
    pub last_error: Option<SourceError>,
    /// How often something did since the process began.
    pub errors: u64,
    /// Until when it is not asked.
    pub rests_until: Option<Instant>,
}

/// Why a source gave no price, or one that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// In words, of bounded length.
    pub reason: String,
    /// When, by this node's calendar.
    pub at: UnixMillis,
}

/// All sources of all feeds, in the order of the configuration. All clones are one; it outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct SourceBoard(Arc<Mutex<BTreeMap<Feed, Vec<SourceStatus>>>>);

impl SourceBoard {
    /// Of sources that were never asked.
    pub fn new(feeds: &[Feed], sources: &[SourceSpec]) -> Self {
        let of_feed = |feed: &Feed| {
            let status = |spec: &SourceSpec| SourceStatus {
                feed: feed.clone(),
                source: spec.kind().source(),
                price: None,
                answered_at: None,
                took: None,
                last_error: None,
                errors: 0,
                rests_until: None,
            };
            (feed.clone(), sources.iter().map(status).collect())
        };
        Self(Arc::new(Mutex::new(feeds.iter().map(of_feed).collect())))
    }

    /// The sources of a feed.
    pub fn of(&self, feed: &Feed) -> Vec<SourceStatus> {
        self.lock().get(feed).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Feed, Vec<SourceStatus>>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, feed: &Feed, source: &Source, change: impl FnOnce(&mut SourceStatus)) {
        let mut feeds = self.lock();
        let mut of_feed = feeds.get_mut(feed).into_iter().flatten();
        if let Some(status) = of_feed.find(|status| status.source == *source) {
            change(status);
        }
    }

    /// Takes over the prices of a fetch.
    pub(super) fn answered(&self, fetch: &Fetch, now: UnixMillis) {
        for (Quote { source, price, .. }, took) in fetch.answers() {
            self.change(&fetch.feed, source, |status| {
                (status.price, status.answered_at, status.took) = (Some(*price), Some(now), Some(took));
                status.rests_until = None;
            });
        }
    }

    /// Takes over what a fetch changed about a source.
    pub(super) fn take_event(&self, feed: &Feed, event: &SourceEvent, now: Instant, unix_now: UnixMillis) {
        let (source, rest, reason) = match event {
            SourceEvent::Failed { source, error, rest } => (source, *rest, error.to_string()),
            SourceEvent::Outlier {
                quote,
                deviation_bps,
                rest,
            } => {
                let reason = format!("left out: {deviation_bps} bps from what the others agree on");
                (&quote.source, *rest, reason)
            }
            SourceEvent::Back { .. } | SourceEvent::Warned { .. } => return,
        };
        self.change(feed, source, |status| {
            status.last_error = Some(SourceError { reason, at: unix_now });
            status.errors += 1;
            status.rests_until = Some(now + rest);
        });
    }
}

#[cfg(test)]
mod tests {
    use quorate_prices::QuoteError;

    use super::*;

    #[test]
    fn an_error_is_told_beside_the_last_price_until_it_is_answered_again() {
        let feed: Feed = "ETH/USD".parse().unwrap();
        let sources: Vec<SourceSpec> = ["kraken", "coinbase"].map(|name| name.parse().unwrap()).into();
        let board = SourceBoard::new(std::slice::from_ref(&feed), &sources);
        let failed = SourceEvent::Failed {
            source: "coinbase".parse().unwrap(),
            error: QuoteError::LeftBehind {
                waited: Duration::from_secs(3),
            },
            rest: Duration::from_secs(5),
        };
        let now = Instant::after_start(Duration::from_secs(1));
        board.take_event(&feed, &failed, now, UnixMillis::new(1_700_000_000_000));
        let [kraken, coinbase] = board.of(&feed).try_into().unwrap();
        assert_eq!(
            (kraken.errors, kraken.last_error, kraken.rests_until),
            (0, None, None)
        );
        assert_eq!(coinbase.errors, 1);
        assert_eq!(coinbase.rests_until, Some(now + Duration::from_secs(5)));
        assert_eq!(
            coinbase.last_error.unwrap().at,
            UnixMillis::new(1_700_000_000_000)
        );
        assert_eq!(board.of(&"BTC/USD".parse().unwrap()), []);
    }
}
