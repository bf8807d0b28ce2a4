//! The database goes away and comes back; the nodes do not.

use std::time::Duration;

use crate::harness::{LONGEST_GAP, Network, Plan, SOON, WINDOW, eventually, gaps, let_pass, unix_now};

const OUTAGE: Duration = Duration::from_secs(3 * WINDOW.as_secs());

#[test]
fn an_outage_ends_no_node_and_a_fresh_record_is_written_at_once_after_it() {
    let mut network = Network::start(Plan {
        own_server: true,
        ..Plan::of(3)
    });
    network.has_records(2, SOON);
    for outage in 1..=2 {
        network.database.stop();
        let_pass(OUTAGE);
        for node in &network.nodes {
            let lost = node.logged(&["database gone: "]);
            assert_eq!(lost, outage, "node {}", node.number);
        }

        network.database.start_again();
        let back = unix_now();
        let record = network.has_record_after(back, Duration::from_secs(6));
        let (late, age) = (
            record.written_at.since(back),
            record.written_at.since(record.observed_at),
        );
        eprintln!("outage {outage}: record {late:?} after its end, its price {age:?} old");
        // Within a second, where other tests do not keep the cores busy.
        assert!(late < WINDOW, "not at once: {late:?}");
        assert!(age < Duration::from_secs(3), "not a fresh one: {record:?}");
        for node in &network.nodes {
            let is_back = || (node.logged(&["database back"]) == outage).then_some(());
            eventually("every node sees that it is back", SOON, is_back);
        }
    }
    network.has_further_records(2, SOON);
    assert!(network.all_run());
}

#[test]
fn nodes_wait_for_a_database_that_comes_later_and_is_migrated_later_still() {
    let mut network = Network::start(Plan {
        own_server: true,
        server_absent: true,
        ..Plan::of(3)
    });
    for node in &network.nodes {
        node.has_logged(&["waiting for the database"]);
    }
    network.database.start_again();
    let_pass(WINDOW);
    assert!(network.all_run());

    network.database.migrate(3, WINDOW);
    network.has_records(3, SOON);
    assert!(network.all_run());
    for node in &network.nodes {
        // What was never there is not gone. That it lacks a migration is another reason than that it is not there.
        assert_eq!(node.logged(&["database gone"]), 0, "node {}", node.number);
        let (waited, reasons) = (
            node.logged(&["waiting for the database"]),
            node.logged(&["waiting for the database", "refused"]),
        );
        assert!(
            waited > reasons && reasons > 0,
            "node {}: {waited}, {reasons}",
            node.number
        );
        assert_eq!(node.logged(&["database there"]), 1, "node {}", node.number);
    }
}

#[test]
fn sessions_that_are_ended_cost_one_window_at_most() {
    let mut network = Network::start(Plan::of(3));
    network.has_records(2, SOON);
    for _ in 0..4 {
        network.database.end_sessions();
        network.has_further_records(1, SOON);
    }
    let gaps = gaps(&network.records());
    eprintln!("sessions ended, records {gaps:?} after the one before");
    assert!(gaps.into_iter().all(|gap| gap < LONGEST_GAP));
    assert!(network.all_run());
}
