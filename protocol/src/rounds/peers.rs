//! Who is alive: the nodes that gave a sign of life lately, what they said of themselves, and how many of them count.

use std::{collections::BTreeMap, time::Duration};

use super::{Now, clocks::Clocks};
use crate::{
    address::Address,
    committee::Headcount,
    heartbeat::Heartbeat,
    time::{Instant, UnixMillis},
};

/// Nodes remembered. A closed network's members are far fewer; in an open one, this bounds what strangers can fill.
const MAX_NODES: usize = 1024;

/// A live node, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alive {
    /// When there was last a sign of life.
    pub last_seen: Instant,
    /// When it last spoke for itself: a heartbeat, an observation, a connection. A signature of its key on somebody else's
    /// observation is none.
    pub last_heard: Option<Instant>,
    /// The version of its software, once it has told.
    pub version: Option<String>,
    /// When it last observed a price, by its clock.
    pub last_observation: Option<UnixMillis>,
}

/// The live nodes, this one not among them.
#[derive(Debug)]
pub(super) struct Peers {
    nodes: BTreeMap<Address, Alive>,
    counted: Headcount,
    clocks: Clocks,
}

impl Peers {
    /// Nobody yet.
    pub(super) fn none(now: Instant) -> Self {
        Self {
            nodes: BTreeMap::new(),
            counted: Headcount::new(now),
            clocks: Clocks::default(),
        }
    }

    /// The nodes and what is known of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Address, &Alive)> {
        self.nodes.iter()
    }

    /// The nodes.
    pub(super) fn others(&self) -> impl Iterator<Item = &Address> {
        self.nodes.keys()
    }

    /// How many live nodes there are, this one among them.
    pub(super) fn live(&self) -> usize {
        self.nodes.len() + 1
    }

    /// How many nodes count in an open network: live ones, and for a while those that were.
    pub(super) fn counted(&self) -> usize {
        self.counted.get()
    }

    /// Whether a node spoke for itself lately.
    pub(super) fn spoke_lately(&self, node: &Address, now: Instant, ttl: Duration) -> bool {
        let last = self.nodes.get(node).and_then(|alive| alive.last_heard);
        last.is_some_and(|last| now.since(last) <= ttl)
    }

    /// For how long a live node has not spoken for itself; at least for how long nothing shows it to be alive. `None`: it is not
    /// known to be.
    pub(super) fn silence(&self, node: &Address, now: Instant) -> Option<Duration> {
        let alive = self.nodes.get(node)?;
        Some(now.since(alive.last_heard.unwrap_or(alive.last_seen)))
    }

    /// Notes a signature by a node's key; whether the node was not known to be alive before.
    pub(super) fn saw_signature(&mut self, node: Address, now: Instant) -> bool {
        self.note(node, now).is_some_and(|(_, is_new)| is_new)
    }

    /// Notes that a node spoke for itself; whether it was not known to be alive before.
    pub(super) fn heard(&mut self, node: Address, now: Instant) -> bool {
        self.note(node, now).is_some_and(|(alive, is_new)| {
            alive.last_heard = Some(now);
            is_new
        })
    }

    fn note(&mut self, node: Address, now: Instant) -> Option<(&mut Alive, bool)> {
        let is_new = !self.nodes.contains_key(&node);
        if is_new && self.nodes.len() >= MAX_NODES {
            return None;
        }
        let alive = self.nodes.entry(node).or_insert(Alive {
            last_seen: now,
            last_heard: None,
            version: None,
            last_observation: None,
        });
        alive.last_seen = now;
        Some((alive, is_new))
    }

    /// Notes what a live node said of itself.
    pub(super) fn note_heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) {
        if let Some(alive) = self.nodes.get_mut(&heartbeat.node) {
            let ahead_ms = heartbeat.sent_at.ahead_of(now.unix);
            self.clocks.note(heartbeat.node, ahead_ms, now.instant);
            alive.version = Some(heartbeat.version.clone());
            if heartbeat.last_observation.get() > 0 {
                alive.last_observation = alive.last_observation.max(Some(heartbeat.last_observation));
            }
        }
    }

    /// Notes what a node told of its clock, alive or not: what it says may be ignored for that very reason.
    pub(super) fn note_clock(&mut self, node: Address, ahead_ms: i64, now: Instant) {
        self.clocks.note(node, ahead_ms, now);
    }

    /// What nodes told of their clocks lately.
    pub(super) fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// Notes that a live node observed a price. What is heard of for the first time was said just now, and tells its clock.
    pub(super) fn note_observation(&mut self, node: &Address, observed_at: UnixMillis, now: Now) {
        if let Some(alive) = self.nodes.get_mut(node)
            && alive.last_observation < Some(observed_at)
        {
            alive.last_observation = Some(observed_at);
            self.clocks
                .note(*node, observed_at.ahead_of(now.unix), now.instant);
        }
    }

    /// A node's connection is gone.
    pub(super) fn lost(&mut self, node: &Address) {
        self.nodes.remove(node);
    }

    /// Forgets who does not count any more.
    pub(super) fn retain(&mut self, keep: impl Fn(&Address) -> bool) {
        self.nodes.retain(|node, _| keep(node));
        self.clocks.retain(keep);
    }

    /// Forgets who has been silent for longer than `ttl`.
    pub(super) fn expire(&mut self, now: Instant, ttl: Duration) {
        self.nodes.retain(|_, alive| now.since(alive.last_seen) <= ttl);
        self.clocks.expire(now);
    }

    /// Brings the number of those that count up to date; see [`Headcount`].
    pub(super) fn count(&mut self, now: Instant, window: Duration) {
        self.counted.follow(self.nodes.len() + 1, now, window);
    }
}
