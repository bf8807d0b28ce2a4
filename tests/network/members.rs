//! Who the members are can change while the network runs.

use serde::Deserialize;

use crate::harness::{Network, Node, Plan, SOON, WINDOW, eventually, gaps, unix_now};

#[test]
fn a_change_of_members_under_load_costs_no_window_and_the_removed_ones_signature_stops_counting() {
    // All of five, then of the next five.
    let mut network = Network::start(Plan {
        running: 5,
        members: 5,
        settings: vec![("min-signatures", "4".into())],
        ..Plan::of(6)
    });
    network.has_records(3, SOON);
    let changed_at = unix_now();
    network.change_members(1..6);
    network.nodes[5].start();
    for node in &network.nodes[..5] {
        node.has_logged(&["members changed: members=5 required=4"]);
    }
    network.nodes[0].has_logged(&["this node is no member any more"]);
    let (removed, added) = (network.nodes[0].address(), network.nodes[5].address());
    let signed_by_the_new_one = eventually("the new member signs", SOON, || {
        let records = network.records();
        records
            .into_iter()
            .find(|record| record.verify().unwrap().contains(&added))
    });
    assert!(signed_by_the_new_one.observed_at > changed_at);

    let records = network.has_further_records(4, SOON);
    let gaps = gaps(&records);
    eprintln!("{gaps:?} after the one before");
    assert!(
        gaps.iter().all(|gap| *gap < 2 * WINDOW),
        "a window was missed: {gaps:?}"
    );
    let after = records
        .iter()
        .filter(|record| record.written_at > signed_by_the_new_one.written_at);
    for record in after {
        assert!(!record.verify().unwrap().contains(&removed), "{record:?}");
    }
    let nodes = network.nodes[1].status().feeds.remove(0).nodes;
    assert!(nodes.iter().all(|node| node.address != removed));
    assert!(
        nodes
            .iter()
            .any(|node| node.address == added && node.name.as_deref() == Some("node-5"))
    );
}

#[test]
fn a_list_that_could_never_be_quorate_is_not_taken_over() {
    let network = Network::start(Plan::of(3));
    network.has_records(1, SOON);
    network.change_members(0..2);
    network.nodes[2].has_logged(&[
        "members file not taken over",
        "3 signatures are required of 2 members",
    ]);
    network.has_further_records(2, SOON);
    network.change_members(0..3);
    network.nodes[2].has_logged(&["members file is right again"]);
}

#[test]
fn a_record_waits_for_a_validator_that_is_away() {
    let mut network = Network::start(Plan {
        running: 3,
        validators: 1,
        ..Plan::of(4)
    });
    network.nodes[0].has_logged(&["3 of 3 signatures: waiting for a validator's"]);
    assert_eq!(network.records(), []);
    network.nodes[3].start();
    let validator = network.nodes[3].address();
    for record in network.has_records(2, SOON) {
        assert!(record.verify().unwrap().contains(&validator), "{record:?}");
    }
}

#[test]
fn the_roster_tells_who_is_alive_with_version_and_clock() {
    let network = Network::start(Plan::of(3));
    network.has_records(1, SOON);
    let node = &network.nodes[0];
    eventually("all have told of themselves", SOON, || {
        let status = node.status().feeds.remove(0);
        assert_eq!((status.open, status.required), (false, 3));
        let others = status
            .nodes
            .iter()
            .filter(|other| other.address != node.address());
        let told = others.filter(|other| {
            let offset = other.clock_offset_ms.unwrap_or(i64::MAX);
            other.alive && other.version.is_some() && (-10_000..=0).contains(&offset)
        });
        (status.live == 3 && told.count() == 2).then_some(())
    });
    assert_eq!(node.status().warnings, [""; 0]);
}

#[test]
fn each_peer_is_told_with_its_name_how_it_was_found_and_how_long_a_ping_takes() {
    let network = Network::start(Plan::of(3));
    network.has_records(1, SOON);
    let node = &network.nodes[0];
    let told = || -> Vec<Peer> {
        let (_, body) = node.ask("GET", "/api/v1/peers");
        let answer: Answer = serde_json::from_str(&body).unwrap();
        answer.peers
    };
    let peers = eventually("a ping of each is answered", SOON, || {
        let peers = told();
        (peers.len() == 2 && peers.iter().all(|peer| peer.ping_us > Some(0))).then_some(peers)
    });
    for (peer, other) in peers.iter().zip(["node-2", "node-3"]) {
        assert!(
            peer.up && peers.iter().any(|peer| peer.name == other),
            "{peers:?}"
        );
        assert!(["static", "inbound"].contains(&peer.via.as_str()), "{peer:?}");
    }
    let handled = || node.actors()["GossipBridge"].messages;
    let before = handled();
    (0..60).for_each(|_| drop(told()));
    assert!(
        handled() - before < 30,
        "who reads the API takes the place of what is published"
    );
}

/// What `/api/v1/peers` tells, and nothing else of a peer: not where it is.
#[derive(Debug, Deserialize)]
struct Answer {
    peers: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what may be told")]
struct Peer {
    address: String,
    name: String,
    up: bool,
    via: String,
    connected_ms: u64,
    ping_us: Option<u64>,
    agent: Option<String>,
}

#[test]
fn members_find_each_other_by_the_endpoints_of_their_list() {
    let network = Network::start(Plan {
        endpoints: true,
        ..Plan::of(3)
    });
    network.has_records(2, SOON);
    // Whoever dialled first; the others were dialled.
    let found = |node: &Node| node.logged(&["peer found", "via=members"]) > 0;
    assert!(network.nodes.iter().any(found));
}

#[test]
fn an_open_network_says_so_at_the_start_and_in_the_status() {
    let network = Network::start(Plan {
        open: true,
        settings: vec![("quorum-fraction", "2/3".into())],
        ..Plan::of(3)
    });
    network.has_records(2, SOON);
    for node in &network.nodes {
        node.has_logged(&["open network: anybody who can connect counts"]);
        let status = node.status();
        assert!(
            status.warnings[0].starts_with("open network"),
            "{:?}",
            status.warnings
        );
        assert!(status.feeds[0].open);
        assert_eq!((status.feeds[0].live, status.feeds[0].required), (3, 3));
    }
}
