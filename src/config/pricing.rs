//! Which prices a node fetches, from where, how often, and which answers it believes.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use humantime::format_duration;
use quorate_prices::{SourceSpec, majority};
use quorate_protocol::{Feed, MAX_FEEDS, MAX_QUOTES};

use super::{
    problems::{Problems, Shown},
    values::{duration, number, parsed, path, secret_file, wrong},
};

/// Shorter is hard on the exchanges' rate limits; longer than a day is no feed.
pub(crate) const FETCH_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

/// Beyond a spread of 100 % nothing would ever be left out.
const SPREADS_BPS: RangeInclusive<u32> = 1..=10_000;

/// All that are known, at their public addresses.
pub(super) const SOURCES: [&str; 5] = ["coinbase", "kraken", "bitstamp", "gemini", "coingecko"];

/// Which prices a node fetches, from where, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Prices")]
pub(crate) struct PricingConfig {
    /// What to price, at most 100. Repeatable
    #[arg(long = "feed", value_name = "BASE/QUOTE", default_value = "ETH/USD", value_parser = parsed::<Feed>("a feed"))]
    pub(crate) feeds: Vec<Feed>,

    /// An exchange to ask; without =BASE_URL at its public HTTPS address. The price is the median of the answers. Repeatable
    #[arg(long = "source", value_name = "NAME[=BASE_URL]", default_values = SOURCES, value_parser = parsed::<SourceSpec>("a source"))]
    pub(crate) sources: Vec<SourceSpec>,

    /// A price needs the answers of this many sources; if not set, of more than half of those that are asked
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_QUOTES))]
    min_sources: Option<usize>,

    /// An answer that is farther than this from the median of all is left out (100 bps are 1 %)
    #[arg(long, value_name = "BPS", default_value = "200", value_parser = number(SPREADS_BPS))]
    pub(crate) max_source_spread_bps: u32,

    /// How often to ask the sources; if not set, never less often than a record is written
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(FETCH_INTERVALS))]
    pub(crate) fetch_interval: Duration,

    /// CoinGecko's API key, alone in a file, which is read anew for each fetch; sent as a header
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub(crate) coingecko_key_file: Option<PathBuf>,
}

impl PricingConfig {
    /// How many sources must agree.
    pub(crate) fn min_sources(&self) -> usize {
        self.min_sources.unwrap_or(majority(self.sources.len()))
    }

    /// What an operator should know as long as it is so: that fewer sources decide than a majority of those that are asked.
    pub(crate) fn minority_warning(&self) -> Option<String> {
        let (min_sources, sources) = (self.min_sources(), self.sources.len());
        (min_sources < majority(sources)).then(|| {
            format!(
                "{min_sources} of {sources} sources make a price, which is no majority: when the others are down, whatever is left \
                 decides alone"
            )
        })
    }

    /// Checks the rules between these settings and `--write-interval`.
    pub(super) fn resolve(mut self, write_interval: Duration, problems: &mut Problems) -> Self {
        check_feeds(&self.feeds, problems);
        check_sources(&self.sources, problems);
        let count = self.sources.len();
        if problems.are_right(&["source", "min-sources"]) && self.min_sources() > count {
            let rule = format!("is more than the {count} of --source");
            problems.reject("min-sources", wrong(rule, "lower it, or name more sources"));
        }
        let known = problems.are_right(&["source", "feed"]).then_some(&self.sources);
        for source in known.into_iter().flatten() {
            for unsupported in self
                .feeds
                .iter()
                .filter_map(|feed| source.kind().supports(feed).err())
            {
                let shown = Shown::Text(source.kind().name().to_owned());
                let remedy = "leave out the source or the feed";
                problems.reject_as(
                    "source",
                    shown,
                    wrong(format!("does not do: {unsupported}"), remedy),
                );
            }
        }
        let exposed = self.sources.iter().filter(|source| source.is_exposed());
        let exposed: Vec<&str> = exposed.map(|source| source.kind().name()).collect();
        if !exposed.is_empty() {
            problems.warn(format!(
                "sources are asked without encryption, anybody on the way can change their prices: sources={} remedy=\"use https, \
                 or a loopback address\"",
                exposed.join(",")
            ));
        }
        if problems.are_right(&["source", "min-sources"])
            && let Some(warning) = self.minority_warning()
        {
            problems.warn(format!(
                "few sources decide: reason=\"{warning}\" remedy=\"leave --min-sources out\""
            ));
        }
        if let Some(path) = &self.coingecko_key_file {
            check_key(path, &self.sources, problems);
        }
        self.fetch_interval = fetch_interval(self.fetch_interval, write_interval, problems);
        if problems.are_right(&["feed", "source", "fetch-interval"]) {
            for warning in self.too_often() {
                problems.warn(warning);
            }
        }
        self
    }
}

impl PricingConfig {
    /// What exchanges document, and this node alone would exceed; a relay has rules of its own.
    fn too_often(&self) -> impl Iterator<Item = String> {
        let (feeds, interval) = (self.feeds.len(), self.fetch_interval);
        let public = self
            .sources
            .iter()
            .filter(|source| source.base() == source.kind().public_base());
        public.filter_map(move |source| {
            let documented = source.kind().documented_a_minute()?;
            let requests = source.kind().requests_a_minute(feeds, interval);
            (requests > u64::from(documented)).then(|| {
                format!(
                    "asked more often than documented: source={source} feeds={feeds} requests_a_minute={requests} \
                     documented={documented} remedy=\"leave out that source, name fewer feeds, or a longer --fetch-interval and \
                     --write-interval\""
                )
            })
        })
    }
}

/// The key can be sent, to somebody, and nobody on the way reads it.
pub(super) fn check_key(path: &Path, sources: &[SourceSpec], problems: &mut Problems) {
    if !problems.are_right(&["coingecko-key-file", "source"]) {
        return;
    }
    let wrong = if let Err(broken) = secret_file(&path.display().to_string()) {
        broken
    } else {
        match sources.iter().rfind(|source| source.key_header().is_some()) {
            None => wrong(
                "is for a source that is not asked",
                "add --source coingecko, or leave it out",
            ),
            Some(source) if source.is_exposed() => wrong(
                format!("would be sent in clear to {source}"),
                "use https, or a relay on a loopback address",
            ),
            Some(_) => return,
        }
    };
    problems.reject("coingecko-key-file", wrong);
}

fn check_feeds(feeds: &[Feed], problems: &mut Problems) {
    problems.reject_repeated("feed", feeds);
    if problems.are_right(&["feed"]) && !(1..=MAX_FEEDS).contains(&feeds.len()) {
        let rule = format!("names {} feeds", feeds.len());
        problems.reject_as(
            "feed",
            Shown::Nothing,
            wrong(rule, format!("name 1 to {MAX_FEEDS}")),
        );
    }
}

/// There are some, and each exchange is asked at one address.
pub(super) fn check_sources(sources: &[SourceSpec], problems: &mut Problems) {
    problems.reject_repeated("source", sources.iter().map(|source| source.kind().name()));
    if problems.are_right(&["source"]) && sources.is_empty() {
        problems.reject_as(
            "source",
            Shown::Nothing,
            wrong("names no source", "name at least one"),
        );
    }
}

/// How often to fetch: at least once for each record. The default follows a shorter write interval.
pub(super) fn fetch_interval(fetch: Duration, write: Duration, problems: &mut Problems) -> Duration {
    let are_right = problems.are_right(&["fetch-interval", "write-interval"]);
    if are_right && fetch > write && problems.is_given("fetch-interval") {
        let rule = format!("is longer than --write-interval {}", format_duration(write));
        problems.reject(
            "fetch-interval",
            wrong(rule, "fetch at least once for each record"),
        );
    }
    fetch.min(write)
}

#[cfg(test)]
mod tests {
    use quorate_prices::SourceKind;

    use super::*;
    use crate::config::testing;

    fn read(words: &[&str], write_secs: u64) -> Result<PricingConfig, Vec<String>> {
        read_with_warnings(words, write_secs).map(|(config, _)| config)
    }

    fn warnings(words: &[&str]) -> Vec<String> {
        read_with_warnings(words, 30).unwrap().1
    }

    fn read_with_warnings(
        words: &[&str],
        write_secs: u64,
    ) -> Result<(PricingConfig, Vec<String>), Vec<String>> {
        let write_interval = Duration::from_secs(write_secs);
        /// What a node's own declaration has beside it.
        #[derive(Args)]
        struct WithInterval {
            #[command(flatten)]
            pricing: PricingConfig,
            #[arg(long)]
            write_interval: Option<String>,
        }
        testing::read(words, |args: WithInterval, problems| {
            Some(args.pricing.resolve(write_interval, problems))
        })
    }

    #[test]
    fn by_default_the_price_of_ether_from_all_public_sources() {
        let config = read(&[], 30).unwrap();
        assert_eq!(config.feeds, ["ETH/USD".parse().unwrap()]);
        assert_eq!(config.sources, SourceKind::ALL.map(SourceSpec::from));
        assert_eq!((config.min_sources(), config.max_source_spread_bps), (3, 200));
        assert_eq!(config.fetch_interval, Duration::from_secs(30));
    }

    #[test]
    fn unless_it_is_set_a_majority_of_the_sources_makes_a_price() {
        for (sources, majority) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let words: Vec<String> = SOURCES[..sources]
                .iter()
                .map(|name| format!("--source={name}"))
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let config = read(&words, 30).unwrap();
            assert_eq!(
                (config.min_sources(), config.minority_warning()),
                (majority, None)
            );
        }
        let chosen = read(&["--min-sources", "2"], 30).unwrap();
        assert_eq!(chosen.min_sources(), 2);
        assert!(
            chosen
                .minority_warning()
                .unwrap()
                .starts_with("2 of 5 sources make a price")
        );
    }

    #[test]
    fn coingeckos_key_is_a_file_for_a_source_that_is_asked_and_never_sent_in_clear() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "CG-topsecret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = read(&["--coingecko-key-file", path], 30).unwrap();
        assert_eq!(config.coingecko_key_file.as_deref(), Some(file.path()));
        for (words, said) in [
            (["--source=kraken", path], "is for a source that is not asked"),
            (
                ["--source=coingecko=http://relay.example", path],
                "would be sent in clear",
            ),
            (["--source=coingecko", "/nowhere"], "cannot be read"),
        ] {
            let problems = read(&[words[0], "--coingecko-key-file", words[1]], 30).unwrap_err();
            assert!(problems.join(" ").contains(said), "{problems:?}");
            assert!(!problems.join(" ").contains("topsecret"), "{problems:?}");
        }
        let problems = read(
            &["--source=coingecko=https://a/?x_cg_demo_api_key=CG-topsecret"],
            30,
        )
        .unwrap_err();
        assert!(!problems.join(" ").contains("topsecret"), "{problems:?}");
    }

    #[test]
    fn the_fetch_interval_follows_a_shorter_write_interval_unless_it_is_set() {
        assert_eq!(read(&[], 5).unwrap().fetch_interval, Duration::from_secs(5));
        let set = read(&["--fetch-interval", "2s"], 5).unwrap();
        assert_eq!(set.fetch_interval, Duration::from_secs(2));
        assert_eq!(
            read(&["--fetch-interval", "6s"], 5).unwrap_err(),
            [
                "--fetch-interval: \"6s\" is longer than --write-interval 5s: fetch at least once for each record"
            ]
        );
    }

    #[test]
    fn the_rules_between_values_are_checked_only_between_right_values() {
        assert_eq!(
            read(
                &["--source", "kraken", "--source", "gemini", "--min-sources", "3"],
                30
            )
            .unwrap_err(),
            ["--min-sources: \"3\" is more than the 2 of --source: lower it, or name more sources"]
        );
        assert_eq!(
            read(&["--source", "karken", "--min-sources", "9"], 30).unwrap_err(),
            [
                "--source: \"karken\" is not a source: \"karken\" is no source; known are coinbase, kraken, bitstamp, gemini \
              and coingecko"
            ]
        );
    }

    #[test]
    fn asking_an_exchange_more_often_than_it_documents_is_warned_of_before_it_refuses() {
        let warned = |feeds: u8, more: &str| {
            let mut words: Vec<String> = (100..100 + feeds).map(|n| format!("--feed=C{n}/USD")).collect();
            words.extend(["--source=kraken", "--source=bitstamp", more].map(str::to_owned));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            warnings(&words)
        };
        assert_eq!(warned(60, "--source=gemini"), [""; 0]);
        assert_eq!(
            warned(61, "--source=gemini"),
            [
                "asked more often than documented: source=gemini feeds=61 requests_a_minute=122 documented=120 \
              remedy=\"leave out that source, name fewer feeds, or a longer --fetch-interval and --write-interval\""
            ]
        );
        assert_eq!(warned(83, "--source=coinbase"), [""; 0]);
        assert_eq!(warned(84, "--source=coinbase").len(), 1);
        assert_eq!(warned(100, "--source=gemini=http://127.0.0.1:1"), [""; 0]);
    }

    #[test]
    fn a_hundred_distinct_feeds_at_most() {
        let many: Vec<String> = (100..201).map(|n| format!("--feed=C{n}/USD")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            read(&many, 30).unwrap_err(),
            ["--feed: names 101 feeds: name 1 to 100"]
        );
        assert_eq!(
            read(&["--feed", "ETH/USD", "--feed", "ETH/USD"], 30).unwrap_err(),
            ["--feed: \"ETH/USD\" is given twice: name it once"]
        );
    }

    #[test]
    fn an_exchange_is_asked_at_one_address() {
        assert_eq!(
            read(
                &["--source", "kraken", "--source", "kraken=http://127.0.0.1:1"],
                30
            )
            .unwrap_err(),
            ["--source: \"kraken\" is given twice: name it once"]
        );
    }
}
