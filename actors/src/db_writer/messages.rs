//! What the DbWriter is told, grouped by who tells it.

use actix::Message;
use quorate_protocol::{Certificate, Committee, Feed, ProvenEquivocation};

/// The one kind of message that goes to the DbWriter.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum DbWriterMessage {
    /// Aggregator: write this certificate.
    Write(Certificate),
    /// Aggregator: what is the last record of this feed?
    AskLastRecord(Feed),
    /// Aggregator: keep this proof.
    KeepEvidence(ProvenEquivocation),

    /// The members file: from now on, others count.
    CommitteeIs(Committee),
}
