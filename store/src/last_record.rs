//! The record that the write window counts from.

use std::time::Duration;

use quorate_protocol::{Address, Digest, UnixMillis};

/// A feed's last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRecord {
    /// Which one it is.
    pub digest: Digest,
    /// How long ago it was written, computed by the database: the node's own clock has no part in it.
    pub age: Duration,
    /// When it was written, by the database's clock.
    pub written_at: UnixMillis,
    /// Who wrote it.
    pub written_by: Address,
}
