//! Sealed networks, over real libp2p: who has the secret hears and is heard, whoever carries the messages.

mod gossip_bridge_support;

use gossip_bridge_support::{
    Node, all_up, config, eventually, heartbeat, is_thrown_out, keyring, meet, members, network, report,
    sealed_config, tcp0,
};
use libp2p::Multiaddr;
use quorate_actors::gossip_bridge::BridgeConfig;
use quorate_protocol::{
    MAX_MESSAGE_BYTES, Message, NodeKey,
    seal::{MAX_SEALED_BYTES, Sealed},
};
use quorate_testkit::hostile::Hostile;

fn start(secrets: &[u8], peers: Vec<Multiaddr>) -> Node {
    Node::start_as(NodeKey::generate(), sealed_config(vec![tcp0()], peers, secrets))
}

/// A line of members, each connected to its neighbours only, with these secrets.
async fn line(secrets: &[&[u8]], keys: &[NodeKey]) -> Vec<Node> {
    let members = members(&keys.iter().collect::<Vec<_>>());
    let mut nodes: Vec<Node> = Vec::new();
    for (secrets, key) in secrets.iter().zip(keys) {
        let peers = match nodes.last() {
            Some(before) => vec![before.listens().await],
            None => vec![],
        };
        let mut config = sealed_config(vec![tcp0()], peers, secrets);
        config.judge.committee.members = members.clone();
        nodes.push(Node::start_as(key.clone(), config));
    }
    for pair in nodes.windows(2) {
        all_up(&[&pair[0], &pair[1]]).await;
    }
    nodes
}

fn keys<const N: usize>() -> [NodeKey; N] {
    std::array::from_fn(|_| NodeKey::generate())
}

/// A peer with a member's key that says what the test wants, connected to `node`.
async fn hostile_member(key: &NodeKey, node: &Node) -> Hostile {
    let hostile = Hostile::with_key(key);
    meet(&hostile, node.listens().await).await;
    eventually("the hostile peer is up", async || {
        node.told(|told| told.up.contains(&key.address())).then_some(())
    })
    .await;
    hostile
}

#[actix_rt::test]
async fn who_shares_a_secret_hears_and_who_listens_without_it_learns_nothing() {
    let a = start(&[1], vec![]);
    let b = start(&[1], vec![a.listens().await]);
    all_up(&[&a, &b]).await;
    let ear = Hostile::start();
    meet(&ear, a.listens().await).await;
    eventually("it counts as a peer", async || {
        (a.metrics.peers.get() == 2).then_some(())
    })
    .await;
    a.publish(report(&a.key)).await;
    b.has_heard(1).await;
    let heard = eventually("it is heard", async || ear.heard().into_iter().next()).await;
    assert!(Sealed::decode(&heard, &network()).is_ok());
    assert!(!heard.windows(7).any(|part| part == b"ETH/USD"));
    assert!(!heard.windows(20).any(|part| part == a.address().as_bytes()));
    assert_eq!(
        keyring(&[1])
            .open(&heard)
            .map(|clear| Message::decode(&clear, &network()).is_ok()),
        Ok(true)
    );
}

#[actix_rt::test]
async fn who_has_another_secret_hears_nothing_and_counts_why() {
    let a = start(&[1], vec![]);
    let b = start(&[2], vec![a.listens().await]);
    all_up(&[&a, &b]).await;
    a.publish(report(&a.key)).await;
    b.publish(report(&b.key)).await;
    for (node, other) in [(&a, &b), (&b, &a)] {
        node.has_counted("unknown_key", 1).await;
        assert_eq!(
            node.status().await.foreign_key.map(|(key, _)| key),
            other.status().await.key_ids.first().copied()
        );
        assert!(node.heard().is_empty());
        assert_eq!(node.metrics.bans.get(), 0);
    }
    // Once it is told the secret, it hears.
    b.update_keyring(&[2, 1]).await;
    assert_eq!(b.status().await.foreign_key, None);
    a.publish(heartbeat(&a.key)).await;
    b.has_heard(1).await;
}

#[actix_rt::test]
async fn secrets_are_changed_without_losing_a_message() {
    let a = start(&[1], vec![]);
    let b = start(&[1], vec![a.listens().await]);
    all_up(&[&a, &b]).await;
    let mut said = 0;
    // The new one second everywhere, then first, then alone.
    for secrets in [&[1][..], &[1, 2], &[2, 1], &[2]] {
        for node in [&a, &b] {
            node.update_keyring(secrets).await;
            said += 1;
            for from in [&a, &b] {
                from.publish(heartbeat(&from.key)).await;
            }
            for to in [&a, &b] {
                to.has_heard(said).await;
            }
        }
    }
    for node in [&a, &b] {
        assert_eq!(node.counted("unknown_key"), 0);
        assert_eq!(node.status().await.key_ids, keyring(&[2]).key_ids());
    }
}

#[actix_rt::test]
async fn new_secrets_outlive_the_actors_restart() {
    let a = start(&[1], vec![]);
    a.update_keyring(&[2]).await;
    a.restart();
    let b = start(&[2], vec![a.listens().await]);
    all_up(&[&a, &b]).await;
    b.publish(report(&b.key)).await;
    a.has_heard(1).await;
}

#[actix_rt::test]
async fn a_member_without_the_secret_carries_what_it_cannot_read() {
    let nodes = line(&[&[1], &[], &[1]], &keys::<3>()).await;
    let [a, relay, b] = nodes.as_slice() else {
        panic!("three")
    };
    a.publish(report(&a.key)).await;
    b.has_heard(1).await;
    b.publish(heartbeat(&b.key)).await;
    a.has_heard(1).await;
    assert!(relay.heard().is_empty());
    assert_eq!((relay.counted("sealed"), relay.counted("accepted")), (2, 0));
}

#[actix_rt::test]
async fn in_an_open_network_a_node_without_the_secret_carries_nothing_sealed() {
    let a = start(&[1], vec![]);
    let open = start(&[], vec![a.listens().await]);
    let b = start(&[1], vec![open.listens().await]);
    all_up(&[&a, &open]).await;
    all_up(&[&open, &b]).await;
    a.publish(report(&a.key)).await;
    open.has_counted("sealed", 1).await;
    // Clear ones go through it: so it is not that nothing arrives.
    open.publish(report(&open.key)).await;
    b.has_counted("unsealed", 1).await;
    assert!(b.heard().is_empty());
    assert_eq!(b.metrics.received_bytes.get(), open.metrics.published_bytes.get());
}

#[actix_rt::test]
async fn a_member_without_the_secret_makes_nothing_that_others_take() {
    let [a_key, b_key, relay_key] = keys();
    let nodes = line(&[&[1], &[1]], &[a_key.clone(), b_key, relay_key.clone()]).await;
    let [a, b] = nodes.as_slice() else { panic!("two") };
    let relay = hostile_member(&relay_key, a).await;
    // A true message, to work with.
    a.publish(report(&a_key)).await;
    b.has_heard(1).await;
    let seen = eventually("it is sent a message", async || relay.heard().into_iter().next()).await;
    let clear = report(&relay_key).encode(&network());
    relay.say(clear.clone());
    relay.say(keyring(&[9]).seal(&clear, [1; 24]));
    // Its own words under the name of the true key, and the true message with a bit changed.
    let mut renamed = keyring(&[9]).seal(&clear, [2; 24]);
    let id = Sealed::decode(&seen, &network()).unwrap().key_id;
    let other = keyring(&[9]).key_ids()[0];
    let at = renamed
        .windows(8)
        .position(|part| part == other.as_bytes())
        .unwrap();
    renamed[at..at + 8].copy_from_slice(id.as_bytes());
    relay.say(renamed);
    for position in [at + 12, seen.len() - 40, seen.len() - 1] {
        let mut changed = seen.clone();
        changed[position] ^= 1;
        relay.say(changed);
    }
    a.has_counted("bad_seal", 4).await;
    assert_eq!(
        (
            a.counted("unsealed"),
            a.counted("unknown_key"),
            a.counted("bad_seal")
        ),
        (1, 1, 4)
    );
    assert!(a.heard().is_empty());
    b.has_heard(1).await;
    assert_eq!(b.counted("bad_seal"), 0, "nothing of it was passed on");
}

#[actix_rt::test]
async fn a_relay_is_not_held_to_what_it_could_not_read() {
    let [a_key, relay_key, liar_key] = keys();
    let nodes = line(&[&[1], &[]], &[a_key, relay_key, liar_key.clone()]).await;
    let [a, relay] = nodes.as_slice() else {
        panic!("two")
    };
    let liar = hostile_member(&liar_key, relay).await;
    for index in 0..20 {
        liar.say(keyring(&[1]).seal(&[index; 100], [index; 24]));
    }
    a.has_counted("malformed", 20).await;
    assert_eq!((a.metrics.bans.get(), relay.metrics.bans.get()), (0, 0));
    relay.publish(heartbeat(&relay.key)).await;
    a.has_counted("unsealed", 1).await;
    assert_eq!(a.told(|told| told.downs), 0);
}

#[actix_rt::test]
async fn the_largest_sealed_messages_pass_in_a_burst_and_larger_ones_are_an_offence() {
    let a = start(&[1], vec![]);
    let hostile = Hostile::start();
    meet(&hostile, a.listens().await).await;
    let largest = |nonce| keyring(&[1]).seal(&[0; MAX_MESSAGE_BYTES], [nonce; 24]);
    for nonce in 0..8 {
        hostile.say(largest(nonce));
    }
    // They were opened: what is in them is no message, and nobody's fault.
    a.has_counted("malformed", 8).await;
    assert!(hostile.is_connected());
    assert_eq!(a.metrics.bans.get(), 0);
    for nonce in 8..13 {
        let mut longer = largest(nonce);
        longer.resize(MAX_SEALED_BYTES + 1, 0);
        hostile.say(longer);
        // One at a time, so that the decoder's buffer holds no more than that.
        a.has_counted("malformed", u64::from(nonce) + 1).await;
    }
    is_thrown_out(&hostile).await;
    assert_eq!(a.metrics.bans.get(), 1);
}

#[actix_rt::test]
async fn what_is_no_message_is_an_offence_in_a_sealed_network_too() {
    let a = Node::start_as(
        NodeKey::generate(),
        BridgeConfig {
            keyring: Some(keyring(&[1])),
            ..config(vec![tcp0()], vec![])
        },
    );
    let hostile = Hostile::start();
    meet(&hostile, a.listens().await).await;
    for index in 0..5 {
        hostile.say(vec![index; 100]);
    }
    is_thrown_out(&hostile).await;
    assert_eq!(a.metrics.bans.get(), 1);
}
