//! Whose connections stay: in a network of members, only theirs.

use actix::{Context, Handler, Message};
use libp2p::PeerId;
use quorate_protocol::{Address, Members, judge::Judge};

use super::{GossipBridge, identity};

/// Why a connection that stood is closed.
pub(super) const NO_MEMBER: &str = "it is no member any more";

/// To the bridge: these count from now on, in the judge's eyes and at the gate. Connections of those who do not are closed, and
/// those who now do may come at once.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct UpdateMembers(pub Members);

/// Whether the network has members at all, or takes anybody.
pub(super) fn is_closed(members: &Members) -> bool {
    members.count().is_some()
}

/// Whether a peer may be connected. Who has no address is no node.
pub(super) fn admits(members: &Members, peer: &PeerId) -> bool {
    identity::address(peer).is_ok_and(|address: Address| members.admit(&address))
}

impl Handler<UpdateMembers> for GossipBridge {
    type Result = ();

    fn handle(&mut self, UpdateMembers(members): UpdateMembers, _: &mut Context<Self>) {
        // The judge begins anew: what it remembered was found by the old list.
        self.config.judge.members = members.clone();
        self.judge = Judge::new(self.config.judge.clone());
        if let Some(swarm) = &mut self.swarm {
            swarm.behaviour_mut().gate.update_members(members.clone());
        }
        let gone: Vec<PeerId> = self
            .peers
            .iter()
            .map(|(peer, _)| *peer)
            .filter(|peer| !admits(&members, peer))
            .collect();
        let listed = members
            .count()
            .map_or("anybody".to_owned(), |count| count.to_string());
        log::info!("members changed: members={listed} disconnecting={}", gone.len());
        for peer in &gone {
            self.disconnect(peer, NO_MEMBER);
        }
        self.strangers.forget();
        self.redial.wake(self.clock.now());
        self.dial_due();
    }
}
