//! What the GossipBridge is told, grouped by who tells it.

use actix::Message;
use libp2p::Multiaddr;
use quorate_protocol::{Committee, seal::Keyring};

/// The one kind of message that goes to the GossipBridge.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub enum BridgeMessage {
    /// Signer, and Aggregator for what needs no signature of this node: send this to the network.
    Publish(quorate_protocol::Message),

    /// The members file: from now on, others count.
    CommitteeIs(Committee),
    /// The members file: members listen here from now on, and no more where they did before.
    EndpointsAre(Vec<Multiaddr>),
    /// The file of the network secret: seal and open with these from now on.
    KeyringIs(Keyring),
}
