//! A question to every source for every feed, on connections of their own: what the PriceFetcher would meet, seen before a node runs.

use std::{path::PathBuf, time::Duration};

use futures::future::join_all;
use quorate_prices::{Alone, FetchRules, MAX_TOGETHER, QuoteError, SourceSpec};
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

/// Between two questions to one source: four a second, which no exchange forbids for as long as a probe lasts.
const APART: Duration = Duration::from_millis(250);

/// For how long a probe of so many feeds may put questions off, so that no exchange takes it for a flood.
pub fn spread(feeds: usize) -> Duration {
    APART * u32::try_from(feeds).unwrap_or(u32::MAX)
}

/// Asks all sources for all feeds: the sources at once, each for no longer at a time than `rules` allow, and with as few questions as a
/// node asks. Where one answer tells of several feeds, they are asked for together, else one begins after the other. Must run on
/// an arbiter.
pub async fn probe(
    rules: &FetchRules,
    feeds: &[Feed],
    ways_out: &WaysOut,
    coingecko_key_file: Option<PathBuf>,
    clock: Clock,
) -> Vec<Probed> {
    let probes = rules.sources.iter().map(|spec| Probe {
        spec,
        rules,
        ways_out,
        coingecko_key_file: coingecko_key_file.as_ref(),
        clock,
    });
    join_all(probes.map(|probe| probe.of_all(feeds))).await.concat()
}

/// How one source is asked.
struct Probe<'a> {
    spec: &'a SourceSpec,
    rules: &'a FetchRules,
    ways_out: &'a WaysOut,
    coingecko_key_file: Option<&'a PathBuf>,
    clock: Clock,
}

impl Probe<'_> {
    /// In the order of the feeds.
    async fn of_all(self, feeds: &[Feed]) -> Vec<Probed> {
        let (mut probed, mut alone, mut refused) = (vec![], vec![], Alone::default());
        for some in feeds.chunks(MAX_TOGETHER) {
            let url = self.spec.url_together(some).filter(|_| some.len() > 1);
            let Some(url) = url else {
                alone.extend(some);
                continue;
            };
            for (feed, one) in some.iter().zip(self.ask(url, some).await) {
                let may_be_anothers = matches!(&one.outcome, Err((_, error)) if error.may_be_anothers());
                match may_be_anothers && refused.insert(self.spec.kind(), feed) {
                    true => alone.push(feed),
                    false => probed.push(one),
                }
            }
        }
        let probe = &self;
        let alone = alone.into_iter().zip(0..).map(|(feed, turn)| async move {
            tokio::time::sleep(APART * turn).await;
            let url = probe.spec.url(feed);
            probe.ask(url, std::slice::from_ref(feed)).await
        });
        probed.extend(join_all(alone).await.into_iter().flatten());
        probed.sort_by_key(|one| feeds.iter().position(|feed| *feed == one.feed));
        probed
    }

    /// What one answer says of these feeds.
    async fn ask(&self, url: String, feeds: &[Feed]) -> Vec<Probed> {
        // A client each: two sources may be behind one host, and how far each came must not mix.
        let client = ExchangeClient::silent(self.rules, self.ways_out, self.coingecko_key_file.cloned());
        let (began, asked_at) = (self.clock.now(), self.clock.unix_now());
        let answer = client.ask_at(self.spec, url, self.rules.source_timeout).await;
        let (took, now) = (self.clock.now().since(began), self.clock.unix_now());
        let sent_at = answer.as_ref().ok().and_then(|answer| answer.sent_at());
        let read = |feed: &Feed| {
            let answer = answer.as_ref().map_err(Clone::clone)?;
            let read = self.spec.kind().read(answer, feed, now, self.rules.max_quote_age);
            read.map(|answered| answered.quote)
                .map_err(|error| (Step::Price, error))
        };
        let probed = feeds.iter().map(|feed| Probed {
            spec: self.spec.clone(),
            feed: feed.clone(),
            asked_at,
            took,
            sent_at,
            outcome: read(feed),
        });
        probed.collect()
    }
}
