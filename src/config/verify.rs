//! `quorate verify`: which records to check, and what they are held against.

use std::{fs::File, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::Args;
use quorate_protocol::{
    Committee, Feed, Fraction, Link, MAX_ATTESTATIONS, Members, Network, QuorumRule, UnixMillis,
};
use quorate_store::DatabaseUrl;

use super::{
    agreement::SIGNATURES,
    database::DatabaseArgs,
    members::{self, MemberList},
    problems::{Problems, Shown},
    values::{Moment, choice, duration, moment, number, parsed, path, wrong},
};

/// Zero: not checked.
const INTERVALS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(168);

const SEQUENCES: RangeInclusive<u64> = 1..=Link::MAX_SEQUENCE;

/// In place of a file.
const STANDARD_INPUT: &str = "-";

/// The form of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Lines for people.
    Text,
    /// An object.
    Json,
}

const VERDICTS: &[(&str, Verdict)] = &[("text", Verdict::Text), ("json", Verdict::Json)];

/// Everything that can be asked, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct VerifyArgs {
    /// Files, each going on where the one before it ends: archives, or what `quorate prices --output json` prints; - is standard
    /// input. The records of a database, if one is named, go on where the files end
    #[arg(value_name = "FILE", value_parser = path)]
    files: Vec<PathBuf>,

    /// Of the database, only records of this feed. Repeatable; all feeds if none is named
    #[arg(long = "feed", value_name = "BASE/QUOTE", value_parser = parsed::<Feed>("a feed"))]
    feeds: Vec<Feed>,

    /// Of the database, only records written at or after this time: 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Moment>,

    /// Of the database, only records written before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Moment>,

    /// Of the database, only records from this number on
    #[arg(long, value_name = "N", value_parser = number(SEQUENCES))]
    from_sequence: Option<u64>,

    /// Of the database, only records up to this number
    #[arg(long, value_name = "N", value_parser = number(SEQUENCES))]
    to_sequence: Option<u64>,

    /// text, or json: an object
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = choice(VERDICTS))]
    output: Verdict,

    #[command(flatten)]
    trusted: TrustedArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// What the reader knows better than the records' source.
#[derive(Debug, Args)]
#[command(next_help_heading = "Held against")]
pub(super) struct TrustedArgs {
    /// The members that you trust, former ones too: the same file as a node's. Without it, those that the database or the archive
    /// names, or nobody in particular
    #[arg(long, value_name = "FILE", value_parser = path)]
    members: Option<PathBuf>,

    /// Each record has at least this many signatures. Without it, what the database or the archive says, else 3
    #[arg(long, value_name = "N", value_parser = number(SIGNATURES))]
    min_signatures: Option<usize>,

    /// Each record has signatures of more than this share of the members too, like 2/3 or 0.5
    #[arg(long, value_name = "FRACTION", value_parser = parsed::<Fraction>("a fraction"))]
    quorum_fraction: Option<Fraction>,

    /// If --members names validators, each record has signatures of at least this many of them. Without it, 1
    #[arg(long, value_name = "N", value_parser = number(0..=MAX_ATTESTATIONS))]
    min_validators: Option<usize>,

    /// Records of a feed were written at least so far apart; the shortest that ever held, 0s to let it be. Without it, what the
    /// database or the archive says
    #[arg(long, value_name = "DURATION", value_parser = duration(INTERVALS))]
    write_interval: Option<Duration>,

    /// The network that the records are of. Without it, that of the first record
    #[arg(long, value_name = "NAME", value_parser = parsed::<Network>("a network's name"))]
    network: Option<Network>,
}

/// Where a file's records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// `-`
    StandardInput,
    /// A file that could be opened a moment ago.
    File(PathBuf),
}

/// Which records of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// Empty: all.
    pub(crate) feeds: Vec<Feed>,
    /// Written at this time or later.
    pub(crate) from: Option<UnixMillis>,
    /// Written before this time.
    pub(crate) to: Option<UnixMillis>,
    /// The lowest number.
    pub(crate) first: Option<u64>,
    /// The highest number.
    pub(crate) last: Option<u64>,
}

/// What records are held against, as far as it was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trusted {
    /// The file and its list.
    pub(crate) members: Option<(PathBuf, MemberList)>,
    /// The fewest signatures.
    pub(crate) min_signatures: Option<usize>,
    /// More than this share of the members.
    pub(crate) quorum_fraction: Option<Fraction>,
    /// The fewest signatures of validators.
    pub(crate) min_validators: Option<usize>,
    /// The least time between two records; zero: any.
    pub(crate) write_interval: Option<Duration>,
    /// The network's name.
    pub(crate) network: Option<Network>,
}

/// Which records to check, and what they are held against.
#[derive(Debug, Clone)]
pub(crate) struct VerifyConfig {
    /// In this order.
    pub(crate) inputs: Vec<Input>,
    /// After the inputs.
    pub(crate) database: Option<(DatabaseUrl, Range)>,
    /// What is known better.
    pub(crate) trusted: Trusted,
    /// The form of the verdict.
    pub(crate) output: Verdict,
}

impl VerifyArgs {
    /// Looks whether the files are there, reads the members, and understands the times, given the present one.
    pub(crate) fn resolve(self, now: UnixMillis, problems: &mut Problems) -> Option<VerifyConfig> {
        problems.reject_repeated("feed", &self.feeds);
        let [from, to] = [self.from, self.to].map(|moment| moment.map(|moment| moment.when(now)));
        reject_empty(
            "from",
            "--to",
            from.zip(to).is_some_and(|(from, to)| from >= to),
            problems,
        );
        let (first, last) = (self.from_sequence, self.to_sequence);
        let is_empty = first.zip(last).is_some_and(|(first, last)| first > last);
        reject_empty("from-sequence", "--to-sequence", is_empty, problems);
        let range = Range {
            feeds: self.feeds,
            from,
            to,
            first,
            last,
        };
        let inputs: Vec<Input> = self
            .files
            .into_iter()
            .filter_map(|file| input(file, problems))
            .collect();
        if inputs
            .iter()
            .filter(|input| **input == Input::StandardInput)
            .count()
            > 1
        {
            let shown = Shown::Text(STANDARD_INPUT.to_owned());
            problems.reject_as(
                "files",
                shown,
                wrong("is given twice", "standard input can be read once"),
            );
        }
        // Without a file or a database, the database is what is missing.
        let database = if self.database.is_given() || (inputs.is_empty() && problems.are_right(&["files"])) {
            Some((self.database.resolve(problems)?, range))
        } else {
            for name in ["feed", "from", "to", "from-sequence", "to-sequence"] {
                if problems.is_given(name) && problems.are_right(&[name]) {
                    problems.reject(
                        name,
                        wrong(
                            "is given without a database",
                            "files are checked whole: leave it out",
                        ),
                    );
                }
            }
            None
        };
        Some(VerifyConfig {
            inputs,
            database,
            trusted: self.trusted.resolve(problems)?,
            output: self.output,
        })
    }
}

fn reject_empty(name: &str, other: &str, is_empty: bool, problems: &mut Problems) {
    if is_empty {
        let rule = format!("is not before {other}");
        problems.reject(name, wrong(rule, "swap them, or leave one out"));
    }
}

fn input(file: PathBuf, problems: &mut Problems) -> Option<Input> {
    if file.as_os_str() == STANDARD_INPUT {
        return Some(Input::StandardInput);
    }
    let readable = File::open(&file).and_then(|opened| opened.metadata());
    let rule = match readable {
        Ok(found) if found.is_dir() => "is a folder".to_owned(),
        Ok(_) => return Some(Input::File(file)),
        Err(error) => format!("cannot be read ({error})"),
    };
    let shown = Shown::Text(file.display().to_string());
    problems.reject_as(
        "files",
        shown,
        wrong(rule, "name a file of records, or - for standard input"),
    );
    None
}

impl TrustedArgs {
    /// Reads the members.
    pub(super) fn resolve(self, problems: &mut Problems) -> Option<Trusted> {
        let members = match self.members {
            Some(path) => Some((path.clone(), members::read(&path, problems)?)),
            None => None,
        };
        if members.is_none() && self.min_validators.is_some() {
            let wrong = wrong(
                "is given without --members",
                "give the list that names the validators",
            );
            problems.reject("min-validators", wrong);
        }
        Some(Trusted {
            members,
            min_signatures: self.min_signatures,
            quorum_fraction: self.quorum_fraction,
            min_validators: self.min_validators,
            write_interval: self.write_interval,
            network: self.network,
        })
    }
}

impl Trusted {
    /// Signatures of a record, where neither we nor the source say how many.
    const USUAL_SIGNATURES: usize = 3;

    /// Who counts and how many make a quorum, for a source that says this of itself.
    pub(crate) fn committee(&self, members_said: Members, signatures_said: Option<usize>) -> Committee {
        let said = signatures_said.unwrap_or(Self::USUAL_SIGNATURES);
        let mut rule = QuorumRule::at_least(self.min_signatures.unwrap_or(said));
        rule.fraction = self.quorum_fraction;
        rule.min_validators = self.min_validators.unwrap_or(1);
        match &self.members {
            Some((_, list)) => list.committee(&rule),
            None => Committee {
                members: members_said,
                rule,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    const ONE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn read(words: &[&str]) -> Result<VerifyConfig, Vec<String>> {
        let now = UnixMillis::new(1_800_000_000_000);
        let resolve = |args: VerifyArgs, problems: &mut Problems| args.resolve(now, problems);
        testing::read(words, resolve).map(|(config, _)| config)
    }

    #[test]
    fn all_of_the_database_or_files_or_both() {
        let config = read(&["--database-url", "postgres://db"]).unwrap();
        assert_eq!(
            (config.inputs, config.database.unwrap().1),
            (vec![], Range::default())
        );
        let config = read(&["-"]).unwrap();
        assert_eq!(config.inputs, [Input::StandardInput]);
        assert!(config.database.is_none());
        let both = read(&[
            "/dev/null",
            "--database-url",
            "postgres://db",
            "--from-sequence",
            "5",
        ])
        .unwrap();
        assert_eq!(both.inputs, [Input::File("/dev/null".into())]);
        assert_eq!(both.database.unwrap().1.first, Some(5));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        assert_eq!(
            read(&[
                "/nowhere",
                "/",
                "-",
                "-",
                "--from=1h",
                "--to=2h",
                "--from-sequence=7",
                "--min-validators=2"
            ])
            .unwrap_err(),
            [
                "FILE: \"/nowhere\" cannot be read (No such file or directory (os error 2)): name a file of records, or - for \
                 standard input",
                "FILE: \"/\" is a folder: name a file of records, or - for standard input",
                "FILE: \"-\" is given twice: standard input can be read once",
                "--from: \"1h\" is not before --to: swap them, or leave one out",
                "--to: \"2h\" is given without a database: files are checked whole: leave it out",
                "--from-sequence: \"7\" is given without a database: files are checked whole: leave it out",
                "--min-validators: \"2\" is given without --members: give the list that names the validators",
            ]
        );
        let missing = read(&[]).unwrap_err();
        assert!(
            missing[0].starts_with("--database-url: is missing"),
            "{missing:?}"
        );
    }

    #[test]
    fn what_is_given_counts_more_than_what_the_source_says() {
        let config = read(&["-"]).unwrap();
        let said = Members::Closed([ONE.parse().unwrap()].into());
        let committee = config.trusted.committee(said.clone(), Some(2));
        assert_eq!((committee.required(0), &committee.members), (2, &said));
        assert_eq!(config.trusted.committee(Members::Open, None).required(0), 3);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("members.toml");
        fs::write(
            &file,
            testing::members(&["0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]),
        )
        .unwrap();
        let config = read(&["-", "--members", file.to_str().unwrap(), "--min-signatures", "1"]).unwrap();
        let committee = config.trusted.committee(said.clone(), Some(2));
        assert_eq!(committee.required(0), 1);
        assert!(committee.members != said && committee.members.count() == Some(1));
    }
}
