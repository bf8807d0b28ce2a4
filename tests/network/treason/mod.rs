//! Members that lie together: fewer than a third of them change nothing, and are named.

mod liar;

use std::time::{Duration, Instant};

use liar::Liar;
use quorate_protocol::Record;
use quorate_protocol::{NodeKey, Price};

use crate::harness::{Findings, Network, Node, Plan, SOON, WINDOW, eventually, gaps, let_pass};

const MEMBERS: usize = 7;
/// More than two thirds of seven.
const REQUIRED: usize = 5;

fn start(liars: &[NodeKey]) -> Network {
    let network = Network::start(Plan {
        other_members: liars.to_vec(),
        settings: vec![("quorum-fraction", "2/3".into())],
        ..Plan::of(MEMBERS - liars.len())
    });
    network.is_up();
    network
}

/// The exchange begins at 3000 and moves by 2 bps a second at most; the liars say 3150.
fn is_honest(record: &Record) -> bool {
    let honest: Price = "3000".parse().unwrap();
    record.price.deviation_bps(honest) < 250
}

/// Lets the liars act until `done`; after `contradicting` they make two statements for a window.
fn lie_until(liars: &mut [Liar], contradicting: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < 4 * SOON, "it never ends");
        for liar in &mut *liars {
            liar.contradicts = began.elapsed() >= contradicting;
            liar.react();
        }
        // Each tells the one before it, so that a lie is signed by another.
        for at in 1..liars.len() {
            let (before, from) = liars.split_at_mut(at);
            from[0].tell(&mut before[at - 1]);
        }
        let_pass(Duration::from_millis(10));
    }
}

/// How often each kind of lie was found.
fn named(findings: &Findings) -> [u64; 4] {
    let names = [
        "price_deviates",
        "signed_outlier",
        "false_written",
        "equivocation",
    ];
    names.map(|name| findings.get(name).copied().unwrap_or(0))
}

#[test]
fn two_liars_of_seven_cost_no_window_and_are_named_and_silence_costs_none_either() {
    let keys = [NodeKey::generate(), NodeKey::generate()];
    let network = start(&keys);
    network.has_records(1, SOON);
    let mut liars = keys.each_ref().map(|key| Liar::join(&network, key, REQUIRED));
    let before = network.records().len();
    let records = || network.database.records().unwrap().len();
    lie_until(&mut liars, 6 * WINDOW, || records() >= before + 12);

    let mut all = [0; 4];
    for key in &keys {
        for node in &network.nodes {
            let (own, _) = node.findings(key.address());
            eprintln!("node {} of {}: {own:?}", node.number, key.address());
            assert!(
                named(&own).iter().any(|count| *count > 0),
                "node {}: {own:?}",
                node.number
            );
            all = std::array::from_fn(|at| all[at] + named(&own)[at]);
        }
    }
    assert!(all.iter().all(|count| *count > 0), "each lie was found: {all:?}");
    for node in &network.nodes {
        for other in &network.nodes {
            let (found, _) = node.findings(other.address());
            assert_eq!(named(&found), [0; 4], "node {} of {}", node.number, other.number);
        }
    }
    let evidence = network.evidence();
    for key in &keys {
        let proof = evidence
            .lines()
            .find(|line| line.contains(&key.address().to_string()));
        assert!(proof.is_some_and(|line| line.contains("verified")), "{evidence}");
    }
    // From now on both are silent.
    drop(liars);
    let all = network.has_records(before + 20, SOON);
    let gaps = gaps(&all[before - 1..]);
    eprintln!("20 records, {gaps:?} after the one before");
    assert!(all.iter().all(is_honest), "{all:?}");
    assert!(
        gaps.iter().all(|gap| *gap < 2 * WINDOW),
        "a window was missed: {gaps:?}"
    );
    for node in &network.nodes {
        eventually("the silent are seen as silent", 2 * SOON, || {
            let nodes = node.status().feeds.remove(0).nodes;
            let silent = nodes.iter().filter(|node| !node.alive).map(|node| node.address);
            (silent.count() == 2).then_some(())
        });
    }
}

#[test]
fn three_liars_of_seven_get_nothing_false_written() {
    let keys = [(); 3].map(|()| NodeKey::generate());
    let mut network = start(&keys);
    let mut liars = keys.each_ref().map(|key| Liar::join(&network, key, REQUIRED));
    let began = Instant::now();
    lie_until(&mut liars, 3 * WINDOW, || began.elapsed() >= 8 * WINDOW);
    let records = network.records();
    eprintln!("{} records in 8 windows, with the liars' help", records.len());
    assert!(records.iter().all(is_honest), "{records:?}");
    assert!(network.all_run());
    for key in &keys {
        let is_named = |node: &Node| {
            named(&node.findings(key.address()).0)
                .iter()
                .any(|count| *count > 0)
        };
        assert!(network.nodes.iter().all(is_named), "{}", key.address());
    }
}
