//! Which prices a node fetches, from where, how often, and which answers it believes.

use std::{ops::RangeInclusive, time::Duration};

use quorate_actors::price_fetcher::SourceSpec;
use quorate_protocol::{Feed, MAX_FEEDS, MAX_QUOTES};

use super::{
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::{duration, number, parsed, show_duration},
};

const HEADING: &str = "Prices";

/// `--feed`
pub(crate) const FEED: Setting = Setting {
    name: "feed",
    kind: Kind::List,
    value_name: "BASE/QUOTE",
    default: Some("ETH/USD"),
    heading: HEADING,
    help: "What to price, at most 16. Repeatable",
};
/// `--source`
pub(crate) const SOURCE: Setting = Setting {
    name: "source",
    kind: Kind::List,
    value_name: "NAME[=BASE_URL]",
    default: Some("coinbase,kraken,bitstamp,gemini,coingecko"),
    heading: HEADING,
    help: "An exchange to ask; without =BASE_URL at its public HTTPS address. The price is the median of the answers. \
           Repeatable",
};
/// `--min-sources`
pub(crate) const MIN_SOURCES: Setting = Setting {
    name: "min-sources",
    kind: Kind::Value,
    value_name: "N",
    default: Some("1"),
    heading: HEADING,
    help: "A price needs the answers of this many sources",
};
/// `--max-source-spread-bps`
pub(crate) const MAX_SOURCE_SPREAD_BPS: Setting = Setting {
    name: "max-source-spread-bps",
    kind: Kind::Value,
    value_name: "BPS",
    default: Some("200"),
    heading: HEADING,
    help: "An answer that is farther than this from the median of all is left out (100 bps are 1 %)",
};
/// `--fetch-interval`
pub(crate) const FETCH_INTERVAL: Setting = Setting {
    name: "fetch-interval",
    kind: Kind::Value,
    value_name: "DURATION",
    default: Some("30s"),
    heading: HEADING,
    help: "How often to ask the sources; if not set, never less often than a record is written",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 5] = [
    &FEED,
    &SOURCE,
    &MIN_SOURCES,
    &MAX_SOURCE_SPREAD_BPS,
    &FETCH_INTERVAL,
];

/// Shorter is hard on the exchanges' rate limits; longer than a day is no feed.
pub(crate) const FETCH_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

/// Beyond a spread of 100 % nothing would ever be left out.
const SPREADS_BPS: RangeInclusive<u32> = 1..=10_000;

/// Which prices a node fetches, from where, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricingConfig {
    /// 1 to [`MAX_FEEDS`], distinct.
    pub(crate) feeds: Vec<Feed>,
    /// At least one, each exchange once.
    pub(crate) sources: Vec<SourceSpec>,
    /// At most the number of sources.
    pub(crate) min_sources: usize,
    /// How far an answer may be from the median, in basis points.
    pub(crate) max_source_spread_bps: u32,
    /// At most the write interval.
    pub(crate) fetch_interval: Duration,
}

/// Reads [`SETTINGS`]. `write_interval`: what `--write-interval` says, if that is right.
pub(crate) fn read(reader: &mut Reader<'_>, write_interval: Option<Duration>) -> Option<PricingConfig> {
    let feeds = read_feeds(reader);
    let sources = read_sources(reader);
    let min_sources = reader.value(&MIN_SOURCES, |text| number(1..=MAX_QUOTES, text));
    let spread = reader.value(&MAX_SOURCE_SPREAD_BPS, |text| number(SPREADS_BPS, text));
    let fetch_interval = read_fetch_interval(reader, write_interval);
    let (sources, min_sources) = (sources?, min_sources?);
    if min_sources > sources.len() {
        let rule = format!("is more than the {} of --source", sources.len());
        reader.reject(&MIN_SOURCES, wrong(rule, "lower it, or name more sources"));
    }
    let feeds = feeds?;
    check_sources(reader, &feeds, &sources);
    Some(PricingConfig {
        feeds,
        sources,
        min_sources,
        max_source_spread_bps: spread?,
        fetch_interval: fetch_interval?,
    })
}

fn read_feeds(reader: &mut Reader<'_>) -> Option<Vec<Feed>> {
    let feeds = reader.distinct(&FEED, |text| parsed("a feed", text), Clone::clone)?;
    if (1..=MAX_FEEDS).contains(&feeds.len()) {
        return Some(feeds);
    }
    let rule = format!("names {} feeds", feeds.len());
    reader.reject_as(
        &FEED,
        Shown::Nothing,
        wrong(rule, format!("name 1 to {MAX_FEEDS}")),
    );
    None
}

/// Every source must know every feed; a source that anybody on the way can change is worth a word.
fn check_sources(reader: &mut Reader<'_>, feeds: &[Feed], sources: &[SourceSpec]) {
    for source in sources {
        for unsupported in feeds.iter().filter_map(|feed| source.kind().supports(feed).err()) {
            let shown = Shown::Text(source.kind().name().to_owned());
            let remedy = "leave out the source or the feed";
            reader.reject_as(
                &SOURCE,
                shown,
                wrong(format!("does not do: {unsupported}"), remedy),
            );
        }
    }
    let exposed = sources.iter().filter(|source| source.is_exposed());
    let exposed: Vec<String> = exposed.map(ToString::to_string).collect();
    if !exposed.is_empty() {
        reader.warn(format!(
            "sources are asked without encryption, anybody on the way can change their prices: sources={} remedy=\"use https, or \
             a loopback address\"",
            exposed.join(",")
        ));
    }
}

/// The sources, each exchange once.
pub(crate) fn read_sources(reader: &mut Reader<'_>) -> Option<Vec<SourceSpec>> {
    let sources = reader.distinct(
        &SOURCE,
        |text| parsed("a source", text),
        |source: &SourceSpec| source.kind().name(),
    )?;
    if sources.is_empty() {
        reader.reject_as(
            &SOURCE,
            Shown::Nothing,
            wrong("names no source", "name at least one"),
        );
        return None;
    }
    Some(sources)
}

/// The fetch interval; the default follows a shorter write interval.
pub(crate) fn read_fetch_interval(
    reader: &mut Reader<'_>,
    write_interval: Option<Duration>,
) -> Option<Duration> {
    let fetch_interval = reader.value(&FETCH_INTERVAL, |text| duration(FETCH_INTERVALS, text))?;
    match write_interval {
        Some(write_interval) if fetch_interval > write_interval => {
            if reader.is_default(&FETCH_INTERVAL) {
                return Some(write_interval);
            }
            let rule = format!(
                "is longer than --write-interval {}",
                show_duration(write_interval)
            );
            reader.reject(
                &FETCH_INTERVAL,
                wrong(rule, "fetch at least once for each record"),
            );
            None
        }
        _ => Some(fetch_interval),
    }
}

#[cfg(test)]
mod tests {
    use quorate_actors::price_fetcher::SourceKind;

    use super::*;
    use crate::config::testing;

    fn read_with(flags: &[(&'static str, &[&str])], write_secs: u64) -> Result<PricingConfig, Vec<String>> {
        let write_interval = Some(Duration::from_secs(write_secs));
        testing::read(flags, |reader| read(reader, write_interval)).map(|resolved| resolved.config)
    }

    #[test]
    fn by_default_the_price_of_ether_from_all_public_sources() {
        let config = read_with(&[], 30).unwrap();
        assert_eq!(config.feeds, ["ETH/USD".parse().unwrap()]);
        assert_eq!(config.sources, SourceKind::ALL.map(SourceSpec::from));
        assert_eq!((config.min_sources, config.max_source_spread_bps), (1, 200));
        assert_eq!(config.fetch_interval, Duration::from_secs(30));
    }

    #[test]
    fn the_fetch_interval_follows_a_shorter_write_interval_unless_it_is_set() {
        assert_eq!(read_with(&[], 5).unwrap().fetch_interval, Duration::from_secs(5));
        assert_eq!(
            read_with(&[("fetch-interval", &["2s"])], 5)
                .unwrap()
                .fetch_interval,
            Duration::from_secs(2)
        );
        assert_eq!(
            read_with(&[("fetch-interval", &["6s"])], 5).unwrap_err(),
            [
                "--fetch-interval: \"6s\" is longer than --write-interval 5s: fetch at least once for each record"
            ]
        );
    }

    #[test]
    fn the_rules_between_values_are_checked_only_between_right_values() {
        assert_eq!(
            read_with(&[("source", &["kraken", "gemini"]), ("min-sources", &["3"])], 30).unwrap_err(),
            ["--min-sources: \"3\" is more than the 2 of --source: lower it, or name more sources"]
        );
        assert_eq!(
            read_with(&[("source", &["karken"]), ("min-sources", &["3"])], 30).unwrap_err(),
            [
                "--source: \"karken\" is not a source: \"karken\" is no source; known are coinbase, kraken, bitstamp, gemini \
              and coingecko"
            ]
        );
    }

    #[test]
    fn sixteen_distinct_feeds_at_most() {
        let many: Vec<String> = (10..27).map(|n| format!("C{n}/USD")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            read_with(&[("feed", &many)], 30).unwrap_err(),
            ["--feed: names 17 feeds: name 1 to 16"]
        );
        assert_eq!(
            read_with(&[("feed", &["ETH/USD", "ETH/USD"])], 30).unwrap_err(),
            ["--feed: \"ETH/USD\" is given twice: name it once"]
        );
    }

    #[test]
    fn an_exchange_is_asked_at_one_address() {
        let twice = ["kraken", "kraken=http://127.0.0.1:1"];
        assert_eq!(
            read_with(&[("source", &twice)], 30).unwrap_err(),
            ["--source: \"kraken\" is given twice: name it once"]
        );
    }
}
