//! Whose connections stay: in a network of members, only theirs.

use libp2p::PeerId;
use quorate_protocol::{Address, Committee, Members};

use super::{GossipBridge, identity};

/// Why a connection that stood is closed.
pub(super) const NO_MEMBER: &str = "it is no member any more";

/// Whether the network has members at all, or takes anybody.
pub(super) fn is_closed(members: &Members) -> bool {
    members.count().is_some()
}

/// Whether a peer may be connected. Who has no address is no node.
pub(super) fn admits(members: &Members, peer: &PeerId) -> bool {
    identity::address(peer).is_ok_and(|address: Address| members.admit(&address))
}

impl GossipBridge {
    /// Connections of those who do not count any more are closed, and those who now do may come at once.
    pub(super) fn admit_only(&mut self, committee: Committee) {
        let members = committee.members.clone();
        // For the judge of a later restart too.
        self.config.judge.committee = committee.clone();
        self.judge.replace_committee(committee, self.clock.unix_now());
        if let Some(swarm) = &mut self.swarm {
            swarm.behaviour_mut().gate.update_members(members.clone());
        }
        let gone: Vec<PeerId> = self
            .peers
            .iter()
            .map(|(peer, _)| *peer)
            .filter(|peer| !admits(&members, peer))
            .collect();
        for peer in &gone {
            self.disconnect(peer, NO_MEMBER);
        }
        self.strangers.forget();
        self.redial.wake(self.clock.now());
        self.dial_due();
    }
}
