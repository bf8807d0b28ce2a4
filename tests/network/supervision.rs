//! Each actor fails in each way; it alone is restarted, and the records do not notice.

use std::time::{Duration, Instant};

use crate::harness::{LONGEST_GAP, Network, Node, Plan, SOON, eventually, gaps};

const ACTORS: [&str; 5] = ["PriceFetcher", "Signer", "GossipBridge", "Aggregator", "DbWriter"];

fn network(nodes: usize) -> Network {
    let network = Network::start(Plan {
        fault_injection: true,
        ..Plan::of(nodes)
    });
    network.has_records(1, SOON);
    network
}

/// Injects the fault; the restarts that should follow from it.
fn inject(node: &Node, actor: &str, fault: &str) -> Vec<u64> {
    let mut expected = restarts(node);
    expected[ACTORS.iter().position(|name| *name == actor).unwrap()] += 1;
    node.inject(actor, fault);
    expected
}

/// Waits for the restart, and holds that no other actor was touched.
fn restarted_alone(node: &Node, actor: &str, expected: &[u64]) {
    eventually(&format!("{actor} is restarted"), SOON, || {
        let runs = node.actors()[actor].state == "running";
        (runs && restarts(node) == expected).then_some(())
    });
    assert_eq!(node.health().unwrap(), 200);
}

fn restarts(node: &Node) -> Vec<u64> {
    let actors = node.actors();
    ACTORS.iter().map(|name| actors[*name].restarts).collect()
}

fn records_never_ceased(mut network: Network) {
    let gaps = gaps(&network.has_further_records(2, SOON));
    eprintln!("records {gaps:?} after the one before");
    assert!(gaps.into_iter().all(|gap| gap < LONGEST_GAP));
    assert!(network.all_run());
}

#[test]
fn an_actor_that_panics_or_stops_is_restarted_alone_while_records_go_on() {
    let network = network(4);
    let node = &network.nodes[0];
    for actor in ACTORS {
        for fault in ["panic", "stop"] {
            let expected = inject(node, actor, fault);
            restarted_alone(node, actor, &expected);
        }
    }
    assert_eq!(restarts(node), [2; 5]);
    records_never_ceased(network);
}

#[test]
fn an_actor_that_hangs_is_restarted_alone_while_records_go_on() {
    // A hang takes seconds to be noticed: five nodes have one each at the same time, and three are left for a quorum.
    let network = network(ACTORS.len() + 3);
    let hangs: Vec<_> = ACTORS.iter().zip(&network.nodes).collect();
    let expected: Vec<_> = hangs
        .iter()
        .map(|(actor, node)| inject(node, actor, "hang"))
        .collect();
    for ((actor, node), expected) in hangs.iter().zip(&expected) {
        restarted_alone(node, actor, expected);
    }
    records_never_ceased(network);
}

#[test]
fn a_blocked_thread_turns_liveness_false_and_ends_the_process_while_records_go_on() {
    let mut network = network(4);
    let node = &mut network.nodes[0];
    let injected = Instant::now();
    node.inject("Signer", "block");
    eventually("it is no longer live", SOON, || {
        node.health().is_ok_and(|status| status == 503).then_some(())
    });
    assert_eq!(node.exit_code(SOON), Some(75));
    assert!(
        injected.elapsed() < Duration::from_secs(20),
        "{:?}",
        injected.elapsed()
    );
    let log = node.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("fatal: thread blocked"), "{last}");
    assert!(
        last.contains("actor=Signer") && last.contains("exit_code=75"),
        "{last}"
    );

    node.start();
    node.is_up();
    records_never_ceased(network);
}
