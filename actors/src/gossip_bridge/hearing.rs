//! What peers send: judged here, before gossipsub passes it on or anybody in this node learns of it.

use libp2p::{
    PeerId,
    gossipsub::{MessageAcceptance, MessageId},
};
use quorate_protocol::judge::{Finding, Verdict};

use super::GossipBridge;
use crate::{
    messages::{Contradicted, Heard},
    sink::pass_on,
};

impl GossipBridge {
    pub(super) fn on_message(&mut self, source: &PeerId, id: &MessageId, data: &[u8]) {
        let now = self.clock.now();
        self.counts.received(data.len());
        let heard = self
            .judge
            .judge(data, self.clock.unix_now())
            .and_then(|verified| {
                let heard = Heard { verified, seen: now };
                self.listeners
                    .heard
                    .try_send(heard)
                    .map_err(|_| Finding::Overload)
            });
        let acceptance = match &heard {
            Ok(()) => {
                self.counts.accepted();
                MessageAcceptance::Accept
            }
            Err(finding) => {
                self.counts.refused(finding);
                self.log_refusal(source, finding);
                if let Finding::Equivocation(proof) = finding {
                    pass_on(
                        "contradiction",
                        &self.listeners.contradicted,
                        Contradicted((**proof).clone()),
                    );
                }
                match finding.verdict() {
                    Verdict::Accept => MessageAcceptance::Accept,
                    Verdict::Ignore => MessageAcceptance::Ignore,
                    Verdict::Reject => MessageAcceptance::Reject,
                }
            }
        };
        let rejected = matches!(acceptance, MessageAcceptance::Reject);
        if let Some(swarm) = &mut self.swarm {
            let gossip = &mut swarm.behaviour_mut().gossip.gossip;
            gossip.report_message_validation_result(id, source, acceptance);
            swarm.behaviour_mut().nudge.all();
        }
        if rejected && self.conduct.reject(*source, now) {
            self.ban(source, "too many invalid messages");
        } else if self.peers.is_out_of_step(source, now) {
            self.disconnect(source, "its subscription was lost; connecting anew");
        }
    }

    fn log_refusal(&mut self, source: &PeerId, finding: &Finding) {
        let now = self.clock.now();
        let label = finding.label();
        log::debug!("message refused: finding={label} peer={source} reason=\"{finding}\"");
        if matches!(finding, Finding::OurKey)
            && let Some(count) = self.our_key.note(now)
        {
            log::error!(
                "another node uses this node's key: messages={count} last_peer={source} \
                 remedy=\"give each node a key of its own; two with one key contradict each other\""
            );
        }
        let since = match (finding.verdict(), finding) {
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
