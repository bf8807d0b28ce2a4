//! What came of an attempt to write a certificate.

use std::time::Duration;

use quorate_protocol::UnixMillis;

use crate::last_record::LastRecord;

/// The database's answer. The first three tell the Aggregator when the next window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the database, with its signatures.
    Written {
        /// When, by the database's clock.
        written_at: UnixMillis,
        /// How long ago that was when the answer was made.
        age: Duration,
    },
    /// It stood there already: another node wrote it, or we did and did not hear the answer.
    Duplicate {
        /// The feed's last record: this one, or a later one.
        last: Option<LastRecord>,
    },
    /// The write window is still closed.
    TooSoon {
        /// The record that the window counts from.
        last: Option<LastRecord>,
    },
    /// The database cannot be reached or did not answer; it may have written the certificate all the same. To be
    /// retried: the digest is unique, so nothing is written twice.
    Unavailable {
        /// What went wrong.
        reason: String,
    },
    /// The database said no, and will say no again: too few signatures for its minimum, or the wrong role.
    Refused {
        /// The database's words.
        reason: String,
    },
}
