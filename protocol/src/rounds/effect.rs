//! What the machine wants done: a request to a neighbour, which is the message that it gets, or a note for people.

use std::time::Duration;

use crate::{
    address::Address,
    cosign::Refusal,
    digest::Digest,
    equivocation::ProvenEquivocation,
    evidence::AgreedPrice,
    heartbeat::Heartbeat,
    link::Link,
    message::Message,
    names::Feed,
    price::Price,
    report::{Certificate, VerifiedReport},
    time::{Instant, UnixMillis},
};

/// What the shell must carry out: it passes each on to whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// For whoever asks exchanges.
    Fetch(FetchRequest),
    /// For whoever has the key, and publishes what it signs.
    Sign(SignRequest),
    /// For whoever speaks to the network: it needs no signature of this node.
    Publish(Message),
    /// For whoever speaks to the database.
    Store(StoreRequest),
    /// For logs, metrics and tests.
    Note(Note),
}

/// When a price is wanted. The last wish of a feed counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchRequest {
    /// Have a price at hand at a moment; in the past: as soon as possible.
    By {
        /// What is to be priced.
        feed: Feed,
        /// When the answers should be in.
        at: Instant,
    },
    /// Have a price soon: somebody who has just begun to listen has not heard the last one. A fetch under way serves too.
    Soon(Feed),
}

/// What is to be signed, and published as soon as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignRequest {
    /// State a price as this node's observation. The answer is the report: [`super::Rounds::on_report`].
    State {
        /// The place in the feed's history that it is stated for.
        link: Link,
        /// The price.
        price: AgreedPrice,
    },
    /// Vouch for this observation, and publish the report with the signature added. The answer is
    /// [`super::Rounds::on_cosigned`].
    CoSign(VerifiedReport),
    /// Tell all that this node does not sign an observation.
    Refusal {
        /// Its digest.
        digest: Digest,
        /// Whose observation it is.
        observer: Address,
        /// The reason's name, [`Refusal::label`].
        reason: &'static str,
    },
    /// Tell all that this node has written a record.
    Written {
        /// What was written.
        certificate: Certificate,
        /// When, by the database's clock.
        written_at: UnixMillis,
    },
    /// Tell all that this node is alive. Node and signature are the signer's to fill in.
    Heartbeat(Heartbeat),
}

/// What the database is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Write this certificate. The answer is [`super::Rounds::on_write_outcome`]; this request may not be lost on its way.
    Write(Certificate),
    /// What is the last record of this feed? The answer is [`super::Rounds::on_last_record`].
    LastRecord(Feed),
    /// Keep this proof.
    KeepEquivocation(Box<ProvenEquivocation>),
    /// Keep the certificate of a record that the database had and lost, and that another one took the place of.
    KeepLost(Certificate),
}

/// What is to be done, and when the machine wants to be called again: filled by its parts, taken by the shell.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect>,
    wakeup: Option<Instant>,
}

impl Outbox {
    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }

    /// At the latest at this moment something is due.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wakeup = Some(self.wakeup.map_or(at, |earlier| earlier.min(at)));
    }

    /// Nothing is due any more; everything is looked at anew.
    pub(super) fn forget_wakeup(&mut self) {
        self.wakeup = None;
    }

    pub(super) fn wakeup(&self) -> Option<Instant> {
        self.wakeup
    }

    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

/// What is known of a node whose signature is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It refused, for this reason ([`Refusal::label`]).
    Refused(&'static str),
    /// Its clock is so far ahead in milliseconds, or behind, that others ignore what it says.
    ClockOff(i64),
    /// It was not heard in this round, and last so long ago.
    Silent(Duration),
    /// It is not known to be alive.
    Away,
    /// It was heard in this round, and has not signed in time.
    Late,
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
    /// This node does not state its own price: said once while its prices lie far from the last record.
    Withheld {
        /// Why.
        reason: Refusal,
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
    /// A quorum signed what this node would not sign, so it does not write it.
    CertificateRefused {
        /// Which.
        digest: Digest,
        /// Its price.
        price: Price,
        /// Who signed it.
        signers: Vec<Address>,
        /// Why this node would not.
        refusal: Refusal,
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
        /// Who has not signed it, and what is known of why: members, or live nodes where there are none; this one among them.
        missing: Vec<(Address, Missing)>,
        /// Whether no record is late for it: the window is still to open, or this machine has run for less than one, so that
        /// others may just be starting.
        is_early: bool,
    },
    /// A record was written.
    Written {
        /// Its number.
        sequence: u64,
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
        /// Whether it has ever answered this machine.
        was_there: bool,
        /// For how long it has not.
        since: Duration,
    },
    /// The database answers again, or for the first time.
    DatabaseBack {
        /// After how long.
        outage: Duration,
        /// Whether it had answered before.
        was_there: bool,
    },
    /// The database went back to the record before the last one, as one does that fails over to a replica that lagged.
    HistoryRewound {
        /// The lost record's number.
        sequence: u64,
        /// Which it is.
        digest: Digest,
        /// Whether this node has its certificate, and writes it again before anything else.
        is_held: bool,
    },
    /// The record that the database had lost stands again.
    HistoryHealed {
        /// Its number.
        sequence: u64,
        /// Which it is.
        digest: Digest,
    },
    /// A record that stood in the database is gone for good, and the history goes on without it.
    Forked {
        /// The lost record's number.
        sequence: u64,
        /// Which it is.
        digest: Digest,
        /// The record from which the history goes on.
        last_record: Digest,
        /// Whether this node has the lost one's certificate, and gives it to the database to keep.
        is_held: bool,
    },
    /// Somebody announced a record that the database does not have.
    FalseWritten {
        /// Which.
        digest: Digest,
        /// Who said so.
        writer: Address,
    },
}
