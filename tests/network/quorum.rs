//! Less than a quorum writes nothing, and says what is missing.

use crate::harness::{Network, Node, Plan, SOON, WINDOW, let_pass};

#[test]
fn two_of_three_nodes_write_nothing_and_say_for_whom_they_wait_until_the_third_comes() {
    let mut network = Network::start(Plan {
        running: 2,
        ..Plan::of(3)
    });
    for node in &network.nodes[..2] {
        node.has_logged(&["2 of 3 signatures: waiting for 1 more node"]);
    }
    let_pass(2 * WINDOW);
    assert_eq!(network.records(), []);

    network.nodes[2].start();
    let records = network.has_records(2, SOON);
    assert_eq!(records[0].verify().unwrap(), network.addresses());
    assert!(network.nodes.iter_mut().all(Node::is_running));
}
