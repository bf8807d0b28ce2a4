//! What the judge remembers, within fixed bounds.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{
    address::Address, digest::Digest, equivocation::ProvenEquivocation, observation::Observation,
    report::VerifiedReport, signing::Attestation, time::UnixMillis,
};

/// Digests remembered. A network of 100 nodes makes 100 a window; the oldest are forgotten first.
const MAX_DIGESTS: usize = 1024;
/// Nodes whose last words are remembered; in an open network, strangers could make up more.
const MAX_NODES: usize = 1024;
/// Observations of one observer that are remembered at a time, for three windows: an honest one makes two a window, and some more
/// if the database goes back. One that makes up places in the history could make any number.
const MAX_STATEMENTS: usize = 16;
/// Refusals taken from one node within a window. An honest one sends one for each observer that it refuses, and few are refused.
const MAX_REFUSALS: u32 = 32;

#[derive(Debug)]
struct Known {
    report: VerifiedReport,
    settled: bool,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    digests: HashMap<Digest, Known>,
    /// Digests in the order in which they came.
    order: VecDeque<Digest>,
    heartbeats: HashMap<Address, UnixMillis>,
    /// Since when refusals of a node are counted, and how many there were.
    refusals: HashMap<Address, (UnixMillis, u32)>,
    /// Observers of whom a proof was seen, and when that was.
    accused: HashMap<Address, UnixMillis>,
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    pub(super) fn is_settled(&self, digest: &Digest) -> bool {
        self.digests.get(digest).is_some_and(|known| known.settled)
    }

    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.digests.contains_key(digest)
    }

    /// Whether exactly this signature was verified for this digest before.
    pub(super) fn is_known(&self, digest: Digest, attestation: &Attestation) -> bool {
        self.digests.get(&digest).is_some_and(|known| {
            known.report.signatures().get(&attestation.signer) == Some(&attestation.signature)
        })
    }

    /// The proof that the observer of this report has said something else for the same record.
    pub(super) fn contradiction(
        &self,
        report: &VerifiedReport,
        one_window: Duration,
    ) -> Option<ProvenEquivocation> {
        self.of_observer(report.observation())
            .find_map(|known| ProvenEquivocation::of(&known.report, report, one_window))
    }

    /// Whether an observer has said so much lately that one more observation is too much.
    pub(super) fn is_full_of(&self, observation: &Observation) -> bool {
        self.of_observer(observation).count() >= MAX_STATEMENTS
    }

    fn of_observer(&self, observation: &Observation) -> impl Iterator<Item = &Known> {
        let (observer, feed) = (observation.observer(), observation.feed().clone());
        self.digests.values().filter(move |known| {
            let other = known.report.observation();
            other.observer() == observer && *other.feed() == feed
        })
    }

    /// Remembers a verified report, or what is new in it.
    pub(super) fn record(&mut self, report: VerifiedReport, settled: bool) {
        let digest = report.digest();
        match self.digests.get_mut(&digest) {
            Some(known) => {
                known.report.merge(&report);
                known.settled |= settled;
            }
            None => {
                self.digests.insert(digest, Known { report, settled });
                self.order.push_back(digest);
            }
        }
        if self.order.len() > MAX_DIGESTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }

    /// Forgets what would be refused for its age anyway.
    pub(super) fn forget_before(&mut self, now: UnixMillis, max_age: Duration) {
        while let Some(oldest) = self.order.front() {
            if self
                .digests
                .get(oldest)
                .is_some_and(|known| now.since(known.report.observation().observed_at()) <= max_age)
            {
                break;
            }
            self.digests.remove(oldest);
            self.order.pop_front();
        }
    }

    /// Forgets the last words of everybody who is no member any more.
    pub(super) fn forget_all_but(&mut self, members: &BTreeSet<Address>) {
        self.heartbeats.retain(|node, _| members.contains(node));
        self.refusals.retain(|node, _| members.contains(node));
        self.accused.retain(|node, _| members.contains(node));
    }

    pub(super) fn last_heartbeat(&self, node: &Address) -> Option<UnixMillis> {
        self.heartbeats.get(node).copied()
    }

    /// `false` when there are too many nodes to remember one more.
    pub(super) fn record_heartbeat(&mut self, node: Address, sent_at: UnixMillis) -> bool {
        fits(&self.heartbeats, &node) && {
            self.heartbeats.insert(node, sent_at);
            true
        }
    }

    /// Counts a refusal of this node; `false` when it is one too many within `window`.
    pub(super) fn record_refusal(&mut self, node: Address, now: UnixMillis, window: Duration) -> bool {
        if !fits(&self.refusals, &node) {
            return false;
        }
        let (since, count) = self.refusals.entry(node).or_insert((now, 0));
        if now.since(*since) > window {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAX_REFUSALS
    }

    /// Whether a proof about this observer came within the last `window`.
    pub(super) fn is_accused(&self, observer: &Address, now: UnixMillis, window: Duration) -> bool {
        self.accused
            .get(observer)
            .is_some_and(|since| now.since(*since) <= window)
    }

    pub(super) fn record_accused(&mut self, observer: Address, now: UnixMillis) {
        if fits(&self.accused, &observer) {
            self.accused.insert(observer, now);
        }
    }
}

fn fits<T>(nodes: &HashMap<Address, T>, node: &Address) -> bool {
    nodes.len() < MAX_NODES || nodes.contains_key(node)
}
