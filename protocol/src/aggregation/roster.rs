//! Who is known to be alive.

use std::{collections::BTreeMap, time::Duration};

use crate::{address::Address, time::Instant};

/// Nodes remembered. A closed network's members are far fewer; in an open one, this bounds what strangers can fill.
const MAX_NODES: usize = 1024;

/// Who gave a sign of life, and when last.
#[derive(Debug, Default)]
pub(super) struct Roster {
    last_seen: BTreeMap<Address, Instant>,
}

impl Roster {
    /// Notes a sign of life; whether the node was not known to be alive before.
    pub(super) fn saw(&mut self, node: Address, now: Instant) -> bool {
        if self.last_seen.len() >= MAX_NODES && !self.last_seen.contains_key(&node) {
            return false;
        }
        self.last_seen.insert(node, now).is_none()
    }

    pub(super) fn lost(&mut self, node: &Address) {
        self.last_seen.remove(node);
    }

    pub(super) fn expire(&mut self, now: Instant, ttl: Duration) {
        self.last_seen.retain(|_, seen| now.since(*seen) <= ttl);
    }

    /// The live nodes, this one not among them.
    pub(super) fn others(&self) -> impl Iterator<Item = &Address> {
        self.last_seen.keys()
    }

    /// How many live nodes there are, this one among them.
    pub(super) fn len(&self) -> usize {
        self.last_seen.len() + 1
    }
}
