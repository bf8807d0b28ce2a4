//! What was found about each node, so that an operator can see who misbehaves, and how.

use std::collections::BTreeMap;

use crate::{address::Address, cosign};

/// Nodes written about. A closed network's members are far fewer; in an open one, this bounds what strangers can fill.
const MAX_NODES: usize = 1024;

/// Something held against a node. None is a proof of bad faith but the first; clocks, sources and databases fail too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It made two statements for one window.
    Equivocated,
    /// It announced a record that the database does not have.
    FalseWritten,
    /// It signed a price of somebody else that is off by more than twice what this node tolerates.
    SignedOutlier,
    /// This node refused its observation, for this reason ([`cosign::Refusal::label`]).
    Refused(&'static str),
    /// Another node said that it refused its observation, for this reason.
    RefusedElsewhere(&'static str),
}

impl Mark {
    /// The name under which it is counted, the same for refusals here and elsewhere.
    pub fn label(self) -> &'static str {
        match self {
            Self::Equivocated => "equivocation",
            Self::FalseWritten => "false_written",
            Self::SignedOutlier => "signed_outlier",
            Self::Refused(reason) | Self::RefusedElsewhere(reason) => reason,
        }
    }

    /// The mark of another node's refusal. Labels that are not ours count as `other`: nobody else names our counters.
    pub(super) fn elsewhere(reason: &str) -> Self {
        let known = cosign::Refusal::LABELS.into_iter().find(|label| *label == reason);
        Self::RefusedElsewhere(known.unwrap_or("other"))
    }
}

/// Marks of all nodes, counted since the start.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    marks: BTreeMap<Address, BTreeMap<Mark, u64>>,
}

impl Ledger {
    pub(super) fn mark(&mut self, node: Address, mark: Mark) {
        if self.marks.len() < MAX_NODES || self.marks.contains_key(&node) {
            *self.marks.entry(node).or_default().entry(mark).or_default() += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Address, &BTreeMap<Mark, u64>)> {
        self.marks.iter()
    }
}
