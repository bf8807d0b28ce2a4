//! One observation on its way to a quorum.

use std::collections::BTreeSet;

use crate::{
    address::Address,
    report::{Certificate, VerifiedReport},
    time::{Instant, UnixMillis},
};

/// What this node did about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mine {
    /// Nothing yet.
    Undecided,
    /// The signer was asked.
    Asked,
    /// Its signature is in the report.
    Signed,
    /// It does not vouch for it; a newer price of its own, or news of who is alive, may change that.
    Declined {
        /// Whether it may.
        may_change: bool,
    },
}

/// An observation and the signatures that are known.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) report: VerifiedReport,
    pub(super) first_seen: Instant,
    pub(super) mine: Mine,
    /// The reason for which it was declined last.
    pub(super) declined_for: Option<&'static str>,
    /// Whether its price is far from ours: its signers are told on, and those who were.
    pub(super) outlier_signers: Option<BTreeSet<Address>>,
    /// When this node began to court it, if it did.
    pub(super) courted: Option<Instant>,
    pub(super) certified: Option<Certified>,
}

/// What a candidate becomes with a quorum. Later signatures are not added to it.
#[derive(Debug)]
pub(super) struct Certified {
    pub(super) certificate: Certificate,
    pub(super) at: Instant,
}

impl Certified {
    pub(super) fn observed_at(&self) -> UnixMillis {
        self.certificate.report().observation().observed_at()
    }
}

impl Candidate {
    pub(super) fn new(report: VerifiedReport, now: Instant, mine: Mine) -> Self {
        Self {
            report,
            first_seen: now,
            mine,
            declined_for: None,
            outlier_signers: None,
            courted: None,
            certified: None,
        }
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.report.observation().observed_at()
    }
}
