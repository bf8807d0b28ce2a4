//! One question to every source, on connections of its own: what the PriceFetcher would meet, seen before a node runs.

use std::{path::PathBuf, time::Duration};

use futures::future::join_all;
use quorate_prices::{FetchRules, QuoteError, SourceSpec};
use quorate_protocol::{Feed, Quote, UnixMillis};

use super::{client::ExchangeClient, dial::Step, ways_out::WaysOut};
use crate::Clock;

/// What came of asking one source for one feed.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Who was asked.
    pub spec: SourceSpec,
    /// For what.
    pub feed: Feed,
    /// When, by our clock.
    pub asked_at: UnixMillis,
    /// From the question to the last byte, or to the failure: name, connection and TLS are in it.
    pub took: Duration,
    /// The second in which the answer was sent, by the clock of the exchange; `None`: it does not say.
    pub sent_at: Option<UnixMillis>,
    /// The price, or at which step it was lost and why.
    pub outcome: Result<Quote, (Step, QuoteError)>,
}

/// Asks all sources for all feeds at once, each for no longer than `rules` allow. Must run on an arbiter.
pub async fn probe(
    rules: &FetchRules,
    feeds: &[Feed],
    ways_out: &WaysOut,
    coingecko_key_file: Option<PathBuf>,
    clock: Clock,
) -> Vec<Probed> {
    let pairs = rules
        .sources
        .iter()
        .flat_map(|spec| feeds.iter().map(move |feed| (spec, feed)));
    join_all(pairs.map(|(spec, feed)| {
        // A client each: two sources may be behind one host, and how far each came must not mix.
        let client = ExchangeClient::silent(rules, ways_out, coingecko_key_file.clone());
        async move { ask(&client, spec, feed, rules, clock).await }
    }))
    .await
}

async fn ask(
    client: &ExchangeClient,
    spec: &SourceSpec,
    feed: &Feed,
    rules: &FetchRules,
    clock: Clock,
) -> Probed {
    let (began, asked_at) = (clock.now(), clock.unix_now());
    let answer = client.ask(spec, feed, rules.source_timeout).await;
    let (took, now) = (clock.now().since(began), clock.unix_now());
    let sent_at = answer.as_ref().ok().and_then(|answer| answer.sent_at());
    let outcome = answer.and_then(|answer| {
        let read = spec.kind().read(&answer, feed, now, rules.max_quote_age);
        read.map(|answered| answered.quote)
            .map_err(|error| (Step::Price, error))
    });
    Probed {
        spec: spec.clone(),
        feed: feed.clone(),
        asked_at,
        took,
        sent_at,
        outcome,
    }
}
