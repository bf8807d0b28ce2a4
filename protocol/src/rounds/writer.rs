//! When this node writes, when it asks the database for the last record, and how the database is.

use std::time::Duration;

use super::{
    Settings,
    candidates::{Backing, Candidates},
    effect::{Effect, Note, Outbox, StoreRequest},
    history::History,
    own_price::OwnPrice,
    peers::Peers,
    turns::{self, Places},
};
use crate::{digest::Digest, time::Instant};

/// What this node writes to the database and asks it, and how that is.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Whether the database has ever answered.
    was_there: bool,
    /// The write on its way, and when it was sent.
    in_flight: Option<(Digest, Instant)>,
    /// When the last record was asked for, if there is no answer yet.
    asked_at: Option<Instant>,
    /// The writers' places for the best certificate.
    places: Places,
    database: Database,
    /// The database is back: until then a fresh certificate may take the place of one that has waited.
    renewal_until: Option<Instant>,
}

/// What a write depends on besides the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) history: &'a History,
    pub(super) candidates: &'a Candidates,
    pub(super) own_price: &'a OwnPrice,
    pub(super) peers: &'a Peers,
    pub(super) settings: &'a Settings,
}

impl Writer {
    /// What the database, or the way to it, said last, if it does not answer.
    pub(super) fn database_problem(&self) -> Option<&str> {
        self.database.reason.as_deref()
    }

    /// The certificate that is on its way to the database.
    pub(super) fn in_flight(&self) -> Option<Digest> {
        self.in_flight.map(|(digest, _)| digest)
    }

    /// Writes the best certificate at hand, when the window is open, the database is there and it is this node's turn:
    /// those who have stated a price near its own go first.
    pub(super) fn write(&mut self, view: &View<'_>, now: Instant, out: &mut Outbox) {
        let View {
            history,
            candidates,
            own_price,
            peers,
            settings,
        } = *view;
        let timing = &settings.timing;
        if let Some((digest, since)) = self.in_flight {
            let timeout = since + timing.write_timeout;
            if now < timeout {
                return out.wake_at(timeout);
            }
            self.in_flight = None;
            let reason = format!("no answer to the write of {}", digest.short());
            self.on_failure(reason, peers.live(), now, out);
        }
        let Some(opens) = history.opens() else {
            return self.ask_again(settings, now, out);
        };
        let Some((next, best)) = history
            .next()
            .and_then(|next| Some((next, candidates.best(next)?)))
        else {
            return;
        };
        if let Some(until) = self.renewal_until.filter(|until| now < *until)
            && best.is_old(settings, now)
        {
            return out.wake_at(until);
        }
        let certificate = best.certificate();
        let digest = certificate.digest();
        let turn = match self.database.retry_at {
            Some(retry_at) => retry_at.max(opens),
            None => {
                let able = candidates.able(next, own_price, settings);
                let before = self
                    .places
                    .turns_before(digest, settings.me, &able, peers.others());
                let signatures = certificate.report().signatures().len();
                // Nodes hear of a window that has been open at about the same time, and take turns then too.
                let since = opens.max(best.at()).max(history.told_at());
                let after_others = match best.backing() {
                    Backing::Own | Backing::Record => Duration::ZERO,
                    // No turn of those who have a price is later.
                    Backing::Others => timing.max_stagger,
                };
                since + after_others + turns::writers_wait(timing, before, signatures)
            }
        };
        if now < turn {
            return out.wake_at(turn);
        }
        if self.database.retry_at.is_some() && best.is_old(settings, now) {
            return self.ask_last_record(settings, now, out);
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

    /// Asks the database for the last record when there is something to learn: whether the news of a record was true, or, once
    /// in half a window, why somebody states for another place in the history than this node. `strays` says since when.
    pub(super) fn inquire(
        &mut self,
        history: &History,
        strays: Option<Instant>,
        settings: &Settings,
        now: Instant,
        out: &mut Outbox,
    ) {
        let news = history.news().map(|news| news.ask_at);
        // What was there when the database last told is answered.
        let strays = strays.filter(|since| *since > history.told_at());
        let strays = strays.map(|since| since.max(history.told_at() + settings.write_interval / 2));
        let Some(ask_at) = news.into_iter().chain(strays).min() else {
            return;
        };
        let ask_at = self.database.retry_at.map_or(ask_at, |at| at.max(ask_at));
        if now >= ask_at {
            self.ask_last_record(settings, now, out);
        } else {
            out.wake_at(ask_at);
        }
    }

    /// The question about the last record has come to an end.
    pub(super) fn on_answer(&mut self) {
        self.asked_at = None;
    }

    /// The write of this certificate has come to an end.
    pub(super) fn on_outcome(&mut self, digest: Digest) {
        if self.in_flight() == Some(digest) {
            self.in_flight = None;
        }
    }

    /// Whether the database is back, and there is time for a fresh certificate before one that has waited is written.
    pub(super) fn is_renewal(&self, now: Instant) -> bool {
        self.renewal_until.is_some_and(|until| now < until)
    }

    /// The database did not answer one of so many nodes.
    pub(super) fn on_failure(&mut self, reason: String, nodes: usize, now: Instant, out: &mut Outbox) {
        let (was_there, since) = (self.was_there, self.database.lost_at.unwrap_or(now));
        let retry_in = self.database.fail(&reason, nodes, now);
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
            self.renewal_until = Some(now + RENEWAL);
            out.note(Note::DatabaseBack { outage, was_there });
        }
    }
}

/// First wait after a failure: a restart of the server's process takes about as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest wait of a few nodes: the first that finds the database back states a price, and all others hear it.
const MAX_RETRY: Duration = Duration::from_millis(500);
/// Longest wait of many, for each: together they try no more than fifty times a second, since a server that starts has other work.
const MAX_RETRY_EACH: Duration = Duration::from_millis(20);
/// How long a certificate that has waited makes way for a fresh one, once the database is back: twice what prices and signatures take
/// where exchanges are slow. Then it is written all the same.
const RENEWAL: Duration = Duration::from_secs(2);
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
    fn fail(&mut self, reason: &str, nodes: usize, now: Instant) -> Duration {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        let longest = MAX_RETRY.max(MAX_RETRY_EACH.saturating_mul(nodes));
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(8)).min(longest);
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
