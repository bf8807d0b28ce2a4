//! When a report is quorate, who counts, and how often a record is written.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::Args;
use quorate_protocol::{Address, Committee, Fraction, MAX_ATTESTATIONS, Members, QuorumRule};

use super::{
    members::{self, MemberList},
    problems::{Problems, Shown},
    values::{duration, number, parsed, path, wrong},
};

/// Under a second, gossip and the database's commit have no time to settle; over a day it is no feed.
pub(super) const WRITE_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

/// How many signatures can be asked for: a message carries no more.
pub(super) const SIGNATURES: RangeInclusive<usize> = 1..=MAX_ATTESTATIONS;

/// Shorter than a second it is no quarantine; after a week an operator has seen to it.
const QUARANTINES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);

/// From a move that is no market's to one that is no limit: a hundredfold price.
pub(super) const MOVES_BPS: RangeInclusive<u32> = 1..=1_000_000;

/// Above 10 %, vouching for a price would mean nothing.
const DEVIATIONS_BPS: RangeInclusive<u32> = 1..=1000;

/// Fewer signatures than this let one or two keys decide; allowed, but said.
const USUAL_SIGNATURES: usize = 3;

/// What a node can be told of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Agreement")]
pub(super) struct AgreementArgs {
    /// The least time between two records of a feed, whichever node writes them. The database holds the nodes to it: give `quorate
    /// migrate` the same
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration(WRITE_INTERVALS))]
    pub(super) write_interval: Duration,

    /// A record has at least this many signatures, the observer's own included
    #[arg(long, value_name = "N", default_value = "3", value_parser = number(SIGNATURES))]
    min_signatures: usize,

    /// A record has signatures of more than this share of the members too, like 2/3 or 0.5
    #[arg(long, value_name = "FRACTION", value_parser = parsed::<Fraction>("a fraction"))]
    quorum_fraction: Option<Fraction>,

    /// The members, whose signatures and connections count: a TOML table `[[member]]` for each, with address, name, and if wanted
    /// endpoint and validator = true (`quorate keys members` makes one). It is read again when it changes. Without it anybody
    /// counts: for a trusted local network only
    #[arg(long, value_name = "FILE", value_parser = path)]
    members: Option<PathBuf>,

    /// A validator, besides those of --members: if there are any, each record needs signatures of --min-validators of them.
    /// Repeatable
    #[arg(long = "validator", value_name = "ADDRESS", value_parser = parsed::<Address>("an address"))]
    validators: Vec<Address>,

    /// If there are validators, a record has signatures of at least this many of them
    #[arg(long, value_name = "N", default_value = "1", value_parser = number(SIGNATURES))]
    min_validators: usize,

    /// Sign no price that differs from this node's own by more than this (100 bps are 1 %)
    #[arg(long, value_name = "BPS", default_value = "50", value_parser = number(DEVIATIONS_BPS))]
    max_deviation_bps: u32,

    /// State and sign no price farther than this from the last record, for each window since, unless three sources of this node agree
    /// on it or it has stood for three windows (100 bps are 1 %)
    #[arg(long, value_name = "BPS", default_value = "1000", value_parser = number(MOVES_BPS))]
    max_move_bps: u32,

    /// How long nobody here signs for an observer that made two statements for one window, or believes a node that announced a
    /// record which it had not written
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration(QUARANTINES))]
    quarantine: Duration,
}

/// When a report is quorate, who counts, and how often a record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgreementConfig {
    /// The write window.
    pub(crate) write_interval: Duration,
    /// What makes a certificate, by the options alone: the members file may name further validators.
    pub(crate) rule: QuorumRule,
    /// The members file and what it listed at the start; `None`: the network is open.
    pub(crate) members: Option<(PathBuf, MemberList)>,
    /// How far a price that this node signs may be from its own, in basis points.
    pub(crate) max_deviation_bps: u32,
    /// How far a price may move in a window on the word of few sources, in basis points.
    pub(crate) max_move_bps: u32,
    /// How long whoever broke the rules is not believed.
    pub(crate) quarantine: Duration,
}

impl AgreementConfig {
    /// Whose signatures count at the start, and how many make a certificate.
    pub(crate) fn committee(&self) -> Committee {
        match &self.members {
            Some((_, list)) => list.committee(&self.rule),
            None => Committee {
                members: Members::Open,
                rule: self.rule.clone(),
            },
        }
    }
}

impl AgreementArgs {
    /// Reads the members, and checks that a record could ever be written. A file that cannot be read is a problem, and lists nobody.
    pub(super) fn resolve(self, problems: &mut Problems) -> AgreementConfig {
        problems.reject_repeated("validator", &self.validators);
        let members = match self.members {
            Some(path) => members::read(&path, problems).map(|list| (path, list)),
            None => None,
        };
        let config = AgreementConfig {
            write_interval: self.write_interval,
            rule: QuorumRule {
                min_signatures: self.min_signatures,
                fraction: self.quorum_fraction,
                validators: self.validators.into_iter().collect(),
                min_validators: self.min_validators,
            },
            members,
            max_deviation_bps: self.max_deviation_bps,
            max_move_bps: self.max_move_bps,
            quarantine: self.quarantine,
        };
        check_validators(&config, problems);
        check_quorum(&config, problems);
        config
    }
}

fn check_validators(config: &AgreementConfig, problems: &mut Problems) {
    let Committee { members, rule } = config.committee();
    let strangers = config
        .rule
        .validators
        .iter()
        .filter(|address| !members.admit(address));
    for stranger in strangers {
        let wrong = wrong(
            "is not listed in --members",
            "add it to the file, or name a member",
        );
        problems.reject_as("validator", Shown::Text(stranger.to_string()), wrong);
    }
    let (asked, there) = (rule.min_validators, rule.validators.len());
    if problems.are_right(&["validator", "min-validators"]) && there > 0 && asked > there {
        let rule = format!("asks for signatures of {asked} validators, and there are {there}");
        let remedy = "lower it, or name more: no record could ever be written";
        problems.reject("min-validators", wrong(rule, remedy));
    }
}

fn check_quorum(config: &AgreementConfig, problems: &mut Problems) {
    if !problems.are_right(&["min-signatures", "quorum-fraction", "members"]) {
        return;
    }
    let Committee {
        members,
        rule: quorum,
    } = config.committee();
    match members.count() {
        // What that means depends on the network secret too: the node says it when it starts.
        None => {}
        Some(count) => {
            // A fraction is below 1, so it can ask for all members and never for more.
            let required = quorum.required(count);
            let rule = format!("asks for {required} signatures of {count} members");
            if quorum.min_signatures > count {
                let remedy = "lower it, or list more members: no record could ever be written";
                problems.reject("min-signatures", wrong(rule, remedy));
            } else if required > MAX_ATTESTATIONS {
                let remedy = format!("lower it: a message carries at most {MAX_ATTESTATIONS}");
                problems.reject("quorum-fraction", wrong(rule, remedy));
            }
        }
    }
    let few = quorum.min_signatures;
    if few < USUAL_SIGNATURES {
        problems.warn(format!(
            "few signatures make a record: min_signatures={few} recommended={USUAL_SIGNATURES}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    const ONE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const TWO: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
    const THREE: &str = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB";

    fn read(members: &[&str], words: &[&str]) -> Result<(AgreementConfig, Vec<String>), Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members");
        fs::write(&path, testing::members(members)).unwrap();
        let file = format!("--members={}", path.display());
        let listed = (!members.is_empty()).then_some(file.as_str());
        let words: Vec<&str> = words.iter().copied().chain(listed).collect();
        testing::read(&words, |args: AgreementArgs, problems| {
            Some(args.resolve(problems))
        })
    }

    #[test]
    fn the_defaults_are_the_requirements() {
        let (config, warnings) = read(&[], &[]).unwrap();
        assert_eq!(config.write_interval, Duration::from_secs(30));
        assert_eq!(config.rule.min_signatures, 3);
        assert_eq!(config.committee().members, Members::Open);
        assert_eq!(config.max_deviation_bps, 50);
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn a_closed_network_needs_no_warning() {
        let (config, warnings) = read(&[ONE, TWO, THREE], &["--validator", ONE]).unwrap();
        assert_eq!(warnings, [""; 0]);
        assert_eq!(config.committee().members.count(), Some(3));
    }

    #[test]
    fn a_quorum_that_the_members_can_never_reach_is_refused() {
        assert_eq!(
            read(&[ONE, TWO], &[]).unwrap_err(),
            [
                "--min-signatures: \"3\" asks for 3 signatures of 2 members: lower it, or list more members: no record could \
              ever be written"
            ]
        );
        assert!(
            read(&[ONE, TWO, THREE], &["--quorum-fraction", "0.99"]).is_ok(),
            "all of them is possible"
        );
    }

    #[test]
    fn a_validator_of_a_closed_network_is_a_member() {
        let words = ["--min-signatures", "2", "--validator", ONE, "--validator", THREE];
        assert_eq!(
            read(&[ONE, TWO], &words).unwrap_err(),
            [format!(
                "--validator: {THREE:?} is not listed in --members: add it to the file, or name a member"
            )]
        );
    }

    #[test]
    fn more_validators_than_there_are_is_refused_with_both_numbers() {
        let words = ["--validator", ONE, "--min-validators", "2"];
        assert_eq!(
            read(&[ONE, TWO, THREE], &words).unwrap_err(),
            [
                "--min-validators: \"2\" asks for signatures of 2 validators, and there are 1: lower it, or name more: no record \
              could ever be written"
            ]
        );
    }

    #[test]
    fn few_signatures_are_allowed_and_said() {
        let (_, warnings) = read(&[ONE, TWO], &["--min-signatures", "2"]).unwrap();
        assert_eq!(
            warnings,
            ["few signatures make a record: min_signatures=2 recommended=3"]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let words = [
            "--write-interval=30",
            "--min-signatures=0",
            "--quorum-fraction=1",
            "--validator=0x12",
            "--min-validators=0",
            "--max-deviation-bps=5000",
            "--quarantine=1ms",
        ];
        assert_eq!(
            read(&[], &words).unwrap_err(),
            [
                "--write-interval: \"30\" is not a duration: write a unit, like 30s",
                "--min-signatures: \"0\" is out of range: write a number from 1 to 128",
                "--quorum-fraction: \"1\" is not a fraction: expected a fraction of at least 0 and below 1, like 2/3 or 0.5",
                "--validator: \"0x12\" is not an address: expected 40 hex digits after 0x, found 2",
                "--min-validators: \"0\" is out of range: write a number from 1 to 128",
                "--max-deviation-bps: \"5000\" is out of range: write a number from 1 to 1000",
                "--quarantine: \"1ms\" is out of range: write a duration from 1s to 7days",
            ]
        );
    }
}
