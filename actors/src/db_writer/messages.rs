//! What the DbWriter is told, grouped by who tells it.

use actix::Message;
use quorate_protocol::{Committee, rounds::StoreRequest};

/// The one kind of message that goes to the DbWriter.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum DbWriterMessage {
    /// Aggregator: a certificate to write, a question, or a proof to keep.
    Request(StoreRequest),

    /// The members file: from now on, others count.
    CommitteeIs(Committee),
}
