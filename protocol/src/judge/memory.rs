//! What the judge remembers, within fixed bounds.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use crate::{
    address::Address, digest::Digest, equivocation::ProvenEquivocation, names::Feed,
    observation::Observation, report::VerifiedReport, signing::Attestation, time::UnixMillis,
};

/// Digests remembered at least. A network of 100 nodes makes 100 a window; the oldest are forgotten first.
const MIN_DIGESTS: usize = 1024;
/// Digests remembered for each feed where that is more: the three windows of ten nodes, whatever the number of feeds.
const DIGESTS_A_FEED: usize = 32;
/// Nodes whose last words are remembered; in an open network, strangers could make up more.
const MAX_NODES: usize = 1024;
/// Observations of one observer that are remembered at a time, for three windows: an honest one makes two a window, and some more
/// if the database goes back. One that makes up places in the history could make any number.
const MAX_STATEMENTS: usize = 16;
/// Refusals taken from one node within a window at least. An honest one sends one for each observer that it refuses, and few are refused.
const MIN_REFUSALS: usize = 32;
/// Refusals taken for each feed where that is more.
const REFUSALS_A_FEED: usize = 4;

#[derive(Debug)]
struct Known {
    report: VerifiedReport,
    settled: bool,
}

#[derive(Debug)]
pub(super) struct Memory {
    max_digests: usize,
    max_refusals: usize,
    digests: HashMap<Digest, Known>,
    /// What each observer stated for each feed.
    statements: HashMap<Address, HashMap<Feed, Vec<Digest>>>,
    /// Digests in the order in which they came.
    order: VecDeque<Digest>,
    heartbeats: HashMap<Address, UnixMillis>,
    /// Since when refusals of a node are counted, and how many there were.
    refusals: HashMap<Address, (UnixMillis, usize)>,
    /// Observers of whom a proof was seen, and when that was.
    accused: HashMap<Address, UnixMillis>,
}

impl Memory {
    pub(super) fn of_feeds(feeds: usize) -> Self {
        Self {
            max_digests: MIN_DIGESTS.max(feeds.saturating_mul(DIGESTS_A_FEED)),
            max_refusals: MIN_REFUSALS.max(feeds.saturating_mul(REFUSALS_A_FEED)),
            digests: HashMap::new(),
            statements: HashMap::new(),
            order: VecDeque::new(),
            heartbeats: HashMap::new(),
            refusals: HashMap::new(),
            accused: HashMap::new(),
        }
    }

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

    /// The digest of an observation that is remembered: comparing costs less than hashing.
    pub(super) fn digest_of(&self, observation: &Observation) -> Option<Digest> {
        let known = self
            .of_observer(observation)
            .find(|known| known.report.observation() == observation)?;
        Some(known.report.digest())
    }

    fn of_observer(&self, observation: &Observation) -> impl Iterator<Item = &Known> {
        let of_feeds = self.statements.get(&observation.observer());
        let digests = of_feeds.and_then(|of_feeds| of_feeds.get(observation.feed()));
        digests
            .into_iter()
            .flatten()
            .filter_map(|digest| self.digests.get(digest))
    }

    fn insert(&mut self, digest: Digest, known: Known) {
        let observation = known.report.observation();
        let of_feeds = self.statements.entry(observation.observer()).or_default();
        of_feeds
            .entry(observation.feed().clone())
            .or_default()
            .push(digest);
        self.digests.insert(digest, known);
        self.order.push_back(digest);
    }

    fn remove_oldest(&mut self) {
        let Some(known) = self
            .order
            .pop_front()
            .and_then(|oldest| self.digests.remove(&oldest))
        else {
            return;
        };
        let (observation, digest) = (known.report.observation(), known.report.digest());
        let Some(of_feeds) = self.statements.get_mut(&observation.observer()) else {
            return;
        };
        if let Some(digests) = of_feeds.get_mut(observation.feed()) {
            digests.retain(|other| *other != digest);
            if digests.is_empty() {
                of_feeds.remove(observation.feed());
            }
        }
        if of_feeds.is_empty() {
            self.statements.remove(&observation.observer());
        }
    }

    /// Remembers a verified report, or what is new in it.
    pub(super) fn record(&mut self, report: VerifiedReport, settled: bool) {
        let digest = report.digest();
        match self.digests.get_mut(&digest) {
            Some(known) => {
                known.report.merge(&report);
                known.settled |= settled;
            }
            None => self.insert(digest, Known { report, settled }),
        }
        if self.order.len() > self.max_digests {
            self.remove_oldest();
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
            self.remove_oldest();
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
        *count <= self.max_refusals
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
