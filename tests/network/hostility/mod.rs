//! Hostile peers, with the keys of members: they cost the network nothing that lasts. Others are not even let in.

mod forgery;

use std::time::{Duration, Instant};

use quorate_protocol::NodeKey;

use crate::harness::{Hostile, LONGEST_GAP, Network, Node, Plan, SOON, eventually, gaps};

/// 2099-01-01, in Unix milliseconds.
const YEAR_2099: u64 = 4_070_908_800_000;
const FLOOD: Duration = Duration::from_secs(5);
/// Keys of members in the wrong hands: a few for single tricks, the others to flood under one name after the other.
const TRAITORS: usize = 24;
/// How much more memory a node may hold after all of it: some buffers and caches, all bounded.
const GROWTH_KIB: u64 = 32 * 1024;

#[test]
fn a_hostile_peer_changes_no_record_and_is_thrown_out() {
    let mut names: Vec<NodeKey> = (0..TRAITORS).map(|_| NodeKey::generate()).collect();
    let mut network = Network::start(Plan {
        other_members: names.clone(),
        ..Plan::of(3)
    });
    network.has_records(2, SOON);
    let before: Vec<u64> = network.nodes.iter_mut().map(Node::resident_kib).collect();

    let stranger = Hostile::stranger(&network.nodes[0]);
    eventually("a stranger is turned away", SOON, || {
        let turned_away = network.nodes[0].metric("quorate_turned_away_total{reason=\"not_member\"}");
        (turned_away > 0 && !stranger.is_connected()).then_some(())
    });

    let traitor = names.pop().unwrap();
    let mut meet = |node: &Node| Hostile::meet(node, &names.pop().unwrap());
    let listener = meet(&network.nodes[0]);
    let overheard = eventually("it hears what all hear", SOON, || {
        let heard = listener.heard();
        (heard.len() >= 10).then_some(heard)
    });

    let forger = meet(&network.nodes[0]);
    let honest = network.nodes[1].address();
    for message in [
        forgery::report_in_the_name_of(honest, &traitor),
        forgery::thrice_signed(&traitor),
        forgery::unknown_kind(),
        forgery::truncated(&overheard[0]),
        forgery::bit_flipped(&overheard[0]),
        forgery::truncated(&overheard[1]),
        forgery::bit_flipped(&overheard[1]),
    ] {
        forger.say(message);
    }
    forger.is_thrown_out();
    network.nodes[0].has_logged(&["peer banned"]);
    assert!(
        network.nodes[0].found("malformed") >= 3,
        "signed thrice, of unknown kind, truncated"
    );
    assert!(network.nodes[0].found("bad_signature") >= 1, "in another's name");
    stays_out(&forger, &network.nodes[0]);

    let bulky = meet(&network.nodes[1]);
    for byte in 0..10 {
        bulky.say(vec![byte; 1 << 20]);
    }
    // Old by now, and written.
    let replayer = meet(&network.nodes[2]);
    for message in overheard {
        replayer.say(message);
    }
    let [stale, future] = ["stale", "future"].map(|finding| network.nodes[2].found(finding));
    for at in [0, 1_000, YEAR_2099, YEAR_2099 + 1_000] {
        replayer.say(forgery::report(&traitor, at));
    }
    eventually("what is of another time is seen as such", SOON, || {
        let node = &network.nodes[2];
        (node.found("stale") >= stale + 2 && node.found("future") >= future + 2).then_some(())
    });

    flood(&network, &traitor, names);

    let after: Vec<u64> = network.nodes.iter_mut().map(Node::resident_kib).collect();
    let gaps = gaps(&network.has_further_records(2, SOON));
    let bans: u64 = network
        .nodes
        .iter()
        .map(|node| node.metric("quorate_bans_total"))
        .sum();
    eprintln!(
        "resident {before:?} KiB before, {after:?} after; {bans} bans; records {gaps:?} after the one before"
    );
    for (before, after) in before.iter().zip(&after) {
        assert!(
            after.saturating_sub(*before) < GROWTH_KIB,
            "{before} to {after} KiB"
        );
    }
    assert!(gaps.into_iter().all(|gap| gap < LONGEST_GAP));
    assert!(bans >= 4, "the forger, and somebody who flooded each node");
    assert!(network.all_run());
}

fn stays_out(hostile: &Hostile, node: &Node) {
    let made = hostile.connections();
    hostile.dial(node);
    eventually("it is refused", SOON, || {
        (hostile.connections() > made && !hostile.is_connected()).then_some(())
    });
}

/// Floods all nodes at once, under another of these names whenever one is thrown out, and for so long that each is thrown out
/// once.
fn flood(network: &Network, traitor: &NodeKey, mut names: Vec<NodeKey>) {
    let end = Instant::now() + FLOOD;
    let meet = |node: &Node| Hostile::meet(node, &names.pop().unwrap());
    let mut flooders: Vec<Hostile> = network.nodes.iter().map(meet).collect();
    let mut at = 0;
    while Instant::now() < end || flooders.iter().any(Hostile::is_connected) {
        for (flooder, node) in flooders.iter_mut().zip(&network.nodes) {
            if !flooder.is_connected()
                && Instant::now() < end
                && let Some(name) = names.pop()
            {
                *flooder = Hostile::meet(node, &name);
            }
            at += 1;
            flooder.say(forgery::report(traitor, at));
        }
        assert!(Instant::now() < end + SOON, "a flood is never thrown out");
    }
}
