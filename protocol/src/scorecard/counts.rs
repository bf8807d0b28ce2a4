//! What is counted of members, and for how long it is kept: by the five minutes for an hour, by the hour for a week.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{address::Address, time::Instant};

/// Nodes that are counted one by one, in a bucket of time: more than the largest network has. In an open one, this bounds what
/// strangers can fill.
const MAX_NODES: usize = 256;

/// Why a member had no part in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// Nothing was heard of it.
    Absent,
    /// It was alive, and had no price of its own that it believed.
    NoPrice,
    /// It was alive and had a price, and what it said came when the record stood, or not at all.
    Late,
    /// Its price was farther from the record's than co-signers tolerate, or it refused the record's for that.
    PriceDeviates,
    /// Its price was too old when it was heard, or the record's was, by its clock.
    Stale,
    /// Its clock, or this node's, is off by more than messages may be.
    ClockOff,
    /// It followed another record than the record did.
    OtherHistory,
    /// It refused the record for another reason; the trace of the rounds names it.
    Other,
}

impl Miss {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::NoPrice,
        Self::Late,
        Self::PriceDeviates,
        Self::Stale,
        Self::ClockOff,
        Self::OtherHistory,
        Self::Other,
    ];

    /// The name under which it is counted.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NoPrice => "no_price",
            Self::Late => "late",
            Self::PriceDeviates => "price_deviates",
            Self::Stale => "stale",
            Self::ClockOff => "clock_off",
            Self::OtherHistory => "other_history",
            Self::Other => "other",
        }
    }

    /// The miss of a member that refused the record for this reason ([`crate::cosign::Refusal::label`]).
    pub(super) fn of_refusal(label: &str) -> Self {
        match label {
            "price_deviates" => Self::PriceDeviates,
            "observation_stale" => Self::Stale,
            "observation_future" => Self::ClockOff,
            "other_history" => Self::OtherHistory,
            "no_own_price" | "own_price_stale" | "moved_too_far" => Self::NoPrice,
            "before_start" => Self::Late,
            _ => Self::Other,
        }
    }
}

/// What one member did, as far as this node heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Windows in which it was a member and this node listened.
    pub windows: u64,
    /// How often it was seen to have started anew.
    pub restarts: u64,
    misses: [u32; Miss::ALL.len()],
}

impl Counts {
    /// The windows in which it had no part for this reason.
    pub fn missed_for(&self, miss: Miss) -> u64 {
        self.misses[miss as usize].into()
    }

    /// The windows in which it had no part.
    pub fn missed(&self) -> u64 {
        self.misses.iter().copied().map(u64::from).sum()
    }

    /// The reasons for which it had no part, and how often: those that there were, in the order of [`Miss::ALL`].
    pub fn misses(&self) -> impl Iterator<Item = (Miss, u64)> + '_ {
        let counted = Miss::ALL.into_iter().map(|miss| (miss, self.missed_for(miss)));
        counted.filter(|(_, count)| *count > 0)
    }

    fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.restarts += other.restarts;
        for (sum, more) in self.misses.iter_mut().zip(other.misses) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What was counted in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// From when on: when this process began to listen, or the first whole bucket of the period.
    pub since: Instant,
    /// Who was counted.
    pub nodes: BTreeMap<Address, Counts>,
}

type Nodes = BTreeMap<Address, Counts>;

/// All that was counted since the start, and by when. Of a network of 100 nodes 1.5 MB after a week.
#[derive(Debug)]
pub(super) struct Tallies {
    began: Instant,
    total: Nodes,
    fine: Buckets,
    coarse: Buckets,
}

impl Tallies {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            total: Nodes::new(),
            fine: Buckets::new(Duration::from_mins(5), 13),
            coarse: Buckets::new(Duration::from_hours(1), 7 * 24 + 1),
        }
    }

    /// One window of a node, and why it had no part in it, if it had none.
    pub(super) fn window(&mut self, node: Address, miss: Option<Miss>, now: Instant) {
        self.count(node, now, |counts| {
            counts.windows += 1;
            if let Some(miss) = miss {
                let count = &mut counts.misses[miss as usize];
                *count = count.saturating_add(1);
            }
        });
    }

    pub(super) fn restart(&mut self, node: Address, now: Instant) {
        self.count(node, now, |counts| counts.restarts += 1);
    }

    fn count(&mut self, node: Address, now: Instant, add: impl Fn(&mut Counts)) {
        for nodes in [&mut self.total, self.fine.at(now), self.coarse.at(now)] {
            if nodes.len() < MAX_NODES || nodes.contains_key(&node) {
                add(nodes.entry(node).or_default());
            }
        }
    }

    /// What was counted in the last `period`, or since the start.
    pub(super) fn heard(&self, period: Option<Duration>, now: Instant) -> Heard {
        let Some(period) = period else {
            return Heard {
                since: self.began,
                nodes: self.total.clone(),
            };
        };
        let buckets = match period <= self.fine.reach() {
            true => &self.fine,
            false => &self.coarse,
        };
        let (since, nodes) = buckets.within(period, now);
        Heard {
            since: since.max(self.began),
            nodes,
        }
    }
}

/// The newest stretches of time, all of one length.
#[derive(Debug)]
struct Buckets {
    length: Duration,
    most: usize,
    /// By their numbers since the stopwatch's start, ascending.
    kept: VecDeque<(u128, Nodes)>,
}

impl Buckets {
    fn new(length: Duration, most: usize) -> Self {
        let kept = VecDeque::new();
        Self { length, most, kept }
    }

    /// The longest period that they cover: one of them has only begun.
    fn reach(&self) -> Duration {
        self.length * u32::try_from(self.most - 1).unwrap_or(u32::MAX)
    }

    fn at(&mut self, now: Instant) -> &mut Nodes {
        let number = now.since_start().as_millis() / self.length.as_millis();
        if self.kept.back().is_none_or(|(newest, _)| *newest < number) {
            self.kept.push_back((number, Nodes::new()));
        }
        let oldest = (number + 1).saturating_sub(self.most as u128);
        self.kept.retain(|(number, _)| *number >= oldest);
        let newest = self.kept.len() - 1;
        &mut self.kept[newest].1
    }

    /// The sum of those that lie in a period as a whole, and when the first of them began.
    fn within(&self, period: Duration, now: Instant) -> (Instant, Nodes) {
        let length = self.length.as_millis();
        let first = now.before(period).since_start().as_millis().div_ceil(length);
        let mut sum = Nodes::new();
        let counted = self.kept.iter().filter(|(number, _)| *number >= first);
        for (node, counts) in counted.flat_map(|(_, nodes)| nodes) {
            sum.entry(*node).or_default().add(counts);
        }
        let since = u64::try_from(first * length).unwrap_or(u64::MAX);
        (Instant::after_start(Duration::from_millis(since)), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Address = Address::new([1; 20]);

    fn minutes(minutes: u64) -> Instant {
        Instant::after_start(Duration::from_mins(minutes))
    }

    #[test]
    fn an_hour_a_day_and_a_week_are_summed_up_and_what_is_older_is_forgotten() {
        let mut tallies = Tallies::new(minutes(2));
        // A window each minute of eight days, all missed on the first day.
        for minute in 2..8 * 24 * 60 {
            let miss = (minute < 24 * 60).then_some(Miss::Absent);
            tallies.window(NODE, miss, minutes(minute));
        }
        let now = minutes(8 * 24 * 60 - 1);
        let heard = |hours| {
            let heard = tallies.heard(Some(Duration::from_hours(hours)), now);
            let counts = heard.nodes[&NODE];
            (
                now.since(heard.since).as_secs() / 60,
                counts.windows,
                counts.missed(),
            )
        };
        // Whole buckets: up to five minutes, and up to an hour, less.
        assert_eq!(heard(1), (59, 60, 0));
        assert_eq!(heard(24), (24 * 60 - 1, 24 * 60, 0));
        assert_eq!(heard(7 * 24), (7 * 24 * 60 - 1, 7 * 24 * 60, 0));
        let all = tallies.heard(None, now);
        assert_eq!(all.since, minutes(2));
        let counts = all.nodes[&NODE];
        assert_eq!((counts.windows, counts.missed()), (8 * 24 * 60 - 2, 24 * 60 - 2));
        assert_eq!(counts.misses().collect::<Vec<_>>(), [(Miss::Absent, 24 * 60 - 2)]);
        assert!(tallies.coarse.kept.len() <= 7 * 24 + 1 && tallies.fine.kept.len() <= 13);
    }

    #[test]
    fn of_a_process_that_has_just_begun_it_is_told_since_when_it_listens() {
        let mut tallies = Tallies::new(minutes(1));
        tallies.window(NODE, None, minutes(3));
        let heard = tallies.heard(Some(Duration::from_hours(24)), minutes(4));
        assert_eq!((heard.since, heard.nodes[&NODE].windows), (minutes(1), 1));
    }

    #[test]
    fn strangers_without_number_fill_no_more_than_their_room() {
        let mut tallies = Tallies::new(minutes(0));
        for number in 0..1000_u32 {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            tallies.window(Address::new(bytes), None, minutes(1));
        }
        let heard = tallies.heard(Some(Duration::from_hours(1)), minutes(1));
        assert_eq!((heard.nodes.len(), tallies.total.len()), (MAX_NODES, MAX_NODES));
    }
}
