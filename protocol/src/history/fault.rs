//! What can be wrong with a history, as data: a label to count by, a line with the values, and what it means.

use std::time::Duration;

use crate::{address::Address, digest::Digest, link::LinkError, record::RecordFault};

/// Something that does not hold. `Display` is the short form, with both values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no record at all.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file says, or shows, that it was longer.
    #[error("the file ends too early: {0}")]
    Truncated(String),
    /// The record does not prove itself.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// It is good for somebody else.
    #[error("the record is of the network {found}, the others are of {expected}")]
    OtherNetwork {
        /// The record's.
        found: String,
        /// The one that was asked for, or that of the first record.
        expected: String,
    },
    /// Somebody who does not count has signed.
    #[error("{0} has signed, who is not among the members")]
    Stranger(Address),
    /// Too few have signed.
    #[error("{found} distinct signatures, {required} are required")]
    TooFewSignatures {
        /// How many there are.
        found: usize,
        /// How many the rule asks for.
        required: usize,
    },
    /// Too few validators have signed.
    #[error("{missing} more signatures of validators are required")]
    TooFewValidators {
        /// How many more the rule asks for.
        missing: usize,
    },
    /// The record names a validator among its signers who is none of them.
    #[error("{0} is named as a validator and has not signed")]
    ValidatorNotSigned(Address),
    /// Numbers are missing.
    #[error("{}", missing(*first, *last))]
    Gap {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
    },
    /// The record follows another one than the one that stands before it.
    #[error("record {sequence} follows {named}, the record before it is {found}")]
    Link {
        /// The later record's number.
        sequence: u64,
        /// What it names.
        named: Digest,
        /// The digest of the record before it.
        found: Digest,
    },
    /// The same record once more.
    #[error("record {0} stands twice")]
    Doubled(u64),
    /// Two records with one number, both genuine.
    #[error("there are two records {sequence}: {one} and {other}")]
    Fork {
        /// The number of both.
        sequence: u64,
        /// The first that was met.
        one: Digest,
        /// The other.
        other: Digest,
    },
    /// The records are not in the order of their numbers.
    #[error("record {found} stands behind record {after}")]
    Order {
        /// The record's number.
        found: u64,
        /// The number of the one before it.
        after: u64,
    },
    /// Two records are nearer to each other than the write interval allows.
    #[error("written {apart:?} after the record before it, the write interval is {interval:?}")]
    Spacing {
        /// How far they are apart; zero if the later one is dated earlier.
        apart: Duration,
        /// The least that is allowed.
        interval: Duration,
    },
}

fn missing(first: u64, last: u64) -> String {
    if first == last {
        format!("record {first} is missing")
    } else {
        format!("records {first} to {last} are missing")
    }
}

impl Fault {
    /// Every label, from what is read first to what is judged last; docs/verifying.md has a row for each.
    pub const LABELS: [&'static str; 18] = [
        "unreadable",
        "truncated",
        "place",
        "network",
        "price",
        "digest",
        "signature",
        "observer",
        "signer",
        "quorum",
        "validators",
        "validator",
        "gap",
        "link",
        "doubled",
        "fork",
        "order",
        "spacing",
    ];

    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        self.explained().0
    }

    /// What it says about the records, in a sentence.
    pub fn meaning(&self) -> &'static str {
        self.explained().1
    }

    fn explained(&self) -> (&'static str, &'static str) {
        use RecordFault as R;
        match self {
            Self::Unreadable(_) => (
                "unreadable",
                "Nothing can be said of what is written there: it has been damaged, or is no record.",
            ),
            Self::Truncated(_) => (
                "truncated",
                "A part of the file is missing; what is there was checked.",
            ),
            Self::Record(R::Link(LinkError::Sequence(_) | LinkError::Previous { .. })) => (
                "place",
                "No record can stand there: its number or the record that it follows has been changed.",
            ),
            Self::Record(R::Network(_)) | Self::OtherNetwork { .. } => (
                "network",
                "Its signatures, if they are good at all, were made for another network.",
            ),
            Self::Record(R::Price { .. }) => (
                "price",
                "The price has been changed: it is not the median of the quotes that were signed with it.",
            ),
            Self::Record(R::Digest { .. }) => (
                "digest",
                "The digest or something that it covers has been changed: number, previous record, time, observer or a quote.",
            ),
            Self::Record(R::Signature(_)) => (
                "signature",
                "The signature or the signer's address has been changed, or the signer never signed this.",
            ),
            Self::Record(R::ObserverMissing(_)) => (
                "observer",
                "Whoever is said to have stated the price has not signed it: a signature was taken away.",
            ),
            Self::Stranger(_) => (
                "signer",
                "Somebody outside of the network has signed, or the list of members lacks a former member.",
            ),
            Self::TooFewSignatures { .. } => (
                "quorum",
                "Signatures were taken away, or the record was written when fewer were required.",
            ),
            Self::TooFewValidators { .. } => (
                "validators",
                "Signatures were taken away, or the record was written when fewer validators were required.",
            ),
            Self::ValidatorNotSigned(_) => (
                "validator",
                "The list of validators has been changed, or a signature was taken away.",
            ),
            Self::Gap { .. } => (
                "gap",
                "Records of the network have been removed, or are in another file.",
            ),
            Self::Link { .. } => (
                "link",
                "One of the two belongs to another history: what stood there has been replaced.",
            ),
            Self::Doubled(_) => ("doubled", "The same record is there twice: a copy was inserted."),
            Self::Fork { .. } => (
                "fork",
                "The network has signed two histories, as after a failover that lost a record; only one of them goes on.",
            ),
            Self::Order { .. } => (
                "order",
                "Records have been moved, or files are given in another order.",
            ),
            Self::Spacing { .. } => (
                "spacing",
                "The time of writing, which nobody signs, has been changed; or the interval was shorter then.",
            ),
        }
    }
}
