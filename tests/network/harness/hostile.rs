//! The hostile peer among running nodes.

pub(crate) use quorate_testkit::hostile::Hostile;

use quorate_protocol::NodeKey;

use super::{Node, SOON, wait::eventually};

/// A hostile peer with this key, connected to `node` and taken for a peer.
pub(crate) fn meet(node: &Node, key: &NodeKey) -> Hostile {
    let hostile = Hostile::with_key(key);
    dial(&hostile, node);
    eventually("the hostile peer is taken for a peer", SOON, || {
        hostile.is_listened_to().then_some(())
    });
    hostile
}

pub(crate) fn dial(hostile: &Hostile, node: &Node) {
    let address = format!("/ip4/127.0.0.1/tcp/{}", node.port);
    hostile.dial(address.parse().unwrap());
}

pub(crate) fn is_thrown_out(hostile: &Hostile) {
    eventually("the hostile peer is thrown out", SOON, || {
        (!hostile.is_connected()).then_some(())
    });
}
