//! What the bridge counts, readable from any thread. Labels come from a fixed set, never from the network.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quorate_protocol::judge::Finding;

/// What is counted for a message that passed.
pub const ACCEPTED: &str = "accepted";

/// Every `finding` that a message can be counted as: [`ACCEPTED`] and the labels of [`Finding::label`].
pub const FINDINGS: [&str; 14] = [
    ACCEPTED,
    "malformed",
    "other_feed",
    "stale",
    "future",
    "duplicate",
    "settled",
    "unknown_signer",
    "not_quorate",
    "equivocation",
    "no_proof",
    "our_key",
    "bad_signature",
    "overload",
];

/// Counters since the process started; they survive the actor's restarts. All but `peers` only grow.
#[derive(Debug, Default)]
pub struct Counts {
    findings: [AtomicU64; FINDINGS.len()],
    published: AtomicU64,
    published_bytes: AtomicU64,
    publish_failures: AtomicU64,
    received_bytes: AtomicU64,
    bans: AtomicU64,
    peers: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountsSnapshot {
    /// Messages by what was found in them: `quorate_messages_total{finding="…"}`. Copies that gossipsub knew are in none.
    pub findings: [(&'static str, u64); FINDINGS.len()],
    /// Messages of our own that went out.
    pub published: u64,
    /// Their bytes, each counted once however many peers it went to.
    pub published_bytes: u64,
    /// Messages of our own that went to nobody: no peer listens, or every queue is full.
    pub publish_failures: u64,
    /// Bytes of the messages that were judged.
    pub received_bytes: u64,
    /// Peers that were banned.
    pub bans: u64,
    /// Peers that are connected and listen to the topic.
    pub peers: u64,
}

impl CountsSnapshot {
    /// The count of one finding; 0 for a name that is none.
    pub fn finding(&self, label: &str) -> u64 {
        self.findings
            .iter()
            .find(|(name, _)| *name == label)
            .map_or(0, |(_, count)| *count)
    }
}

impl Counts {
    /// All counters. Read one after the other, so they may differ by what happened meanwhile.
    pub fn snapshot(&self) -> CountsSnapshot {
        let mut findings = FINDINGS.map(|label| (label, 0));
        for ((_, count), counter) in findings.iter_mut().zip(&self.findings) {
            *count = counter.load(Relaxed);
        }
        CountsSnapshot {
            findings,
            published: self.published.load(Relaxed),
            published_bytes: self.published_bytes.load(Relaxed),
            publish_failures: self.publish_failures.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            bans: self.bans.load(Relaxed),
            peers: self.peers.load(Relaxed),
        }
    }

    pub(super) fn accepted(&self) {
        self.count(ACCEPTED);
    }

    pub(super) fn refused(&self, finding: &Finding) {
        self.count(finding.label());
    }

    fn count(&self, label: &str) {
        if let Some(index) = FINDINGS.iter().position(|name| *name == label) {
            self.findings[index].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn published(&self, bytes: usize) {
        self.published.fetch_add(1, Relaxed);
        self.published_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn publish_failed(&self) {
        self.publish_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn banned(&self) {
        self.bans.fetch_add(1, Relaxed);
    }

    pub(super) fn peers(&self, up: usize) {
        self.peers.store(up as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_protocol::{
        Address, DecodeError, Evidence, NodeKey, Observation, ProvenEquivocation, Quote, UnixMillis,
        VerifiedReport,
    };

    use super::*;

    fn statement(price: &str) -> VerifiedReport {
        let (at, key) = (
            UnixMillis::new(1_700_000_000_000),
            NodeKey::from_bytes([1; 32]).unwrap(),
        );
        let quote = Quote {
            source: "kraken".parse().unwrap(),
            price: price.parse().unwrap(),
            at,
        };
        let evidence = Evidence::new(vec![quote]).unwrap();
        let observation = Observation::new("ETH/USD".parse().unwrap(), at, key.address(), evidence);
        VerifiedReport::sign_own(observation, &"local".parse().unwrap(), &key).unwrap()
    }

    #[test]
    fn every_finding_has_its_counter() {
        let (address, time) = (Address::new([1; 20]), Duration::ZERO);
        let [one, other] = ["3000", "3001"].map(statement);
        let proof = ProvenEquivocation::of(&one, &other, Duration::from_secs(15)).unwrap();
        let findings = [
            Finding::Malformed(DecodeError::Kind(9)),
            Finding::OtherFeed("BTC/USD".parse().unwrap()),
            Finding::Stale {
                age: time,
                limit: time,
            },
            Finding::Future {
                ahead: time,
                limit: time,
            },
            Finding::Duplicate,
            Finding::Settled,
            Finding::UnknownSigner(address),
            Finding::NotQuorate {
                signatures: 1,
                required: 3,
            },
            Finding::Equivocation(Box::new(proof)),
            Finding::NoProof(String::new()),
            Finding::OurKey,
            Finding::BadSignature(String::new()),
            Finding::Overload,
        ];
        let counts = Counts::default();
        counts.accepted();
        for finding in &findings {
            counts.refused(finding);
        }
        assert_eq!(counts.snapshot().findings, FINDINGS.map(|label| (label, 1)));
    }
}
