//! What peers send, on its way in: opened and judged here, before gossipsub passes it on or the Aggregator learns of it. What a
//! frame had to pass before stands in `gate` (who may connect) and `gossip` (how much a peer may send).

use libp2p::PeerId;
use quorate_protocol::{
    Committee, Instant, Message, Network,
    judge::{Finding, Judge, Verdict},
    seal::{self, KeyId, Keyring},
};
use quorate_supervisor::Mailbox;

use super::{
    config::BridgeConfig,
    duplicate_key, identity,
    late_clocks::LateClocks,
    log_limit::LogLimit,
    metrics::{ACCEPTED, BridgeMetrics},
};
use crate::{aggregator::AggregatorMessage, clock::Clock};

pub(super) struct Inbound {
    network: Network,
    keyring: Option<Keyring>,
    judge: Judge,
    /// Whether only members are connected. Among them, sealed messages are passed on unread by whoever has no secret.
    among_members: bool,
    clock: Clock,
    aggregator: Mailbox<AggregatorMessage>,
    metrics: BridgeMetrics,
    /// The last key that a message was sealed with and this node has not, and when that was.
    foreign_key: Option<(KeyId, Instant)>,
    clocks: LateClocks,
    rejected: LogLimit,
    overloaded: LogLimit,
    unopened: LogLimit,
    own_key: LogLimit,
}

impl Inbound {
    pub(super) fn new(
        config: &BridgeConfig,
        clock: Clock,
        aggregator: Mailbox<AggregatorMessage>,
        metrics: BridgeMetrics,
    ) -> Self {
        Self {
            network: config.judge.network.clone(),
            keyring: config.keyring.clone(),
            judge: Judge::new(config.judge.clone(), clock.unix_now()),
            among_members: is_closed(&config.judge.committee),
            clock,
            aggregator,
            metrics,
            foreign_key: None,
            clocks: LateClocks::default(),
            rejected: LogLimit::default(),
            overloaded: LogLimit::default(),
            unopened: LogLimit::default(),
            own_key: LogLimit::default(),
        }
    }

    /// Opens with these from now on.
    pub(super) fn set_keyring(&mut self, keyring: Keyring) {
        self.keyring = Some(keyring);
        self.foreign_key = None;
    }

    /// Judges by this committee from now on.
    pub(super) fn set_committee(&mut self, committee: Committee) {
        self.among_members = is_closed(&committee);
        self.judge.replace_committee(committee, self.clock.unix_now());
    }

    /// Notes what this node says itself, so that it is known when it comes back.
    pub(super) fn remember_own(&mut self, message: &Message) {
        self.judge.remember_own(message);
    }

    /// The last key that this node lacked, and when; forgotten when its own change.
    pub(super) fn foreign_key(&self) -> Option<(KeyId, Instant)> {
        self.foreign_key
    }

    /// Takes one message: judges it, counts it, and hands what is new and valid to the Aggregator. What gossipsub is to be told about it.
    pub(super) fn receive(&mut self, from: &PeerId, data: &[u8]) -> Verdict {
        self.metrics.received_bytes.inc_by(data.len() as u64);
        let verdict = match self.open_and_judge(from, data) {
            Ok(()) => {
                self.metrics.messages.with_label_values(&[ACCEPTED]).inc();
                Verdict::Accept
            }
            Err((finding, verdict)) => {
                self.metrics.found(&finding);
                self.log(from, &finding, verdict);
                if let Finding::Equivocation(proof) = finding {
                    let message = AggregatorMessage::Contradicted(*proof);
                    self.aggregator.send_or_log("contradiction", message);
                }
                verdict
            }
        };
        self.metrics.judged(verdict);
        verdict
    }

    fn open_and_judge(&mut self, from: &PeerId, data: &[u8]) -> Result<(), (Finding, Verdict)> {
        let opened = seal::open(data, &self.network, self.keyring.as_ref(), self.among_members)
            .map_err(|finding| (finding.clone(), finding.verdict()))?;
        let before = self.judge.recovered();
        let verified = self.judge.judge(&opened.message, self.clock.unix_now());
        self.metrics
            .signatures_verified
            .inc_by(self.judge.recovered() - before);
        let heard = verified.and_then(|verified| {
            // A message that this node has no room for is not passed on either: who cannot judge in time slows the network down.
            self.aggregator
                .try_send(AggregatorMessage::Heard(verified))
                .map_err(|_| Finding::Overload)
        });
        heard.map_err(|finding| {
            if matches!(finding, Finding::Future { .. } | Finding::Stale { .. }) {
                self.look_at_clock(from, &opened.message);
            }
            let verdict = opened.verdict(&finding);
            (finding, verdict)
        })
    }

    /// A message is ignored for its time. If the peer that brings it made it, its clock or ours is off; if another did, it may be a
    /// replay.
    fn look_at_clock(&mut self, from: &PeerId, message: &[u8]) {
        let dated = Message::decode(message, &self.network)
            .ok()
            .and_then(|message| message.dated());
        let Some((node, time)) = dated.filter(|(node, _)| identity::address(from) == Ok(*node)) else {
            return;
        };
        let ahead_ms = time.ahead_of(self.clock.unix_now());
        if self.clocks.is_told_off(node, ahead_ms, self.clock.now()) {
            let told = AggregatorMessage::ClockIs { node, ahead_ms };
            self.aggregator.send_or_log("a clock that is off", told);
        }
    }

    fn log(&mut self, from: &PeerId, finding: &Finding, verdict: Verdict) {
        let now = self.clock.now();
        let label = finding.label();
        log::debug!("message refused: finding={label} peer={from} reason=\"{finding}\"");
        if matches!(finding, Finding::OurKey) {
            duplicate_key::log(&mut self.own_key, "a message", now);
        }
        if let Some(remedy) = self.remedy_for_unopened(finding, now) {
            if let Some(count) = self.unopened.count(now) {
                // Short enough for a line: the peer stands in the line of each message, at debug.
                log::warn!(
                    "messages not opened: count={count} last_finding={label} last_reason=\"{finding}\" remedy=\"{remedy}\""
                );
            }
            return;
        }
        let count = match (verdict, finding) {
            (Verdict::Reject, _) | (_, Finding::Equivocation(_)) => self.rejected.count(now),
            (_, Finding::Overload) => self.overloaded.count(now),
            _ => None,
        };
        if let Some(count) = count {
            let from = identity::shown(from);
            log::warn!(
                "messages refused: count={count} last_finding={label} last_peer={from} last_reason=\"{finding}\""
            );
        }
    }

    /// What the operator should do about a finding that a key would have spared.
    fn remedy_for_unopened(&mut self, finding: &Finding, now: Instant) -> Option<&'static str> {
        match finding {
            Finding::UnknownKey { theirs: key } | Finding::Sealed { key_id: key, .. } => {
                self.foreign_key = Some((*key, now));
                Some("add its secret to --network-secret-file")
            }
            Finding::Unsealed => Some("give the sender's node --network-secret-file"),
            Finding::BadSeal(_) => Some("a peer passes on what nobody with the key made: find out which"),
            _ => None,
        }
    }
}

fn is_closed(committee: &Committee) -> bool {
    committee.members.count().is_some()
}
