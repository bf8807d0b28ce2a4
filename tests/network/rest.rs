//! What wakes a node that has nothing to do; docs/architecture.md has the list.

use std::{thread, time::Duration};

use crate::harness::{Network, Plan, SOON, eventually};

/// Nothing is due for so long after the first record.
const WINDOW: Duration = Duration::from_secs(120);
/// How long is looked: at least two of whatever comes again and again.
const LOOK: Duration = Duration::from_secs(10);
/// How often the threads of a node may be woken a second, all together: 8 on a quiet machine, where it was 30 when every actor looked around
/// each second. A timer of a second more is 2 or 3.
const MOST: u64 = 14;

#[test]
fn a_network_at_rest_is_woken_for_a_reason_only() {
    let network = Network::start(Plan {
        window: WINDOW,
        ..Plan::of(3)
    });
    network.is_up();
    network.has_records(1, SOON);
    // The first seconds have reasons of their own: spare connections, first signs of life.
    eventually("the network is at rest", 4 * LOOK, || {
        let sleeps = || network.nodes.iter().map(|node| node.sleeps()).collect::<Vec<_>>();
        let before = sleeps();
        thread::sleep(LOOK);
        let woken: Vec<u64> = sleeps()
            .iter()
            .zip(before)
            .map(|(after, before)| (after - before) / LOOK.as_secs())
            .collect();
        eprintln!("woken {woken:?} times a second");
        woken.iter().all(|times| *times <= MOST).then_some(())
    });
}
