//! What the bridge counts. What each figure means for an operator stands in docs/metrics.md.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result,
    core::{Collector, GenericCounter},
};
use quorate_protocol::judge::{Finding, Verdict};
use strum::VariantNames;

use super::{frames::FrameFault, gate::Refusal};
use crate::NAMESPACE;

/// The `finding` of a message that passed. The others are the labels of [`Finding`].
pub const ACCEPTED: &str = "accepted";

/// The bridge's metrics, of which all clones are one. Counters grow from the start of the process, through the actor's restarts; gauges are
/// of the moment. Labels come from fixed sets, never from the network.
#[derive(Debug, Clone)]
pub struct BridgeMetrics {
    /// By `finding`. Copies that gossipsub knew are in none.
    pub messages: IntCounterVec,
    /// By `verdict`, as gossipsub was told.
    pub verdicts: IntCounterVec,
    /// Connections refused, by `reason`.
    pub turned_away: IntCounterVec,
    /// Frames that never came as far as the judge, by `reason`.
    pub frames_refused: IntCounterVec,
    /// By `direction`: `in` or `out`.
    pub network_bytes: IntCounterVec,
    /// Signatures in messages, true or not.
    pub signatures_verified: IntCounter,
    /// Messages of our own.
    pub published: IntCounter,
    /// Each message once, however many peers it went to.
    pub published_bytes: IntCounter,
    /// No peer listens, or every queue is full.
    pub publish_failures: IntCounter,
    /// Of messages that were judged.
    pub received_bytes: IntCounter,
    /// Messages that came in, those that were known already included.
    pub message_copies: IntCounter,
    /// Peers banned.
    pub bans: IntCounter,
    /// Connected, of our network, and listening to the topic.
    pub peers: IntGauge,
    /// Those that messages go to directly.
    pub mesh_peers: IntGauge,
    /// Addresses that the node listens on.
    pub listening_addresses: IntGauge,
}

impl BridgeMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// Metrics of these names are registered already.
    pub fn new(registry: &Registry) -> Result<Self> {
        fn registered<M: Collector + Clone + 'static>(registry: &Registry, metric: Result<M>) -> Result<M> {
            let metric = metric?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let options = |name: &str, help: &str| Opts::new(name, help).namespace(NAMESPACE);
        let counter = |name, help| registered(registry, GenericCounter::with_opts(options(name, help)));
        let gauge = |name, help| registered(registry, IntGauge::with_opts(options(name, help)));
        let by = |label, values: &[&str], name, help| {
            let counters = registered(registry, IntCounterVec::new(options(name, help), &[label]))?;
            // All are there from the start: what never happened is 0, and its rate too.
            for value in values {
                counters.with_label_values(&[*value]);
            }
            Ok::<_, prometheus::Error>(counters)
        };
        let findings = [&[ACCEPTED], Finding::VARIANTS].concat();
        Ok(Self {
            messages: by(
                "finding",
                &findings,
                "messages_total",
                "Gossip messages by what was found in them",
            )?,
            verdicts: by(
                "verdict",
                Verdict::VARIANTS,
                "verdicts_total",
                "Gossip messages by what gossipsub was told about them",
            )?,
            turned_away: by(
                "reason",
                Refusal::VARIANTS,
                "turned_away_total",
                "Connections refused at the gate, by the reason",
            )?,
            frames_refused: by(
                "reason",
                FrameFault::VARIANTS,
                "frames_refused_total",
                "Gossip frames that no node sends, by the reason",
            )?,
            network_bytes: by(
                "direction",
                &["in", "out"],
                "network_bytes_total",
                "Bytes of all connections to peers, without what encryption, TCP and IP add",
            )?,
            signatures_verified: counter(
                "signatures_verified_total",
                "Signatures in messages that were recovered, true or not",
            )?,
            published: counter("published_total", "Messages of this node that went out")?,
            published_bytes: counter("published_bytes_total", "Bytes of these messages, once each")?,
            publish_failures: counter("publish_failures_total", "Messages that went to nobody")?,
            received_bytes: counter("received_bytes_total", "Bytes of the messages that were judged")?,
            message_copies: counter(
                "message_copies_total",
                "Copies of messages that came in, known ones included",
            )?,
            bans: counter("bans_total", "Peers banned for breaking the protocol")?,
            peers: gauge("peers", "Peers that are connected and listen")?,
            mesh_peers: gauge("mesh_peers", "Those of them that messages go to directly")?,
            listening_addresses: gauge(
                "listening_addresses",
                "Addresses that the node listens on for peers",
            )?,
        })
    }

    pub(super) fn found(&self, finding: &Finding) {
        self.messages.with_label_values(&[finding.label()]).inc();
    }

    pub(super) fn judged(&self, verdict: Verdict) {
        let label: &str = verdict.into();
        self.verdicts.with_label_values(&[label]).inc();
    }

    pub(super) fn frame_refused(&self, fault: FrameFault) {
        let label: &str = fault.into();
        self.frames_refused.with_label_values(&[label]).inc();
    }

    pub(super) fn turned_away(&self, refusal: Refusal) {
        let label: &str = refusal.into();
        self.turned_away.with_label_values(&[label]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a metric's only label.
    fn labels(registry: &Registry, name: &str) -> Vec<String> {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metrics = family.get_metric().iter();
        metrics
            .map(|metric| metric.get_label()[0].value().to_owned())
            .collect()
    }

    /// Dashboards and alerts name them.
    #[test]
    fn labels_are_a_contract_and_there_from_the_start() {
        let registry = Registry::new();
        BridgeMetrics::new(&registry).unwrap();
        assert_eq!(
            labels(&registry, "quorate_messages_total"),
            [
                "accepted",
                "bad_seal",
                "bad_signature",
                "duplicate",
                "equivocation",
                "future",
                "malformed",
                "no_proof",
                "not_quorate",
                "other_feed",
                "our_key",
                "overload",
                "sealed",
                "settled",
                "stale",
                "unknown_key",
                "unknown_signer",
                "unsealed",
            ]
        );
        assert_eq!(
            labels(&registry, "quorate_verdicts_total"),
            ["accept", "ignore", "reject"]
        );
        assert_eq!(
            labels(&registry, "quorate_turned_away_total"),
            [
                "banned",
                "established",
                "foreign_key",
                "inbound",
                "not_member",
                "pending",
                "pending_per_address",
                "per_peer",
            ]
        );
        assert_eq!(
            labels(&registry, "quorate_frames_refused_total"),
            [
                "control",
                "graylisted",
                "other_topic",
                "signed",
                "subscriptions",
                "unreadable",
            ]
        );
        assert_eq!(labels(&registry, "quorate_network_bytes_total"), ["in", "out"]);
    }
}
