//! Rule 3: observations and their signatures come together until one is a certificate.

use super::{
    Note, Now, Rounds,
    candidate::{Candidate, Certified, Mine},
};
use crate::{
    digest::Digest,
    report::{Certificate, VerifiedReport},
    time::Instant,
};

/// Candidates kept: one for each live observer and its certificates. Beyond it the oldest gives way.
const MAX_CANDIDATES: usize = 256;

impl Rounds {
    /// Takes a report in, merging it with what is known of its observation.
    pub(super) fn add(&mut self, report: VerifiedReport, now: Now) {
        let digest = report.digest();
        let mine = if report.signatures().contains_key(&self.settings.me) {
            Mine::Signed
        } else {
            Mine::Undecided
        };
        let is_known = self.candidates.contains_key(&digest);
        if !is_known && self.is_outdated(&report) && self.certificate_of(&report, now).is_none() {
            return;
        }
        match self.candidates.get_mut(&digest) {
            Some(candidate) => {
                candidate.report.merge(&report);
                if mine == Mine::Signed {
                    candidate.mine = mine;
                }
            }
            None => {
                // After every earlier observation had its chance, a new one begins a new round.
                if self.round_lamented {
                    self.end_round();
                }
                self.replace_older(&report);
                self.candidates
                    .insert(digest, Candidate::new(report, now.instant, mine));
            }
        }
        self.tell_on_signers(digest);
        self.certify(digest, now);
    }

    fn certificate_of(&self, report: &VerifiedReport, now: Now) -> Option<Certificate> {
        self.committees.certify(report, self.headcount.get(), now.unix)
    }

    /// Whether its observer has said something newer: messages overtake each other.
    pub(super) fn is_outdated(&self, report: &VerifiedReport) -> bool {
        let (observer, observed_at) = (
            report.observation().observer(),
            report.observation().observed_at(),
        );
        self.candidates
            .values()
            .any(|c| c.report.observation().observer() == observer && c.observed_at() > observed_at)
    }

    /// An observer's newer observation replaces its older one, unless that is a certificate already.
    pub(super) fn replace_older(&mut self, report: &VerifiedReport) {
        let observer = report.observation().observer();
        self.candidates.retain(|_, other| {
            other.certified.is_some() || other.report.observation().observer() != observer
        });
        if self.candidates.len() >= MAX_CANDIDATES
            && let Some(oldest) = self
                .candidates
                .iter()
                .min_by_key(|(_, c)| c.first_seen)
                .map(|(digest, _)| *digest)
        {
            self.candidates.remove(&oldest);
        }
    }

    /// Marks a candidate that has become a certificate, and drops the certificates that it supersedes.
    pub(super) fn certify(&mut self, digest: Digest, now: Now) {
        let uncertified = self.candidates.get(&digest).filter(|c| c.certified.is_none());
        let Some(certificate) = uncertified.and_then(|c| self.certificate_of(&c.report, now)) else {
            return;
        };
        let required = self.required();
        let Some(candidate) = self.candidates.get_mut(&digest) else {
            return;
        };
        let observed_at = candidate.report.observation().observed_at();
        let note = Note::Quorum {
            digest,
            price: candidate.report.observation().price(),
            signatures: candidate.report.signatures().len(),
            required,
            took: now.instant.since(candidate.first_seen),
        };
        candidate.certified = Some(Certified {
            at: now.instant,
            certificate,
        });
        self.note(note);
        self.end_round();
        let in_flight = self.writing.map(|(digest, _)| digest);
        let superseded: Vec<Digest> = self
            .candidates
            .iter()
            .filter(|(other, c)| {
                c.certified.is_some() && c.observed_at() < observed_at && Some(**other) != in_flight
            })
            .map(|(other, _)| *other)
            .collect();
        for older in superseded {
            self.candidates.remove(&older);
            self.note(Note::Superseded { digest: older });
        }
    }

    pub(super) fn end_round(&mut self) {
        self.round_began = None;
        self.round_lamented = false;
    }

    /// The freshest certificate at hand.
    pub(super) fn best_certificate(&self) -> Option<&Certified> {
        self.candidates
            .values()
            .filter_map(|candidate| candidate.certified.as_ref())
            .max_by_key(|certified| (certified.observed_at(), certified.certificate.digest()))
    }

    /// A new record is known: what was collected for its window has served.
    pub(super) fn begin_window(&mut self, anchor: Digest, opens: Instant) {
        self.window.anchor = anchor;
        self.window.opens = Some(opens);
        self.window.unconfirmed = None;
        self.candidates.clear();
        self.end_round();
    }
}
