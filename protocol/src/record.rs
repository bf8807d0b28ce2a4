//! Records: certificates as they stand in the database, and what the database answers about them.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    digest::Digest,
    evidence::Evidence,
    link::{Link, LinkError},
    names::{Feed, Network},
    observation::{self, Observation},
    price::Price,
    signing::{Attestation, VerifyError},
    time::UnixMillis,
};

/// A record as it is stored. Whoever reads it need not trust where it comes from: [`Record::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What is priced.
    pub feed: Feed,
    /// Its number among the records of its feed, from 1.
    pub sequence: u64,
    /// The digest of the record before it; zeros for the first.
    pub previous: Digest,
    /// What was signed.
    pub digest: Digest,
    /// The price.
    pub price: Price,
    /// When it was observed, by the observer's clock.
    pub observed_at: UnixMillis,
    /// Who states it.
    pub observer: Address,
    /// The quotes behind it.
    pub evidence: Evidence,
    /// The network that the signatures are for.
    pub network: String,
    /// When it was written, by the database's clock.
    pub written_at: UnixMillis,
    /// Who wrote it, by its own word.
    pub written_by: Address,
    /// Who signed, in ascending order of signers' texts.
    pub signatures: Vec<Attestation>,
    /// Which of the signers are validators: by the owner's list of members if there is one, else by the writer's word.
    #[serde(default)]
    pub validators: BTreeSet<Address>,
}

/// What makes a record worthless: somebody has changed it, or it was never right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// No record can have this place.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No network can have this name.
    #[error("{0:?} is no network's name")]
    Network(String),
    /// The price does not follow from the quotes.
    #[error("the price is {price}, the median of its quotes is {median}")]
    Price {
        /// As recorded.
        price: Price,
        /// As computed.
        median: Price,
    },
    /// The digest does not follow from the contents.
    #[error("the digest is {recorded}, the contents hash to {computed}")]
    Digest {
        /// As recorded.
        recorded: Digest,
        /// As computed.
        computed: Digest,
    },
    /// A signature is not its signer's.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// The observer has not signed.
    #[error("the observer {0} has not signed")]
    ObserverMissing(Address),
}

impl Record {
    /// What the observer stated. Its price is the median of the quotes, whatever [`Record::price`] says.
    ///
    /// # Errors
    /// There can be no record with this sequence and this previous digest.
    pub fn observation(&self) -> Result<Observation, LinkError> {
        let link = Link::new(self.sequence, self.previous)?;
        Ok(Observation::new(
            self.feed.clone(),
            link,
            self.observed_at,
            self.observer,
            self.evidence.clone(),
        ))
    }

    /// Checks price, digest and every signature; returns the distinct signers. Whether they are members and enough of
    /// them is the caller's to say.
    ///
    /// # Errors
    /// The first thing that is wrong, with both values. Then nothing in the record is worth anything.
    pub fn verify(&self) -> Result<BTreeSet<Address>, RecordFault> {
        self.verify_in(&self.network()?)
    }

    /// The network that the signatures are for.
    pub(crate) fn network(&self) -> Result<Network, RecordFault> {
        self.network
            .parse()
            .map_err(|_| RecordFault::Network(self.network.clone()))
    }

    /// The same, with the record's network at hand.
    pub(crate) fn verify_in(&self, network: &Network) -> Result<BTreeSet<Address>, RecordFault> {
        let Self {
            feed,
            price,
            observed_at,
            observer,
            evidence,
            ..
        } = self;
        let link = Link::new(self.sequence, self.previous)?;
        let median = evidence.median();
        if median != *price {
            return Err(RecordFault::Price {
                price: *price,
                median,
            });
        }
        let computed = observation::digest(network, feed, link, median, *observed_at, observer, evidence);
        if computed != self.digest {
            return Err(RecordFault::Digest {
                recorded: self.digest,
                computed,
            });
        }
        for attestation in &self.signatures {
            attestation.verify(computed)?;
        }
        let signers: BTreeSet<Address> = self.signatures.iter().map(|by| by.signer).collect();
        if signers.contains(&self.observer) {
            Ok(signers)
        } else {
            Err(RecordFault::ObserverMissing(self.observer))
        }
    }
}

/// The record that a feed's write window counts from, and that the next one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its number among the records of its feed, from 1.
    pub sequence: u64,
    /// The record before it; zeros for the first.
    pub previous: Digest,
    /// Which one it is.
    pub digest: Digest,
    /// How long ago it was written, computed by the database: the node's own clock has no part in it.
    pub age: Duration,
    /// Its price.
    pub price: Price,
    /// When the price was observed, by the observer's clock.
    pub observed_at: UnixMillis,
    /// Who wrote it, by its own word.
    pub written_by: Address,
    /// How many signed it.
    pub signatures: usize,
}

/// What came of an attempt to write a certificate. The first three tell when the next window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It stands in the database, with its signatures.
    Written {
        /// When, by the database's clock.
        written_at: UnixMillis,
    },
    /// It stood there already: another node wrote it, or we did and did not hear the answer.
    Duplicate {
        /// The feed's last record: this one, or a later one; `None` if it cannot be read.
        last: Option<LastRecord>,
    },
    /// The write window is still closed.
    TooSoon {
        /// The record that the window counts from; `None` if it cannot be read.
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

impl WriteOutcome {
    /// Every name of [`Self::label`].
    pub const LABELS: [&'static str; 5] = ["written", "duplicate", "too_soon", "unavailable", "refused"];

    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Written { .. } => "written",
            Self::Duplicate { .. } => "duplicate",
            Self::TooSoon { .. } => "too_soon",
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
        }
    }
}
