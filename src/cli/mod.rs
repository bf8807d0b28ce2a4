//! The command line: from arguments to a [`Command`] that can be run.

mod command;
mod help;
mod parse;

pub(crate) use command::Command;
pub(crate) use parse::{Invocation, Refusal, parse};
