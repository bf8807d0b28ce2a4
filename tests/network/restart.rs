//! A node that died comes back as the one that it was.

use crate::harness::{Network, Plan, SOON, WINDOW, let_pass, unix_now};

#[test]
fn a_node_that_was_killed_takes_part_again_under_its_key() {
    let mut network = Network::start(Plan::of(3));
    network.has_records(2, SOON);

    network.nodes[1].kill();
    // What was on its way has arrived after a window; all three nodes are needed for more.
    let_pass(WINDOW);
    let without = network.records().len();
    let_pass(2 * WINDOW);
    assert_eq!(network.records().len(), without);

    let back = unix_now();
    network.nodes[1].start();
    let first = network.has_record_after(back, SOON).written_at.since(back);
    eprintln!("first record {first:?} after the restart");
    let records = network.has_further_records(2, SOON);
    let signers = records.last().unwrap().verify().unwrap();
    assert!(signers.contains(&network.nodes[1].address()));
}
