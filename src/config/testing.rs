//! For the tests of this folder: a configuration from flags alone.

use std::ffi::OsString;

use clap::{Args, Command};

use super::{
    layers::{self, Environment},
    problems::{Problem, Problems},
};

/// Reads with these words of a command line; a configuration and its warnings, or the problems as the lines that a user sees.
pub(crate) fn read<A: Args, T>(
    words: &[&str],
    resolve: impl FnOnce(A, &mut Problems) -> Option<T>,
) -> Result<(T, Vec<String>), Vec<String>> {
    let declared = A::augment_args(Command::new("test"));
    let line = ["test"].iter().chain(words).map(OsString::from);
    let layers::Read {
        matches,
        mut problems,
        ..
    } = layers::read(declared, line, Environment::default()).unwrap();
    let config = resolve(A::from_arg_matches(&matches).unwrap(), &mut problems);
    problems
        .finish(config)
        .map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

/// A members file that lists these addresses.
pub(crate) fn members(addresses: &[&str]) -> String {
    let list = |(index, address)| format!("[[member]]\nname = \"node-{index}\"\naddress = \"{address}\"\n");
    addresses.iter().enumerate().map(list).collect()
}
