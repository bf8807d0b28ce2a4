//! `quorate prices`: which records to show, and how.

use std::{ops::RangeInclusive, time::Duration};

use quorate_protocol::{Feed, UnixMillis};
use quorate_store::DatabaseUrl;

use super::{
    database,
    problem::wrong,
    reader::Reader,
    setting::{Kind, Setting},
    value::{choice, duration, moment, number, parsed},
};
use crate::show::Output;

const HEADING: &str = "Records";

/// `--feed`
pub(crate) const FEED: Setting = Setting {
    name: "feed",
    kind: Kind::List,
    value_name: "BASE/QUOTE",
    default: None,
    heading: HEADING,
    help: "Only records of this feed. Repeatable; all feeds if none is named",
};
/// `--from`
pub(crate) const FROM: Setting = Setting {
    name: "from",
    kind: Kind::Value,
    value_name: "TIME",
    default: None,
    heading: HEADING,
    help: "Only records observed at or after this time: 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h",
};
/// `--to`
pub(crate) const TO: Setting = Setting {
    name: "to",
    kind: Kind::Value,
    value_name: "TIME",
    default: None,
    heading: HEADING,
    help: "Only records observed before this time",
};
/// `--limit`
pub(crate) const LIMIT: Setting = Setting {
    name: "limit",
    kind: Kind::Value,
    value_name: "N",
    default: Some("20"),
    heading: HEADING,
    help: "At most this many, the newest",
};
/// `--max-age`
pub(crate) const MAX_AGE: Setting = Setting {
    name: "max-age",
    kind: Kind::Value,
    value_name: "DURATION",
    default: None,
    heading: HEADING,
    help: "Fail if the newest record of a feed is older than this, or if there is none: for monitoring",
};
/// `--output`
pub(crate) const OUTPUT: Setting = Setting {
    name: "output",
    kind: Kind::Value,
    value_name: "FORMAT",
    default: Some("table"),
    heading: HEADING,
    help: "table, json (an array, with all signatures) or csv",
};
/// `--full`
pub(crate) const FULL: Setting = Setting {
    name: "full",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("false"),
    heading: HEADING,
    help: "Show whole digests and addresses in the table too",
};

/// Everything here but the database, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 7] = [&FEED, &FROM, &TO, &LIMIT, &MAX_AGE, &OUTPUT, &FULL];

/// More than this is a job for psql or for the API's pages.
const MOST_RECORDS: u32 = 10_000;

/// What an age can be limited to: from a second to a year.
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

/// Which records to show, and how.
#[derive(Debug, Clone)]
pub(crate) struct PricesConfig {
    /// `postgres://…`; a role that can read is enough.
    pub(crate) database_url: DatabaseUrl,
    /// Empty: all feeds.
    pub(crate) feeds: Vec<Feed>,
    /// Inclusive.
    pub(crate) from: Option<UnixMillis>,
    /// Exclusive.
    pub(crate) to: Option<UnixMillis>,
    /// At most this many.
    pub(crate) limit: u32,
    /// The oldest that the newest record of each feed may be.
    pub(crate) max_age: Option<Duration>,
    /// The form.
    pub(crate) output: Output,
}

/// Everything that can be asked, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    [SETTINGS.as_slice(), &database::SETTINGS].concat()
}

/// Reads [`settings`], given the present time.
pub(crate) fn read(reader: &mut Reader<'_>, now: UnixMillis) -> Option<PricesConfig> {
    let feeds = reader.distinct(&FEED, |text| parsed("a feed", text), Clone::clone);
    let from = reader.optional(&FROM, |text| moment(now, text));
    let to = reader.optional(&TO, |text| moment(now, text));
    let limit = reader.value(&LIMIT, |text| number(1..=MOST_RECORDS, text));
    let max_age = reader.optional(&MAX_AGE, |text| duration(AGES, text));
    let full = reader.switch(&FULL);
    let output = full.and_then(|full| {
        let outputs = [
            ("table", Output::Table { full }),
            ("json", Output::Json),
            ("csv", Output::Csv),
        ];
        reader.value(&OUTPUT, |text| choice(&outputs, text))
    });
    let database_url = database::read(reader);
    if let (Some(Some(from)), Some(Some(to))) = (from, to)
        && from >= to
    {
        reader.reject(&FROM, wrong("is not before --to", "swap them, or leave one out"));
    }
    Some(PricesConfig {
        database_url: database_url?,
        feeds: feeds?,
        from: from?,
        to: to?,
        limit: limit?,
        max_age: max_age?,
        output: output?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);
    const DATABASE: (&str, &[&str]) = ("database-url", &["postgres://db"]);

    #[test]
    fn the_newest_twenty_as_a_table() {
        let config = testing::read(&[DATABASE], |reader| read(reader, NOW))
            .unwrap()
            .config;
        assert_eq!((config.limit, config.output), (20, Output::Table { full: false }));
        assert_eq!((config.feeds.len(), config.from, config.to), (0, None, None));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let flags: [(&str, &[&str]); 5] = [
            DATABASE,
            ("feed", &["eth"]),
            ("from", &["soon"]),
            ("limit", &["0"]),
            ("output", &["xml"]),
        ];
        let like = "write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h";
        assert_eq!(
            testing::read(&flags, |reader| read(reader, NOW)).unwrap_err(),
            [
                "--feed: \"eth\" is not a feed: expected two codes of 2 to 10 capital letters or digits with a slash between, \
                 like ETH/USD"
                    .to_owned(),
                format!("--from: \"soon\" is not a time: {like}"),
                "--limit: \"0\" is out of range: write a number from 1 to 10000".to_owned(),
                "--output: \"xml\" is not one of the choices: write table, json, csv".to_owned(),
            ]
        );
    }

    #[test]
    fn from_lies_before_to() {
        let flags: [(&str, &[&str]); 3] = [DATABASE, ("from", &["1h"]), ("to", &["2h"])];
        assert_eq!(
            testing::read(&flags, |reader| read(reader, NOW)).unwrap_err(),
            ["--from: \"1h\" is not before --to: swap them, or leave one out"]
        );
    }
}
