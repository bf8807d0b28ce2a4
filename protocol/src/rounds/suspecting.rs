//! Rule 6, and what is told about nodes that do not do as they should.

use std::{collections::BTreeMap, time::Duration};

use super::{Effect, Mark, Note, Now, Rounds, candidate::Mine};
use crate::{
    address::Address, cosign::Refusal, digest::Digest, equivocation::ProvenEquivocation,
    refusal_notice::RefusalNotice, time::Instant,
};

/// Refusals told to the network within a window. A third of a large network may lie, and one reason each is enough.
const MAX_OBJECTIONS: usize = 16;

/// Which refusals were told to the network lately: each observer and reason once in a window.
#[derive(Debug, Default)]
pub(super) struct Objections {
    told: BTreeMap<(Address, &'static str), Instant>,
}

impl Objections {
    /// Whether this one is worth a message now.
    fn admit(&mut self, observer: Address, reason: &'static str, now: Instant, window: Duration) -> bool {
        self.told.retain(|_, at| now.since(*at) < window);
        if self.told.len() >= MAX_OBJECTIONS || self.told.contains_key(&(observer, reason)) {
            return false;
        }
        self.told.insert((observer, reason), now);
        true
    }
}

impl Rounds {
    /// This node does not vouch for an observation. The same reason is told once.
    pub(super) fn decline(&mut self, digest: Digest, observer: Address, refusal: Refusal, now: Now) {
        let label = refusal.label();
        let Some(candidate) = self.candidates.get_mut(&digest) else {
            return;
        };
        candidate.mine = Mine::Declined {
            may_change: refusal.may_change(),
        };
        if candidate.declined_for.replace(label) == Some(label) {
            return;
        }
        if let Refusal::Deviates {
            deviation_bps,
            limit_bps,
            ..
        } = refusal
            && deviation_bps > limit_bps.saturating_mul(2)
        {
            candidate.outlier_signers.get_or_insert_default();
            self.tell_on_signers(digest);
        }
        if !refusal.is_abstention() {
            self.ledger.mark(observer, Mark::Refused(label));
            if self
                .objections
                .admit(observer, label, now.instant, self.settings.write_interval)
            {
                self.effects.push(Effect::Object {
                    digest,
                    observer,
                    reason: label,
                });
            }
        }
        self.note(Note::Refused {
            digest,
            observer,
            refusal,
        });
    }

    /// Whoever co-signs a price that is far off is noted, once for each observation.
    pub(super) fn tell_on_signers(&mut self, digest: Digest) {
        let Some(candidate) = self.candidates.get_mut(&digest) else {
            return;
        };
        let Some(told) = &mut candidate.outlier_signers else {
            return;
        };
        let observer = candidate.report.observation().observer();
        for signer in candidate.report.signatures().keys() {
            if *signer != observer && told.insert(*signer) {
                self.ledger.mark(*signer, Mark::SignedOutlier);
            }
        }
    }

    /// Another node says that it does not vouch for an observation.
    pub fn on_refusal(&mut self, notice: &RefusalNotice, now: Now) -> Vec<Effect> {
        self.heard(notice.node, now);
        let mark = Mark::elsewhere(&notice.reason);
        self.ledger.mark(notice.observer, mark);
        self.note(Note::RefusedElsewhere {
            digest: notice.observation,
            observer: notice.observer,
            node: notice.node,
            reason: mark.label(),
        });
        self.advance(now)
    }

    /// An observer made two statements for one window. `is_ours`: this node found the proof, and nobody has told the others.
    pub fn on_equivocation(&mut self, proof: ProvenEquivocation, is_ours: bool, now: Now) -> Vec<Effect> {
        let observer = proof.observer();
        let (first, second) = proof.statements();
        if *first.observation().feed() == self.settings.feed {
            let is_news = self.quarantined.left(&observer, now.instant).is_none();
            self.quarantined
                .put(observer, now.instant + self.settings.quarantine);
            self.candidates
                .retain(|_, c| c.certified.is_some() || c.report.observation().observer() != observer);
            // Told again while it goes on: two nodes with one key may not hear of each other otherwise.
            let window = self.settings.write_interval;
            if is_ours
                && self
                    .objections
                    .admit(observer, "equivocation", now.instant, window)
            {
                self.effects.push(Effect::Accuse(proof.clone()));
            }
            if is_news {
                self.ledger.mark(observer, Mark::Equivocated);
                self.note(Note::Equivocated {
                    observer,
                    first: first.digest(),
                    second: second.digest(),
                    quarantine: self.settings.quarantine,
                });
                self.effects.push(Effect::KeepEvidence(proof));
            }
        }
        self.advance(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_in_a_window_and_not_without_bound() {
        let (window, mut objections) = (Duration::from_secs(30), Objections::default());
        let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
        let node = |n| Address::new([n; 20]);
        assert!(objections.admit(node(1), "price_deviates", at(0), window));
        assert!(!objections.admit(node(1), "price_deviates", at(29), window));
        assert!(objections.admit(node(1), "observation_stale", at(29), window));
        assert!(objections.admit(node(1), "price_deviates", at(30), window));
        let told = (2..100).filter(|n| objections.admit(node(*n), "price_deviates", at(31), window));
        assert_eq!(told.count(), MAX_OBJECTIONS - 2);
    }
}
