//! The feed's history as this node believes it: its last record, what may follow that and when, and what is still to be confirmed.
//!
//! A database can go back: one that fails over to a replica that lagged has lost its last records. The certificate of the last
//! record is kept until the next one, so that it can be written again; if another record takes its place, the history has
//! forked.

use std::{collections::VecDeque, time::Duration};

use super::{Settings, Timing};
use crate::{
    address::Address, digest::Digest, link::Link, record::LastRecord, report::Certificate, time::Instant,
};

/// A record's place and name; at the beginning, what the first record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    sequence: u64,
    digest: Digest,
    /// The digest of the record before it.
    previous: Digest,
}

impl Head {
    const BEGINNING: Self = Self {
        sequence: 0,
        digest: Digest::new([0; 32]),
        previous: Digest::new([0; 32]),
    };

    fn of(certificate: &Certificate) -> Self {
        let link = certificate.report().observation().link();
        Self {
            sequence: link.sequence(),
            digest: certificate.digest(),
            previous: link.previous(),
        }
    }

    fn told(last: Option<&LastRecord>) -> Self {
        last.map_or(Self::BEGINNING, |last| Self {
            sequence: last.sequence,
            digest: last.digest,
            previous: last.previous,
        })
    }

    fn next(&self) -> Link {
        Link::after(self.sequence, self.digest)
    }

    fn is_right_before(&self, other: &Self) -> bool {
        self.sequence + 1 == other.sequence && self.digest == other.previous
    }

    /// Whether a history that ends with this record has another one, or none, in the place of `other`; unknown if that lies
    /// further back than the record before this one.
    fn displaces(&self, other: &Self) -> Option<bool> {
        match self.sequence.checked_sub(other.sequence) {
            None => Some(true),
            Some(0) => Some(self.digest != other.digest),
            Some(1) => Some(self.previous != other.digest),
            Some(_) => None,
        }
    }
}

/// What the last record is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A peer's word.
    Announced,
    /// A peer's word, and the database was away before it could be asked: it may have lost it.
    Doubtful,
    /// The database has shown it, or has taken it from this node.
    Shown,
}

/// The last record, and what goes with it.
#[derive(Debug)]
struct Last {
    head: Head,
    standing: Standing,
    /// If this node has it.
    certificate: Option<Certificate>,
    /// When the window of the next record opens or opened.
    opens: Instant,
}

/// A record that stood, or that all believed to stand, and that the database does not have.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    head: Head,
    /// Whether the database has shown it, or taken it from this node.
    pub(super) was_shown: bool,
    /// If this node has it.
    pub(super) certificate: Option<Certificate>,
}

impl Lost {
    pub(super) fn sequence(&self) -> u64 {
        self.head.sequence
    }

    pub(super) fn digest(&self) -> Digest {
        self.head.digest
    }
}

/// What came of news about the last record.
#[derive(Debug)]
pub(super) enum Change {
    /// It is the one that was known.
    None,
    /// Another record is the last one. If it comes before the one that was believed, that was announced and never stood.
    Moved,
    /// The database went back to the record before the last one, which is to be written again before anything else.
    Rewound(Lost),
    /// The record that the database had lost stands again.
    Healed(Lost),
    /// A record that stood is gone for good: another one stands in its place, or the database went back behind the one
    /// before it.
    Forked(Lost),
}

/// A peer's word that it wrote a record, which the database is to confirm.
#[derive(Debug)]
pub(super) struct News {
    pub(super) certificate: Certificate,
    pub(super) writer: Address,
    /// When to ask the database.
    pub(super) ask_at: Instant,
    /// Whether the database was away since: then it may have lost the record.
    pub(super) is_doubtful: bool,
}

impl News {
    /// Whether the database, whose last record this is, does not bear it out.
    pub(super) fn is_false(&self, last: Option<&LastRecord>) -> bool {
        Head::told(last).displaces(&Head::of(&self.certificate)) == Some(true)
    }
}

/// What this node holds for the feed's history.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Unknown until the database or a peer has told.
    last: Option<Last>,
    /// What the database has lost, until the next record shows whether it stands again.
    lost: Option<Lost>,
    /// When the database last told.
    told_at: Instant,
    /// Whether the database had seen no record for two windows when it first told of its last one.
    was_at_rest: Option<bool>,
    /// News of a record that the database has not confirmed yet.
    news: Option<News>,
    /// Records that were noted, the latest last: of one record a peer's news, the database's answer and the outcome of this
    /// node's own write may tell, in any order.
    noted: VecDeque<Digest>,
}

impl History {
    /// Records that are remembered as noted: news is of the last one or, when it comes late, of some before it.
    const MOST_NOTED: usize = 8;

    /// The place of the next record; unknown until the database or a peer has told of the last one.
    pub(super) fn next(&self) -> Option<Link> {
        self.last.as_ref().map(|last| last.head.next())
    }

    /// The last record's digest, zeros if there is none or none is known.
    pub(super) fn last_record(&self) -> Digest {
        self.last
            .as_ref()
            .map_or(Head::BEGINNING, |last| last.head)
            .digest
    }

    /// When the window of the next record opens or opened; `None` until that is known.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.last.as_ref().map(|last| last.opens)
    }

    /// Whether the window is known to be closed.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.opens().is_some_and(|opens| now < opens)
    }

    /// When the database last told of its last record.
    pub(super) fn told_at(&self) -> Instant {
        self.told_at
    }

    /// Whether the database has ever told of its last record.
    pub(super) fn has_been_told(&self) -> bool {
        self.was_at_rest.is_some()
    }

    /// The process before this one, with the same key, may have made a statement right before it ended. Unless the database
    /// shows that the network was at rest, this one waits until nothing that it says can contradict that.
    pub(super) fn no_statement_before(&self, settings: &Settings) -> Instant {
        match settings.predecessor_ended {
            Some(ended) if self.was_at_rest != Some(true) => ended + settings.one_window(),
            _ => Instant::default(),
        }
    }

    /// Whether this record was not noted before. From now on it is.
    pub(super) fn is_news(&mut self, record: Digest) -> bool {
        let is_news = !self.noted.contains(&record);
        if is_news {
            if self.noted.len() == Self::MOST_NOTED {
                self.noted.pop_front();
            }
            self.noted.push_back(record);
        }
        is_news
    }

    /// A peer announced a record. Whether it is believed at once: if it follows the last record that is known, and the window is
    /// not closed. Otherwise it is only a reason to ask: in an open network anybody can make up a quorum and a place far ahead, and
    /// who believed it would forget what is stated for the next one.
    pub(super) fn believes(&self, announced: &Certificate, timing: &Timing, now: Instant) -> bool {
        self.last.as_ref().is_none_or(|last| {
            let is_next = announced.report().observation().link() == last.head.next();
            // Nodes see the window open some milliseconds apart; half the lead is far more than that.
            is_next && now >= last.opens.before(timing.lead / 2)
        })
    }

    /// An announced record is believed: from now on it is the last one.
    pub(super) fn believe(&mut self, announced: Certificate, opens: Instant) {
        self.news = None;
        self.last = Some(Last {
            head: Head::of(&announced),
            standing: Standing::Announced,
            certificate: Some(announced),
            opens,
        });
    }

    /// This is a certificate of the last record: it is kept.
    pub(super) fn keep(&mut self, certificate: &Certificate) {
        if let Some(last) = &mut self.last
            && last.head.digest == certificate.digest()
        {
            last.certificate.get_or_insert_with(|| certificate.clone());
        }
    }

    /// Remembers news to be confirmed; one at a time is enough, for the answer is about the last record.
    pub(super) fn remember_news(&mut self, news: News) {
        self.news.get_or_insert(news);
    }

    /// The news that is to be confirmed.
    pub(super) fn news(&self) -> Option<&News> {
        self.news.as_ref()
    }

    /// The same, which has been confirmed or not.
    pub(super) fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// The database is away: what was announced and not confirmed may be lost.
    pub(super) fn on_database_failure(&mut self) {
        if let Some(last) = &mut self.last
            && last.standing == Standing::Announced
        {
            last.standing = Standing::Doubtful;
        }
        if let Some(news) = &mut self.news {
            news.is_doubtful = true;
        }
    }

    /// The database took this record from this node.
    pub(super) fn wrote(&mut self, certificate: Certificate, opens: Instant) -> Change {
        self.news = None;
        let head = Head::of(&certificate);
        let change = self.take_over(head, opens);
        self.keep(&certificate);
        change
    }

    /// Takes over what the database says of its last record.
    pub(super) fn learn(&mut self, last: Option<&LastRecord>, window: Duration, now: Instant) -> Change {
        let is_at_rest = last.is_none_or(|last| last.age > window * 2);
        self.was_at_rest.get_or_insert(is_at_rest);
        self.told_at = now;
        // In the past if the window has been open: what became a certificate since then is for it, however late we hear of it.
        let opens = last.map_or(Instant::default(), |last| (now + window).before(last.age));
        self.take_over(Head::told(last), opens)
    }

    /// From now on this is the last record, and the database has it.
    fn take_over(&mut self, head: Head, opens: Instant) -> Change {
        let certificate = None;
        let standing = Standing::Shown;
        let Some(last) = &mut self.last else {
            self.last = Some(Last {
                head,
                standing,
                certificate,
                opens,
            });
            return Change::Moved;
        };
        if last.head == head {
            (last.standing, last.opens) = (standing, opens);
            return self.is_lost_found(head).unwrap_or(Change::None);
        }
        let was = std::mem::replace(
            last,
            Last {
                head,
                standing,
                certificate,
                opens,
            },
        );
        if let Some(change) = self.is_lost_found(head) {
            return change;
        }
        if was.standing == Standing::Announced || head.displaces(&was.head) != Some(true) {
            return Change::Moved;
        }
        let is_right_before = head.is_right_before(&was.head);
        let lost = Lost {
            head: was.head,
            was_shown: was.standing == Standing::Shown,
            certificate: was.certificate,
        };
        match (is_right_before, lost.was_shown) {
            (true, _) => {
                self.lost = Some(lost.clone());
                Change::Rewound(lost)
            }
            (false, true) => Change::Forked(lost),
            (false, false) => Change::Moved,
        }
    }

    /// What became of a lost record, now that the database shows this one as its last: nothing while it stands where it went
    /// back to.
    fn is_lost_found(&mut self, head: Head) -> Option<Change> {
        if self
            .lost
            .as_ref()
            .is_none_or(|lost| head.is_right_before(&lost.head))
        {
            return None;
        }
        let lost = self.lost.take()?;
        match head.displaces(&lost.head) {
            Some(false) => Some(Change::Healed(lost)),
            Some(true) if lost.was_shown => Some(Change::Forked(lost)),
            _ => None,
        }
    }
}
