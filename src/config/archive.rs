//! `quorate archive`: which records to write to a file, and whether they then leave the database.

use std::path::PathBuf;

use clap::Args;
use quorate_protocol::{Feed, Link, UnixMillis};
use quorate_store::DatabaseUrl;

use super::{
    database::DatabaseArgs,
    problems::{Problems, Shown},
    values::{Moment, moment, number, parsed, path, wrong},
    verify::{Trusted, TrustedArgs},
};

/// Everything that can be asked, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub(crate) struct ArchiveArgs {
    /// Records written before this time: 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, like 720h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Option<Moment>,

    /// Records before this number
    #[arg(long, value_name = "N", value_parser = number(2..=Link::MAX_SEQUENCE))]
    before_sequence: Option<u64>,

    /// Only records of this feed. Repeatable; all feeds if none is named
    #[arg(long = "feed", value_name = "BASE/QUOTE", value_parser = parsed::<Feed>("a feed"))]
    feeds: Vec<Feed>,

    /// The file to make, like 2026-01.jsonl.gz; or a folder: the file is named after the network and the present time
    #[arg(long, value_name = "FILE", value_parser = path)]
    out: Option<PathBuf>,

    /// Remove the records from the database when the file has been verified. Only the owner can
    #[arg(long)]
    remove: bool,

    #[command(flatten)]
    trusted: TrustedArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Which records are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Those written before this time.
    Time(UnixMillis),
    /// Those with a lower number.
    Sequence(u64),
}

/// Where the archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    /// To this file, which does not exist yet.
    File(PathBuf),
    /// To a file of this folder, which names itself.
    Folder(PathBuf),
}

/// Which records to archive, and what then.
#[derive(Debug, Clone)]
pub(crate) struct ArchiveConfig {
    /// `postgres://…`; to remove, of the owner.
    pub(crate) database_url: DatabaseUrl,
    /// The end.
    pub(crate) before: Before,
    /// Empty: all.
    pub(crate) feeds: Vec<Feed>,
    /// Where to.
    pub(crate) out: Out,
    /// Whether they leave the database.
    pub(crate) remove: bool,
    /// What the file is held against before that.
    pub(crate) trusted: Trusted,
    /// When the command was called.
    pub(crate) now: UnixMillis,
}

impl ArchiveArgs {
    /// Understands the time, given the present one, and looks at the place of the file.
    pub(crate) fn resolve(self, now: UnixMillis, problems: &mut Problems) -> Option<ArchiveConfig> {
        problems.reject_repeated("feed", &self.feeds);
        let before = match (self.before, self.before_sequence) {
            _ if !problems.are_right(&["before", "before-sequence"]) => None,
            (Some(moment), None) => Some(Before::Time(moment.when(now))),
            (None, Some(sequence)) => Some(Before::Sequence(sequence)),
            (Some(_), Some(_)) => {
                let wrong = wrong("is given together with --before", "keep one of them");
                problems.reject("before-sequence", wrong);
                None
            }
            (None, None) => {
                let remedy = "write a time, like 2026-01-31 or 720h, or give --before-sequence";
                problems.reject("before", wrong("is missing", remedy));
                None
            }
        };
        let out = self.out.and_then(|out| place(out, problems));
        if out.is_none() && problems.are_right(&["out"]) {
            problems.reject("out", wrong("is missing", "name the file to make, or a folder"));
        }
        let (trusted, database_url) = (self.trusted.resolve(problems), self.database.resolve(problems));
        Some(ArchiveConfig {
            database_url: database_url?,
            before: before?,
            feeds: self.feeds,
            out: out?,
            remove: self.remove,
            trusted: trusted?,
            now,
        })
    }
}

fn place(out: PathBuf, problems: &mut Problems) -> Option<Out> {
    if out.is_dir() {
        return Some(Out::Folder(out));
    }
    let rule = match out.try_exists() {
        Ok(false) => return Some(Out::File(out)),
        Ok(true) => "is there already".to_owned(),
        Err(error) => format!("cannot be looked at ({error})"),
    };
    let shown = Shown::Text(out.display().to_string());
    problems.reject_as(
        "out",
        shown,
        wrong(rule, "name a file that does not exist yet, or a folder"),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<ArchiveConfig, Vec<String>> {
        let now = UnixMillis::new(1_800_000_000_000);
        let words = [&["--database-url", "postgres://db"], words].concat();
        let resolve = |args: ArchiveArgs, problems: &mut Problems| args.resolve(now, problems);
        testing::read(&words, resolve).map(|(config, _)| config)
    }

    #[test]
    fn nothing_is_removed_unless_it_is_asked_for() {
        let config = read(&["--before", "1h", "--out", "/nowhere/a.gz"]).unwrap();
        assert!(!config.remove);
        assert_eq!(config.before, Before::Time(UnixMillis::new(1_799_996_400_000)));
        assert_eq!(config.out, Out::File("/nowhere/a.gz".into()));
        let config = read(&["--before-sequence", "7", "--out", "/", "--remove"]).unwrap();
        assert!(config.remove);
        assert_eq!(
            (config.before, config.out),
            (Before::Sequence(7), Out::Folder("/".into()))
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        assert_eq!(
            read(&[
                "--feed=eth",
                "--before=1h",
                "--before-sequence=7",
                "--out=/dev/null"
            ])
            .unwrap_err(),
            [
                "--before-sequence: \"7\" is given together with --before: keep one of them",
                "--feed: \"eth\" is not a feed: expected two codes of 2 to 10 capital letters or digits with a slash between, \
                 like ETH/USD",
                "--out: \"/dev/null\" is there already: name a file that does not exist yet, or a folder",
            ]
        );
        assert_eq!(
            read(&[]).unwrap_err(),
            [
                "--before: is missing: write a time, like 2026-01-31 or 720h, or give --before-sequence",
                "--out: is missing: name the file to make, or a folder",
            ]
        );
    }
}
