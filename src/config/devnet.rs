//! `quorate devnet`: a whole network on this machine.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::Args;
use quorate_prices::SourceSpec;
use quorate_protocol::{Fraction, QuorumRule};
use quorate_store::{DatabaseUrl, ParseDatabaseUrlError};

use super::{
    agreement::{MOVES_BPS, SIGNATURES, WRITE_INTERVALS},
    pricing::{self, FETCH_INTERVALS, SOURCES},
    problems::{Problems, Shown},
    values::{Wrong, duration, hidden, number, parsed, path, wrong},
};
use crate::{exchange::ExchangeArgs, secret::Secret};

/// Nodes share one machine; more than this measure the machine.
const NODE_COUNTS: RangeInclusive<usize> = 1..=100;

/// Ports below need privileges.
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// A whole network on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Devnet")]
pub(crate) struct DevnetConfig {
    /// How many nodes, each a process of its own
    #[arg(long, value_name = "N", default_value = "3", value_parser = number(NODE_COUNTS))]
    pub(crate) nodes: usize,

    /// Ask a simulated exchange on this machine instead of the public ones: needs no internet
    #[arg(long)]
    pub(crate) simulate: bool,

    /// Given to the simulated exchange as --NAME VALUE, for faults and the like: see `quorate exchange --help`. Repeatable
    #[arg(long = "exchange-option", value_name = "NAME=VALUE", value_parser = exchange_option)]
    exchange_options: Vec<String>,

    /// The first node listens for peers here, the next one port higher, and so on. Free ports if not set
    #[arg(long, value_name = "PORT", value_parser = number(PORTS))]
    pub(crate) base_port: Option<u16>,

    /// The first node's API is here, the next one port higher, and so on. Free ports if not set
    #[arg(long, value_name = "PORT", value_parser = number(PORTS))]
    pub(crate) api_base_port: Option<u16>,

    /// Let the API make actors fail, to see them recover
    #[arg(long)]
    pub(crate) fault_injection: bool,

    /// Write each process's log to a file here, and keep it
    #[arg(long, value_name = "DIR", value_parser = path)]
    pub(crate) log_dir: Option<PathBuf>,

    /// The database server, instead of one that is started for the devnet: a database of its own is made there, and dropped at the
    /// end. postgres://USER:PASSWORD@HOST:5432/DATABASE, of a role that may make databases and roles
    #[arg(long, value_name = "URL", value_parser = hidden, help_heading = "Postgres")]
    database_url: Option<Secret>,

    /// The folder of the programs of a PostgreSQL server. Without it: the newest that is installed, or one that a Python or
    /// Node.js package carries, or one that is fetched once into the user's cache folder
    #[arg(long, value_name = "DIR", value_parser = path, help_heading = "Postgres")]
    pub(crate) postgres_bin: Option<PathBuf>,

    /// Fetch no PostgreSQL server, even if there is none
    #[arg(long, help_heading = "Postgres")]
    pub(crate) offline: bool,

    /// An exchange that the nodes ask; without =BASE_URL at its public HTTPS address. Repeatable
    #[arg(long = "source", value_name = "NAME[=BASE_URL]", default_values = SOURCES, value_parser = parsed::<SourceSpec>("a source"))]
    pub(crate) sources: Vec<SourceSpec>,

    /// How often to ask the sources; if not set, never less often than a record is written
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(FETCH_INTERVALS))]
    pub(crate) fetch_interval: Duration,

    /// The least time between two records, for the nodes and the database
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(WRITE_INTERVALS))]
    pub(crate) write_interval: Duration,

    /// A record has at least this many signatures; if not set, all nodes of a smaller network
    #[arg(long, value_name = "N", default_value = "3", value_parser = number(SIGNATURES))]
    pub(crate) min_signatures: usize,

    /// A record has signatures of more than this share of the nodes too, like 2/3 or 0.5
    #[arg(long, value_name = "FRACTION", value_parser = parsed::<Fraction>("a fraction"))]
    pub(crate) quorum_fraction: Option<Fraction>,

    /// The nodes state and sign no price farther than this from the last record, for each window since, unless three of their sources
    /// agree on it or it has stood for three windows (100 bps are 1 %)
    #[arg(long, value_name = "BPS", default_value = "1000", value_parser = number(MOVES_BPS))]
    pub(crate) max_move_bps: u32,

    /// CoinGecko's API key, alone in a file, for the nodes; not for the simulated exchange
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub(crate) coingecko_key_file: Option<PathBuf>,

    /// Nodes find each other by multicast DNS; without it they are told each other's addresses
    #[arg(long, default_value = "true")]
    pub(crate) mdns: bool,
}

/// `NAME=VALUE` as the exchange's command line takes it: `--NAME=VALUE`.
fn exchange_option(text: &str) -> Result<String, Wrong> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && (name.chars()).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match text.split_once('=') {
        Some((name, _)) if is_name(name) => Ok(format!("--{text}")),
        _ => Err(wrong(
            "is not an option of the exchange",
            "write NAME=VALUE, without the dashes",
        )),
    }
}

impl DevnetConfig {
    /// Checks the rules between these settings.
    pub(crate) fn resolve(mut self, problems: &mut Problems) -> Self {
        if let Some(Err(reason)) = self.database_url() {
            let wrong = wrong(
                format!("is not a Postgres URL ({reason})"),
                "write postgres://USER:PASSWORD@HOST:5432/DATABASE",
            );
            problems.reject("database-url", wrong);
        }
        self.check_simulation(problems);
        pricing::check_sources(&self.sources, problems);
        match &self.coingecko_key_file {
            Some(_) if self.simulate => problems.reject(
                "coingecko-key-file",
                wrong(
                    "is not for the simulated exchange",
                    "leave out either it or --simulate",
                ),
            ),
            Some(path) => pricing::check_key(path, &self.sources, problems),
            None => {}
        }
        self.fetch_interval = pricing::fetch_interval(self.fetch_interval, self.write_interval, problems);
        for (name, base) in [
            ("base-port", self.base_port),
            ("api-base-port", self.api_base_port),
        ] {
            let last = base.map_or(0, |base| usize::from(base) + self.nodes - 1);
            if problems.are_right(&[name, "nodes"]) && last > usize::from(u16::MAX) {
                let rule = format!("leaves no room for {} ports", self.nodes);
                problems.reject(name, wrong(rule, "lower it"));
            }
        }
        // A number that is given is taken at its word.
        if !problems.is_given("min-signatures") {
            self.min_signatures = self.min_signatures.min(self.nodes);
        }
        self.check_quorum(problems);
        self
    }

    /// The database server that is named, if one is.
    ///
    /// # Errors
    /// It is no URL of one.
    pub(crate) fn database_url(&self) -> Option<Result<DatabaseUrl, ParseDatabaseUrlError>> {
        self.database_url.as_ref().map(|url| url.reveal().parse())
    }

    /// What the simulated exchange is told.
    ///
    /// # Errors
    /// The exchange does not take an option; the reason in a line.
    pub(crate) fn exchange(&self) -> Result<ExchangeArgs, String> {
        // On a free port, unless an option says otherwise.
        let words = [&["--listen=127.0.0.1:0".to_owned()][..], &self.exchange_options].concat();
        ExchangeArgs::from_words(&words)
    }

    fn check_simulation(&self, problems: &mut Problems) {
        if !problems.are_right(&["exchange-option", "simulate", "source"]) {
            return;
        }
        if !self.simulate && !self.exchange_options.is_empty() {
            let wrong = wrong("is for the simulated exchange", "add --simulate");
            problems.reject("exchange-option", wrong);
        } else if let Err(reason) = self.exchange() {
            let wrong = wrong(format!("is refused: {reason}"), "see `quorate exchange --help`");
            problems.reject("exchange-option", wrong);
        }
        let has_address = |source: &&SourceSpec| **source != SourceSpec::from(source.kind());
        for source in self
            .sources
            .iter()
            .filter(|source| self.simulate && has_address(source))
        {
            let remedy = "leave out either the address or --simulate";
            let shown = Shown::Text(source.kind().to_string());
            let wrong = wrong("has an address, but --simulate gives it one", remedy);
            problems.reject_as("source", shown, wrong);
        }
    }

    fn check_quorum(&self, problems: &mut Problems) {
        let rule = QuorumRule {
            fraction: self.quorum_fraction,
            ..QuorumRule::at_least(self.min_signatures)
        };
        let (required, nodes) = (rule.required(self.nodes), self.nodes);
        if problems.are_right(&["nodes", "min-signatures", "quorum-fraction"]) && required > nodes {
            let rule = format!("asks for {required} signatures of {nodes} nodes");
            problems.reject("min-signatures", wrong(rule, "lower it, or raise --nodes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<DevnetConfig, Vec<String>> {
        testing::read(words, |config: DevnetConfig, problems| {
            Some(config.resolve(problems))
        })
        .map(|(config, _)| config)
    }

    #[test]
    fn three_nodes_and_nothing_left_behind() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.nodes, config.min_signatures, config.simulate, config.mdns),
            (3, 3, false, true)
        );
        assert_eq!(
            (config.base_port, config.api_base_port, config.log_dir),
            (None, None, None)
        );
        assert!(!config.fault_injection);
    }

    #[test]
    fn a_small_network_needs_few_signatures_unless_more_are_asked_for() {
        assert_eq!(read(&["--nodes", "1"]).unwrap().min_signatures, 1);
        assert_eq!(
            read(&["--nodes", "2", "--min-signatures", "3"]).unwrap_err(),
            ["--min-signatures: \"3\" asks for 3 signatures of 2 nodes: lower it, or raise --nodes"]
        );
    }

    #[test]
    fn what_belongs_to_the_simulation_needs_it() {
        assert_eq!(
            read(&["--exchange-option", "seed=7"]).unwrap_err(),
            ["--exchange-option: \"seed=7\" is for the simulated exchange: add --simulate"]
        );
        let simulated = |option| read(&["--exchange-option", option, "--simulate"]);
        assert_eq!(simulated("seed=7").unwrap().exchange().unwrap().seed, 7);
        assert_eq!(simulated("delay=2s").unwrap_err().len(), 1);
        assert_eq!(
            read(&["--source", "kraken=http://x", "--simulate"]).unwrap_err(),
            [
                "--source: \"kraken\" has an address, but --simulate gives it one: leave out either the address or --simulate"
            ]
        );
    }

    #[test]
    fn a_key_is_for_the_real_coingecko() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "CG-abc").unwrap();
        let file = file.display().to_string();
        assert!(read(&["--coingecko-key-file", &file]).is_ok());
        let simulated = read(&["--coingecko-key-file", &file, "--simulate"]).unwrap_err();
        assert!(
            simulated[0].contains("is not for the simulated exchange"),
            "{simulated:?}"
        );
        let unasked = read(&["--coingecko-key-file", &file, "--source", "kraken"]).unwrap_err();
        assert!(
            unasked[0].contains("is for a source that is not asked"),
            "{unasked:?}"
        );
    }

    #[test]
    fn a_server_that_is_named_is_a_postgres_and_its_password_is_not_shown() {
        let named = read(&["--database-url", "postgres://q:hunter2@db/postgres"]).unwrap();
        assert!(named.database_url().unwrap().is_ok());
        assert!(!format!("{named:?}").contains("hunter2"));
        let wrong = read(&["--database-url", "mysql://q:hunter2@db"]).unwrap_err();
        assert!(
            wrong[0].starts_with("--database-url: the hidden value is not a Postgres URL"),
            "{wrong:?}"
        );
    }

    #[test]
    fn the_ports_fit() {
        assert_eq!(
            read(&["--base-port", "65534", "--api-base-port", "80"]).unwrap_err(),
            [
                "--base-port: \"65534\" leaves no room for 3 ports: lower it",
                "--api-base-port: \"80\" is out of range: write a number from 1024 to 65535",
            ]
        );
    }
}
