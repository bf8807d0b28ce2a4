//! For the tests of this folder: a configuration from flags alone.

use super::{
    layers::Layers,
    problem::Problem,
    reader::{Reader, Resolved},
};

/// Reads with these flags; the problems as the lines that a user sees.
pub(crate) fn read<T>(
    flags: &[(&'static str, &[&str])],
    resolve: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<Resolved<T>, Vec<String>> {
    let flags = flags
        .iter()
        .map(|(name, values)| (*name, values.iter().map(ToString::to_string).collect()));
    let layers = Layers {
        flags: flags.collect(),
        ..Layers::default()
    };
    let mut reader = Reader::new(&layers, Vec::new());
    let config = resolve(&mut reader);
    reader
        .finish(config)
        .map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

/// A members file that lists these addresses.
pub(crate) fn members(addresses: &[&str]) -> String {
    let list = |(index, address)| format!("[[member]]\nname = \"node-{index}\"\naddress = \"{address}\"\n");
    addresses.iter().enumerate().map(list).collect()
}
