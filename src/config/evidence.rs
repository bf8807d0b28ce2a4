//! `quorate evidence`: which proofs to show, and how.

use clap::Args;
use quorate_protocol::Address;
use quorate_store::{DatabaseUrl, MAX_EQUIVOCATIONS};

use super::{
    database::DatabaseArgs,
    prices::OutputArgs,
    problems::Problems,
    values::{number, parsed},
};
use crate::show::Output;

/// Everything that can be asked, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Proofs")]
pub(crate) struct EvidenceArgs {
    /// Only proofs against this node
    #[arg(long, value_name = "ADDRESS", value_parser = parsed::<Address>("an address"))]
    observer: Option<Address>,

    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value = "20", value_parser = number(1..=MAX_EQUIVOCATIONS))]
    limit: u32,

    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Which proofs to show, and how.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceConfig {
    /// `postgres://…`; a role that can read is enough.
    pub(crate) database_url: DatabaseUrl,
    /// `None`: against anybody.
    pub(crate) observer: Option<Address>,
    /// At most this many.
    pub(crate) limit: u32,
    /// The form.
    pub(crate) output: Output,
}

impl EvidenceArgs {
    /// Reads the database's address.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<EvidenceConfig> {
        Some(EvidenceConfig {
            database_url: self.database.resolve(problems)?,
            observer: self.observer,
            limit: self.limit,
            output: self.output.resolve(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<EvidenceConfig, Vec<String>> {
        let words = [&["--database-url", "postgres://db"], words].concat();
        testing::read(&words, EvidenceArgs::resolve).map(|(config, _)| config)
    }

    #[test]
    fn the_newest_twenty_against_anybody_as_a_table() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.observer, config.limit, config.output),
            (None, 20, Output::Table { full: false })
        );
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        assert_eq!(
            read(&["--observer=0x12", "--limit=1001", "--output=xml"]).unwrap_err(),
            [
                "--observer: \"0x12\" is not an address: expected 40 hex digits after 0x, found 2",
                "--limit: \"1001\" is out of range: write a number from 1 to 1000",
                "--output: \"xml\" is not one of the choices: write table, json, csv",
            ]
        );
    }
}
