//! What the Aggregator tells of itself when asked.

use actix::Message;
use quorate_protocol::{Address, Digest, Feed, UnixMillis, aggregation::Note};
use serde::Serialize;

/// Ask the Aggregator how its feeds are.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<FeedStatus>")]
pub struct AskStatus;

/// How one feed is. All times by this node's calendar, in Unix milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct FeedStatus {
    /// What is priced.
    pub feed: Feed,
    /// Nodes known to be alive, this one among them.
    pub live: usize,
    /// Signatures that make a quorum now.
    pub required: usize,
    /// When this node last had a price.
    pub last_observation: Option<UnixMillis>,
    /// When this node last heard of a record.
    pub last_record_at: Option<UnixMillis>,
    /// That record.
    pub last_record: Option<Digest>,
    /// Who wrote it.
    pub last_writer: Option<Address>,
    /// Since when the database has not answered.
    pub database_lost_at: Option<UnixMillis>,
    /// Records that this node wrote or heard of since the Aggregator (re)started.
    pub records: u64,
    /// Co-signatures since then.
    pub cosigned: u64,
    /// Refusals to co-sign since then.
    pub refused: u64,
    /// Certificates that a fresher one replaced since then.
    pub superseded: u64,
}

impl FeedStatus {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed,
            live: 1,
            required: 0,
            last_observation: None,
            last_record_at: None,
            last_record: None,
            last_writer: None,
            database_lost_at: None,
            records: 0,
            cosigned: 0,
            refused: 0,
            superseded: 0,
        }
    }

    pub(super) fn take_note(&mut self, note: &Note, now: UnixMillis) {
        match note {
            Note::CoSigned { .. } => self.cosigned += 1,
            Note::Refused { .. } => self.refused += 1,
            Note::Superseded { .. } => self.superseded += 1,
            Note::Written { digest, writer, .. } => {
                self.records += 1;
                (self.last_record, self.last_writer) = (Some(*digest), Some(*writer));
                self.last_record_at = Some(now);
            }
            Note::DatabaseLost { .. } => self.database_lost_at = Some(now),
            Note::DatabaseBack { .. } => self.database_lost_at = None,
            Note::Quorum { .. }
            | Note::Waiting { .. }
            | Note::TooSoon { .. }
            | Note::WriteRefused { .. }
            | Note::FalseWritten { .. } => {}
        }
    }
}
