//! What is done about records: those that this node writes, that peers announce, and that the database shows or has lost.

use std::time::Duration;

use super::{
    Effect, Note, Now, Rounds, SignRequest, StoreRequest,
    candidates::{Backing, Candidate},
    conduct::Mark,
    history::{Change, Lost, News},
    turns::Places,
};
use crate::{
    address::Address,
    cosign::Refusal,
    digest::Digest,
    record::{LastRecord, WriteOutcome},
    report::Certificate,
    time::UnixMillis,
};

impl Rounds {
    /// What came of the write of `digest`.
    pub fn on_write_outcome(&mut self, digest: Digest, outcome: WriteOutcome, now: Now) -> Vec<Effect> {
        self.tally.wrote(&outcome);
        self.writer.on_outcome(digest);
        match outcome {
            WriteOutcome::Unavailable { reason } => self.on_database_failure(reason, now),
            // There is a record, and it could not be read: without its age, trying again at once would be a guess.
            WriteOutcome::Duplicate { last: None } | WriteOutcome::TooSoon { last: None } => {
                self.on_database_failure("the last record cannot be read".to_owned(), now);
                self.writer
                    .ask_last_record(&self.settings, now.instant, &mut self.out);
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
        self.history.on_database_failure();
        let nodes = self.peers.live();
        self.writer.on_failure(reason, nodes, now.instant, &mut self.out);
    }

    fn on_own_write(&mut self, digest: Digest, written_at: UnixMillis, now: Now) {
        let Some(certificate) = self.certificate(&digest) else {
            // News of this very record overtook the database's answer, so that it has been announced; or of another one, which
            // cannot be true.
            return self
                .writer
                .ask_last_record(&self.settings, now.instant, &mut self.out);
        };
        self.note_written(&certificate, self.settings.me, now);
        let opens = now.instant + self.settings.write_interval;
        let change = self.history.wrote(certificate.clone(), opens);
        self.on_change(change, now);
        self.out.push(Effect::Sign(SignRequest::Written {
            certificate,
            written_at,
        }));
    }

    /// The certificate with this digest, if it is one of this round's.
    fn certificate(&self, digest: &Digest) -> Option<Certificate> {
        let certified = self.candidates.get(digest).and_then(Candidate::certified);
        certified.map(|certified| certified.certificate().clone())
    }

    /// Notes a record while its window and its observation are still known: before the history moves on.
    fn note_written(&mut self, certificate: &Certificate, writer: Address, now: Now) {
        let (report, link) = (certificate.report(), certificate.report().observation().link());
        self.note_record(
            LastRecord {
                sequence: link.sequence(),
                previous: link.previous(),
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
        if !self.history.is_news(record.digest) {
            return;
        }
        let seen = self.candidates.get(&record.digest);
        let took = seen.map(|candidate| now.instant.since(candidate.first_seen()));
        self.out.note(Note::Written {
            sequence: record.sequence,
            digest: record.digest,
            writer: record.written_by,
            price: record.price,
            signatures: record.signatures,
            age: now.unix.since(record.observed_at),
            took,
            late: self.history.opens().map(|opens| now.instant.since(opens)),
        });
    }

    /// A peer's news of a record. It closes an open window at once; against a closed one it is only a reason to ask.
    pub fn on_written(&mut self, certificate: Certificate, writer: Address, now: Now) -> Vec<Effect> {
        self.hear_of(writer, now);
        self.history.keep(&certificate);
        let digest = certificate.digest();
        if digest != self.history.last_record() && !self.conduct.is_distrusted(&writer, now.instant) {
            let timing = self.settings.timing;
            let before = Places::default().nodes_before(digest, self.settings.me, self.peers.others());
            let wait = timing.stagger.saturating_mul(before).min(timing.max_stagger);
            let ask_at = now.instant + timing.confirm + wait;
            if self.history.believes(&certificate, &timing, now.instant)
                && !self.is_strange(&certificate, now)
            {
                self.note_written(&certificate, writer, now);
                let opens = now.instant + self.settings.write_interval;
                self.history.believe(certificate.clone(), opens);
                self.on_change(Change::Moved, now);
            }
            self.history.remember_news(News {
                certificate,
                writer,
                ask_at,
                is_doubtful: false,
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
                let (news, believed) = (self.history.take_news(), self.history.last_record());
                if let (Some(news), Some(last)) = (&news, last)
                    && news.certificate.digest() == last.digest
                    && last.digest != believed
                {
                    self.note_written(&news.certificate, news.writer, now);
                }
                self.learn(last, now);
                if let Some(news) = news {
                    self.history.keep(&news.certificate);
                    if !news.is_doubtful && news.is_false(last.as_ref()) {
                        self.on_false_news(news, believed, now);
                    }
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
            && !self.history.is_closed(now.instant)
            && let Ok(backing) = self.backing(news.certificate.report(), now)
        {
            self.candidates.restore(news.certificate, backing, now.instant);
        }
    }

    /// Takes over what the database says of its last record.
    fn learn(&mut self, last: Option<LastRecord>, now: Now) {
        match last {
            Some(last) if self.history.has_been_told() => self.note_record(last, now),
            // It was written before this machine was there to see it.
            Some(last) => {
                self.own_price.on_record(&last, now.instant);
                self.history.is_news(last.digest);
            }
            None => {}
        }
        let certificate = last.and_then(|last| self.certificate(&last.digest));
        let window = self.settings.write_interval;
        let change = self.history.learn(last.as_ref(), window, now.instant);
        if let Some(certificate) = certificate {
            self.history.keep(&certificate);
        }
        self.on_change(change, now);
    }

    /// The history went on, or back: what was collected for records that stand has served, and what was not in its place may be
    /// now.
    fn on_change(&mut self, change: Change, now: Now) {
        match change {
            Change::None => {}
            Change::Moved => self.begin_round(now),
            Change::Rewound(lost) => {
                self.begin_round(now);
                self.restore(lost, now);
            }
            Change::Healed(lost) => {
                self.begin_round(now);
                let (sequence, digest) = (lost.sequence(), lost.digest());
                self.out.note(Note::HistoryHealed { sequence, digest });
            }
            Change::Forked(lost) => {
                self.begin_round(now);
                self.on_fork(lost);
            }
        }
    }

    fn begin_round(&mut self, now: Now) {
        let Some(next) = self.history.next() else { return };
        self.candidates.forget_settled(next);
        self.cosigning.clear();
        self.own_price.on_new_round();
        self.certify_all(now);
    }

    /// The database has lost the last record: it is written again if this node has its certificate, and if that was only
    /// announced, would sign it. Nobody is to blame.
    fn restore(&mut self, lost: Lost, now: Now) {
        let (sequence, digest) = (lost.sequence(), lost.digest());
        let certificate = lost
            .certificate
            .filter(|certificate| lost.was_shown || self.backing(certificate.report(), now).is_ok());
        self.out.note(Note::HistoryRewound {
            sequence,
            digest,
            is_held: certificate.is_some(),
        });
        if let Some(certificate) = certificate {
            self.candidates.restore(certificate, Backing::Record, now.instant);
        }
    }

    /// A record that stood is gone for good. Its certificate is the proof that it was there.
    fn on_fork(&mut self, lost: Lost) {
        self.out.note(Note::Forked {
            sequence: lost.sequence(),
            digest: lost.digest(),
            last_record: self.history.last_record(),
            is_held: lost.certificate.is_some(),
        });
        if let Some(certificate) = lost.certificate {
            self.out.push(Effect::Store(StoreRequest::KeepLost(certificate)));
        }
    }
}
