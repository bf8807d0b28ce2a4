//! What happens to a round: an answer to each thing that a node hears, and to each answer that it gets. All end in
//! [`Rounds::advance`].

use std::time::Duration;

use super::{
    Effect, Note, Now, Rounds, SignRequest, StoreRequest,
    candidates::{Backing, Candidate},
    conduct::Mark,
    cosigning::Refused,
    turns,
    writer::News,
};
use crate::{
    address::Address,
    committee::{Committee, Members},
    cosign::Refusal,
    digest::Digest,
    equivocation::ProvenEquivocation,
    evidence::AgreedPrice,
    heartbeat::Heartbeat,
    link::Link,
    message::Message,
    record::{LastRecord, WriteOutcome},
    refusal_notice::RefusalNotice,
    report::{Certificate, VerifiedReport},
    time::UnixMillis,
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
        if report.digest() != self.writer.last_record() {
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
        let uncertified = candidate.filter(|candidate| candidate.certified().is_none());
        let certificate = uncertified.and_then(|candidate| self.certificate_of(candidate.report(), now));
        let Some(certificate) = certificate else { return };
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
                let could_begin = self.candidates.stated_by(required).unwrap_or(now.instant);
                let (opens, timing) = (self.writer.opens(), self.settings.timing);
                self.own_price
                    .on_certificate(could_begin, opens, now.instant, &timing);
            }
            Err(refusal) => self.on_unacceptable(&certificate, refusal),
        }
    }

    /// On whose word this node would write what is reported, once it is quorate; or why it would not. In an open network
    /// anybody can make up a quorum of keys, so that nobody's word but its own counts.
    fn backing(&self, report: &VerifiedReport, now: Now) -> Result<Backing, Refusal> {
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
    fn reconsider_certificates(&mut self, now: Now) {
        for digest in self.candidates.backed_by_others() {
            let Some(report) = self.candidates.get(&digest).map(Candidate::report) else {
                continue;
            };
            match self.backing(report, now) {
                Ok(Backing::Own) => self.candidates.back(&digest),
                Ok(Backing::Others) => {}
                // Reported as unacceptable below, with all others that have a quorum.
                Err(_) => self.candidates.reopen(&digest),
            }
        }
        let open: Vec<Digest> = self.candidates.open().map(|(digest, _)| digest).collect();
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

    /// What came of the write of `digest`.
    pub fn on_write_outcome(&mut self, digest: Digest, outcome: WriteOutcome, now: Now) -> Vec<Effect> {
        self.tally.wrote(&outcome);
        self.writer.on_outcome(digest);
        match outcome {
            WriteOutcome::Unavailable { reason } => self.on_database_failure(reason, now),
            // There is a record, and it could not be read: without its age, trying again at once would be a guess.
            WriteOutcome::Duplicate { last: None } | WriteOutcome::TooSoon { last: None } => {
                self.on_database_failure("the last record cannot be read".to_owned(), now);
            }
            WriteOutcome::Written { written_at } => {
                self.writer.on_success(now.instant, &mut self.out);
                self.on_own_write(digest, written_at, now);
            }
            WriteOutcome::Duplicate { last: Some(last) } => {
                self.writer.on_success(now.instant, &mut self.out);
                self.learn(Some(last), now);
            }
            WriteOutcome::TooSoon { last: Some(last) } => {
                self.writer.on_success(now.instant, &mut self.out);
                let last_age = last.age;
                self.out.note(Note::TooSoon { digest, last_age });
                self.learn(Some(last), now);
            }
            WriteOutcome::Refused { reason } => {
                self.writer.on_success(now.instant, &mut self.out);
                self.candidates.remove(&digest);
                self.out.note(Note::WriteRefused { digest, reason });
            }
        }
        self.advance(now)
    }

    fn on_database_failure(&mut self, reason: String, now: Now) {
        self.writer.on_failure(reason, now.instant, &mut self.out);
    }

    fn on_own_write(&mut self, digest: Digest, written_at: UnixMillis, now: Now) {
        let certified = self.candidates.get(&digest).and_then(|c| c.certified());
        // Absent only if news of this very record overtook the database's answer: then it has been announced.
        let certificate = certified.map(|certified| certified.certificate().clone());
        if let Some(certificate) = &certificate {
            self.note_written(certificate, self.settings.me, now);
            self.begin_window(certificate, now);
        }
        if let Some(certificate) = certificate {
            self.out.push(Effect::Sign(SignRequest::Written {
                certificate,
                written_at,
            }));
        }
    }

    /// Notes a record while its window and its observation are still known: before [`Self::begin_window`].
    fn note_written(&mut self, certificate: &Certificate, writer: Address, now: Now) {
        let report = certificate.report();
        self.note_record(
            LastRecord {
                sequence: report.observation().link().sequence(),
                previous: report.observation().link().previous(),
                digest: certificate.digest(),
                age: Duration::ZERO,
                price: report.observation().price(),
                observed_at: report.observation().observed_at(),
                written_by: writer,
                signatures: report.signatures().len(),
            },
            now,
        );
    }

    /// Notes a record that was not noted yet, from whomever this node knows it.
    fn note_record(&mut self, record: LastRecord, now: Now) {
        self.own_price.on_record(&record, now.instant);
        if !self.writer.is_news(record.digest) {
            return;
        }
        let seen = self.candidates.get(&record.digest);
        let took = seen.map(|candidate| now.instant.since(candidate.first_seen()));
        self.out.note(Note::Written {
            digest: record.digest,
            writer: record.written_by,
            price: record.price,
            signatures: record.signatures,
            age: now.unix.since(record.observed_at),
            took,
            late: self.writer.opens().map(|opens| now.instant.since(opens)),
        });
    }

    /// A record was written now: what was collected for its window has served.
    fn begin_window(&mut self, record: &Certificate, now: Now) {
        let opens = now.instant + self.settings.write_interval;
        let sequence = record.report().observation().link().sequence();
        let next = Link::after(sequence, record.digest());
        self.writer.begin_window(next, opens);
        self.candidates.clear();
        self.cosigning.clear();
    }

    /// Takes over what the database says of its last record.
    fn learn(&mut self, last: Option<LastRecord>, now: Now) {
        let interval = self.settings.write_interval;
        match last {
            Some(last) if self.writer.has_been_told() => self.note_record(last, now),
            // It was written before this machine was there to see it.
            Some(last) => {
                self.own_price.on_record(&last, now.instant);
                self.writer.is_news(last.digest);
            }
            None => {}
        }
        if self.writer.learn(last, interval, now.instant) {
            self.candidates.clear();
            self.cosigning.clear();
        }
    }

    /// A peer's news of a record. It closes an open window at once; against a closed one it is only a reason to ask.
    pub fn on_written(&mut self, certificate: Certificate, writer: Address, now: Now) -> Vec<Effect> {
        self.hear_of(writer, now);
        let digest = certificate.digest();
        if digest != self.writer.last_record() && !self.conduct.is_distrusted(&writer, now.instant) {
            let timing = self.settings.timing;
            let before = turns::nodes_before(digest, self.settings.me, self.peers.others());
            let wait = timing.stagger.saturating_mul(before).min(timing.max_stagger);
            let ask_at = now.instant + timing.confirm + wait;
            if self.writer.believes_news(&timing, now.instant) && !self.is_strange(&certificate, now) {
                self.note_written(&certificate, writer, now);
                self.begin_window(&certificate, now);
            }
            self.writer.remember_news(News {
                certificate,
                writer,
                ask_at,
            });
        }
        self.advance(now)
    }

    /// Whether this node sees another price, or another time, than a certificate says: then its record is believed when the
    /// database shows it. A record can be written late, so that its price is old.
    fn is_strange(&self, certificate: &Certificate, now: Now) -> bool {
        let backing = self.backing(certificate.report(), now);
        matches!(backing, Err(Refusal::Deviates { .. } | Refusal::Future { .. }))
    }

    /// The database's answer to [`StoreRequest::LastRecord`].
    pub fn on_last_record(&mut self, answer: Result<Option<LastRecord>, String>, now: Now) -> Vec<Effect> {
        self.writer.on_answer();
        match answer {
            Err(reason) => self.on_database_failure(reason, now),
            Ok(last) => {
                self.writer.on_success(now.instant, &mut self.out);
                let (news, believed) = (self.writer.take_news(), self.writer.last_record());
                if let (Some(news), Some(last)) = (&news, last)
                    && news.certificate.digest() == last.digest
                    && last.digest != believed
                {
                    self.note_written(&news.certificate, news.writer, now);
                }
                self.learn(last, now);
                if let Some(news) = news.filter(|news| news.is_false(believed, last, now.unix)) {
                    self.on_false_news(news, believed, now);
                }
            }
        }
        self.advance(now)
    }

    /// News that the database does not bear out: a lie, or a write that was undone. If it was believed, its certificate is
    /// good all the same, and written now if nothing else was.
    fn on_false_news(&mut self, news: News, believed: Digest, now: Now) {
        let (digest, writer) = (news.certificate.digest(), news.writer);
        self.conduct.mark(writer, Mark::FalseWritten);
        self.conduct
            .distrust(writer, self.settings.quarantine, now.instant);
        self.out.note(Note::FalseWritten { digest, writer });
        if digest == believed
            && !self.writer.is_closed(now.instant)
            && let Ok(backing) = self.backing(news.certificate.report(), now)
        {
            self.candidates.restore(news.certificate, backing, now.instant);
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
    fn hear_of(&mut self, node: Address, now: Now) {
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
