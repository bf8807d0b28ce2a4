//! How a feed is: what the API and the readiness probe show of a machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use super::{
    Effect, Note, Now,
    clocks::ClockFault,
    conduct::{Conduct, Mark},
    peers::{Alive, Peers},
};
use crate::{
    address::Address,
    committee::{Committee, Members},
    digest::Digest,
    names::Feed,
    record::WriteOutcome,
    time::UnixMillis,
};

/// Observers whose refusals are counted one by one: more than the largest network has.
const MAX_OBSERVERS: usize = 256;

/// How one feed is. All times by this node's calendar, in Unix milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct FeedStatus {
    /// What is priced.
    pub feed: Feed,
    /// Whether anybody counts who can connect.
    pub open: bool,
    /// Nodes known to be alive, this one among them.
    pub live: usize,
    /// Signatures that make a quorum now.
    pub required: usize,
    /// Of these, how many must be validators'.
    pub required_validators: usize,
    /// The members, or in an open network those who were heard of; this one among them while it counts.
    pub nodes: Vec<NodeStatus>,
    /// How old this node's last price is, on the stopwatch; `None` before the first.
    pub own_price_age_ms: Option<u64>,
    /// From this age on, the next price is overdue.
    pub price_overdue_ms: u64,
    /// Whether the database, or news of a record, has told when the window opens.
    pub knows_window: bool,
    /// Clocks that are off by more than messages may be.
    #[serde(skip)]
    pub clock_faults: Vec<ClockFault>,
    /// What happened since the machine started.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What happened since a machine started.
#[derive(Debug, Clone, Serialize)]
pub struct Tally {
    /// When this node last had a price.
    pub last_observation: Option<UnixMillis>,
    /// When this node last heard of a record.
    pub last_record_at: Option<UnixMillis>,
    /// That record.
    pub last_record: Option<Digest>,
    /// Its number.
    pub last_sequence: Option<u64>,
    /// Who wrote it.
    pub last_writer: Option<Address>,
    /// Since when the database has not answered.
    pub database_lost_at: Option<UnixMillis>,
    /// What it, or the way to it, said last.
    pub database_problem: Option<String>,
    /// Prices that this node had.
    pub observations: u64,
    /// What came of this node's writes.
    pub writes: BTreeMap<&'static str, u64>,
    /// Records that this node wrote or heard of.
    pub records: u64,
    /// Co-signatures.
    pub cosigned: u64,
    /// Refusals to co-sign: this node sees something else.
    pub refused: u64,
    /// How often it could not judge for want of something, like a price of its own. It may have signed later.
    pub abstained: u64,
    /// Refusals by this node, by observer and reason.
    pub refusals: BTreeMap<Address, BTreeMap<&'static str, u64>>,
    /// Certificates that a fresher one replaced.
    pub superseded: u64,
    /// Records that stood in the database and are gone for good.
    pub forks: u64,
    /// When the last of them was found to be gone.
    pub forked_at: Option<UnixMillis>,
}

/// What is known of a node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Its address.
    pub address: Address,
    /// Whether there was a sign of life lately.
    pub alive: bool,
    /// Whether it is a validator.
    pub validator: bool,
    /// The version of its software, once it has told.
    pub version: Option<String>,
    /// When it last observed a price, by its clock.
    pub last_observation: Option<UnixMillis>,
    /// How far its clock is ahead of this node's, less the time that its last message took.
    pub clock_offset_ms: Option<i64>,
    /// How long it stays in quarantine, if it made two statements for one window.
    pub quarantined_ms: Option<u64>,
    /// What this node found about it, by name: reasons for which its prices were refused, `equivocation`, `false_written`,
    /// `signed_outlier`.
    pub findings: BTreeMap<&'static str, u64>,
    /// What others said about its prices.
    pub findings_of_others: BTreeMap<&'static str, u64>,
}

impl NodeStatus {
    /// All members, or in an open network `me` and whoever was heard of.
    pub(super) fn of_all(
        committee: &Committee,
        me: Address,
        peers: &Peers,
        conduct: &Conduct,
        now: Now,
    ) -> Vec<Self> {
        let alive: BTreeMap<Address, &Alive> = peers.iter().map(|(node, alive)| (*node, alive)).collect();
        let marks: BTreeMap<Address, _> = conduct.marks().map(|(node, marks)| (*node, marks)).collect();
        let nodes: BTreeSet<Address> = match &committee.members {
            Members::Closed(members) => members.clone(),
            Members::Open => alive.keys().chain(marks.keys()).copied().chain([me]).collect(),
        };
        let to_status = |address| {
            let known = alive.get(&address);
            let mut status = Self {
                address,
                alive: known.is_some() || address == me,
                validator: committee.rule.validators.contains(&address),
                version: known.and_then(|alive| alive.version.clone()),
                last_observation: known.and_then(|alive| alive.last_observation),
                clock_offset_ms: peers.clocks().ahead_ms(&address),
                quarantined_ms: conduct.quarantined(&address, now.instant).map(whole_ms),
                findings: BTreeMap::new(),
                findings_of_others: BTreeMap::new(),
            };
            for (mark, count) in marks.get(&address).into_iter().copied().flatten() {
                let findings = match mark {
                    Mark::RefusedElsewhere(_) => &mut status.findings_of_others,
                    _ => &mut status.findings,
                };
                *findings.entry(mark.label()).or_default() += count;
            }
            status
        };
        nodes.into_iter().map(to_status).collect()
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            last_observation: None,
            last_record_at: None,
            last_record: None,
            last_sequence: None,
            last_writer: None,
            database_lost_at: None,
            database_problem: None,
            observations: 0,
            writes: WriteOutcome::LABELS.map(|outcome| (outcome, 0)).into(),
            records: 0,
            cosigned: 0,
            refused: 0,
            abstained: 0,
            refusals: BTreeMap::new(),
            superseded: 0,
            forks: 0,
            forked_at: None,
        }
    }
}

impl Tally {
    pub(super) fn observed(&mut self, at: UnixMillis) {
        self.observations += 1;
        self.last_observation = Some(at);
    }

    pub(super) fn wrote(&mut self, outcome: &WriteOutcome) {
        *self.writes.entry(outcome.label()).or_default() += 1;
    }

    pub(super) fn take_notes(&mut self, effects: &[Effect], now: UnixMillis) {
        for effect in effects {
            if let Effect::Note(note) = effect {
                self.take_note(note, now);
            }
        }
    }

    fn take_note(&mut self, note: &Note, now: UnixMillis) {
        match note {
            Note::CoSigned { .. } => self.cosigned += 1,
            Note::Refused {
                observer, refusal, ..
            } => {
                match refusal.is_abstention() {
                    true => self.abstained += 1,
                    false => self.refused += 1,
                }
                // In an open network strangers could make up observers; the first are enough to see what goes on.
                if self.refusals.len() < MAX_OBSERVERS || self.refusals.contains_key(observer) {
                    let reasons = self.refusals.entry(*observer).or_default();
                    *reasons.entry(refusal.label()).or_default() += 1;
                }
            }
            Note::Superseded { .. } => self.superseded += 1,
            Note::Written {
                sequence,
                digest,
                writer,
                ..
            } => {
                self.records += 1;
                (self.last_record, self.last_writer) = (Some(*digest), Some(*writer));
                self.last_sequence = Some(*sequence);
                self.last_record_at = Some(now);
            }
            Note::DatabaseLost { since, .. } => {
                let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                self.database_lost_at = Some(UnixMillis::new(now.get().saturating_sub(since)));
            }
            Note::DatabaseBack { .. } => self.database_lost_at = None,
            Note::Forked { .. } => {
                self.forks += 1;
                self.forked_at = Some(now);
            }
            Note::Quorum { .. }
            | Note::CertificateRefused { .. }
            | Note::Waiting { .. }
            | Note::Withheld { .. }
            | Note::RefusedElsewhere { .. }
            | Note::Equivocated { .. }
            | Note::TooSoon { .. }
            | Note::WriteRefused { .. }
            | Note::HistoryRewound { .. }
            | Note::HistoryHealed { .. }
            | Note::FalseWritten { .. } => {}
        }
    }
}

pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
