//! The DbWriter: the only actor that writes to Postgres.

mod actor;
mod messages;

pub use actor::{DbWriter, Neighbours, Terms};
pub use messages::DbWriterMessage;
