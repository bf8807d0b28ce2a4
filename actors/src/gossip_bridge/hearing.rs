//! What peers send: opened and judged here, before gossipsub passes it on or anybody in this node learns of it.

use libp2p::{
    PeerId,
    gossipsub::{MessageAcceptance, MessageId},
};
use quorate_protocol::{
    judge::{Finding, Verdict},
    seal,
};

use super::{GossipBridge, admit::is_closed, standing::Offence};
use crate::aggregator::AggregatorMessage;

impl GossipBridge {
    pub(super) fn on_message(&mut self, source: &PeerId, id: &MessageId, data: &[u8]) {
        let now = self.clock.now();
        self.counts.received(data.len());
        let verdict = match self.hear(data) {
            Ok(()) => {
                self.counts.accepted();
                Verdict::Accept
            }
            Err((finding, verdict)) => {
                self.counts.refused(&finding);
                self.log_refusal(source, &finding, verdict);
                if let Finding::Equivocation(proof) = finding {
                    let message = AggregatorMessage::Contradicted(*proof);
                    self.aggregator.send_or_log("contradiction", message);
                }
                verdict
            }
        };
        self.counts.verdict(verdict);
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let rejected = matches!(acceptance, MessageAcceptance::Reject);
        if let Some(swarm) = &mut self.swarm {
            let gossip = &mut swarm.behaviour_mut().gossip.gossip;
            gossip.report_message_validation_result(id, source, acceptance);
            swarm.behaviour_mut().nudge.all();
        }
        if rejected && self.offended(source, Offence::Rejected, "too many invalid messages") {
            return;
        }
        if self.peers.is_out_of_step(source, now) {
            self.disconnect(source, "its subscription was lost; connecting anew");
        }
    }

    /// Opens, judges and hands on.
    fn hear(&mut self, data: &[u8]) -> Result<(), (Finding, Verdict)> {
        let config = &self.config.judge;
        let relays = is_closed(&config.committee.members);
        let opened = seal::open(data, &config.network, self.seals.keyring.as_ref(), relays)
            .map_err(|finding| (finding.clone(), finding.verdict()))?;
        let before = self.judge.recovered();
        let verified = self.judge.judge(&opened.message, self.clock.unix_now());
        self.counts.recovered(self.judge.recovered() - before);
        let heard = verified.and_then(|verified| {
            self.aggregator
                .try_send(AggregatorMessage::Heard(verified))
                .map_err(|_| Finding::Overload)
        });
        heard.map_err(|finding| {
            let verdict = opened.verdict(&finding);
            (finding, verdict)
        })
    }

    /// Another node was noticed that signs with our key.
    pub(super) fn log_twin(&mut self, by: &'static str) {
        if let Some(count) = self.our_key.note(self.clock.now()) {
            log::error!(
                "another node uses this node's key: noticed_by=\"{by}\" times={count} \
                 remedy=\"give each node a key of its own; two with one key contradict each other\""
            );
        }
    }

    fn log_refusal(&mut self, source: &PeerId, finding: &Finding, verdict: Verdict) {
        let now = self.clock.now();
        let label = finding.label();
        log::debug!("message refused: finding={label} peer={source} reason=\"{finding}\"");
        if matches!(finding, Finding::OurKey) {
            self.log_twin("a message");
        }
        if let Some(remedy) = self.seals.note(finding, now) {
            if let Some(count) = self.unopened.note(now) {
                let ours = self.seals.ids();
                log::warn!(
                    "messages not opened: count={count} last_finding={label} last_peer={source} our_key_ids={ours} \
                     last_reason=\"{finding}\" remedy=\"{remedy}\""
                );
            }
            return;
        }
        let since = match (verdict, finding) {
            (Verdict::Reject, _) | (_, Finding::Equivocation(_)) => self.rejected.note(now),
            (_, Finding::Overload) => self.overloaded.note(now),
            _ => None,
        };
        if let Some(count) = since {
            log::warn!(
                "messages refused: count={count} last_finding={label} last_peer={source} last_reason=\"{finding}\""
            );
        }
    }
}
