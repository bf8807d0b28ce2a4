//! A network on this machine: what these tests share. Dropped, it leaves nothing behind, and after a panic it tells its logs.

mod database;
mod exchange;
mod hostile;
mod http;
mod network;
mod node;
mod process;
mod turn;
mod wait;

use std::time::Duration;

pub(crate) use database::Replication;
pub(crate) use hostile::{Hostile, dial, is_thrown_out, meet};
pub(crate) use network::{NAME as NETWORK_NAME, Network, Plan, gaps};
pub(crate) use node::{Findings, Node, figure};
pub(crate) use wait::{eventually, let_pass, unix_now};

/// The write window of all these networks: short, so that several windows are a matter of seconds.
pub(crate) const WINDOW: Duration = Duration::from_secs(2);
/// The longest gap between two records that counts as undisturbed in spite of a fault: one window missed, on a busy machine.
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(5);
/// Generous: the machine may be busy. What is waited for takes a few seconds otherwise.
pub(crate) const SOON: Duration = Duration::from_secs(30);
