//! What can be set, from where, and what every command makes of it.
//!
//! A field of the structs here is a setting: its name is the flag, the variable and the key in the file, its text is the help.
//! [`layers`] finds what was given and gives back typed values; each struct's `resolve` then checks the rules between its settings
//! and loads what they name. All that is wrong is collected in [`problems::Problems`] and reported at once.

pub(crate) mod agreement;
pub(crate) mod archive;
pub(crate) mod check;
pub(crate) mod database;
pub(crate) mod devnet;
pub(crate) mod evidence;
mod file;
pub(crate) mod gossip;
pub(crate) mod keys;
pub(crate) mod layers;
pub(crate) mod logging;
pub(crate) mod members;
pub(crate) mod migrate;
pub(crate) mod node;
pub(crate) mod packaging;
pub(crate) mod prices;
pub(crate) mod pricing;
pub(crate) mod problems;
pub(crate) mod rounds;
#[cfg(test)]
mod testing;
pub(crate) mod values;
pub(crate) mod verify;
