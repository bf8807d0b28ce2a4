//! A hostile peer, with the key of a member: it costs the network nothing that lasts.

pub(crate) mod forgery;

use std::time::{Duration, Instant};

use quorate_protocol::NodeKey;

use crate::harness::{
    Hostile, LONGEST_GAP, Network, Node, Plan, SOON, dial, eventually, gaps, is_thrown_out, meet, unix_now,
};

/// 2099-01-01, in Unix milliseconds.
const YEAR_2099: u64 = 4_070_908_800_000;
const FLOOD: Duration = Duration::from_secs(5);
/// How much more memory a node may hold after all of it: some buffers and caches, all bounded.
const GROWTH_KIB: u64 = 32 * 1024;

/// More members' keys than a flood uses up.
const TRAITORS: usize = 100;

/// Members' keys that went over to the enemy.
struct Traitors(Vec<NodeKey>);

impl Traitors {
    fn next(&mut self) -> NodeKey {
        self.0.pop().unwrap()
    }
}

#[test]
fn a_stranger_is_turned_away_at_the_gate_and_what_it_signed_counts_nowhere() {
    let stranger = NodeKey::generate();
    let member = NodeKey::generate();
    let network = Network::start(Plan {
        other_members: vec![member.clone()],
        ..Plan::of(3)
    });
    network.has_records(1, SOON);
    let turned_away = "quorate_turned_away_total{reason=\"not_member\"}";
    let outside = Hostile::with_key(&stranger);
    dial(&outside, &network.nodes[0]);
    eventually("it is turned away", SOON, || {
        (network.nodes[0].metric(turned_away)? > 0 && !outside.is_connected()).then_some(())
    });
    // A member that passes its signature on does not help it.
    let inside = meet(&network.nodes[0], &member);
    let other = meet(&network.nodes[1], &member);
    let now = unix_now().get();
    inside.say(forgery::report(&stranger, now));
    inside.say(forgery::vouched_for(&network.nodes[0].key, &stranger, now));
    network.nodes[0].finds("unknown_signer", 2);
    network.has_further_records(2, SOON);
    let strange = stranger.address();
    let carries = |message: &Vec<u8>| message.windows(20).any(|bytes| bytes == strange.as_bytes());
    assert!(!other.heard().is_empty());
    assert!(!other.heard().iter().any(carries), "it was forwarded");
}

#[test]
fn a_hostile_peer_changes_no_record_and_is_thrown_out() {
    let mut traitors = Traitors((0..TRAITORS).map(|_| NodeKey::generate()).collect());
    let mut network = Network::start(Plan {
        other_members: traitors.0.clone(),
        ..Plan::of(3)
    });
    let traitor = traitors.next();
    network.has_records(2, SOON);
    let before: Vec<u64> = network.nodes.iter_mut().map(Node::resident_kib).collect();

    let listener = meet(&network.nodes[0], &traitors.next());
    let overheard = eventually("it hears what all hear", SOON, || {
        let heard = listener.heard();
        (heard.len() >= 10).then_some(heard)
    });

    let forger = meet(&network.nodes[0], &traitors.next());
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
    is_thrown_out(&forger);
    network.nodes[0].has_logged(&["peer banned"]);
    // Signed thrice, of unknown kind, truncated; and one in another's name.
    network.nodes[0].finds("malformed", 3);
    network.nodes[0].finds("bad_signature", 1);
    stays_out(&forger, &network.nodes[0]);

    let bulky = meet(&network.nodes[1], &traitors.next());
    for byte in 0..10 {
        bulky.say(vec![byte; 1 << 20]);
    }
    flood(&network, &traitor, &mut traitors);

    // Old by now, and written.
    let replayer = meet(&network.nodes[2], &traitors.next());
    for message in overheard {
        replayer.say(message);
    }
    let [stale, future] = ["stale", "future"].map(|finding| network.nodes[2].found(finding));
    // It comes from the flooders' address, so that some of what it says right after the flood is dropped unread.
    let mut at = 0;
    eventually("what is old and what is ahead is found", SOON, || {
        at += 1_000;
        replayer.say(forgery::report(&traitor, at));
        replayer.say(forgery::report(&traitor, YEAR_2099 + at));
        let found = |finding| network.nodes[2].found(finding);
        (found("stale") >= stale + 2 && found("future") >= future + 2).then_some(())
    });

    let after: Vec<u64> = network.nodes.iter_mut().map(Node::resident_kib).collect();
    let gaps = gaps(&network.has_further_records(2, SOON));
    let bans: u64 = network
        .nodes
        .iter()
        .filter_map(|node| node.metric("quorate_bans_total"))
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
    dial(hostile, node);
    eventually("it is refused", SOON, || {
        (hostile.connections() > made && !hostile.is_connected()).then_some(())
    });
}

/// Floods all nodes at once, under another member's name whenever one is thrown out, and for so long that each is thrown out once.
fn flood(network: &Network, traitor: &NodeKey, traitors: &mut Traitors) {
    let end = Instant::now() + FLOOD;
    let mut flooder = |node: &Node| meet(node, &traitors.next());
    let mut flooders: Vec<Hostile> = network.nodes.iter().map(&mut flooder).collect();
    let mut at = 0;
    while Instant::now() < end || flooders.iter().any(Hostile::is_connected) {
        for (hostile, node) in flooders.iter_mut().zip(&network.nodes) {
            if !hostile.is_connected() && Instant::now() < end {
                *hostile = flooder(node);
            }
            at += 1;
            hostile.say(forgery::report(traitor, at));
        }
        assert!(Instant::now() < end + SOON, "a flood is never thrown out");
    }
}
