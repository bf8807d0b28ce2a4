//! How a node ends: in order when it is asked to, at once when it cannot fit.

use std::time::Duration;

use crate::harness::{Network, Node, Plan, SOON};

/// Below what an orchestrator waits before it kills.
const GRACE: Duration = Duration::from_secs(10);
const DRAIN: [&str; 5] = [
    "shutdown step 1/5: actor=PriceFetcher outcome=drained",
    "shutdown step 2/5: actor=Aggregator outcome=drained",
    "shutdown step 3/5: actor=Signer outcome=drained",
    "shutdown step 4/5: actor=GossipBridge outcome=drained",
    "shutdown step 5/5: actor=DbWriter outcome=drained",
];

fn drained_in_order(node: &mut Node) {
    assert_eq!(node.exit_code(GRACE), Some(0));
    let log = node.log();
    let steps: Vec<&str> = log
        .lines()
        .filter_map(|line| line.find("shutdown step").map(|at| &line[at..]))
        .collect();
    assert_eq!(steps.len(), DRAIN.len(), "{steps:?}");
    for (step, expected) in steps.iter().zip(DRAIN) {
        assert!(step.starts_with(expected), "{steps:?}");
    }
    assert!(log.lines().last().unwrap().contains("shutdown done"), "{log}");
}

#[test]
fn a_node_that_is_asked_to_end_drains_its_actors_in_order() {
    let mut network = Network::start(Plan::of(4));
    network.has_records(1, SOON);
    network.nodes[3].terminate();
    drained_in_order(&mut network.nodes[3]);
    network.has_further_records(1, SOON);

    network.nodes[2].close_stdin();
    drained_in_order(&mut network.nodes[2]);
}

#[test]
fn a_node_whose_window_is_not_the_databases_does_not_run() {
    let mut network = Network::start(Plan {
        running: 0,
        ..Plan::of(3)
    });
    let node = &mut network.nodes[0];
    node.start_with(&["--write-interval", "3s"]);
    assert_eq!(node.exit_code(GRACE), Some(78));
    let log = node.log();
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("fatal: the node's write interval is 3s, the database's is 2s"),
        "{log}"
    );
}
