//! What a [`super::PriceFetcher`] is told, and what is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{Feed, MAX_QUOTES};
use quorate_supervisor::Mailbox;

use super::{
    agreement::Agreement,
    measures::SourceMeasures,
    source::{SourceKind, UnsupportedFeed},
    source_spec::SourceSpec,
};
use crate::{Clock, aggregator::AggregatorMessage};

/// For how long one source may take altogether: a TLS handshake and an answer on a bad line take 1 s.
pub const DEFAULT_SOURCE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long slower sources are waited for when the others agree: below the lead of one second that the network plans
/// between a price and its record.
pub const DEFAULT_PATIENCE: Duration = Duration::from_millis(500);
/// How old a price may be by its exchange's time: CoinGecko renews its own every minute or two.
pub const DEFAULT_MAX_QUOTE_AGE: Duration = Duration::from_secs(300);

/// All that the actor needs. [`check`] finds what is wrong with it before the node starts.
#[derive(Debug, Clone)]
pub struct PriceFetcherSettings {
    /// What is priced.
    pub feeds: Vec<Feed>,
    /// Who is asked.
    pub sources: Vec<SourceSpec>,
    /// When answers make a price.
    pub agreement: Agreement,
    /// How long one source may take.
    pub source_timeout: Duration,
    /// How long slower sources are waited for when the others agree.
    pub patience: Duration,
    /// How old a price may be by its exchange's time.
    pub max_quote_age: Duration,
    /// How often each feed is fetched.
    pub fetch_interval: Duration,
    /// The process's clock.
    pub clock: Clock,
    /// Who gets the prices.
    pub aggregator: Mailbox<AggregatorMessage>,
    /// What is measured.
    pub measures: SourceMeasures,
}

/// Why sources and feeds do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing would be asked.
    #[error("no source is given; add --source coinbase")]
    NoSource,
    /// Nothing would be priced.
    #[error("no feed is given; add --feed ETH/USD")]
    NoFeed,
    /// One exchange would have two votes, and its quotes could not be told apart.
    #[error("source {0} is given {1} times; an exchange has one vote, leave one")]
    SourceTwice(SourceKind, usize),
    /// The feed would be fetched twice.
    #[error("feed {0} is given {1} times; leave one")]
    FeedTwice(Feed, usize),
    /// A source cannot price a feed.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedFeed),
    /// No fetch could ever give a price.
    #[error(
        "min-sources is {min_sources}, but {sources} sources are given; add sources or lower it, but not below 1"
    )]
    MinSources {
        /// The minimum.
        min_sources: usize,
        /// Different sources.
        sources: usize,
    },
}

// An observation holds a quote of every source that there is.
const _: () = assert!(SourceKind::ALL.len() <= MAX_QUOTES);

/// All that is wrong, at once; empty when nothing is.
pub fn check(feeds: &[Feed], sources: &[SourceSpec], min_sources: usize) -> Vec<SettingsError> {
    let mut errors = vec![];
    if feeds.is_empty() {
        errors.push(SettingsError::NoFeed);
    }
    if sources.is_empty() {
        errors.push(SettingsError::NoSource);
    }
    let kinds = counted(sources.iter().map(SourceSpec::kind));
    let feeds = counted(feeds);
    for (kind, count) in kinds.iter().filter(|(_, count)| **count > 1) {
        errors.push(SettingsError::SourceTwice(*kind, *count));
    }
    for (feed, count) in feeds.iter().filter(|(_, count)| **count > 1) {
        errors.push(SettingsError::FeedTwice((*feed).clone(), *count));
    }
    for kind in kinds.keys() {
        for feed in feeds.keys() {
            errors.extend(kind.supports(feed).err().map(SettingsError::Unsupported));
        }
    }
    let sources = kinds.len();
    if sources > 0 && !(1..=sources).contains(&min_sources) {
        errors.push(SettingsError::MinSources { min_sources, sources });
    }
    errors
}

fn counted<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(feeds: &[&str], sources: &[&str], min_sources: usize) -> Vec<String> {
        let feeds: Vec<Feed> = feeds.iter().map(|feed| feed.parse().unwrap()).collect();
        let sources: Vec<SourceSpec> = sources.iter().map(|source| source.parse().unwrap()).collect();
        check(&feeds, &sources, min_sources)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_default_sources_are_fine() {
        let all = ["coinbase", "kraken", "bitstamp", "gemini", "coingecko"];
        assert!(problems(&["ETH/USD", "BTC/EUR"], &all, 3).is_empty());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let found = problems(
            &["ETH/USD", "WOOF/USD", "ETH/USD"],
            &["kraken", "kraken=http://127.0.0.1:1", "coingecko"],
            3,
        );
        assert_eq!(
            found,
            [
                "source kraken is given 2 times; an exchange has one vote, leave one",
                "feed ETH/USD is given 2 times; leave one",
                "source coingecko cannot price feed WOOF/USD: it has no id for \"WOOF\"; leave out that source or that feed",
                "min-sources is 3, but 2 sources are given; add sources or lower it, but not below 1",
            ]
        );
        assert_eq!(problems(&[], &[], 1).len(), 2);
        assert_eq!(problems(&["ETH/USD"], &["kraken"], 0).len(), 1);
    }
}
