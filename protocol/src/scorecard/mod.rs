//! Who had a part in the windows of a feed, and who had none and why: what a node's members are worth, as this node hears them. It only
//! listens, to reports, notes and signs of life, and decides nothing.
//!
//! Every member states a price in each window, so that whoever is needed can sign. A member *misses* a window when it does neither
//! that nor sign the record; one whose signature was not needed has missed nothing. A window ends with its record, or when it has been
//! open for as long as it was closed, and so on. What is not judged: the window in which this node began to listen, those without a
//! record in which its database was away, and a time in which this process did not run.

mod counts;
mod round;

use std::{collections::BTreeMap, time::Duration};

use counts::Tallies;
pub use counts::{Counts, Heard, Miss};
use round::{Closed, Round, counts_from};

use crate::{
    address::Address,
    committee::Members,
    heartbeat::{ALIVE_FOR, Heartbeat},
    report::VerifiedReport,
    rounds::{Note, Settings},
    time::{Instant, UnixMillis},
};

/// Nodes whose signs of life are kept. A closed network's members are far fewer.
const MAX_NODES: usize = 256;

/// By how much a start may seem to move without one: a rounding to a second, and a clock that is corrected. One that is off by more
/// than 5 s is not heard.
const SAME_START: Duration = Duration::from_secs(6);

/// A process that runs is called by then, however short its windows and however busy its machine.
const MUCH_TOO_LATE: Duration = Duration::from_secs(2);

/// What one node knows of the others' part in one feed.
#[derive(Debug)]
pub struct Scorecard {
    me: Address,
    members: Members,
    write_interval: Duration,
    max_deviation_bps: u32,
    /// From this age on, a node's last price is none.
    price_overdue: Duration,
    tallies: Tallies,
    /// By the numbers of their records: the one under way, the one that has just ended, and the next.
    rounds: BTreeMap<u64, Round>,
    /// The number of the next record, once it is known.
    next: Option<u64>,
    /// When the last window ended.
    began: Instant,
    /// When the one under way ends, if no record comes.
    ends: Instant,
    /// Whether this node has listened to it from its beginning.
    is_whole: bool,
    is_database_away: bool,
    lives: BTreeMap<Address, Life>,
}

/// What a node last showed of itself.
#[derive(Debug, Clone, Copy)]
struct Life {
    heard: Instant,
    /// Whether that was a heartbeat: who is silent gives one in time, or is gone.
    by_heartbeat: bool,
    /// Whether it said then that it had a price.
    had_price: bool,
    /// When it last stated a price for a record that had long stood.
    behind: Option<Instant>,
    /// When its messages were last ignored for its clock.
    clock_off: Option<Instant>,
    started: Option<Start>,
}

/// What a heartbeat tells of a process, by that node's clock.
#[derive(Debug, Clone, Copy)]
struct Start {
    at: UnixMillis,
    sent_at: UnixMillis,
    uptime_s: u64,
}

impl Scorecard {
    /// Nothing was heard yet.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            me: settings.me,
            members: settings.committee.members.clone(),
            write_interval: settings.write_interval,
            max_deviation_bps: settings.policy.max_deviation_bps,
            price_overdue: settings.price_overdue(),
            tallies: Tallies::new(now),
            rounds: BTreeMap::new(),
            next: None,
            began: now,
            ends: now + settings.write_interval * 2,
            is_whole: false,
            is_database_away: false,
            lives: BTreeMap::new(),
        }
    }

    /// From now on these are the members.
    pub fn on_members(&mut self, members: Members, now: Instant) {
        self.advance(now);
        self.members = members;
    }

    /// A report came in, while `next` was the number of the next record.
    pub fn on_report(&mut self, report: &VerifiedReport, next: Option<u64>, now: Instant) {
        self.advance(now);
        self.next = next.or(self.next);
        let observation = report.observation();
        let (observer, sequence) = (observation.observer(), observation.link().sequence());
        let Some(next) = self.next else { return };
        // Anybody can make up a number that lies ahead.
        if sequence == next || Some(sequence) == next.checked_add(1) {
            self.hear_of(observer, now, |life| life.by_heartbeat = false);
            self.rounds.entry(sequence).or_default().hear(report, now);
        } else if let Some(round) = self.rounds.get_mut(&sequence) {
            round.hear(report, now);
        } else if sequence < next {
            self.hear_of(observer, now, |life| life.behind = Some(now));
        }
    }

    /// Something was noted.
    pub fn on_note(&mut self, note: &Note, now: Instant) {
        self.advance(now);
        match note {
            Note::CoSigned { digest, .. } => {
                let me = self.me;
                self.each_round(|round| round.signed(digest, me, now));
            }
            Note::Refused { digest, refusal, .. } => {
                let me = self.me;
                self.each_round(|round| round.refused(digest, me, refusal.label()));
            }
            Note::RefusedElsewhere {
                digest, node, reason, ..
            } => {
                self.hear_of(*node, now, |_| {});
                self.each_round(|round| round.refused(digest, *node, reason));
            }
            Note::Written {
                sequence,
                digest,
                price,
                ..
            } => {
                let closed = Closed {
                    digest: *digest,
                    price: *price,
                    at: now,
                    began: self.began,
                    is_whole: self.is_whole,
                };
                self.written(*sequence, closed);
            }
            Note::DatabaseLost { .. } => self.is_database_away = true,
            Note::DatabaseBack { .. } => self.is_database_away = false,
            _ => {}
        }
    }

    /// A node gave a sign of life.
    pub fn on_heartbeat(&mut self, heartbeat: &Heartbeat, now: Instant) {
        self.advance(now);
        let sent_at = heartbeat.sent_at;
        let start = Start {
            at: UnixMillis::new(
                sent_at
                    .get()
                    .saturating_sub(heartbeat.uptime_s.saturating_mul(1000)),
            ),
            sent_at,
            uptime_s: heartbeat.uptime_s,
        };
        let had_price = sent_at.since(heartbeat.last_observation) <= self.price_overdue;
        let mut has_restarted = false;
        self.hear_of(heartbeat.node, now, |life| {
            (life.by_heartbeat, life.had_price) = (true, had_price);
            has_restarted = life.started.is_some_and(|before| start.is_after(&before));
            if life.started.is_none_or(|before| before.sent_at < sent_at) {
                life.started = Some(start);
            }
        });
        if has_restarted {
            self.tallies.restart(heartbeat.node, now);
        }
    }

    /// What a node says is ignored, for its clock or this node's is off.
    pub fn on_clock(&mut self, node: Address, now: Instant) {
        self.advance(now);
        self.hear_of(node, now, |life| life.clock_off = Some(now));
    }

    /// A node's last connection is gone.
    pub fn on_peer_down(&mut self, node: &Address, now: Instant) {
        self.advance(now);
        if let Some(life) = self.lives.get_mut(node) {
            life.by_heartbeat = false;
        }
    }

    /// When to call [`Scorecard::advance`] at the latest: who is called much later has been stopped, and has heard nobody.
    pub fn next_due(&self) -> Instant {
        self.ends
    }

    /// Time has passed: what has ended is judged.
    pub fn advance(&mut self, now: Instant) {
        // What was under way when a record was written is waited for, so that who is late is told from who is absent.
        let settled = now.before(self.write_interval / 2);
        let is_settled = |round: &Round| round.record.is_some_and(|record| record.at <= settled);
        let ended: Vec<Round> = self
            .rounds
            .extract_if(.., |_, round| is_settled(round))
            .map(|(_, round)| round)
            .collect();
        for round in ended {
            if let Some(record) = round.record.filter(|record| record.is_whole) {
                self.judge(&round, record.began, record.at);
            }
        }
        let has_slept = now.since(self.ends) > self.write_interval.max(MUCH_TOO_LATE);
        if has_slept {
            (self.began, self.ends, self.is_whole) = (now, now + self.write_interval * 2, false);
        }
        while self.ends <= now {
            if self.is_whole && !self.is_database_away {
                let next = self.next.unwrap_or_default();
                let round = self.rounds.remove(&next).unwrap_or_default();
                self.judge(&round, self.began, self.ends);
                self.rounds.insert(next, round);
            }
            self.is_whole = true;
            self.began = self.ends;
            self.ends = self.ends + self.write_interval;
        }
    }

    /// What was counted in the last `period`, a week at most, or since the start.
    pub fn heard(&mut self, period: Option<Duration>, now: Instant) -> Heard {
        self.advance(now);
        self.tallies.heard(period, now)
    }

    fn written(&mut self, sequence: u64, closed: Closed) {
        // After a failover the history goes on from an earlier record: what was said for those after it is another history's.
        self.rounds.retain(|other, round| {
            *other <= sequence.saturating_add(1) && (*other >= sequence || round.record.is_some())
        });
        let round = self.rounds.entry(sequence).or_default();
        round.record.get_or_insert(closed);
        // Records come, whether this node's own database answers or not.
        self.is_database_away = false;
        self.next = sequence.checked_add(1);
        self.began = closed.at;
        self.ends = closed.at + self.write_interval * 2;
        self.is_whole = true;
    }

    /// Counts a window that ended at `ended`.
    fn judge(&mut self, round: &Round, began: Instant, ended: Instant) {
        let from = counts_from(ended, self.write_interval);
        let judging = round.judging(from, self.me, self.max_deviation_bps);
        for node in self.expected(ended) {
            let miss = judging.miss_of(node, || self.why_silent(node, began, ended));
            self.tallies.window(node, miss, ended);
        }
    }

    /// Who should have had a part: the members, or in an open network whoever was heard of lately.
    fn expected(&self, ended: Instant) -> Vec<Address> {
        let lately = ended.before(ALIVE_FOR.max(self.write_interval * 2));
        let is_near = |life: &Life| life.heard >= lately;
        match &self.members {
            Members::Closed(members) => members.iter().copied().take(MAX_NODES).collect(),
            Members::Open => {
                let others = self.lives.iter().filter(|(_, life)| is_near(life));
                let others = others.map(|(node, _)| *node).filter(|node| *node != self.me);
                others.chain([self.me]).collect()
            }
        }
    }

    /// Why a node said nothing in a window.
    fn why_silent(&self, node: Address, began: Instant, ended: Instant) -> Miss {
        if node == self.me {
            return Miss::NoPrice;
        }
        let Some(life) = self.lives.get(&node) else {
            return Miss::Absent;
        };
        if life
            .clock_off
            .is_some_and(|at| at >= ended.before(ALIVE_FOR.max(self.write_interval)))
        {
            return Miss::ClockOff;
        }
        if life.behind.is_some_and(|at| at > began) {
            return Miss::OtherHistory;
        }
        let is_beating = life.by_heartbeat && life.heard >= ended.before(ALIVE_FOR);
        match is_beating || life.heard > began {
            true if life.by_heartbeat && !life.had_price => Miss::NoPrice,
            true => Miss::Late,
            false => Miss::Absent,
        }
    }

    fn each_round(&mut self, take: impl Fn(&mut Round)) {
        self.rounds.values_mut().for_each(take);
    }

    /// A node spoke for itself.
    fn hear_of(&mut self, node: Address, now: Instant, take: impl FnOnce(&mut Life)) {
        if !self.members.admit(&node) {
            return;
        }
        if self.lives.len() >= MAX_NODES && !self.lives.contains_key(&node) {
            let lately = now.before(ALIVE_FOR);
            self.lives.retain(|_, life| life.heard >= lately);
            if self.lives.len() >= MAX_NODES {
                return;
            }
        }
        let life = self.lives.entry(node).or_insert(Life {
            heard: now,
            by_heartbeat: false,
            had_price: true,
            behind: None,
            clock_off: None,
            started: None,
        });
        life.heard = now;
        take(life);
    }
}

impl Start {
    /// Whether this is a later start than the other.
    fn is_after(&self, before: &Self) -> bool {
        self.sent_at > before.sent_at
            && (self.uptime_s < before.uptime_s || self.at.since(before.at) > SAME_START)
    }
}
