//! Rules 4 and 5: when to write, and what the database's answers and the peers' news mean.

use super::{
    Candidate, Certified, Effect, LastRecord, Mark, Mine, Note, Now, Rounds, WriteOutcome, rank,
    window::Unconfirmed,
};
use crate::{
    address::Address,
    digest::Digest,
    report::Certificate,
    time::{Instant, UnixMillis},
};

impl Rounds {
    /// Writes the freshest certificate when the window is open, the database is there and it is this node's turn.
    pub(super) fn write(&mut self, now: Now) {
        if let Some((digest, since)) = self.writing {
            let timeout = since + self.settings.timing.write_timeout;
            if now.instant < timeout {
                return self.wake_at(timeout);
            }
            self.writing = None;
            self.database_failed(format!("no answer to the write of {}", digest.short()), now);
        }
        let Some(opens) = self.window.opens else {
            return self.ask_again(now);
        };
        let Some(best) = self.best_certificate() else {
            return;
        };
        let (certificate, certified_at) = (best.certificate.clone(), best.at);
        let digest = certificate.digest();
        let turn = match self.database.retry_at() {
            Some(retry_at) => retry_at.max(opens),
            None => {
                let before = rank::turn_of(digest, self.settings.me, self.roster.others());
                let signatures = certificate.report().signatures().len();
                // Nodes hear of a window that has been open at about the same time, and take turns then too.
                let since = opens.max(certified_at).max(self.window.told_at);
                since + self.settings.timing.turn_to_write(before, signatures)
            }
        };
        if now.instant < turn {
            return self.wake_at(turn);
        }
        self.writing = Some((digest, now.instant));
        self.effects.push(Effect::Write(certificate));
        self.wake_at(now.instant + self.settings.timing.write_timeout);
    }

    /// What came of the write of `digest`.
    pub fn on_write_outcome(&mut self, digest: Digest, outcome: WriteOutcome, now: Now) -> Vec<Effect> {
        if self.writing.is_some_and(|(writing, _)| writing == digest) {
            self.writing = None;
        }
        match outcome {
            WriteOutcome::Unavailable(reason) => self.database_failed(reason, now),
            WriteOutcome::Written(written_at) => {
                self.database_answered(now);
                self.wrote(digest, written_at, now);
            }
            WriteOutcome::Duplicate(Some(last)) => {
                self.database_answered(now);
                self.learn(Some(last), now);
            }
            WriteOutcome::TooSoon(Some(last)) => {
                self.database_answered(now);
                self.note(Note::TooSoon {
                    digest,
                    last_age: last.age,
                });
                self.learn(Some(last), now);
            }
            // There is a record, and it could not be read: without its age, trying again at once would be a guess.
            WriteOutcome::Duplicate(None) | WriteOutcome::TooSoon(None) => {
                self.database_failed("the last record cannot be read".to_owned(), now);
            }
            WriteOutcome::Refused(reason) => {
                self.database_answered(now);
                self.candidates.remove(&digest);
                self.note(Note::WriteRefused { digest, reason });
            }
        }
        self.advance(now)
    }

    fn wrote(&mut self, digest: Digest, written_at: UnixMillis, now: Now) {
        let candidate = self.candidates.get(&digest);
        let certified = candidate.and_then(|candidate| candidate.certified.as_ref());
        let certificate = certified.map(|certified| certified.certificate.clone());
        if let Some(certificate) = &certificate {
            self.note_written(certificate, self.settings.me, now);
        }
        self.begin_window(digest, now.instant + self.settings.write_interval);
        // Absent only if news of this very record overtook the database's answer: then it has been announced.
        if let Some(certificate) = certificate {
            self.effects.push(Effect::Announce {
                certificate,
                written_at,
            });
        }
    }

    /// A peer's news of a record. It closes an open window at once; against a closed one it is only a reason to ask.
    pub fn on_written(&mut self, certificate: Certificate, writer: Address, now: Now) -> Vec<Effect> {
        self.heard(writer, now);
        let digest = certificate.digest();
        if digest != self.window.anchor && self.distrusted.left(&writer, now.instant).is_none() {
            let timing = self.settings.timing;
            let nodes = self.roster.others();
            let wait = timing
                .stagger
                .saturating_mul(rank::turn_of(digest, self.settings.me, nodes));
            let ask_at = now.instant + timing.confirm + wait.min(timing.max_stagger);
            // Nodes see the window open some milliseconds apart; half the lead is far more than that.
            let closed = self
                .window
                .opens
                .is_some_and(|opens| now.instant < opens.before(timing.lead / 2));
            if !closed {
                self.note_written(&certificate, writer, now);
                self.begin_window(digest, now.instant + self.settings.write_interval);
            }
            if self.window.unconfirmed.is_none() {
                self.window.unconfirmed = Some(Unconfirmed {
                    certificate,
                    writer,
                    ask_at,
                });
            }
        }
        self.advance(now)
    }

    /// Asks the database whether the news of a record was true.
    pub(super) fn confirm(&mut self, now: Now) {
        let Some(unconfirmed) = &self.window.unconfirmed else {
            return;
        };
        let ask_at = self
            .database
            .retry_at()
            .map_or(unconfirmed.ask_at, |retry_at| retry_at.max(unconfirmed.ask_at));
        if now.instant >= ask_at {
            self.ask_last_record(now);
        } else {
            self.wake_at(ask_at);
        }
    }

    pub(super) fn ask_last_record(&mut self, now: Now) {
        let timeout = self.settings.timing.write_timeout;
        match self.asking {
            // An answer that does not come was lost with the actor that should have given it.
            Some(since) if now.instant < since + timeout => self.wake_at(since + timeout),
            _ => {
                self.asking = Some(now.instant);
                self.effects.push(Effect::AskLastRecord);
                self.wake_at(now.instant + timeout);
            }
        }
    }

    /// Before anything is known of the window, asks again and again.
    fn ask_again(&mut self, now: Now) {
        match self.database.retry_at() {
            Some(retry_at) if now.instant < retry_at => self.wake_at(retry_at),
            _ => self.ask_last_record(now),
        }
    }

    /// The database's answer to [`Effect::AskLastRecord`].
    pub fn on_last_record(&mut self, answer: Result<Option<LastRecord>, String>, now: Now) -> Vec<Effect> {
        self.asking = None;
        match answer {
            Err(reason) => self.database_failed(reason, now),
            Ok(last) => {
                self.database_answered(now);
                let unconfirmed = self.window.unconfirmed.take();
                let believed = self.window.anchor;
                self.learn(last, now);
                if let Some(news) = unconfirmed {
                    self.settle_news(news, believed, last, now);
                }
            }
        }
        self.advance(now)
    }

    /// Takes over what the database says of its last record.
    fn learn(&mut self, last: Option<LastRecord>, now: Now) {
        let is_at_rest = last.is_none_or(|last| last.age > self.settings.write_interval * 2);
        self.was_at_rest.get_or_insert(is_at_rest);
        self.window.told_at = now.instant;
        let anchor = last.map_or(Digest::new([0; 32]), |last| last.digest);
        // In the past if the window has been open: what became a certificate since then is for it, however late we hear of it.
        let opens = last.map_or(Instant::default(), |last| {
            (now.instant + self.settings.write_interval).before(last.age)
        });
        if anchor == self.window.anchor && self.window.opens.is_some() {
            self.window.opens = Some(opens);
        } else if self.window.opens.is_none() {
            // At the start, what was collected belongs to the window that is open or about to be.
            self.window.anchor = anchor;
            self.window.opens = Some(opens);
        } else {
            self.begin_window(anchor, opens);
        }
    }

    /// News that the database does not bear out: a lie, or a write that was undone. If it was believed, its certificate is
    /// good all the same, and written now if nothing else was.
    fn settle_news(&mut self, news: Unconfirmed, believed: Digest, last: Option<LastRecord>, now: Now) {
        let digest = news.certificate.digest();
        let age = now
            .unix
            .since(news.certificate.report().observation().observed_at());
        // News that was not believed can be true of a record before the last, unless the last is older than the observation.
        let is_false = digest == believed || last.is_none_or(|last| last.age > age);
        if digest == self.window.anchor || !is_false {
            return;
        }
        self.ledger.mark(news.writer, Mark::FalseWritten);
        self.distrusted
            .put(news.writer, now.instant + self.settings.quarantine);
        self.note(Note::FalseWritten {
            digest,
            writer: news.writer,
        });
        if digest == believed && !self.window.is_closed(now.instant) {
            let mut candidate = Candidate::new(news.certificate.report().clone(), now.instant, Mine::Signed);
            candidate.certified = Some(Certified {
                certificate: news.certificate,
                at: now.instant,
            });
            self.candidates.insert(digest, candidate);
        }
    }

    fn database_failed(&mut self, reason: String, now: Now) {
        let (retry_in, first) = self.database.failed(now.instant);
        if first {
            self.note(Note::DatabaseLost { reason, retry_in });
        }
    }

    fn database_answered(&mut self, now: Now) {
        if let Some(outage) = self.database.answered(now.instant) {
            self.note(Note::DatabaseBack { outage });
        }
    }

    /// Notes a record while its window and its observation are still known: before [`Self::begin_window`].
    fn note_written(&mut self, certificate: &Certificate, writer: Address, now: Now) {
        let seen = self.candidates.get(&certificate.digest());
        let took = seen.map(|candidate| now.instant.since(candidate.first_seen));
        let report = certificate.report();
        let note = Note::Written {
            digest: certificate.digest(),
            writer,
            price: report.observation().price(),
            signatures: report.signatures().len(),
            age: now.unix.since(report.observation().observed_at()),
            took,
            late: self.window.opens.map(|opens| now.instant.since(opens)),
        };
        self.note(note);
    }
}
