//! What rounds wants done, and what it wants known.

use std::time::Duration;

use super::Quoted;
use crate::{
    address::Address,
    cosign::Refusal,
    digest::Digest,
    equivocation::ProvenEquivocation,
    observation::Observation,
    price::Price,
    report::{Certificate, Report},
    time::{Instant, UnixMillis},
};

/// What the shell must carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the signer to vouch for this observation.
    CoSign {
        /// What to sign.
        observation: Observation,
        /// Its digest.
        digest: Digest,
    },
    /// Sign this price of our own, and gossip it.
    State(Quoted),
    /// Gossip this report: it carries our new signature.
    Publish(Report),
    /// Tell the network why we do not sign an observation.
    Object {
        /// Which.
        digest: Digest,
        /// Whose.
        observer: Address,
        /// The reason's name.
        reason: &'static str,
    },
    /// Tell the network that an observer made two statements for one window.
    Accuse(ProvenEquivocation),
    /// Keep this proof in the database.
    KeepEvidence(ProvenEquivocation),
    /// Write this certificate to the database.
    Write(Certificate),
    /// Tell the network that we wrote this.
    Announce {
        /// What was written.
        certificate: Certificate,
        /// When, by the database's clock.
        written_at: UnixMillis,
    },
    /// Ask the database for the last record.
    AskLastRecord,
    /// Have a price at hand at this moment.
    FetchFor(Instant),
    /// Have a price soon: newcomers have not heard the last one.
    FetchAnew,
    /// Something an operator may want to read.
    Note(Note),
}

/// What happened, for logs, metrics and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This node vouched for an observation.
    CoSigned {
        /// Which.
        digest: Digest,
        /// Whose.
        observer: Address,
        /// Its price.
        price: Price,
        /// Valid signatures with ours.
        signatures: usize,
        /// Signatures that make a quorum.
        required: usize,
    },
    /// This node does not vouch for an observation.
    Refused {
        /// Which.
        digest: Digest,
        /// Whose.
        observer: Address,
        /// Why.
        refusal: Refusal,
    },
    /// Another node does not vouch for an observation.
    RefusedElsewhere {
        /// Which.
        digest: Digest,
        /// Whose.
        observer: Address,
        /// Who refused.
        node: Address,
        /// Why.
        reason: &'static str,
    },
    /// An observer made two statements for one window, and is in quarantine.
    Equivocated {
        /// Who.
        observer: Address,
        /// One digest that it signed.
        first: Digest,
        /// The other.
        second: Digest,
        /// For how long it stays there.
        quarantine: Duration,
    },
    /// A report is a certificate.
    Quorum {
        /// Which.
        digest: Digest,
        /// Its price.
        price: Price,
        /// Valid signatures.
        signatures: usize,
        /// Signatures that make a quorum.
        required: usize,
        /// Since this node first saw the observation.
        took: Duration,
    },
    /// Every observation had its chance and none is quorate.
    Waiting {
        /// Most signatures that one has.
        signatures: usize,
        /// Signatures that make a quorum.
        required: usize,
        /// Nodes known to be alive, this one among them.
        live: usize,
        /// Validators' signatures that are missing, whatever the number of all.
        validators_missing: usize,
    },
    /// A record was written.
    Written {
        /// Which.
        digest: Digest,
        /// By whom.
        writer: Address,
        /// Its price.
        price: Price,
        /// Its signatures.
        signatures: usize,
        /// From the observation to the news of the record, by this node's calendar.
        age: Duration,
        /// From when this node first saw the observation to the news of the record; `None` if it had not seen it.
        took: Option<Duration>,
        /// From the moment at which the window opened to the news of the record; `None` if this node did not know the window.
        late: Option<Duration>,
    },
    /// The database would not take a second record in one window.
    TooSoon {
        /// Which certificate.
        digest: Digest,
        /// Age of the last record.
        last_age: Duration,
    },
    /// A fresher certificate took the place of one that was not written.
    Superseded {
        /// The older one.
        digest: Digest,
    },
    /// The database did not take the certificate, and never will.
    WriteRefused {
        /// Which.
        digest: Digest,
        /// What it said.
        reason: String,
    },
    /// The database does not answer.
    DatabaseLost {
        /// What it said last.
        reason: String,
        /// When it is asked again.
        retry_in: Duration,
    },
    /// The database answers again.
    DatabaseBack {
        /// After how long.
        outage: Duration,
    },
    /// Somebody announced a record that the database does not have.
    FalseWritten {
        /// Which.
        digest: Digest,
        /// Who said so.
        writer: Address,
    },
}
