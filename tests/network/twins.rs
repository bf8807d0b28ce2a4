//! Two nodes with one key.

use std::fs;

use crate::harness::{Network, Plan, SOON, eventually};

#[test]
fn two_nodes_with_one_key_notice_each_other_and_say_so() {
    let mut network = Network::start(Plan {
        running: 3,
        members: 3,
        ..Plan::of(4)
    });
    network.has_records(1, SOON);
    // The fourth node is given the third one's key.
    let file = |number| network.folder().join(format!("node-{number}.key"));
    fs::copy(file(3), file(4)).unwrap();
    network.nodes[3].start();
    for node in &network.nodes[2..] {
        node.has_logged(&["another node uses this node's key"]);
        eventually("the status says so", SOON, || {
            let warnings = node.status().warnings;
            warnings
                .iter()
                .any(|warning| warning.contains("this node's key"))
                .then_some(())
        });
    }
}
