//! The database fails over to a replica; what it loses on the way is written again, or seen to be lost.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use quorate_protocol::{Digest, Record};

use crate::harness::{Network, Plan, Replication, SOON, WINDOW, eventually, let_pass};

/// A network that has some records, on a server with a replica.
fn replicated(replication: Replication) -> Network {
    let network = Network::start(Plan {
        replication: Some(replication),
        ..Plan::of(3)
    });
    network.has_records(3, SOON);
    network
}

/// What a failover did, as a line of a table.
#[derive(Debug)]
struct Outcome {
    /// Records that stood before it.
    before: Vec<Record>,
    /// Those that the replica did not have.
    lost: usize,
    /// Those of them that stand again with their number and digest.
    healed: usize,
    /// Windows without a record, beyond those of the outage.
    missed: u128,
    /// From the last record before to the first new one.
    gap: Duration,
    after: Vec<Record>,
}

/// The server is killed, and after this time its replica takes its place; what follows, until there are new records.
fn fail_over(network: &mut Network, away: Duration) -> Outcome {
    let before = network.records();
    let began = Instant::now();
    network.database.kill();
    let_pass(away);
    let kept = network.database.on_the_replica();
    network.database.promote();
    let outage = began.elapsed();
    let last = before.last().unwrap();
    let after = eventually("records go on", SOON, || {
        let records = network.database.records().unwrap_or_default();
        (records.last()?.sequence >= last.sequence + 2).then_some(records)
    });
    assert!(network.all_run(), "a node has ended");
    // Checks each of them, and that none comes within a window of the one before.
    network.records();
    let stands = |record: &&Record| after.iter().any(|other| other.digest == record.digest);
    let was_lost = |record: &&Record| !kept.contains(&record.digest);
    let lost = before.iter().filter(was_lost);
    // The first record that is not one of those from before; the healed one had its window a second time.
    let is_new = |record: &&Record| !before.iter().any(|other| other.digest == record.digest);
    let first = after.iter().find(is_new).unwrap();
    let gap = first.written_at.since(last.written_at);
    let windows = (gap.saturating_sub(outage) + WINDOW / 2).as_millis() / WINDOW.as_millis();
    Outcome {
        lost: lost.clone().count(),
        healed: lost.filter(stands).count(),
        gap,
        missed: windows.saturating_sub(1),
        before,
        after,
    }
}

/// Waits for so many records that the replica does not have.
fn lose_the_next(network: &Network, count: usize) {
    // Right behind a record there is time for it.
    let written = network.has_further_records(1, SOON).len();
    network.database.cut_replica_off();
    network.has_records(written + count, SOON);
}

fn is_one_line(records: &[Record]) {
    let mut previous = Digest::new([0; 32]);
    for (record, sequence) in records.iter().zip(1..) {
        assert_eq!((record.sequence, record.previous), (sequence, previous));
        previous = record.digest;
    }
}

fn tell(what: &str, outcome: &Outcome) {
    let Outcome {
        before,
        lost,
        healed,
        missed,
        gap,
        ..
    } = outcome;
    eprintln!(
        "failover {what}: {} records before, {lost} lost, {healed} healed, {missed} windows missed beyond the outage, \
         {gap:?} from record to record",
        before.len()
    );
}

fn forks(network: &Network) -> Vec<Option<u64>> {
    let sample = "quorate_forks_total{feed=\"ETH/USD\"}";
    network.nodes.iter().map(|node| node.metric(sample)).collect()
}

#[test]
fn a_synchronous_replica_has_all_that_was_written_and_one_window_is_missed_at_most() {
    let mut network = replicated(Replication::Synchronous);
    // In the middle of the next write, or nearly.
    let last = network.has_further_records(1, SOON).pop().unwrap();
    eventually("the next record is about to be written", SOON, || {
        (crate::harness::unix_now().since(last.written_at) >= WINDOW).then_some(())
    });
    let outcome = fail_over(&mut network, Duration::from_millis(300));
    tell("(a), synchronous, in the middle of a write", &outcome);
    is_one_line(&outcome.after);
    assert_eq!(outcome.lost, 0);
    assert!(outcome.missed <= 1, "{outcome:?}");
    assert_eq!(forks(&network), [Some(0); 3]);
}

#[test]
fn the_last_record_of_an_asynchronous_server_is_written_again() {
    for (what, confirmed) in [
        (
            "(b), asynchronous, the last record lost",
            Duration::from_millis(700),
        ),
        (
            "(b), asynchronous, the last record lost as soon as it was written",
            Duration::ZERO,
        ),
    ] {
        let mut network = replicated(Replication::Asynchronous);
        lose_the_next(&network, 1);
        let_pass(confirmed);
        let outcome = fail_over(&mut network, Duration::from_millis(300));
        tell(what, &outcome);
        is_one_line(&outcome.after);
        assert_eq!((outcome.lost, outcome.healed), (1, 1));
        assert!(outcome.missed <= 1, "{outcome:?}");
        assert_eq!(forks(&network), [Some(0); 3]);
        let healed = |node: &crate::harness::Node| node.logged(&["the lost record stands again"]);
        assert!(network.nodes.iter().any(|node| healed(node) == 1));
        for node in &network.nodes {
            assert_eq!(node.logged(&["false news"]), 0, "node {}", node.number);
        }
    }
}

#[test]
fn a_fork_is_seen_counted_logged_and_kept() {
    let mut network = replicated(Replication::Asynchronous);
    lose_the_next(&network, 2);
    let_pass(Duration::from_millis(700));
    let outcome = fail_over(&mut network, Duration::from_millis(300));
    tell("(c), asynchronous, two records lost", &outcome);
    is_one_line(&outcome.after);
    assert_eq!((outcome.lost, outcome.healed), (2, 0));
    let last = outcome.before.last().unwrap();
    for node in &network.nodes {
        node.has_logged(&["history forked", &last.digest.to_string()]);
        node.counts("quorate_forks_total{feed=\"ETH/USD\"}", 1);
        let warnings = node.readiness().1["warnings"].to_string();
        assert!(
            warnings.contains("the history of ETH/USD was forked"),
            "{warnings}"
        );
    }
    let kept = eventually("the lost record is kept", SOON, || {
        Some(network.database.lost_records()).filter(|kept| !kept.is_empty())
    });
    assert_eq!(kept, BTreeSet::from([last.digest]));
}
