//! Who is not believed for a while.

use std::{collections::BTreeMap, time::Duration};

use crate::{address::Address, time::Instant};

/// Nodes in it; in an open network, strangers could make up more. Then the one that leaves first goes.
const MAX_NODES: usize = 1024;

/// Nodes, and until when each stays.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    until: BTreeMap<Address, Instant>,
}

impl Quarantine {
    pub(super) fn put(&mut self, node: Address, until: Instant) {
        if self.until.len() >= MAX_NODES
            && !self.until.contains_key(&node)
            && let Some(first) = self
                .until
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(node, _)| *node)
        {
            self.until.remove(&first);
        }
        self.until.insert(node, until);
    }

    /// How long a node stays; `None` if it is not, or no more, in it.
    pub(super) fn left(&self, node: &Address, now: Instant) -> Option<Duration> {
        let until = *self.until.get(node)?;
        (now < until).then(|| until.since(now))
    }

    pub(super) fn release(&mut self, now: Instant) {
        self.until.retain(|_, until| now < *until);
    }
}
