//! `quorate check`: a node's settings, of which files that cannot be used and rules that are broken are verdicts and no misuse.

use std::path::PathBuf;

use clap::Args;

use super::{
    node::{NodeArgs, NodeParts},
    problems::{Problem, Problems},
    values::choice,
};
use crate::check::Grade;

/// Files that hold secrets, by the settings that name them.
const SECRET_FILES: [&str; 6] = [
    "key-file",
    "key-password-file",
    "network-secret-file",
    "coingecko-key-file",
    "database-url-file",
    "database-password-file",
];

/// Without it there is nothing to check: that is misuse.
const NEEDED: &str = "database-url";

/// Everything that `quorate node` takes, and two more.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    node: NodeArgs,

    /// table, or json: one object with all measured values
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = choice(OUTPUTS), help_heading = "Check")]
    output: CheckOutput,

    /// From which verdict on the exit code is 1: fair, poor or fail
    #[arg(long, value_name = "VERDICT", default_value = "fail", value_parser = choice(VERDICTS), help_heading = "Check")]
    fail_on: Grade,
}

const OUTPUTS: &[(&str, CheckOutput)] = &[("table", CheckOutput::Table), ("json", CheckOutput::Json)];
const VERDICTS: &[(&str, Grade)] = &[
    ("fair", Grade::Fair),
    ("poor", Grade::Poor),
    ("fail", Grade::Fail),
];

/// In which form verdicts are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What to check, and what is wrong with it at first sight.
#[derive(Debug, Clone)]
pub(crate) struct CheckConfig {
    /// The node, as far as it could be configured.
    pub(crate) node: NodeParts,
    /// The settings that would keep it from starting.
    pub(crate) problems: Vec<(String, Problem)>,
    /// What it would warn of.
    pub(crate) warnings: Vec<String>,
    /// The files with secrets that are named, each with its setting.
    pub(crate) secret_files: Vec<(&'static str, PathBuf)>,
    /// The form.
    pub(crate) output: CheckOutput,
    /// From this verdict on the exit code is 1.
    pub(crate) fail_on: Grade,
}

impl CheckArgs {
    /// Looks at all that the settings name; makes and changes nothing.
    pub(crate) fn resolve(self, problems: &mut Problems) -> Option<CheckConfig> {
        // What is no duration, no address, no number is misuse, as for a node.
        let is_misused = problems.has_others_than(&SECRET_FILES);
        let node = self.node.look(problems);
        if is_misused {
            return None;
        }
        let secret_files = SECRET_FILES.iter().filter_map(|name| {
            let path = problems.values(name).first()?;
            Some((*name, PathBuf::from(path)))
        });
        Some(CheckConfig {
            secret_files: secret_files.collect(),
            node,
            problems: problems.take(|name| name != NEEDED),
            warnings: problems.take_warnings(),
            output: self.output,
            fail_on: self.fail_on,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<CheckConfig, Vec<String>> {
        testing::read(words, CheckArgs::resolve).map(|(config, _)| config)
    }

    const DATABASE: &str = "--database-url=postgres://q:hunter2@db/prices";

    #[test]
    fn files_that_cannot_be_used_are_found_and_values_that_are_none_are_misuse() {
        let found = read(&[DATABASE, "--key-file=/nowhere", "--members=/nowhere"]).unwrap();
        let names: Vec<&str> = found.problems.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["members", "key-file"]);
        assert!(found.node.key.is_none() && found.node.agreement.members.is_none());
        let missing = read(&["--database-url-file=/nowhere"]).unwrap();
        assert_eq!(missing.problems[0].0, "database-url-file");
        for (words, problems) in [
            (&[DATABASE, "--write-interval=30", "--key-file=/nowhere"][..], 2),
            (&["--key-file=/nowhere"], 1),
        ] {
            assert_eq!(read(words).unwrap_err().len(), problems, "{words:?}");
        }
    }

    #[test]
    fn a_key_that_the_node_would_make_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let name = format!("--key-file={}", file.display());
        let config = read(&[DATABASE, &name, "--create-key"]).unwrap();
        assert!(config.node.key.unwrap().is_new && config.problems.is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
