//! `/readyz`: true when a node can help to bring records about, false again when it cannot, with the reason and since when.

use std::collections::BTreeMap;

use crate::harness::{Network, Node, Plan, SOON, eventually};

/// What `/readyz` says: the status code, and of each condition that does not hold the reason and since when.
fn asked(node: &Node) -> (u16, BTreeMap<String, (String, String)>) {
    let (code, body) = node.readiness();
    let conditions = body["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 4, "{body}");
    assert_eq!(body["ready"], code == 200, "{body}");
    let failing = conditions.iter().filter(|condition| condition["ok"] == false);
    let told = failing.map(|condition| {
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        (text("name"), (text("reason"), text("since")))
    });
    (code, told.collect())
}

fn is_ready(node: &Node) {
    eventually("it is ready", SOON, || (asked(node).0 == 200).then_some(()));
}

/// Waits until this condition alone does not hold; the reason.
fn lacks(node: &Node, condition: &str) -> (String, String) {
    eventually(&format!("it lacks {condition} and nothing else"), SOON, || {
        let (code, mut failing) = asked(node);
        let told = failing.remove(condition)?;
        (code == 503 && failing.is_empty()).then_some(told)
    })
}

#[test]
fn each_condition_is_told_by_name_while_it_does_not_hold() {
    let mut network = Network::start(Plan {
        own_server: true,
        ..Plan::of(3)
    });
    network.is_up();
    is_ready(&network.nodes[0]);

    network.database.stop();
    let (reason, since) = lacks(&network.nodes[0], "database");
    assert!(
        reason.starts_with("ETH/USD: the database does not answer: "),
        "{reason}"
    );
    assert_eq!(lacks(&network.nodes[0], "database").1, since, "the same trouble");
    network.database.start_again();
    is_ready(&network.nodes[0]);

    network.nodes[2].kill();
    let (reason, _) = lacks(&network.nodes[0], "peers");
    assert_eq!(reason, "ETH/USD: 2 of 3 nodes for a quorum");
    network.nodes[2].start();
    is_ready(&network.nodes[0]);

    network.exchange.fail("all", "status:500");
    let (reason, _) = lacks(&network.nodes[0], "price");
    assert!(reason.starts_with("ETH/USD: the last price is "), "{reason}");
    network.exchange.heal();
    is_ready(&network.nodes[0]);
}

#[test]
fn a_node_that_waits_for_everything_says_so() {
    let network = Network::start(Plan {
        running: 1,
        own_server: true,
        server_absent: true,
        faults: &["all=status:500"],
        ..Plan::of(3)
    });
    let node = &network.nodes[0];
    node.is_up();
    let failing = eventually("all but listening is missing", SOON, || {
        let (code, failing) = asked(node);
        (code == 503 && failing.len() == 3 && failing["database"].0.contains("does not answer"))
            .then_some(failing)
    });
    assert_eq!(failing["price"].0, "ETH/USD: no price yet");
    assert_eq!(failing["peers"].0, "ETH/USD: 1 of 3 nodes for a quorum");
}

/// As uptime monitors ask (RFC 9110, 9.3.2).
#[test]
fn head_is_get_without_a_body_wherever_something_is_read() {
    let network = Network::start(Plan::of(3));
    let node = &network.nodes[0];
    node.is_up();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/status",
        "/api/v1/actors",
    ] {
        eventually(path, SOON, || {
            // The node may become ready between the two.
            let ((got, body), (head, nothing)) = (node.ask("GET", path), node.ask("HEAD", path));
            assert!(!body.is_empty() && nothing.is_empty(), "{path}: {nothing}");
            (got == head).then_some(())
        });
    }
}
