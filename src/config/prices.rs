//! `quorate prices`: which records to show, and how.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;
use quorate_actors::gossip_bridge::DnsPeers;
use quorate_protocol::{Feed, UnixMillis};
use quorate_store::DatabaseUrl;

use super::{
    database::DatabaseArgs,
    gossip::host_and_port,
    problems::Problems,
    values::{Moment, api_address, choice, duration, moment, number, parsed, wrong},
};
use crate::show::Output;

/// More than this is a job for psql or for the API's pages.
const MOST_RECORDS: u32 = 10_000;

/// What an age can be limited to: from a second to a year.
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(365 * 24);

/// In which form records and proofs are shown.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// table, json (an array, with all signatures) or csv
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = choice(OUTPUTS))]
    output: Output,

    /// Show whole digests and addresses in the table too
    #[arg(long)]
    full: bool,
}

const OUTPUTS: &[(&str, Output)] = &[
    ("table", Output::Table { full: false }),
    ("json", Output::Json),
    ("csv", Output::Csv),
];

impl OutputArgs {
    /// Both settings as one.
    pub(super) fn resolve(self) -> Output {
        match self.output {
            Output::Table { .. } => Output::Table { full: self.full },
            other => other,
        }
    }
}

/// Everything that can be asked, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct PricesArgs {
    /// Only records of this feed. Repeatable; all feeds if none is named
    #[arg(long = "feed", value_name = "BASE/QUOTE", value_parser = parsed::<Feed>("a feed"))]
    feeds: Vec<Feed>,

    /// Only records observed at or after this time: 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Moment>,

    /// Only records observed before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Moment>,

    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value = "20", value_parser = number(1..=MOST_RECORDS))]
    limit: u32,

    /// Fail if the newest record of a feed is older than this, or if there is none: for monitoring
    #[arg(long, value_name = "DURATION", value_parser = duration(AGES))]
    max_age: Option<Duration>,

    /// Fail unless all nodes behind this name and the port of their API are ready, as their /readyz says: for monitoring
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    ready: Option<DnsPeers>,

    /// Print records as they are written, until interrupted, the newest first: from the database, or from a node with --api
    #[arg(long)]
    pub(crate) follow: bool,

    /// Follow this node's stream instead of the database: no password is needed, and each record is verified
    #[arg(long, value_name = "URL", value_parser = api_address)]
    api: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Where records are followed from.
#[derive(Debug, Clone)]
pub(crate) enum FollowFrom {
    /// `postgres://…`
    Database(Box<DatabaseUrl>),
    /// `http://…`
    Api(String),
}

/// Which records to follow, and how to show them.
#[derive(Debug, Clone)]
pub(crate) struct FollowConfig {
    /// From where.
    pub(crate) from: FollowFrom,
    /// `None`: all feeds of the database, or the only one of the node.
    pub(crate) feed: Option<Feed>,
    /// The form.
    pub(crate) output: Output,
}

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
    /// The nodes that must be ready.
    pub(crate) ready: Option<DnsPeers>,
    /// The form.
    pub(crate) output: Output,
}

impl PricesArgs {
    /// Understands the times, given the present one, and reads the database's address.
    pub(crate) fn resolve(self, now: UnixMillis, problems: &mut Problems) -> Option<PricesConfig> {
        problems.reject_repeated("feed", &self.feeds);
        let [from, to] = [self.from, self.to].map(|moment| moment.map(|moment| moment.when(now)));
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            let wrong = wrong("is not before --to", "swap them, or leave one out");
            problems.reject("from", wrong);
        }
        if self.api.is_some() {
            problems.reject(
                "api",
                wrong("is for following only", "add --follow, or leave it out"),
            );
        }
        Some(PricesConfig {
            database_url: self.database.resolve(problems)?,
            feeds: self.feeds,
            from,
            to,
            limit: self.limit,
            max_age: self.max_age,
            ready: self.ready,
            output: self.output.resolve(),
        })
    }
}

impl PricesArgs {
    /// The same for who follows: what narrows a list down has no meaning then.
    pub(crate) fn follow(self, problems: &mut Problems) -> Option<FollowConfig> {
        for name in ["from", "to", "limit", "max-age", "ready"] {
            if problems.is_given(name) {
                problems.reject(name, wrong("is not for --follow", "leave it out"));
            }
        }
        if self.feeds.len() > 1 {
            problems.reject(
                "feed",
                wrong("is given more than once", "follow one, or all by naming none"),
            );
        }
        Some(FollowConfig {
            from: match self.api {
                _ if !problems.are_right(&["api"]) => return None,
                Some(url) => FollowFrom::Api(url),
                None => FollowFrom::Database(Box::new(self.database.resolve(problems)?)),
            },
            feed: self.feeds.into_iter().next(),
            output: self.output.resolve(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<PricesConfig, Vec<String>> {
        let now = UnixMillis::new(1_800_000_000_000);
        let words = [&["--database-url", "postgres://db"], words].concat();
        let resolve = |args: PricesArgs, problems: &mut Problems| args.resolve(now, problems);
        testing::read(&words, resolve).map(|(config, _)| config)
    }

    #[test]
    fn the_newest_twenty_as_a_table() {
        let config = read(&[]).unwrap();
        assert_eq!((config.limit, config.output), (20, Output::Table { full: false }));
        assert_eq!((config.feeds.len(), config.from, config.to), (0, None, None));
        assert_eq!(read(&["--full"]).unwrap().output, Output::Table { full: true });
        assert_eq!(read(&["--full", "--output=csv"]).unwrap().output, Output::Csv);
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let like = "write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h";
        assert_eq!(
            read(&["--feed=eth", "--from=soon", "--limit=0", "--output=xml"]).unwrap_err(),
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
    fn a_node_is_followed_without_a_database_and_nothing_is_narrowed_down() {
        let follow = |words: &[&str]| testing::read(words, PricesArgs::follow).map(|(config, _)| config);
        let node = follow(&["--api", "http://127.0.0.1:8080", "--feed=ETH/USD"]).unwrap();
        assert!(matches!(node.from, FollowFrom::Api(url) if url == "http://127.0.0.1:8080"));
        let database = follow(&["--database-url", "postgres://db"]).unwrap();
        assert!(matches!(database.from, FollowFrom::Database(_)));
        assert_eq!(
            follow(&["--api", "node-1", "--from=2h"]).unwrap_err(),
            [
                "--from: \"2h\" is not for --follow: leave it out",
                "--api: \"node-1\" is not the address of an API: write one like http://127.0.0.1:8080",
            ]
        );
        assert_eq!(
            read(&["--api", "http://127.0.0.1:8080"]).unwrap_err(),
            ["--api: \"http://127.0.0.1:8080\" is for following only: add --follow, or leave it out"]
        );
    }

    #[test]
    fn from_lies_before_to() {
        assert_eq!(
            read(&["--from", "1h", "--to", "2h"]).unwrap_err(),
            ["--from: \"1h\" is not before --to: swap them, or leave one out"]
        );
    }
}
