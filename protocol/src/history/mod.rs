//! Whether records are genuine, and whether any is missing: what a stranger can find out from the records alone.
//!
//! Two questions, so that the dear one can be asked of many records at once, in any order: [`Prover::prove`] looks at one
//! record by itself, [`History::follow`] at its place among those that came before. [`History::check`] asks both.

mod fault;

use std::{collections::BTreeMap, time::Duration};

pub use fault::Fault;

use crate::{
    committee::Committee,
    digest::Digest,
    names::{Feed, Network},
    record::Record,
    time::UnixMillis,
};

/// Asks of one record after the other, in any order, whether it proves itself.
#[derive(Debug)]
pub struct Prover {
    committee: Committee,
    /// The last record's: most have the same.
    network: Option<Network>,
}

impl Prover {
    /// Who counts, and how many make a quorum. In an open committee anybody counts, and a fraction of the members means nothing.
    pub fn new(committee: Committee) -> Self {
        Self {
            committee,
            network: None,
        }
    }

    /// Whether this record proves itself: price, digest and signatures, that the signers are members, and enough of them.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn prove(&mut self, record: &Record) -> Result<(), Fault> {
        let network = match self.network.take() {
            Some(network) if network.as_str() == record.network => network,
            _ => record.network()?,
        };
        let signers = record.verify_in(self.network.insert(network))?;
        let Committee { members, rule } = &self.committee;
        if let Some(stranger) = signers.iter().find(|signer| !members.admit(signer)) {
            return Err(Fault::Stranger(*stranger));
        }
        let (found, required) = (signers.len(), self.committee.required(0));
        if found < required {
            return Err(Fault::TooFewSignatures { found, required });
        }
        match rule.validators_missing(signers.iter()) {
            0 => {}
            missing => return Err(Fault::TooFewValidators { missing }),
        }
        match record.validators.difference(&signers).next() {
            Some(absent) => Err(Fault::ValidatorNotSigned(*absent)),
            None => Ok(()),
        }
    }
}

/// Follows the records of any number of feeds, each feed's in the order of their numbers, upwards or downwards: lists for people
/// begin with the newest. Remembers one record a feed.
#[derive(Debug)]
pub struct History {
    /// The one that was asked for, or that of the first record.
    network: Option<String>,
    write_interval: Option<Duration>,
    feeds: BTreeMap<Feed, Course>,
}

/// How far the records of a feed have been followed.
#[derive(Debug, Clone)]
struct Course {
    start: Start,
    /// The lowest and the highest number so far; `None` before the first record.
    span: Option<(u64, u64)>,
    last: Point,
    /// `None` as long as one record is known.
    direction: Option<Direction>,
    /// Records since the last good one that proved nothing: each can have stood for one that is missing now.
    unproven: u64,
}

/// What was known before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing stands before it: the records begin with the feed's first.
    Beginning,
    /// It had to follow a record that was known from elsewhere: an archive, or what the database keeps of one.
    Known,
    /// Nothing: whether records came before it, and which one it follows, was not checked.
    OnTrust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A record, as far as its neighbours care.
#[derive(Debug, Clone, Copy)]
struct Point {
    sequence: u64,
    digest: Digest,
    previous: Digest,
    /// Unknown of a record that is known from elsewhere.
    written_at: Option<UnixMillis>,
}

impl From<&Record> for Point {
    fn from(record: &Record) -> Self {
        Self {
            sequence: record.sequence,
            digest: record.digest,
            previous: record.previous,
            written_at: Some(record.written_at),
        }
    }
}

/// What was found of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What was known before.
    pub start: Start,
    /// The lowest number.
    pub first: u64,
    /// The highest number.
    pub last: u64,
}

impl History {
    /// Nothing is known of any feed. Records are of `network`, or all of that of the first.
    pub fn new(network: Option<String>) -> Self {
        Self {
            network,
            write_interval: None,
            feeds: BTreeMap::new(),
        }
    }

    /// From now on, records of a feed are at least so far apart; `None`: however far.
    pub fn space_by(&mut self, write_interval: Option<Duration>) {
        self.write_interval = write_interval;
    }

    /// The network that records are of; `None` before the first.
    pub fn network(&self) -> Option<&str> {
        self.network.as_deref()
    }

    /// The records of this feed begin after the one with this number and digest: with number 0, with the feed's first. If records
    /// of it have been followed already, nothing changes: the next one follows them.
    pub fn begin_after(&mut self, feed: Feed, sequence: u64, digest: Digest) {
        let start = if sequence == 0 {
            Start::Beginning
        } else {
            Start::Known
        };
        let last = Point {
            sequence,
            digest,
            previous: digest,
            written_at: None,
        };
        self.feeds.entry(feed).or_insert(Course {
            start,
            span: None,
            last,
            direction: Some(Direction::Up),
            unproven: 0,
        });
    }

    /// Asks all there is to ask of the next record.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&mut self, record: &Record, prover: &mut Prover) -> Result<(), Fault> {
        match prover.prove(record) {
            Ok(()) => self.follow(record),
            Err(fault) => {
                self.pass_over(record);
                Err(fault)
            }
        }
    }

    /// The next record, which is no proof of anything: what it says of its place is not believed.
    pub fn pass_over(&mut self, record: &Record) {
        if let Some(course) = self.feeds.get_mut(&record.feed) {
            course.unproven += 1;
        }
    }

    /// Whether the next record, which has proven itself, stands where it should.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn follow(&mut self, record: &Record) -> Result<(), Fault> {
        let expected = self.network.get_or_insert_with(|| record.network.clone());
        if *expected != record.network {
            return Err(Fault::OtherNetwork {
                found: record.network.clone(),
                expected: expected.clone(),
            });
        }
        let point = Point::from(record);
        match self.feeds.get_mut(&record.feed) {
            Some(course) => course.follow(point, self.write_interval),
            None => {
                self.feeds.insert(record.feed.clone(), Course::starting(point));
                Ok(())
            }
        }
    }

    /// What was found, feed by feed; feeds of which no good record was met are not among them.
    pub fn spans(&self) -> impl Iterator<Item = (&Feed, Span)> {
        self.feeds.iter().filter_map(|(feed, course)| {
            let (first, last) = course.span?;
            let span = Span {
                start: course.start,
                first,
                last,
            };
            Some((feed, span))
        })
    }

    /// The number and the digest of the last good record that was followed.
    pub fn last(&self, feed: &Feed) -> Option<(u64, Digest)> {
        let course = self.feeds.get(feed)?;
        Some((course.last.sequence, course.last.digest))
    }
}

impl Course {
    fn starting(point: Point) -> Self {
        let first = point.sequence == 1;
        Self {
            start: if first { Start::Beginning } else { Start::OnTrust },
            span: Some((point.sequence, point.sequence)),
            last: point,
            direction: None,
            unproven: 0,
        }
    }

    fn follow(&mut self, point: Point, interval: Option<Duration>) -> Result<(), Fault> {
        let last = self.last;
        if point.sequence == last.sequence && self.span.is_some() {
            return Err(doubled(last, point));
        }
        let direction = match self.direction {
            Some(direction) => direction,
            // One below the first: the list begins with the newest.
            None if point.sequence.saturating_add(1) == last.sequence => Direction::Down,
            None => Direction::Up,
        };
        let (older, newer) = match direction {
            Direction::Up => (last, point),
            Direction::Down => (point, last),
        };
        if newer.sequence <= older.sequence {
            return Err(Fault::Order {
                found: point.sequence,
                after: last.sequence,
            });
        }
        let between = newer.sequence - older.sequence - 1;
        let unproven = std::mem::take(&mut self.unproven);
        let (low, high) = self.span.unwrap_or((point.sequence, point.sequence));
        self.span = Some((low.min(point.sequence), high.max(point.sequence)));
        self.direction = Some(direction);
        self.last = point;
        if self.start == Start::OnTrust && point.sequence == 1 {
            self.start = Start::Beginning;
        }
        if between > unproven {
            return Err(Fault::Gap {
                first: older.sequence + 1,
                last: newer.sequence - 1,
            });
        }
        if between == 0 && newer.previous != older.digest {
            return Err(Fault::Link {
                sequence: newer.sequence,
                named: newer.previous,
                found: older.digest,
            });
        }
        check_spacing(older, newer, interval)
    }
}

fn doubled(one: Point, other: Point) -> Fault {
    let sequence = one.sequence;
    if one.digest == other.digest {
        return Fault::Doubled(sequence);
    }
    let (one, other) = (one.digest, other.digest);
    Fault::Fork { sequence, one, other }
}

/// Both times were cut to milliseconds, and so is the interval: what the database lets through passes.
fn check_spacing(older: Point, newer: Point, interval: Option<Duration>) -> Result<(), Fault> {
    let (Some(interval), Some(before), Some(after)) = (interval, older.written_at, newer.written_at) else {
        return Ok(());
    };
    let apart = after.since(before);
    if apart.as_millis() < interval.as_millis() {
        Err(Fault::Spacing { apart, interval })
    } else {
        Ok(())
    }
}
