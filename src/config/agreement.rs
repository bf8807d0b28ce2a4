//! When a report is quorate, who counts, and how often a record is written.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use quorate_protocol::{Address, Committee, Fraction, MAX_ATTESTATIONS, Members, QuorumRule};

use super::{
    members::{self, MemberList},
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
    value::{duration, number, parsed},
};

const HEADING: &str = "Agreement";

/// `--write-interval`
pub(crate) const WRITE_INTERVAL: Setting = Setting {
    name: "write-interval",
    kind: Kind::Value,
    value_name: "DURATION",
    default: Some("30s"),
    heading: HEADING,
    help: "The least time between two records of a feed, whichever node writes them. The database holds the nodes to it: give \
           `quorate migrate` the same",
};
/// `--min-signatures`
pub(crate) const MIN_SIGNATURES: Setting = Setting {
    name: "min-signatures",
    kind: Kind::Value,
    value_name: "N",
    default: Some("3"),
    heading: HEADING,
    help: "A record has at least this many signatures, the observer's own included",
};
/// `--quorum-fraction`
pub(crate) const QUORUM_FRACTION: Setting = Setting {
    name: "quorum-fraction",
    kind: Kind::Value,
    value_name: "FRACTION",
    default: None,
    heading: HEADING,
    help: "A record has signatures of more than this share of the members too, like 2/3 or 0.5",
};
/// `--members`
pub(crate) const MEMBERS: Setting = Setting {
    name: "members",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: HEADING,
    help: "The members, whose signatures and connections count: a TOML table [[member]] for each, with address, name, and if \
           wanted endpoint and validator = true (`quorate keys members` makes one). It is read again when it changes. Without it \
           anybody counts: for a trusted local network only",
};
/// `--validator`
pub(crate) const VALIDATOR: Setting = Setting {
    name: "validator",
    kind: Kind::List,
    value_name: "ADDRESS",
    default: None,
    heading: HEADING,
    help: "A validator, besides those of --members: if there are any, each record needs signatures of --min-validators of \
           them. Repeatable",
};
/// `--min-validators`
pub(crate) const MIN_VALIDATORS: Setting = Setting {
    name: "min-validators",
    kind: Kind::Value,
    value_name: "N",
    default: Some("1"),
    heading: HEADING,
    help: "If there are validators, a record has signatures of at least this many of them",
};
/// `--max-deviation-bps`
pub(crate) const MAX_DEVIATION_BPS: Setting = Setting {
    name: "max-deviation-bps",
    kind: Kind::Value,
    value_name: "BPS",
    default: Some("50"),
    heading: HEADING,
    help: "Sign no price that differs from this node's own by more than this (100 bps are 1 %)",
};

/// `--quarantine`
pub(crate) const QUARANTINE: Setting = Setting {
    name: "quarantine",
    kind: Kind::Value,
    value_name: "DURATION",
    default: Some("10m"),
    heading: HEADING,
    help: "How long nobody here signs for an observer that made two statements for one window, or believes a node that announced \
           a record which it had not written",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 8] = [
    &WRITE_INTERVAL,
    &MIN_SIGNATURES,
    &QUORUM_FRACTION,
    &MEMBERS,
    &VALIDATOR,
    &MIN_VALIDATORS,
    &MAX_DEVIATION_BPS,
    &QUARANTINE,
];

/// Under a second, gossip and the database's commit have no time to settle; over a day it is no feed.
pub(crate) const WRITE_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

/// Shorter than a second it is no quarantine; after a week an operator has seen to it.
const QUARANTINES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);

/// Above 10 %, vouching for a price would mean nothing.
const DEVIATIONS_BPS: RangeInclusive<u32> = 1..=1000;

/// Fewer signatures than this let one or two keys decide; allowed, but said.
const USUAL_SIGNATURES: usize = 3;

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

/// Reads `--write-interval`.
pub(crate) fn read_write_interval(reader: &mut Reader<'_>) -> Option<Duration> {
    reader.value(&WRITE_INTERVAL, |text| duration(WRITE_INTERVALS, text))
}

/// Reads `--min-signatures`.
pub(crate) fn read_min_signatures(reader: &mut Reader<'_>) -> Option<usize> {
    reader.value(&MIN_SIGNATURES, |text| number(1..=MAX_ATTESTATIONS, text))
}

/// Reads `--quorum-fraction`.
pub(crate) fn read_quorum_fraction(reader: &mut Reader<'_>) -> Option<Option<Fraction>> {
    reader.optional(&QUORUM_FRACTION, |text| parsed("a fraction", text))
}

/// Reads [`SETTINGS`]; `write_interval` has been read already, since the fetch interval depends on it.
pub(crate) fn read(reader: &mut Reader<'_>, write_interval: Option<Duration>) -> Option<AgreementConfig> {
    let min_signatures = read_min_signatures(reader);
    let fraction = read_quorum_fraction(reader);
    let members = members::read(reader, &MEMBERS);
    let validators = reader.distinct(
        &VALIDATOR,
        |text| parsed("an address", text),
        |address: &Address| *address,
    );
    let min_validators = reader.value(&MIN_VALIDATORS, |text| number(1..=MAX_ATTESTATIONS, text));
    let max_deviation_bps = reader.value(&MAX_DEVIATION_BPS, |text| number(DEVIATIONS_BPS, text));
    let quarantine = reader.value(&QUARANTINE, |text| duration(QUARANTINES, text));

    let config = AgreementConfig {
        write_interval: write_interval?,
        rule: QuorumRule {
            min_signatures: min_signatures?,
            fraction: fraction?,
            validators: validators?.into_iter().collect(),
            min_validators: min_validators?,
        },
        members: members?,
        max_deviation_bps: max_deviation_bps?,
        quarantine: quarantine?,
    };
    check_validators(reader, &config);
    check_quorum(reader, &config);
    Some(config)
}

fn check_validators(reader: &mut Reader<'_>, config: &AgreementConfig) {
    let Committee { members, rule } = config.committee();
    for stranger in config
        .rule
        .validators
        .iter()
        .filter(|address| !members.admit(address))
    {
        let remedy = "add it to the file, or name a member";
        reader.reject_as(
            &VALIDATOR,
            Shown::Text(stranger.to_string()),
            wrong("is not listed in --members", remedy),
        );
    }
    let (asked, there) = (rule.min_validators, rule.validators.len());
    if there > 0 && asked > there {
        let rule = format!("asks for signatures of {asked} validators, and there are {there}");
        reader.reject(
            &MIN_VALIDATORS,
            wrong(rule, "lower it, or name more: no record could ever be written"),
        );
    }
}

fn check_quorum(reader: &mut Reader<'_>, config: &AgreementConfig) {
    let Committee {
        members,
        rule: quorum,
    } = config.committee();
    match members.count() {
        None => reader.warn(
            "open network: anybody who can connect counts towards the quorum; name the members with --members unless this \
             network is trusted",
        ),
        Some(count) => {
            // A fraction is below 1, so it can ask for all members and never for more.
            let required = quorum.required(count);
            let rule = format!("asks for {required} signatures of {count} members");
            if quorum.min_signatures > count {
                let remedy = "lower it, or list more members: no record could ever be written";
                reader.reject(&MIN_SIGNATURES, wrong(rule, remedy));
            } else if required > MAX_ATTESTATIONS {
                let remedy = format!("lower it: a message carries at most {MAX_ATTESTATIONS}");
                reader.reject(&QUORUM_FRACTION, wrong(rule, remedy));
            }
        }
    }
    if quorum.min_signatures < USUAL_SIGNATURES {
        let few = quorum.min_signatures;
        reader.warn(format!(
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

    fn read_with(
        members: &[&str],
        flags: &[(&'static str, &[&str])],
    ) -> Result<crate::config::reader::Resolved<AgreementConfig>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members");
        fs::write(&path, testing::members(members)).unwrap();
        let listed = [path.to_str().unwrap()];
        let mut flags = flags.to_vec();
        if !members.is_empty() {
            flags.push(("members", &listed));
        }
        testing::read(&flags, |reader| {
            let write_interval = read_write_interval(reader);
            read(reader, write_interval)
        })
    }

    #[test]
    fn the_defaults_are_the_requirements_and_an_open_network_is_said() {
        let resolved = read_with(&[], &[]).unwrap();
        assert_eq!(resolved.config.write_interval, Duration::from_secs(30));
        assert_eq!(resolved.config.rule.min_signatures, 3);
        assert_eq!(resolved.config.committee().members, Members::Open);
        assert_eq!(resolved.config.max_deviation_bps, 50);
        assert!(
            resolved.warnings[0].starts_with("open network"),
            "{:?}",
            resolved.warnings
        );
    }

    #[test]
    fn a_closed_network_needs_no_warning() {
        let resolved = read_with(&[ONE, TWO, THREE], &[("validator", &[ONE])]).unwrap();
        assert_eq!(resolved.warnings, [""; 0]);
        assert_eq!(resolved.config.committee().members.count(), Some(3));
    }

    #[test]
    fn a_quorum_that_the_members_can_never_reach_is_refused() {
        assert_eq!(
            read_with(&[ONE, TWO], &[]).unwrap_err(),
            [
                "--min-signatures: \"3\" asks for 3 signatures of 2 members: lower it, or list more members: no record could \
              ever be written"
            ]
        );
        assert!(
            read_with(&[ONE, TWO, THREE], &[("quorum-fraction", &["0.99"])]).is_ok(),
            "all of them is possible"
        );
    }

    #[test]
    fn a_validator_of_a_closed_network_is_a_member() {
        assert_eq!(
            read_with(
                &[ONE, TWO],
                &[("min-signatures", &["2"]), ("validator", &[ONE, THREE])]
            )
            .unwrap_err(),
            [format!(
                "--validator: {THREE:?} is not listed in --members: add it to the file, or name a member"
            )]
        );
    }

    #[test]
    fn more_validators_than_there_are_is_refused_with_both_numbers() {
        let flags: [(&str, &[&str]); 2] = [("validator", &[ONE]), ("min-validators", &["2"])];
        assert_eq!(
            read_with(&[ONE, TWO, THREE], &flags).unwrap_err(),
            [
                "--min-validators: \"2\" asks for signatures of 2 validators, and there are 1: lower it, or name more: no record \
              could ever be written"
            ]
        );
    }

    #[test]
    fn few_signatures_are_allowed_and_said() {
        let warnings = read_with(&[ONE, TWO], &[("min-signatures", &["2"])])
            .unwrap()
            .warnings;
        assert_eq!(
            warnings,
            ["few signatures make a record: min_signatures=2 recommended=3"]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let flags: [(&str, &[&str]); 7] = [
            ("write-interval", &["30"]),
            ("min-signatures", &["0"]),
            ("quorum-fraction", &["1"]),
            ("validator", &["0x12"]),
            ("min-validators", &["0"]),
            ("max-deviation-bps", &["5000"]),
            ("quarantine", &["1ms"]),
        ];
        assert_eq!(
            read_with(&[], &flags).unwrap_err(),
            [
                "--write-interval: \"30\" is not a duration: write a unit, like 30s",
                "--min-signatures: \"0\" is out of range: write a number from 1 to 128",
                "--quorum-fraction: \"1\" is not a fraction: expected a fraction of at least 0 and below 1, like 2/3 or 0.5",
                "--validator: \"0x12\" is not an address: expected 40 hex digits after 0x, found 2",
                "--min-validators: \"0\" is out of range: write a number from 1 to 128",
                "--max-deviation-bps: \"5000\" is out of range: write a number from 1 to 1000",
                "--quarantine: \"1ms\" is out of range: write a duration from 1s to 168h",
            ]
        );
    }
}
