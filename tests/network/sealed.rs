//! Networks with a secret: what is said is for those who have it.

use quorate_protocol::{Message, NodeKey};

use crate::harness::{Hostile, NETWORK_NAME, Network, Plan, SOON, WINDOW, eventually, gaps};

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";
const NEW: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee02";

fn start(member: &NodeKey) -> Network {
    let network = Network::start(Plan {
        other_members: vec![member.clone()],
        secret: Some(OLD),
        ..Plan::of(3)
    });
    network.has_records(1, SOON);
    network
}

#[test]
fn a_member_without_the_secret_hears_and_reads_nothing_and_is_not_listened_to() {
    let member = NodeKey::generate();
    let network = start(&member);
    let listener = Hostile::meet(&network.nodes[0], &member);
    let heard = eventually("it hears what all hear", SOON, || {
        let heard = listener.heard();
        (heard.len() >= 5).then_some(heard)
    });
    let name = NETWORK_NAME.parse().unwrap();
    for message in &heard {
        assert!(Message::decode(message, &name).is_err(), "it is in clear");
        for node in &network.nodes {
            let address = *node.address().as_bytes();
            assert!(!message.windows(20).any(|bytes| bytes == address), "it names a node");
        }
    }
    listener.say(crate::hostility::forgery::report(&member, crate::harness::unix_now().get()));
    eventually("a message in clear is seen as such", SOON, || {
        (network.nodes[0].found("unsealed") > 0).then_some(())
    });
    network.has_further_records(2, SOON);
}

#[test]
fn the_secret_is_exchanged_while_records_go_on() {
    let member = NodeKey::generate();
    let network = start(&member);
    let listener = Hostile::meet(&network.nodes[0], &member);
    let before = network.records().len();
    for secrets in [&[OLD, NEW][..], &[NEW, OLD], &[NEW]] {
        network.change_secrets(secrets);
        for node in &network.nodes {
            node.has_logged(&["network secret changed", &format!("accepted={}", secrets.len())]);
        }
    }
    let records = network.has_further_records(2, SOON);
    let gaps = gaps(&records[before - 1..]);
    eprintln!("{gaps:?} after the one before");
    assert!(gaps.iter().all(|gap| *gap < 2 * WINDOW), "a window was missed: {gaps:?}");

    // What was sealed with the old one is not opened any more.
    let old = listener.heard().remove(0);
    let another = Hostile::meet(&network.nodes[1], &member);
    another.say(old);
    eventually("the old key is seen as unknown", SOON, || {
        (network.nodes[1].found("unknown_key") > 0).then_some(())
    });
}
