//! The reports of the running round: each observation with the signatures that are known, until one is a certificate.

use std::collections::BTreeMap;

use super::effect::{Note, Outbox};
use crate::{
    address::Address,
    digest::Digest,
    report::{Certificate, VerifiedReport},
    time::{Instant, UnixMillis},
};

/// Candidates kept: one for each live observer and its certificates. Beyond it the oldest gives way.
const MAX_CANDIDATES: usize = 256;

/// One observation that may become the next record.
#[derive(Debug)]
pub(super) struct Candidate {
    report: VerifiedReport,
    first_seen: Instant,
    certified: Option<Certified>,
}

/// What a candidate becomes with a quorum. Later signatures are not added to it.
#[derive(Debug)]
pub(super) struct Certified {
    certificate: Certificate,
    at: Instant,
}

impl Candidate {
    pub(super) fn report(&self) -> &VerifiedReport {
        &self.report
    }

    pub(super) fn observer(&self) -> Address {
        self.report.observation().observer()
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.report.observation().observed_at()
    }

    /// When this node first heard of the observation.
    pub(super) fn first_seen(&self) -> Instant {
        self.first_seen
    }

    pub(super) fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }
}

impl Certified {
    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// When it became one here.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.certificate.report().observation().observed_at()
    }
}

/// The observations of the running round, at most one of each observer besides certificates.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_digest: BTreeMap<Digest, Candidate>,
}

impl Candidates {
    pub(super) fn len(&self) -> usize {
        self.by_digest.len()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Candidate> {
        self.by_digest.get(digest)
    }

    /// Those that are no certificates yet.
    pub(super) fn open(&self) -> impl Iterator<Item = (Digest, &Candidate)> {
        let open = self.by_digest.iter().filter(|(_, c)| c.certified.is_none());
        open.map(|(digest, candidate)| (*digest, candidate))
    }

    /// The certificate with the freshest price.
    pub(super) fn best(&self) -> Option<&Certified> {
        self.by_digest
            .values()
            .filter_map(Candidate::certified)
            .max_by_key(|certified| (certified.observed_at(), certified.certificate.digest()))
    }

    /// Whether the observer of this report has said something newer: messages overtake each other.
    pub(super) fn has_newer(&self, report: &VerifiedReport) -> bool {
        let observation = report.observation();
        self.by_digest
            .values()
            .any(|c| c.observer() == observation.observer() && c.observed_at() > observation.observed_at())
    }

    /// Takes a report in. Signatures of a known observation are merged; a new observation replaces its observer's older one,
    /// unless that is a certificate. Whether it is new.
    pub(super) fn add(&mut self, report: VerifiedReport, now: Instant) -> bool {
        let digest = report.digest();
        if let Some(known) = self.by_digest.get_mut(&digest) {
            known.report.merge(&report);
            return false;
        }
        self.forget_observer(report.observation().observer());
        if self.by_digest.len() >= MAX_CANDIDATES {
            let oldest = self.by_digest.iter().min_by_key(|(_, c)| c.first_seen);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.by_digest.remove(&oldest);
            }
        }
        let candidate = Candidate {
            report,
            first_seen: now,
            certified: None,
        };
        self.by_digest.insert(digest, candidate);
        true
    }

    /// Marks a candidate as a certificate, and drops the older certificates that it supersedes, but not the one `in_flight`
    /// to the database.
    pub(super) fn certify(
        &mut self,
        certificate: Certificate,
        required: usize,
        in_flight: Option<Digest>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let digest = certificate.digest();
        let Some(candidate) = self.by_digest.get_mut(&digest) else {
            return;
        };
        let observed_at = candidate.observed_at();
        out.note(Note::Quorum {
            digest,
            price: candidate.report.observation().price(),
            signatures: candidate.report.signatures().len(),
            required,
            took: now.since(candidate.first_seen),
        });
        candidate.certified = Some(Certified { certificate, at: now });
        let superseded = self.by_digest.iter().filter(|(other, c)| {
            c.certified.is_some() && c.observed_at() < observed_at && Some(**other) != in_flight
        });
        let superseded: Vec<Digest> = superseded.map(|(digest, _)| *digest).collect();
        for digest in superseded {
            self.by_digest.remove(&digest);
            out.note(Note::Superseded { digest });
        }
    }

    /// Takes back a certificate whose record was announced and does not stand: good all the same, and to be written.
    pub(super) fn restore(&mut self, certificate: Certificate, now: Instant) {
        let candidate = Candidate {
            report: certificate.report().clone(),
            first_seen: now,
            certified: Some(Certified { certificate, at: now }),
        };
        self.by_digest.insert(candidate.report.digest(), candidate);
    }

    /// Forgets what an observer said, but for certificates.
    pub(super) fn forget_observer(&mut self, observer: Address) {
        self.by_digest
            .retain(|_, c| c.certified.is_some() || c.observer() != observer);
    }

    /// Forgets what was first seen before a window's observations began to count.
    pub(super) fn forget_before(&mut self, counts_from: Instant) {
        self.by_digest.retain(|_, c| c.first_seen >= counts_from);
    }

    /// Forgets what nobody would sign any more, being first seen before `oldest`; a certificate stays until it is written or
    /// superseded.
    pub(super) fn forget_lapsed(&mut self, oldest: Instant) {
        self.by_digest
            .retain(|_, c| c.certified.is_some() || c.first_seen >= oldest);
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        self.by_digest.remove(digest);
    }

    pub(super) fn clear(&mut self) {
        self.by_digest.clear();
    }
}
