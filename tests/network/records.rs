//! The network's purpose: a record in every window.

use std::{collections::BTreeSet, time::Duration};

use crate::harness::{Network, Plan, SOON, WINDOW, gaps};

const WINDOWS: usize = 6;

#[test]
fn three_nodes_write_a_record_in_every_window() {
    let mut network = Network::start(Plan::of(3));
    let up = network.is_up();
    let first = network.has_records(1, SOON)[0].written_at.since(up);
    let records = network.has_records(1 + WINDOWS, SOON);
    let gaps = gaps(&records);
    eprintln!("first record {first:?} after the last node was up, the others {gaps:?} after the one before");

    assert!(first < Duration::from_secs(10), "first record after {first:?}");
    for gap in gaps {
        assert!(gap < 2 * WINDOW, "a window was missed: {gap:?}");
    }
    let digests: BTreeSet<_> = records.iter().map(|record| record.digest).collect();
    assert_eq!(digests.len(), records.len());
    for record in &records {
        assert_eq!(record.evidence.quotes().len(), 3, "{record:?}");
        assert!(record.written_at.since(record.observed_at) < WINDOW, "{record:?}");
    }
    assert!(network.all_run());
}
