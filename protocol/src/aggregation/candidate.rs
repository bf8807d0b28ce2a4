//! One observation on its way to a quorum.

use crate::{
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
    /// It will not vouch for it.
    Refused,
    /// It cannot vouch for it before it has a newer price of its own.
    Abstained,
}

/// An observation and the signatures that are known.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) report: VerifiedReport,
    pub(super) first_seen: Instant,
    pub(super) mine: Mine,
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
            courted: None,
            certified: None,
        }
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.report.observation().observed_at()
    }
}
