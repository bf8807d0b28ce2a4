//! What the bridge counts, readable from any thread. Labels come from a fixed set, never from the network.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use quorate_protocol::judge::{Finding, Verdict};

/// What is counted for a message that passed.
pub const ACCEPTED: &str = "accepted";

/// Every `finding` that a message can be counted as: [`ACCEPTED`] and the labels of [`Finding::label`].
pub const FINDINGS: [&str; 18] = [
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
    "unsealed",
    "sealed",
    "unknown_key",
    "bad_seal",
];

/// Every `verdict` that gossipsub is told about a message.
pub const VERDICTS: [&str; 3] = ["accept", "ignore", "reject"];

/// Every reason for which a connection is refused at the gate.
pub const TURNED_AWAY: [&str; 7] = [
    "banned",
    "foreign_key",
    "not_member",
    "pending",
    "per_peer",
    "inbound",
    "established",
];

/// Counters since the process started; they survive the actor's restarts. Those of messages, connections and bytes only grow; the
/// others are of the moment.
#[derive(Debug, Default)]
pub struct Counts {
    findings: [AtomicU64; FINDINGS.len()],
    verdicts: [AtomicU64; VERDICTS.len()],
    recovered: AtomicU64,
    published: AtomicU64,
    published_bytes: AtomicU64,
    publish_failures: AtomicU64,
    received_bytes: AtomicU64,
    copies: AtomicU64,
    bans: AtomicU64,
    turned_away: [AtomicU64; TURNED_AWAY.len()],
    wire_in: AtomicU64,
    wire_out: AtomicU64,
    peers: AtomicU64,
    mesh: AtomicU64,
    listening: AtomicU64,
    /// Not yet taken by the bridge.
    dialled_with_our_key: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountsSnapshot {
    /// Messages by what was found in them: `quorate_messages_total{finding="…"}`. Copies that gossipsub knew are in none.
    pub findings: [(&'static str, u64); FINDINGS.len()],
    /// What gossipsub was told about them.
    pub verdicts: [(&'static str, u64); VERDICTS.len()],
    /// Signatures in them that were recovered.
    pub recovered: u64,
    /// Messages of our own that went out.
    pub published: u64,
    /// Their bytes, each counted once however many peers it went to.
    pub published_bytes: u64,
    /// Messages of our own that went to nobody: no peer listens, or every queue is full.
    pub publish_failures: u64,
    /// Bytes of the messages that were judged.
    pub received_bytes: u64,
    /// Copies of messages that came in, those that were known already included.
    pub copies: u64,
    /// Peers that were banned.
    pub bans: u64,
    /// Connections that were refused, by the reason.
    pub turned_away: [(&'static str, u64); TURNED_AWAY.len()],
    /// Bytes read from all connections: what peers said, pings and the like included, without what encryption, TCP and IP
    /// add.
    pub wire_in: u64,
    /// Bytes written to all connections, likewise.
    pub wire_out: u64,
    /// Peers that are connected and listen to the topic.
    pub peers: u64,
    /// Those of them that messages go to directly.
    pub mesh: u64,
    /// Addresses that the node listens on.
    pub listening: u64,
}

impl CountsSnapshot {
    /// The count of one finding; 0 for a name that is none.
    pub fn finding(&self, label: &str) -> u64 {
        labelled(&self.findings, label)
    }

    /// Connections refused for one reason; 0 for a name that is none.
    pub fn turned_away(&self, label: &str) -> u64 {
        labelled(&self.turned_away, label)
    }
}

fn labelled(counts: &[(&'static str, u64)], label: &str) -> u64 {
    counts
        .iter()
        .find(|(name, _)| *name == label)
        .map_or(0, |(_, count)| *count)
}

/// Adds one to the counter of a label, and to none for a label without.
fn add_one(labels: &[&str], counters: &[AtomicU64], label: &str) {
    let counter = labels.iter().zip(counters).find(|(name, _)| **name == label);
    if let Some((_, counter)) = counter {
        counter.fetch_add(1, Relaxed);
    }
}

/// The counters with their labels.
fn read<const N: usize>(labels: &[&'static str; N], counters: &[AtomicU64; N]) -> [(&'static str, u64); N] {
    std::array::from_fn(|index| (labels[index], counters[index].load(Relaxed)))
}

impl Counts {
    /// All counters. Read one after the other, so they may differ by what happened meanwhile.
    pub fn snapshot(&self) -> CountsSnapshot {
        CountsSnapshot {
            findings: read(&FINDINGS, &self.findings),
            verdicts: read(&VERDICTS, &self.verdicts),
            recovered: self.recovered.load(Relaxed),
            published: self.published.load(Relaxed),
            published_bytes: self.published_bytes.load(Relaxed),
            publish_failures: self.publish_failures.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            copies: self.copies.load(Relaxed),
            bans: self.bans.load(Relaxed),
            turned_away: read(&TURNED_AWAY, &self.turned_away),
            wire_in: self.wire_in.load(Relaxed),
            wire_out: self.wire_out.load(Relaxed),
            peers: self.peers.load(Relaxed),
            mesh: self.mesh.load(Relaxed),
            listening: self.listening.load(Relaxed),
        }
    }

    pub(super) fn accepted(&self) {
        add_one(&FINDINGS, &self.findings, ACCEPTED);
    }

    pub(super) fn refused(&self, finding: &Finding) {
        add_one(&FINDINGS, &self.findings, finding.label());
    }

    pub(super) fn verdict(&self, verdict: Verdict) {
        let label = match verdict {
            Verdict::Accept => "accept",
            Verdict::Ignore => "ignore",
            Verdict::Reject => "reject",
        };
        add_one(&VERDICTS, &self.verdicts, label);
    }

    pub(super) fn recovered(&self, signatures: u64) {
        self.recovered.fetch_add(signatures, Relaxed);
    }

    pub(super) fn turned_away(&self, reason: &str) {
        add_one(&TURNED_AWAY, &self.turned_away, reason);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn copy(&self) {
        self.copies.fetch_add(1, Relaxed);
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

    pub(super) fn wire_in(&self, bytes: usize) {
        self.wire_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn wire_out(&self, bytes: usize) {
        self.wire_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Somebody who dialled us proved to have our own key.
    pub(super) fn dialled_with_our_key(&self) {
        self.dialled_with_our_key.fetch_add(1, Relaxed);
    }

    /// How often that was since this was last asked.
    pub(super) fn take_dialled_with_our_key(&self) -> u64 {
        self.dialled_with_our_key.swap(0, Relaxed)
    }

    pub(super) fn peers(&self, up: usize) {
        self.peers.store(up as u64, Relaxed);
    }

    pub(super) fn mesh(&self, peers: usize) {
        self.mesh.store(peers as u64, Relaxed);
    }

    pub(super) fn listening(&self, addresses: usize) {
        self.listening.store(addresses as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_protocol::{
        Address, DecodeError, Evidence, NodeKey, Observation, ProvenEquivocation, Quote, UnixMillis,
        VerifiedReport, seal::KeyId,
    };

    use super::*;
    use crate::gossip_bridge::{gate::Refusal, identity::ForeignKey};

    #[test]
    fn every_reason_to_refuse_a_connection_has_its_counter() {
        let reasons = [
            Refusal::Banned,
            Refusal::ForeignKey(ForeignKey),
            Refusal::NotMember,
            Refusal::Pending,
            Refusal::PerPeer,
            Refusal::Inbound,
            Refusal::Established,
        ];
        let counts = Counts::default();
        for reason in reasons {
            counts.turned_away(reason.label());
        }
        assert_eq!(counts.snapshot().turned_away, TURNED_AWAY.map(|label| (label, 1)));
    }

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
            Finding::Unsealed,
            Finding::Sealed {
                key_id: KeyId::new([1; 8]),
                relayed: true,
            },
            Finding::UnknownKey {
                theirs: KeyId::new([1; 8]),
            },
            Finding::BadSeal(KeyId::new([1; 8])),
        ];
        let counts = Counts::default();
        counts.accepted();
        for finding in &findings {
            counts.refused(finding);
        }
        assert_eq!(counts.snapshot().findings, FINDINGS.map(|label| (label, 1)));
    }
}
