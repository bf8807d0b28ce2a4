//! What the judge remembers, within fixed bounds.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use super::Equivocation;
use crate::{
    address::Address, attestation::Attestation, feed::Feed, keccak::Digest, observation::Observation,
    signature::Signature, time::UnixMillis,
};

/// Digests remembered. A network of 100 nodes makes 100 a window; the oldest are forgotten first.
const MAX_DIGESTS: usize = 1024;
/// Observations of one observer remembered at a time: an honest one makes one a fetch, so a few a window.
const MAX_PER_OBSERVER: usize = 32;
/// Nodes whose last heartbeat is remembered; in an open network, strangers could make up more.
const MAX_NODES: usize = 1024;
/// Proofs of equivocation kept for the operator.
const MAX_EVIDENCE: usize = 16;

#[derive(Debug)]
struct Known {
    observer: Address,
    feed: Feed,
    observed_at: UnixMillis,
    signatures: BTreeMap<Address, Signature>,
    settled: bool,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    digests: HashMap<Digest, Known>,
    /// Digests in the order in which they came.
    order: VecDeque<Digest>,
    heartbeats: HashMap<Address, UnixMillis>,
    evidence: VecDeque<Equivocation>,
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    pub(super) fn is_settled(&self, digest: &Digest) -> bool {
        self.digests.get(digest).is_some_and(|known| known.settled)
    }

    /// Whether exactly this signature was verified for this digest before.
    pub(super) fn is_known(&self, digest: Digest, attestation: &Attestation) -> bool {
        self.digests
            .get(&digest)
            .is_some_and(|known| known.signatures.get(&attestation.signer) == Some(&attestation.signature))
    }

    /// Another digest that the same observer made for the same feed and moment.
    pub(super) fn conflict(&self, digest: &Digest, observation: &Observation) -> Option<Digest> {
        self.of_observer(observation)
            .find(|(known, _)| {
                *known != digest && self.digests[*known].observed_at == observation.observed_at()
            })
            .map(|(known, _)| *known)
    }

    /// Whether this would be one observation too many of its observer.
    pub(super) fn is_crowded(&self, digest: &Digest, observation: &Observation) -> bool {
        !self.digests.contains_key(digest) && self.of_observer(observation).count() >= MAX_PER_OBSERVER
    }

    fn of_observer(&self, observation: &Observation) -> impl Iterator<Item = (&Digest, &Known)> {
        let (observer, feed) = (observation.observer(), observation.feed().clone());
        self.digests
            .iter()
            .filter(move |(_, known)| known.observer == observer && known.feed == feed)
    }

    /// Remembers verified attestations.
    pub(super) fn record(
        &mut self,
        digest: Digest,
        observation: &Observation,
        attestations: impl Iterator<Item = Attestation>,
        settled: bool,
    ) {
        let order = &mut self.order;
        let known = self.digests.entry(digest).or_insert_with(|| {
            order.push_back(digest);
            Known {
                observer: observation.observer(),
                feed: observation.feed().clone(),
                observed_at: observation.observed_at(),
                signatures: BTreeMap::new(),
                settled: false,
            }
        });
        known
            .signatures
            .extend(attestations.map(|a| (a.signer, a.signature)));
        known.settled |= settled;
        if self.order.len() > MAX_DIGESTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }

    /// Forgets observations that would be refused for their age anyway.
    pub(super) fn forget_before(&mut self, now: UnixMillis, max_age: Duration) {
        while let Some(oldest) = self.order.front() {
            if self
                .digests
                .get(oldest)
                .is_some_and(|known| now.since(known.observed_at) <= max_age)
            {
                break;
            }
            self.digests.remove(oldest);
            self.order.pop_front();
        }
    }

    pub(super) fn last_heartbeat(&self, node: &Address) -> Option<UnixMillis> {
        self.heartbeats.get(node).copied()
    }

    /// `false` when there are too many nodes to remember one more.
    pub(super) fn record_heartbeat(&mut self, node: Address, sent_at: UnixMillis) -> bool {
        if self.heartbeats.len() >= MAX_NODES && !self.heartbeats.contains_key(&node) {
            return false;
        }
        self.heartbeats.insert(node, sent_at);
        true
    }

    pub(super) fn keep_evidence(&mut self, evidence: Equivocation) {
        if self.evidence.len() == MAX_EVIDENCE {
            self.evidence.pop_front();
        }
        self.evidence.push_back(evidence);
    }

    pub(super) fn evidence(&self) -> impl Iterator<Item = &Equivocation> {
        self.evidence.iter()
    }
}
