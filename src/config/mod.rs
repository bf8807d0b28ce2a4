//! Configuration: what can be set, from where, and what every command makes of it.
//!
//! A [`setting::Setting`] declares a name once; [`layers::Layers`] finds the texts that were given for it; the
//! [`reader::Reader`] turns them into typed values and collects everything that is wrong.

pub(crate) mod agreement;
pub(crate) mod api;
pub(crate) mod database;
pub(crate) mod devnet;
pub(crate) mod environment;
pub(crate) mod evidence;
pub(crate) mod file;
pub(crate) mod gossip;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod layers;
pub(crate) mod lifetime;
pub(crate) mod logging;
pub(crate) mod members;
pub(crate) mod migrate;
pub(crate) mod network_secret;
pub(crate) mod node;
pub(crate) mod prices;
pub(crate) mod pricing;
pub(crate) mod problem;
pub(crate) mod reader;
pub(crate) mod setting;
mod suggest;
#[cfg(test)]
mod testing;
pub(crate) mod value;
