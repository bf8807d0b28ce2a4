//! What a hostile peer can do to a bridge: nothing that lasts.

mod gossip_bridge_support;

use std::time::Duration;

use gossip_bridge_support::{
    Node, eventually, heartbeat, is_thrown_out, meet, network, report, report_at, tcp0, unix_now,
};
use libp2p::identity::Keypair;
use quorate_protocol::{Message, NodeKey, UnixMillis};
use quorate_testkit::{
    hostile::Hostile,
    raw_peer::{RawPeer, field},
};
use tokio::io::AsyncReadExt;

/// The victim, an honest node that is connected to it, and the hostile peer.
async fn scene() -> (Node, Node, Hostile) {
    let victim = Node::start(vec![tcp0()], vec![]);
    let honest = Node::start(vec![tcp0()], vec![victim.listens().await]);
    victim.has_up(&[&honest]).await;
    honest.has_up(&[&victim]).await;
    let hostile = Hostile::start();
    meet(&hostile, victim.listens().await).await;
    eventually("the hostile peer counts as one", async || {
        victim.told(|told| told.up.len() == 2).then_some(())
    })
    .await;
    (victim, honest, hostile)
}

/// The honest node is heard, and the hostile one has been nothing but a nuisance.
async fn honest_is_heard(victim: &Node, honest: &Node) {
    let before = victim.heard().len();
    // Signs of life: of prices, a node states one for a window.
    honest.publish(heartbeat(&honest.key)).await;
    victim.has_heard(before + 1).await;
    victim.publish(heartbeat(&victim.key)).await;
    eventually("the victim is heard", async || {
        honest
            .heard()
            .iter()
            .any(|heard| {
                matches!(heard, quorate_protocol::judge::Verified::Heartbeat(beat)
                    if beat.node == victim.address())
            })
            .then_some(())
    })
    .await;
}

async fn is_banned(victim: &Node, hostile: &Hostile) {
    is_thrown_out(hostile).await;
    assert_eq!(victim.metrics.bans.get(), 1);
    // It is not let in again.
    let made = hostile.connections();
    hostile.dial(victim.listens().await);
    eventually("it is refused", async || {
        (hostile.connections() > made && !hostile.is_connected()).then_some(())
    })
    .await;
    assert!(
        !victim.peers().await.iter().any(|peer| peer.peer == hostile.peer),
        "still connected"
    );
}

#[actix_rt::test]
async fn garbage_gets_its_sender_banned() {
    let (victim, honest, hostile) = scene().await;
    for index in 0..5 {
        hostile.say(vec![index; 100]);
    }
    is_banned(&victim, &hostile).await;
    honest_is_heard(&victim, &honest).await;
    assert_eq!(victim.heard().len(), 1);
    assert!(victim.counted("malformed") >= 4);
    assert_eq!(honest.counted("malformed"), 0, "nothing of it was passed on");
}

#[actix_rt::test]
async fn forged_truncated_and_unknown_messages_get_their_sender_banned() {
    let (victim, honest, hostile) = scene().await;
    let valid = report(&NodeKey::generate()).encode(&network());
    // A bit of the signature: the last bytes of the message.
    let mut forged = valid.clone();
    let end = forged.len() - 10;
    forged[end] ^= 1;
    let truncated = valid[..valid.len() / 2].to_vec();
    let mut longer = valid.clone();
    longer.push(0);
    let other_network = report(&NodeKey::generate()).encode(&"elsewhere".parse().unwrap());
    // [1, "test", 9, 0]: no such kind.
    let unknown_kind = vec![0x84, 1, 0x64, b't', b'e', b's', b't', 9, 0];
    for bytes in [forged, truncated, longer, other_network, unknown_kind] {
        hostile.say(bytes);
    }
    is_banned(&victim, &hostile).await;
    honest_is_heard(&victim, &honest).await;
    assert_eq!(victim.heard().len(), 1);
    assert_eq!(
        (victim.counted("bad_signature"), victim.counted("malformed")),
        (1, 4)
    );
}

#[actix_rt::test]
async fn old_future_and_repeated_messages_are_ignored_and_held_against_nobody() {
    let (victim, honest, hostile) = scene().await;
    let observer = NodeKey::generate();
    let at =
        |time| Message::Report(report_at(&observer, UnixMillis::new(time)).to_report()).encode(&network());
    for day in 1..=20 {
        hostile.say(at(day * 86_400_000));
        hostile.say(at(4_070_908_800_000 + day));
    }
    let valid = report(&observer).encode(&network());
    for _ in 0..50 {
        hostile.say(valid.clone());
    }
    victim.has_counted("stale", 20).await;
    victim.has_counted("future", 20).await;
    victim.has_heard(1).await;
    honest.has_heard(1).await;
    honest_is_heard(&victim, &honest).await;
    assert!(hostile.is_connected());
    assert_eq!(victim.metrics.bans.get(), 0);
}

#[actix_rt::test]
async fn a_flood_of_new_messages_is_dropped_and_its_sender_banned() {
    let (victim, honest, hostile) = scene().await;
    let observer = NodeKey::generate();
    for index in 0..2_000 {
        let stale = report_at(&observer, UnixMillis::new(index));
        hostile.say(Message::Report(stale.to_report()).encode(&network()));
        if !hostile.is_connected() {
            break;
        }
    }
    is_banned(&victim, &hostile).await;
    honest_is_heard(&victim, &honest).await;
    assert!(victim.counted("overload") >= 500);
    assert_eq!(victim.heard().len(), 1);
}

#[actix_rt::test]
async fn a_flood_of_the_same_message_is_a_flood_too() {
    let (victim, honest, hostile) = scene().await;
    let valid = report(&NodeKey::generate()).encode(&network());
    for _ in 0..3_000 {
        hostile.say(valid.clone());
        if !hostile.is_connected() {
            break;
        }
    }
    is_banned(&victim, &hostile).await;
    assert_eq!(victim.heard().len(), 1, "it was valid, once");
    honest_is_heard(&victim, &honest).await;
}

#[actix_rt::test]
async fn a_message_of_a_mebibyte_is_not_even_read() {
    let (victim, honest, hostile) = scene().await;
    // Before the first is banned, so that it does not answer for the same address.
    let other = Hostile::start();
    meet(&other, victim.listens().await).await;
    for index in 0..10 {
        hostile.say(vec![index; 1 << 20]);
        hostile.say(vec![index; 40_000]);
    }
    is_thrown_out(&hostile).await;
    honest_is_heard(&victim, &honest).await;
    // Below the frame's limit, but above a message's.
    eventually("it counts as a peer", async || {
        victim
            .peers()
            .await
            .iter()
            .any(|peer| peer.peer == other.peer && peer.is_up)
            .then_some(())
    })
    .await;
    for index in 0..5 {
        other.say(vec![index; 20_000]);
        // One at a time, so that the decoder's buffer holds no more than that.
        victim.has_counted("malformed", u64::from(index) + 1).await;
    }
    is_thrown_out(&other).await;
    assert_eq!(victim.heard().len(), 1);
    assert!(victim.metrics.received_bytes.get() < 110_000);
}

const TOPIC: &[u8] = b"eth_prices";

/// A message of gossipsub, with one more field.
fn published(topic: &[u8], more: &[u8]) -> Vec<u8> {
    field(2, &[&field(2, b"data"), &field(4, topic), more].concat())
}

#[actix_rt::test]
async fn what_gossipsub_refuses_without_a_word_is_counted_and_gets_its_sender_banned() {
    let subscription = field(1, &[&[0x08, 1], field(2, b"a topic").as_slice()].concat());
    let graft = field(3, &field(1, TOPIC));
    for (reason, frame) in [
        ("signed", published(TOPIC, &field(5, &[7; 64]))),
        ("signed", published(TOPIC, &field(3, &[7; 8]))),
        ("other_topic", published(b"another", &[])),
        ("subscriptions", subscription.repeat(40)),
        ("control", field(3, &graft.repeat(100))),
    ] {
        let victim = Node::start(vec![tcp0()], vec![]);
        let raw = RawPeer::dial(victim.listens().await);
        raw.open_stream();
        for _ in 0..6 {
            raw.send(&frame);
        }
        eventually(reason, async || (!raw.is_open()).then_some(())).await;
        assert!(victim.frames_refused(reason) >= 5, "{reason}");
        assert_eq!(victim.metrics.bans.get(), 1, "{reason}");
    }
}

#[actix_rt::test]
async fn frames_that_cannot_be_read_are_counted_and_get_their_sender_banned() {
    for frame in [
        vec![0; 64 * 1024],
        published(TOPIC, &[]).repeat(100),
        field(3, &vec![7; 20_000]),
        b"no protobuf".to_vec(),
    ] {
        let victim = Node::start(vec![tcp0()], vec![]);
        let key = Keypair::generate_secp256k1();
        for count in 1..=3 {
            let raw = RawPeer::dial_as(key.clone(), victim.listens().await);
            raw.open_stream();
            raw.send(&frame);
            eventually("it is thrown out", async || (!raw.is_open()).then_some(())).await;
            assert_eq!(victim.frames_refused("unreadable"), count);
        }
        assert_eq!(victim.metrics.bans.get(), 1);
    }
}

#[actix_rt::test]
async fn a_flood_of_subscriptions_or_of_offers_is_a_flood_too() {
    let subscription = field(1, &[&[0x08, 1], field(2, b"a topic").as_slice()].concat());
    let offer = field(
        3,
        &field(1, &[field(1, TOPIC), field(2, &[7; 20]).repeat(500)].concat()),
    );
    for frame in [subscription.repeat(10), offer] {
        let victim = Node::start(vec![tcp0()], vec![]);
        let raw = RawPeer::dial(victim.listens().await);
        raw.open_stream();
        for _ in 0..2_000 {
            raw.send(&frame);
        }
        eventually("it is thrown out", async || (!raw.is_open()).then_some(())).await;
        assert!(victim.counted("overload") > 0);
        assert_eq!(victim.metrics.bans.get(), 1);
    }
}

#[actix_rt::test]
async fn a_new_identity_after_a_ban_is_out_at_its_first_offence() {
    let (victim, _honest, hostile) = scene().await;
    for index in 0..5 {
        hostile.say(vec![index; 100]);
    }
    is_thrown_out(&hostile).await;
    let again = Hostile::start();
    meet(&again, victim.listens().await).await;
    again.say(vec![9; 100]);
    is_thrown_out(&again).await;
    assert_eq!(victim.metrics.bans.get(), 2);
    assert_eq!(victim.counted("malformed"), 6);
}

/// 64 of them kept every stranger out.
#[actix_rt::test]
async fn connections_on_which_nothing_is_said_are_closed_soon_and_keep_nobody_out() {
    let victim = Node::start(vec![tcp0()], vec![]);
    let port = victim.port().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    victim.has_turned_away("pending_per_address").await;
    // Those of the same address wait until these are closed.
    let honest = Node::start(vec![tcp0()], vec![victim.listens().await]);
    honest.has_up(&[&victim]).await;
    for stream in &mut silent {
        let end = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "it is still open");
    }
}

#[actix_rt::test]
async fn the_largest_valid_messages_pass_in_a_burst() {
    let (victim, _honest, sender) = scene().await;
    for _ in 0..8 {
        let mut large = report_at(&NodeKey::generate(), unix_now());
        while large.signatures().len() < quorate_protocol::MAX_ATTESTATIONS {
            let key = NodeKey::generate();
            let attestation = quorate_protocol::Attestation {
                signer: key.address(),
                signature: key.sign(large.digest()),
            };
            assert!(large.add(attestation).unwrap());
        }
        let bytes = Message::Report(large.to_report()).encode(&network());
        assert!(bytes.len() > 10_000);
        sender.say(bytes);
    }
    victim.has_heard(8).await;
}

#[actix_rt::test]
async fn a_peer_without_a_secp256k1_key_is_turned_away() {
    let victim = Node::start(vec![tcp0()], vec![]);
    let stranger = Hostile::start_as(Keypair::generate_ed25519(), true);
    stranger.dial(victim.listens().await);
    eventually("it is refused", async || {
        (stranger.connections() > 0 && !stranger.is_connected()).then_some(())
    })
    .await;
    assert_eq!(victim.told(|told| told.ups), 0);
    assert_eq!(victim.metrics.bans.get(), 0);
}

#[actix_rt::test]
async fn a_peer_that_only_occupies_a_connection_is_let_go() {
    let victim = Node::start(vec![tcp0()], vec![]);
    let idler = Hostile::start_as(Keypair::generate_secp256k1(), false);
    meet(&idler, victim.listens().await).await;
    is_thrown_out(&idler).await;
    assert_eq!((victim.told(|told| told.ups), victim.metrics.bans.get()), (0, 0));
}

#[actix_rt::test]
async fn the_honest_are_heard_while_a_hostile_peer_is_active() {
    let (victim, honest, hostile) = scene().await;
    let noise = async {
        for index in 0u32.. {
            let mut bytes = index.to_be_bytes().to_vec();
            bytes.resize(300, 7);
            hostile.say(bytes);
            if index % 3 == 0 && !hostile.is_connected() {
                hostile.dial(victim.listens().await);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let talk = async {
        for _ in 0..10 {
            honest_is_heard(&victim, &honest).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = noise => {}
        () = talk => {}
    }
    assert_eq!(victim.heard().len(), 10);
}

#[actix_rt::test]
async fn a_ban_outlives_the_actors_restart() {
    let (victim, honest, hostile) = scene().await;
    for index in 0..5 {
        hostile.say(vec![index; 100]);
    }
    is_thrown_out(&hostile).await;
    let before = honest.told(|told| told.downs);
    victim.restart();
    eventually("it restarted", async || {
        honest.told(|told| told.downs > before).then_some(())
    })
    .await;
    // It had port 0, so it listens on another one now.
    let made = hostile.connections();
    hostile.dial(victim.listens().await);
    eventually("it is refused", async || {
        (hostile.connections() > made && !hostile.is_connected()).then_some(())
    })
    .await;
    assert!(victim.peers().await.is_empty());
}
