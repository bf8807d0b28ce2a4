//! What a node logs: nothing to worry about while all is well, and never a secret.

use crate::harness::{Network, Plan, SOON};

/// The first thirty lines of each node, of a network in which nobody was late: on a busy machine a co-signer can be, and then
/// the log rightly says so.
fn first_lines() -> Vec<Vec<String>> {
    for _ in 0..5 {
        let network = Network::start(Plan::of(3));
        network.has_records(3, SOON);
        let first = |log: String| log.lines().take(30).map(str::to_owned).collect::<Vec<_>>();
        let logs: Vec<Vec<String>> = network.nodes.iter().map(|node| first(node.log())).collect();
        let was_late = |line: &String| line.contains("no quorum: ") && line.contains("did not sign in time");
        if !logs.iter().flatten().any(was_late) {
            return logs;
        }
    }
    panic!("in five networks somebody was late");
}

#[test]
fn a_healthy_node_begins_without_a_warning_in_lines_that_fit_a_terminal() {
    for first in first_lines() {
        for line in &first {
            assert!(!line.contains(" WARN ") && !line.contains(" ERROR "), "{line}");
            assert!(line.chars().count() < 200, "{line}");
        }
        for said in ["prices are invented, by a simulated exchange", "record written"] {
            assert!(first.iter().any(|line| line.contains(said)), "{said}: {first:?}");
        }
    }
}

#[test]
fn not_even_trace_shows_a_secret_of_ours_or_a_library() {
    let mut network = Network::start(Plan::of(3));
    network.has_records(1, SOON);
    network.nodes[0].kill();
    network.nodes[0].start_tracing();
    network.nodes[0].is_up();
    network.has_further_records(2, SOON);
    let log = network.nodes[0].log();
    assert!(
        log.contains(" TRACE libp2p") && log.contains(" DEBUG "),
        "it does log"
    );
    let key = const_hex::encode(network.nodes[0].key.secret_bytes().as_slice());
    let escaped = |secret: &str| secret.replace('"', "\\\"");
    for secret in network.database.secrets().iter().chain([&key]) {
        for form in [secret.clone(), escaped(secret)] {
            assert!(!log.contains(&form), "a line of the log holds a secret");
        }
    }
    for library in [" tokio_postgres", " awc", " actix_http", " rustls"] {
        let says = |level: &str| log.contains(&format!(" {level}{library}"));
        assert!(!says("TRACE") && !says("DEBUG"), "{library}");
    }
}
