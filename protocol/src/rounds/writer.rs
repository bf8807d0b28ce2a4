//! When this node writes: the window as it believes it, news of records that are not confirmed yet, and how the database is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    Settings, Timing,
    candidates::{Backing, Certified},
    effect::{Effect, Note, Outbox, StoreRequest},
    peers::Peers,
    turns,
};
use crate::{
    address::Address,
    digest::Digest,
    link::Link,
    record::LastRecord,
    report::Certificate,
    time::{Instant, UnixMillis},
};

/// The write window of one feed, and what this node does about it.
#[derive(Debug)]
pub(super) struct Writer {
    /// The place of the next record, right behind the last one.
    next: Link,
    /// When the window opens; unknown until the database or a peer has told.
    opens: Option<Instant>,
    /// When the database last told.
    told_at: Instant,
    /// Whether the database had seen no record for two windows when it first told of its last one.
    was_at_rest: Option<bool>,
    /// Whether the database has ever answered.
    was_there: bool,
    /// News of a record that the database has not confirmed yet.
    news: Option<News>,
    /// The write on its way, and when it was sent.
    in_flight: Option<(Digest, Instant)>,
    /// When the last record was asked for, if there is no answer yet.
    asked_at: Option<Instant>,
    database: Database,
    /// Records that were noted, the latest last: of one record a peer's news, the database's answer and the outcome of this
    /// node's own write may tell, in any order.
    noted: VecDeque<Digest>,
}

/// A peer's word that it wrote a record.
#[derive(Debug)]
pub(super) struct News {
    pub(super) certificate: Certificate,
    pub(super) writer: Address,
    /// When to ask the database.
    pub(super) ask_at: Instant,
}

impl News {
    /// Whether the database does not bear it out: its last record is `last`, and this node had believed that it is `believed`.
    pub(super) fn is_false(&self, believed: Digest, last: Option<LastRecord>, unix_now: UnixMillis) -> bool {
        let digest = self.certificate.digest();
        let observed_at = self.certificate.report().observation().observed_at();
        let is_last = last.is_some_and(|last| last.digest == digest);
        // News that was not believed can be true of a record before the last, unless the last is older than the observation.
        let is_before =
            digest != believed && last.is_some_and(|last| last.age <= unix_now.since(observed_at));
        !is_last && !is_before
    }
}

impl Writer {
    /// Nothing is known of the window.
    pub(super) fn unknown() -> Self {
        Self {
            next: Link::FIRST,
            opens: None,
            told_at: Instant::default(),
            was_at_rest: None,
            was_there: false,
            news: None,
            in_flight: None,
            asked_at: None,
            database: Database::default(),
            noted: VecDeque::with_capacity(MOST_NOTED),
        }
    }

    /// Whether this record was not noted before. From now on it is.
    pub(super) fn is_news(&mut self, record: Digest) -> bool {
        let is_news = !self.noted.contains(&record);
        if is_news {
            if self.noted.len() == MOST_NOTED {
                self.noted.pop_front();
            }
            self.noted.push_back(record);
        }
        is_news
    }

    /// Whether the database has ever told of its last record.
    pub(super) fn has_been_told(&self) -> bool {
        self.was_at_rest.is_some()
    }

    /// What the database, or the way to it, said last, if it does not answer.
    pub(super) fn database_problem(&self) -> Option<&str> {
        self.database.reason.as_deref()
    }

    /// The last record's digest, zeros if there is none or none is known: the seed of the ranking.
    pub(super) fn last_record(&self) -> Digest {
        self.next.previous()
    }

    /// The place of the next record; unknown until the database or a peer has told of the last one.
    pub(super) fn next(&self) -> Option<Link> {
        self.opens.map(|_| self.next)
    }

    /// When the window opens or opened; `None` until that is known.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.opens
    }

    /// Whether the window is known to be closed.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.opens.is_some_and(|opens| now < opens)
    }

    /// The certificate that is on its way to the database.
    pub(super) fn in_flight(&self) -> Option<Digest> {
        self.in_flight.map(|(digest, _)| digest)
    }

    /// The process before this one, with the same key, may have made a statement right before it ended. Unless the database
    /// shows that the network was at rest, this one waits until nothing that it says can contradict that.
    pub(super) fn no_statement_before(&self, settings: &Settings) -> Instant {
        match settings.predecessor_ended {
            Some(ended) if self.was_at_rest != Some(true) => ended + settings.one_window(),
            _ => Instant::default(),
        }
    }

    /// Writes this certificate, the best at hand, when the window is open, the database is there and it is this node's turn:
    /// those who are `able`, having stated a price near its own, go first.
    pub(super) fn write(
        &mut self,
        best: Option<&Certified>,
        able: &BTreeSet<Address>,
        peers: &Peers,
        settings: &Settings,
        now: Instant,
        out: &mut Outbox,
    ) {
        let timing = &settings.timing;
        if let Some((digest, since)) = self.in_flight {
            let timeout = since + timing.write_timeout;
            if now < timeout {
                return out.wake_at(timeout);
            }
            self.in_flight = None;
            self.on_failure(format!("no answer to the write of {}", digest.short()), now, out);
        }
        let Some(opens) = self.opens else {
            return self.ask_again(settings, now, out);
        };
        let Some(best) = best else { return };
        let certificate = best.certificate();
        let digest = certificate.digest();
        let turn = match self.database.retry_at {
            Some(retry_at) => retry_at.max(opens),
            None => {
                let before = turns::turns_before(digest, settings.me, able, peers.others());
                let signatures = certificate.report().signatures().len();
                // Nodes hear of a window that has been open at about the same time, and take turns then too.
                let since = opens.max(best.at()).max(self.told_at);
                let after_others = match best.backing() {
                    Backing::Own => Duration::ZERO,
                    // No turn of those who have a price is later.
                    Backing::Others => timing.max_stagger,
                };
                since + after_others + turns::writers_wait(timing, before, signatures)
            }
        };
        if now < turn {
            return out.wake_at(turn);
        }
        self.in_flight = Some((digest, now));
        out.push(Effect::Store(StoreRequest::Write(certificate.clone())));
        out.wake_at(now + timing.write_timeout);
    }

    /// Before anything is known of the window, asks again and again.
    fn ask_again(&mut self, settings: &Settings, now: Instant, out: &mut Outbox) {
        match self.database.retry_at {
            Some(retry_at) if now < retry_at => out.wake_at(retry_at),
            _ => self.ask_last_record(settings, now, out),
        }
    }

    /// Asks the database for the last record, unless an answer is on its way.
    pub(super) fn ask_last_record(&mut self, settings: &Settings, now: Instant, out: &mut Outbox) {
        let timeout = settings.timing.write_timeout;
        match self.asked_at {
            // An answer that does not come was lost with the actor that should have given it.
            Some(since) if now < since + timeout => out.wake_at(since + timeout),
            _ => {
                self.asked_at = Some(now);
                out.push(Effect::Store(StoreRequest::LastRecord(settings.feed.clone())));
                out.wake_at(now + timeout);
            }
        }
    }

    /// Asks the database whether the news of a record was true, when it is time to.
    pub(super) fn confirm(&mut self, settings: &Settings, now: Instant, out: &mut Outbox) {
        let Some(news) = &self.news else { return };
        let ask_at = self
            .database
            .retry_at
            .map_or(news.ask_at, |at| at.max(news.ask_at));
        if now >= ask_at {
            self.ask_last_record(settings, now, out);
        } else {
            out.wake_at(ask_at);
        }
    }

    /// News of a record came. Whether it is believed at once; against a closed window it is only a reason to ask.
    pub(super) fn believes_news(&self, timing: &Timing, now: Instant) -> bool {
        // Nodes see the window open some milliseconds apart; half the lead is far more than that.
        self.opens
            .is_none_or(|opens| now >= opens.before(timing.lead / 2))
    }

    /// Remembers news to be confirmed; one at a time is enough, for the answer is about the last record.
    pub(super) fn remember_news(&mut self, news: News) {
        self.news.get_or_insert(news);
    }

    /// A record stands, or is believed to: the next window opens at `opens`.
    pub(super) fn begin_window(&mut self, next: Link, opens: Instant) {
        self.next = next;
        self.opens = Some(opens);
        self.news = None;
    }

    /// Takes over what the database says of its last record; whether another window began with it.
    pub(super) fn learn(&mut self, last: Option<LastRecord>, write_interval: Duration, now: Instant) -> bool {
        let is_at_rest = last.is_none_or(|last| last.age > write_interval * 2);
        self.was_at_rest.get_or_insert(is_at_rest);
        self.told_at = now;
        let next = last.map_or(Link::FIRST, |last| Link::after(last.sequence, last.digest));
        // In the past if the window has been open: what became a certificate since then is for it, however late we hear of it.
        let opens = last.map_or(Instant::default(), |last| (now + write_interval).before(last.age));
        match self.opens {
            // At the start, what was collected belongs to the window that is open or about to be.
            None => (self.next, self.opens) = (next, Some(opens)),
            Some(_) if next == self.next => self.opens = Some(opens),
            Some(_) => {
                self.begin_window(next, opens);
                return true;
            }
        }
        false
    }

    /// The question about the last record has come to an end.
    pub(super) fn on_answer(&mut self) {
        self.asked_at = None;
    }

    /// The news that waited for it.
    pub(super) fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// The write of this certificate has come to an end.
    pub(super) fn on_outcome(&mut self, digest: Digest) {
        if self.in_flight() == Some(digest) {
            self.in_flight = None;
        }
    }

    /// The database did not answer.
    pub(super) fn on_failure(&mut self, reason: String, now: Instant, out: &mut Outbox) {
        let (was_there, since) = (self.was_there, self.database.lost_at.unwrap_or(now));
        let retry_in = self.database.fail(&reason, now);
        if self.database.is_worth_a_word(&reason, now) {
            out.note(Note::DatabaseLost {
                reason,
                retry_in,
                was_there,
                since: now.since(since),
            });
        }
    }

    /// The database answered, whatever it said.
    pub(super) fn on_success(&mut self, now: Instant, out: &mut Outbox) {
        let was = std::mem::take(&mut self.database);
        let was_there = std::mem::replace(&mut self.was_there, true);
        if let Some(lost_at) = was.lost_at {
            let outage = now.since(lost_at);
            out.note(Note::DatabaseBack { outage, was_there });
        }
    }
}

/// Records that are remembered as noted: news is of the last one or, when it comes late, of some before it.
const MOST_NOTED: usize = 8;
/// First wait after a failure: a restart of the server's process takes about as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest wait: how late the first write after an outage can be.
const MAX_RETRY: Duration = Duration::from_secs(4);
/// Reasons of one outage that are told at once when they change.
const FIRST_REASONS: u32 = 5;
/// Between two words about one outage after that, while its reasons change.
const REASON_PAUSE: Duration = Duration::from_secs(30);
/// After this long, a database that has never been there is worth another word: it is more than late.
const LATE: Duration = Duration::from_secs(30);

/// Whether the database answers, and when to ask it again.
#[derive(Debug, Default)]
struct Database {
    lost_at: Option<Instant>,
    failures: u32,
    /// Not before this moment, if the last attempt failed.
    retry_at: Option<Instant>,
    /// Why the last attempt failed.
    reason: Option<String>,
    /// What was told of this outage last, and when.
    told: Option<(String, Instant)>,
    /// How often something was told of this outage.
    words: u32,
}

impl Database {
    /// Notes a failure; how long to wait before the next attempt.
    fn fail(&mut self, reason: &str, now: Instant) -> Duration {
        let wait = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(8))
            .min(MAX_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + wait);
        self.lost_at.get_or_insert(now);
        self.reason = Some(reason.to_owned());
        wait
    }

    /// Whether this reason is to be told: it is the first of this outage, or another than the one that was told last; or the
    /// outage has become a long one. Reasons that take turns are not told each time.
    fn is_worth_a_word(&mut self, reason: &str, now: Instant) -> bool {
        let is_late = self.lost_at.is_some_and(|lost_at| now >= lost_at + LATE);
        let is_worth_it = match &self.told {
            None => true,
            Some((_, at)) if is_late && self.lost_at.is_some_and(|lost_at| *at < lost_at + LATE) => true,
            Some((told, _)) if told == reason => false,
            Some((_, at)) => self.words < FIRST_REASONS || now >= *at + REASON_PAUSE,
        };
        if is_worth_it {
            self.told = Some((reason.to_owned(), now));
            self.words = self.words.saturating_add(1);
        }
        is_worth_it
    }
}
