//! `quorate devnet`: a whole network on this machine.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use quorate_actors::price_fetcher::SourceSpec;
use quorate_protocol::{Fraction, QuorumRule};

use crate::exchange::ExchangeArgs;

use super::{
    agreement::{self, MIN_SIGNATURES, QUORUM_FRACTION, WRITE_INTERVAL},
    api::FAULT_INJECTION,
    gossip::MDNS,
    pricing::{self, FETCH_INTERVAL, SOURCE},
    problem::{Shown, Wrong, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::number,
};

const HEADING: &str = "Devnet";

/// `--nodes`
pub(crate) const NODES: Setting = Setting {
    name: "nodes",
    kind: Kind::Value,
    value_name: "N",
    default: Some("3"),
    heading: HEADING,
    help: "How many nodes, each a process of its own",
};
/// `--simulate`
pub(crate) const SIMULATE: Setting = Setting {
    name: "simulate",
    kind: Kind::Switch,
    value_name: "true|false",
    default: Some("false"),
    heading: HEADING,
    help: "Ask a simulated exchange on this machine instead of the public ones: needs no internet",
};
/// `--exchange-option`
pub(crate) const EXCHANGE_OPTION: Setting = Setting {
    name: "exchange-option",
    kind: Kind::List,
    value_name: "NAME=VALUE",
    default: None,
    heading: HEADING,
    help: "Given to the simulated exchange as --NAME VALUE, for faults and the like: see `quorate exchange --help`. Repeatable",
};
/// `--base-port`
pub(crate) const BASE_PORT: Setting = Setting {
    name: "base-port",
    kind: Kind::Value,
    value_name: "PORT",
    default: None,
    heading: HEADING,
    help: "The first node listens for peers here, the next one port higher, and so on. Free ports if not set",
};
/// `--api-base-port`
pub(crate) const API_BASE_PORT: Setting = Setting {
    name: "api-base-port",
    kind: Kind::Value,
    value_name: "PORT",
    default: None,
    heading: HEADING,
    help: "The first node's API is here, the next one port higher, and so on. Free ports if not set",
};
/// `--log-dir`
pub(crate) const LOG_DIR: Setting = Setting {
    name: "log-dir",
    kind: Kind::Value,
    value_name: "DIR",
    default: None,
    heading: HEADING,
    help: "Write each process's log to a file here, and keep it",
};

/// Nodes share one machine; more than this measure the machine.
const NODE_COUNTS: RangeInclusive<usize> = 1..=50;

/// Ports below need privileges.
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// A whole network on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevnetConfig {
    /// 1 to 50.
    pub(crate) nodes: usize,
    /// With the simulated exchange.
    pub(crate) simulate: bool,
    /// Options of the simulated exchange.
    pub(crate) exchange: ExchangeArgs,
    /// For the nodes. With `simulate` only the names count.
    pub(crate) sources: Vec<SourceSpec>,
    /// For the nodes and the database.
    pub(crate) write_interval: Duration,
    /// For the nodes.
    pub(crate) fetch_interval: Duration,
    /// For the nodes and the database.
    pub(crate) min_signatures: usize,
    /// For the nodes.
    pub(crate) quorum_fraction: Option<Fraction>,
    /// For the nodes; without it they are told each other's addresses.
    pub(crate) mdns: bool,
    /// `None`: free ports.
    pub(crate) base_port: Option<u16>,
    /// `None`: free ports.
    pub(crate) api_base_port: Option<u16>,
    /// For the nodes, whose APIs are on a loopback address.
    pub(crate) fault_injection: bool,
    /// `None`: logs go with the rest.
    pub(crate) log_dir: Option<PathBuf>,
}

/// Everything that a devnet can be told, in the order of the help.
pub(crate) fn settings() -> Vec<&'static Setting> {
    vec![
        &NODES,
        &SIMULATE,
        &EXCHANGE_OPTION,
        &BASE_PORT,
        &API_BASE_PORT,
        &FAULT_INJECTION,
        &LOG_DIR,
        &SOURCE,
        &FETCH_INTERVAL,
        &WRITE_INTERVAL,
        &MIN_SIGNATURES,
        &QUORUM_FRACTION,
        &MDNS,
    ]
}

/// Reads [`settings`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<DevnetConfig> {
    let nodes = reader.value(&NODES, |text| number(NODE_COUNTS, text));
    let simulate = reader.switch(&SIMULATE);
    let exchange_options = reader.list(&EXCHANGE_OPTION, exchange_option);
    let base_port = read_base_port(reader, &BASE_PORT, nodes);
    let api_base_port = read_base_port(reader, &API_BASE_PORT, nodes);
    let fault_injection = reader.switch(&FAULT_INJECTION);
    let log_dir = reader.path(&LOG_DIR);
    let sources = pricing::read_sources(reader);
    let write_interval = agreement::read_write_interval(reader);
    let fetch_interval = pricing::read_fetch_interval(reader, write_interval);
    let min_signatures = read_min_signatures(reader, nodes);
    let quorum_fraction = agreement::read_quorum_fraction(reader);
    let mdns = reader.switch(&MDNS);

    if let (Some(simulate), Some(sources), Some(options)) = (simulate, &sources, &exchange_options) {
        check_simulation(reader, simulate, sources, options);
    }
    let config = DevnetConfig {
        nodes: nodes?,
        simulate: simulate?,
        exchange: read_exchange(reader, &exchange_options?)?,
        sources: sources?,
        write_interval: write_interval?,
        fetch_interval: fetch_interval?,
        min_signatures: min_signatures?,
        quorum_fraction: quorum_fraction?,
        mdns: mdns?,
        base_port: base_port?,
        api_base_port: api_base_port?,
        fault_injection: fault_injection?,
        log_dir: log_dir?,
    };
    check_quorum(reader, &config);
    Some(config)
}

/// The exchange's options, as its own command line would take them; it listens on a free port.
fn read_exchange(reader: &mut Reader<'_>, options: &[(String, String)]) -> Option<ExchangeArgs> {
    let free = ("listen".to_owned(), "127.0.0.1:0".to_owned());
    let words = [free]
        .iter()
        .chain(options)
        .map(|(name, value)| format!("--{name}={value}"))
        .collect::<Vec<_>>();
    match ExchangeArgs::from_words(&words) {
        Ok(args) => Some(args),
        Err(reason) => {
            reader.reject(
                &EXCHANGE_OPTION,
                wrong(format!("is refused: {reason}"), "see `quorate exchange --help`"),
            );
            None
        }
    }
}

fn exchange_option(text: &str) -> Result<(String, String), Wrong> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err(wrong(
            "is not an option of the exchange",
            "write NAME=VALUE, without the dashes",
        )),
    }
}

fn read_base_port(reader: &mut Reader<'_>, setting: &Setting, nodes: Option<usize>) -> Option<Option<u16>> {
    let base = reader.optional(setting, |text| number(PORTS, text))?;
    if let (Some(base), Some(nodes)) = (base, nodes)
        && usize::from(base) + nodes - 1 > usize::from(u16::MAX)
    {
        reader.reject(
            setting,
            wrong(format!("leaves no room for {nodes} ports"), "lower it"),
        );
    }
    Some(base)
}

/// The default follows a smaller network, so that `--nodes 1` works; a number that is given is taken at its word.
fn read_min_signatures(reader: &mut Reader<'_>, nodes: Option<usize>) -> Option<usize> {
    let min_signatures = agreement::read_min_signatures(reader)?;
    match nodes {
        Some(nodes) if reader.is_default(&MIN_SIGNATURES) => Some(min_signatures.min(nodes)),
        _ => Some(min_signatures),
    }
}

fn check_simulation(
    reader: &mut Reader<'_>,
    simulate: bool,
    sources: &[SourceSpec],
    options: &[(String, String)],
) {
    if !simulate && !options.is_empty() {
        reader.reject(
            &EXCHANGE_OPTION,
            wrong("is for the simulated exchange", "add --simulate"),
        );
    }
    for source in sources
        .iter()
        .filter(|source| simulate && **source != SourceSpec::from(source.kind()))
    {
        let remedy = "leave out either the address or --simulate";
        let shown = Shown::Text(source.kind().to_string());
        reader.reject_as(
            &SOURCE,
            shown,
            wrong("has an address, but --simulate gives it one", remedy),
        );
    }
}

fn check_quorum(reader: &mut Reader<'_>, config: &DevnetConfig) {
    let rule = QuorumRule {
        fraction: config.quorum_fraction,
        ..QuorumRule::at_least(config.min_signatures)
    };
    let required = rule.required(config.nodes);
    if required > config.nodes {
        let rule = format!("asks for {required} signatures of {} nodes", config.nodes);
        reader.reject(&MIN_SIGNATURES, wrong(rule, "lower it, or raise --nodes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn three_nodes_and_nothing_left_behind() {
        let config = testing::read(&[], read).unwrap().config;
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
        assert_eq!(
            testing::read(&[("nodes", &["1"])], read)
                .unwrap()
                .config
                .min_signatures,
            1
        );
        assert_eq!(
            testing::read(&[("nodes", &["2"]), ("min-signatures", &["3"])], read).unwrap_err(),
            ["--min-signatures: \"3\" asks for 3 signatures of 2 nodes: lower it, or raise --nodes"]
        );
    }

    #[test]
    fn what_belongs_to_the_simulation_needs_it() {
        assert_eq!(
            testing::read(&[("exchange-option", &["seed=7"])], read).unwrap_err(),
            ["--exchange-option: \"seed=7\" is for the simulated exchange: add --simulate"]
        );
        let simulated = |option: &'static str| {
            testing::read(&[("exchange-option", &[option]), ("simulate", &["true"])], read)
        };
        assert_eq!(simulated("seed=7").unwrap().config.exchange.seed, 7);
        assert_eq!(simulated("delay=2s").unwrap_err().len(), 1);
        assert_eq!(
            testing::read(&[("source", &["kraken=http://x"]), ("simulate", &["true"])], read).unwrap_err(),
            [
                "--source: \"kraken\" has an address, but --simulate gives it one: leave out either the address or --simulate"
            ]
        );
    }

    #[test]
    fn the_ports_fit() {
        assert_eq!(
            testing::read(&[("base-port", &["65534"]), ("api-base-port", &["80"])], read).unwrap_err(),
            [
                "--base-port: \"65534\" leaves no room for 3 ports: lower it",
                "--api-base-port: \"80\" is out of range: write a number from 1024 to 65535",
            ]
        );
    }
}
