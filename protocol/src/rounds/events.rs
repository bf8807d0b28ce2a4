//! What happens to a round: an answer to each thing that a node hears, and to each answer that it gets. All end in
//! [`Rounds::advance`].

use super::{
    Effect, Note, Now, Rounds, SignRequest, StoreRequest,
    candidates::{Backing, Candidate},
    conduct::Mark,
    cosigning::Refused,
};
use crate::{
    address::Address,
    committee::{Committee, Members},
    cosign::Refusal,
    digest::Digest,
    equivocation::ProvenEquivocation,
    evidence::AgreedPrice,
    heartbeat::Heartbeat,
    message::Message,
    refusal_notice::RefusalNotice,
    report::{Certificate, VerifiedReport},
};

impl Rounds {
    /// From now on, others count. Reports in flight keep the old committee for one window.
    pub fn on_committee(&mut self, committee: Committee, now: Now) -> Vec<Effect> {
        self.peers.retain(|node| committee.members.admit(node));
        self.committees.replace(committee, now.unix);
        self.advance(now)
    }

    /// This node has a price of its own. The report of it, if it is stated, comes from the signer.
    pub fn on_own_price(&mut self, price: AgreedPrice, now: Now) -> Vec<Effect> {
        self.tally.observed(price.observed_at);
        self.own_price.take(price, &self.settings);
        self.cosigning.reconsider();
        self.reconsider_certificates(now);
        self.advance(now)
    }

    /// A report, a peer's or our own.
    pub fn on_report(&mut self, report: VerifiedReport, now: Now) -> Vec<Effect> {
        for signer in report.signatures().keys() {
            if self.counts(signer) && self.peers.saw_signature(*signer, now.instant) {
                self.on_newcomer(now);
            }
        }
        let observation = report.observation();
        let (observer, observed_at) = (observation.observer(), observation.observed_at());
        if now.unix.since(observed_at) <= self.settings.policy.max_age {
            self.hear_of(observer, now);
            self.peers.note_observation(&observer, observed_at, now);
        }
        // What is settled is of no use; what is ahead of this node may be soon.
        let next = self.history.next();
        if next.is_none_or(|next| report.observation().link().sequence() >= next.sequence()) {
            self.collect(report, now);
        }
        self.advance(now)
    }

    fn collect(&mut self, report: VerifiedReport, now: Now) {
        let digest = report.digest();
        let is_known = self.candidates.get(&digest).is_some();
        if !is_known && self.candidates.has_newer(&report) && self.certificate_of(&report, now).is_none() {
            return;
        }
        if self.candidates.add(report, now.instant) {
            self.cosigning.on_new_candidate();
        }
        self.mark_outlier_signers(digest);
        self.certify(digest, now);
    }

    fn certificate_of(&self, report: &VerifiedReport, now: Now) -> Option<Certificate> {
        self.committees.certify(report, self.peers.counted(), now.unix)
    }

    /// Looks whether a candidate has become a certificate that this node may write.
    fn certify(&mut self, digest: Digest, now: Now) {
        let candidate = self.candidates.get(&digest);
        let is_next = |candidate: &&Candidate| Some(candidate.link()) == self.history.next();
        let uncertified = candidate
            .filter(|candidate| candidate.certified().is_none())
            .filter(is_next);
        let certificate = uncertified.and_then(|candidate| self.certificate_of(candidate.report(), now));
        let Some(certificate) = certificate else { return };
        let link = certificate.report().observation().link();
        match self.backing(certificate.report(), now) {
            Ok(backing) => {
                let (required, in_flight) = (self.required(), self.writer.in_flight());
                self.candidates.certify(
                    certificate,
                    backing,
                    required,
                    in_flight,
                    now.instant,
                    &mut self.out,
                );
                self.cosigning.end_round();
                let could_begin = self.candidates.stated_by(link, required).unwrap_or(now.instant);
                let (opens, timing) = (self.history.opens(), self.settings.timing);
                self.own_price
                    .on_certificate(could_begin, opens, now.instant, &timing);
            }
            Err(refusal) => self.on_unacceptable(&certificate, refusal),
        }
    }

    /// On whose word this node would write what is reported, once it is quorate; or why it would not. In an open network
    /// anybody can make up a quorum of keys, so that nobody's word but its own counts.
    pub(super) fn backing(&self, report: &VerifiedReport, now: Now) -> Result<Backing, Refusal> {
        if report.signatures().contains_key(&self.settings.me) {
            return Ok(Backing::Own);
        }
        let own = self.own_price.believed(&self.settings, now.instant);
        let vouched = self
            .settings
            .policy
            .vouch(report.observation(), own, now.instant, now.unix);
        match vouched {
            Ok(()) => Ok(Backing::Own),
            Err(refusal) if refusal.is_abstention() && self.is_closed() => Ok(Backing::Others),
            Err(refusal) => Err(refusal),
        }
    }

    fn is_closed(&self) -> bool {
        self.committees.current().members != Members::Open
    }

    /// A quorum signed what this node would not: it neither writes it nor lets it settle the round.
    fn on_unacceptable(&mut self, certificate: &Certificate, refusal: Refusal) {
        let (digest, report) = (certificate.digest(), certificate.report());
        if refusal.is_abstention() || !self.candidates.refuse_certificate(&digest) {
            return;
        }
        if refusal.is_far_off() {
            for signer in report.signatures().keys() {
                self.conduct.mark(*signer, Mark::SignedOutlier);
            }
        }
        self.out.note(Note::CertificateRefused {
            digest,
            price: report.observation().price(),
            signers: report.signatures().keys().copied().collect(),
            refusal,
        });
    }

    /// There is a new price: what was taken on the members' word is held against it, and what was not taken is looked at again.
    pub(super) fn reconsider_certificates(&mut self, now: Now) {
        for digest in self.candidates.backed_by_others() {
            let Some(report) = self.candidates.get(&digest).map(Candidate::report) else {
                continue;
            };
            match self.backing(report, now) {
                Ok(Backing::Own | Backing::Record) => self.candidates.back(&digest),
                Ok(Backing::Others) => {}
                // Reported as unacceptable below, with all others that have a quorum.
                Err(_) => self.candidates.reopen(&digest),
            }
        }
        self.certify_all(now);
    }

    /// Looks which candidates for the next record are certificates.
    pub(super) fn certify_all(&mut self, now: Now) {
        let Some(next) = self.history.next() else { return };
        let open: Vec<Digest> = self.candidates.open(next).map(|(digest, _)| digest).collect();
        for digest in open {
            self.certify(digest, now);
        }
    }

    /// The signer's answer to [`SignRequest::CoSign`]: the report with this node's signature, which is published already, or
    /// why it refused.
    pub fn on_cosigned(
        &mut self,
        digest: Digest,
        answer: Result<VerifiedReport, Refusal>,
        now: Now,
    ) -> Vec<Effect> {
        let required = self.required();
        let candidate = self.candidates.get(&digest);
        let observer = candidate.map(Candidate::observer);
        // A certificate in the meantime: nothing is added to it.
        let is_open = candidate.is_some_and(|candidate| candidate.certified().is_none());
        match (answer, observer) {
            (Ok(report), Some(observer)) if is_open => {
                let note = Note::CoSigned {
                    digest,
                    observer,
                    price: report.observation().price(),
                    signatures: report.signatures().len(),
                    required,
                };
                self.candidates.add(report, now.instant);
                self.out.note(note);
                self.certify(digest, now);
            }
            (Err(refusal), Some(observer)) => {
                if let Some(refused) = self.cosigning.refuse(digest, observer, refusal) {
                    self.on_refused(refused, now);
                }
            }
            _ => {}
        }
        self.advance(now)
    }

    /// This node does not sign an observation: it is noted, and unless it is for lack of knowledge, held against the
    /// observer and said to all.
    pub(super) fn on_refused(&mut self, refused: Refused, now: Now) {
        let Refused {
            digest,
            observer,
            refusal,
        } = refused;
        let reason = refusal.label();
        self.mark_outlier_signers(digest);
        if !refusal.is_abstention() {
            self.conduct.mark(observer, Mark::Refused(reason));
            let window = self.settings.write_interval;
            if self.conduct.may_tell(observer, reason, now.instant, window) {
                self.out.push(Effect::Sign(SignRequest::Refusal {
                    digest,
                    observer,
                    reason,
                }));
            }
        }
        self.out.note(Note::Refused {
            digest,
            observer,
            refusal,
        });
    }

    /// Whoever co-signs a price that is far off is noted, once for each observation.
    fn mark_outlier_signers(&mut self, digest: Digest) {
        if let Some(candidate) = self.candidates.get(&digest) {
            for signer in self.cosigning.new_outlier_signers(candidate) {
                self.conduct.mark(signer, Mark::SignedOutlier);
            }
        }
    }

    /// A peer is connected and listens.
    pub fn on_peer_up(&mut self, peer: Address, now: Now) -> Vec<Effect> {
        self.hear_of(peer, now);
        self.advance(now)
    }

    /// A peer is gone.
    pub fn on_peer_down(&mut self, peer: Address, now: Now) -> Vec<Effect> {
        self.peers.lost(&peer);
        self.advance(now)
    }

    /// A peer is alive, wherever it is.
    pub fn on_heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) -> Vec<Effect> {
        self.hear_of(heartbeat.node, now);
        self.peers.note_heartbeat(heartbeat, now);
        self.advance(now)
    }

    /// A node told its time in a message that is ignored for it: how far its clock is ahead of ours, in milliseconds.
    pub fn on_clock(&mut self, node: Address, ahead_ms: i64, now: Now) {
        if self.counts(&node) {
            self.peers.note_clock(node, ahead_ms, now.instant);
        }
    }

    /// A node spoke for itself.
    pub(super) fn hear_of(&mut self, node: Address, now: Now) {
        if self.counts(&node) {
            let ttl = self.settings.timing.roster_ttl;
            let was_heard = self.peers.spoke_lately(&node, now.instant, ttl);
            if self.peers.heard(node, now.instant) {
                self.on_newcomer(now);
            }
            if !was_heard {
                self.cosigning.reconsider();
            }
        }
    }

    fn counts(&self, node: &Address) -> bool {
        *node != self.settings.me && self.committees.current().members.admit(node)
    }

    /// What was published before this node listened is lost on it. If only prices are lacking, a new one is the way to a
    /// quorum.
    fn on_newcomer(&mut self, now: Now) {
        self.peers.count(now.instant, self.settings.write_interval);
        if self.lacks_only_prices(now) {
            self.own_price
                .ask_anew(&self.settings, now.instant, &mut self.out);
        }
    }

    /// Another node says that it does not vouch for an observation.
    pub fn on_refusal(&mut self, notice: &RefusalNotice, now: Now) -> Vec<Effect> {
        self.hear_of(notice.node, now);
        let mark = Mark::elsewhere(&notice.reason);
        self.conduct.mark(notice.observer, mark);
        if self.counts(&notice.node) {
            let (digest, node) = (&notice.observation, notice.node);
            self.cosigning.on_refused_elsewhere(digest, node, mark.label());
        }
        self.out.note(Note::RefusedElsewhere {
            digest: notice.observation,
            observer: notice.observer,
            node: notice.node,
            reason: mark.label(),
        });
        self.advance(now)
    }

    /// An observer made two statements for one window. `is_ours`: this node found the proof, and nobody has told the others.
    pub fn on_equivocation(&mut self, proof: ProvenEquivocation, is_ours: bool, now: Now) -> Vec<Effect> {
        let (first, second) = proof.statements();
        if *first.observation().feed() == self.settings.feed {
            let (observer, first, second) = (proof.observer(), first.digest(), second.digest());
            let (quarantine, window) = (self.settings.quarantine, self.settings.write_interval);
            let is_news = self.conduct.quarantined(&observer, now.instant).is_none();
            self.conduct.quarantine(observer, quarantine, now.instant);
            self.candidates.forget_observer(observer);
            // Told again while it goes on: two nodes with one key may not hear of each other otherwise.
            if is_ours
                && self
                    .conduct
                    .may_tell(observer, "equivocation", now.instant, window)
            {
                let claim = Message::Equivocation(proof.to_claim());
                self.out.push(Effect::Publish(claim));
            }
            if is_news {
                self.conduct.mark(observer, Mark::Equivocated);
                self.out.note(Note::Equivocated {
                    observer,
                    first,
                    second,
                    quarantine,
                });
                self.out
                    .push(Effect::Store(StoreRequest::KeepEquivocation(Box::new(proof))));
            }
        }
        self.advance(now)
    }
}
