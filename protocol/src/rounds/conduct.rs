//! What is held against other nodes: what was found about each, who is not believed for a while, and what of it was said to all.

use std::{collections::BTreeMap, time::Duration};

use crate::{address::Address, cosign::Refusal, time::Instant};

/// Nodes written about. A closed network's members are far fewer; in an open one, this bounds what strangers can fill.
const MAX_NODES: usize = 1024;

/// Refusals told to the network within a window. A third of a large network may lie, and one reason each is enough.
const MAX_TOLD: usize = 16;

/// Something held against a node. None is a proof of bad faith but the first; clocks, sources and databases fail too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// It made two statements for one window.
    Equivocated,
    /// It announced a record that the database does not have.
    FalseWritten,
    /// It signed a price of somebody else that is off by more than twice what this node tolerates.
    SignedOutlier,
    /// This node refused its observation, for this reason ([`Refusal::label`]).
    Refused(&'static str),
    /// Another node said that it refused its observation, for this reason.
    RefusedElsewhere(&'static str),
}

impl Mark {
    /// The name under which it is counted, the same for refusals here and elsewhere.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Equivocated => "equivocation",
            Self::FalseWritten => "false_written",
            Self::SignedOutlier => "signed_outlier",
            Self::Refused(reason) | Self::RefusedElsewhere(reason) => reason,
        }
    }

    /// The mark of another node's refusal. Labels that are not ours count as `other`: nobody else names our counters.
    pub(super) fn elsewhere(reason: &str) -> Self {
        let known = Refusal::LABELS.into_iter().find(|label| *label == reason);
        Self::RefusedElsewhere(known.unwrap_or("other"))
    }
}

/// What is held against other nodes.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// Counted since the start.
    marks: BTreeMap<Address, BTreeMap<Mark, u64>>,
    /// Observers that equivocated.
    quarantined: Until,
    /// Writers that announced what they had not written.
    distrusted: Until,
    /// What was said to all lately, and when.
    told: BTreeMap<(Address, &'static str), Instant>,
}

impl Conduct {
    /// Counts something against a node.
    pub(super) fn mark(&mut self, node: Address, mark: Mark) {
        if self.marks.len() < MAX_NODES || self.marks.contains_key(&node) {
            *self.marks.entry(node).or_default().entry(mark).or_default() += 1;
        }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = (&Address, &BTreeMap<Mark, u64>)> {
        self.marks.iter()
    }

    /// An observer equivocated, and nothing of it is signed for this long.
    pub(super) fn quarantine(&mut self, observer: Address, length: Duration, now: Instant) {
        self.quarantined.put(observer, now + length);
    }

    /// For how much longer an observer is in quarantine; `None` if it is not.
    pub(super) fn quarantined(&self, observer: &Address, now: Instant) -> Option<Duration> {
        self.quarantined.left(observer, now)
    }

    /// A writer lied, and is not believed for this long.
    pub(super) fn distrust(&mut self, writer: Address, length: Duration, now: Instant) {
        self.distrusted.put(writer, now + length);
    }

    pub(super) fn is_distrusted(&self, writer: &Address, now: Instant) -> bool {
        self.distrusted.left(writer, now).is_some()
    }

    /// Whether this is worth a message to all: each node and reason once in a `window`, and not too much together.
    pub(super) fn may_tell(
        &mut self,
        node: Address,
        reason: &'static str,
        now: Instant,
        window: Duration,
    ) -> bool {
        self.told.retain(|_, at| now.since(*at) < window);
        if self.told.len() >= MAX_TOLD || self.told.contains_key(&(node, reason)) {
            return false;
        }
        self.told.insert((node, reason), now);
        true
    }

    /// Believes those again whose time is over.
    pub(super) fn release(&mut self, now: Instant) {
        self.quarantined.release(now);
        self.distrusted.release(now);
    }
}

/// Nodes that are not believed, each until a moment. Of too many, the one whose moment is next gives way.
#[derive(Debug, Default)]
struct Until(BTreeMap<Address, Instant>);

impl Until {
    fn put(&mut self, node: Address, until: Instant) {
        if self.0.len() >= MAX_NODES && !self.0.contains_key(&node) {
            let next = self.0.iter().min_by_key(|(_, until)| **until);
            if let Some(next) = next.map(|(node, _)| *node) {
                self.0.remove(&next);
            }
        }
        self.0.insert(node, until);
    }

    fn left(&self, node: &Address, now: Instant) -> Option<Duration> {
        let until = *self.0.get(node)?;
        (now < until).then(|| until.since(now))
    }

    fn release(&mut self, now: Instant) {
        self.0.retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_in_a_window_and_not_without_bound() {
        let (window, mut conduct) = (Duration::from_secs(30), Conduct::default());
        let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
        let node = |n| Address::new([n; 20]);
        assert!(conduct.may_tell(node(1), "price_deviates", at(0), window));
        assert!(!conduct.may_tell(node(1), "price_deviates", at(29), window));
        assert!(conduct.may_tell(node(1), "observation_stale", at(29), window));
        assert!(conduct.may_tell(node(1), "price_deviates", at(30), window));
        let told = (2..100).filter(|n| conduct.may_tell(node(*n), "price_deviates", at(31), window));
        assert_eq!(told.count(), MAX_TOLD - 2);
    }
}
