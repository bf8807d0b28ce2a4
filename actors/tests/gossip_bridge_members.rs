//! Networks of members, over real libp2p: only members are connected, and who is one can change while nodes run.

mod gossip_bridge_support;

use gossip_bridge_support::{Node, all_up, config, eventually, heartbeat, members, report, tcp0};
use libp2p::Multiaddr;
use quorate_protocol::{Members, NodeKey};

fn start(key: &NodeKey, members: &Members, peers: Vec<Multiaddr>) -> Node {
    let mut config = config(vec![tcp0()], peers);
    config.judge.committee.members = members.clone();
    Node::start_as(key.clone(), config)
}

fn keys<const N: usize>() -> [NodeKey; N] {
    std::array::from_fn(|_| NodeKey::generate())
}

#[actix_rt::test]
async fn who_is_no_member_is_turned_away_at_the_gate_and_not_banned() {
    let [a_key, b_key, stranger_key] = keys();
    let ours = members(&[&a_key, &b_key]);
    let a = start(&a_key, &ours, vec![]);
    let stranger = start(&stranger_key, &Members::Open, vec![a.listens().await]);
    a.has_turned_away("not_member").await;
    // And when a member dials it.
    let b = start(&b_key, &ours, vec![a.listens().await, stranger.listens().await]);
    b.has_turned_away("not_member").await;
    all_up(&[&a, &b]).await;
    for node in [&a, &b] {
        assert_eq!((node.told(|told| told.ups), node.metrics.bans.get()), (1, 0));
    }
    assert_eq!(stranger.told(|told| told.ups), 0);
}

#[actix_rt::test]
async fn what_a_non_member_says_comes_no_further_than_the_first_member() {
    let [stranger_key, b_key, c_key] = keys();
    let ours = members(&[&b_key, &c_key]);
    let b = start(&b_key, &ours, vec![]);
    let c = start(&c_key, &ours, vec![b.listens().await]);
    all_up(&[&b, &c]).await;
    let stranger = start(&stranger_key, &Members::Open, vec![b.listens().await]);
    b.has_turned_away("not_member").await;
    stranger.publish(report(&stranger_key)).await;
    // What is said after it arrives, so it would have, too.
    b.publish(report(&b_key)).await;
    c.has_heard(1).await;
    assert_eq!((b.heard().len(), c.counted("unknown_signer")), (0, 0));
}

/// The carrier is a member, but takes the stranger for one: its list is an old one.
#[actix_rt::test]
async fn what_a_non_member_says_is_not_passed_on_even_if_a_member_brings_it() {
    let [stranger_key, carrier_key, b_key, c_key] = keys();
    let ours = members(&[&carrier_key, &b_key, &c_key]);
    let old = members(&[&stranger_key, &carrier_key, &b_key, &c_key]);
    let carrier = start(&carrier_key, &old, vec![]);
    let stranger = start(&stranger_key, &old, vec![carrier.listens().await]);
    let b = start(&b_key, &ours, vec![carrier.listens().await]);
    let c = start(&c_key, &ours, vec![b.listens().await]);
    all_up(&[&stranger, &carrier]).await;
    all_up(&[&carrier, &b]).await;
    all_up(&[&b, &c]).await;
    stranger.publish(report(&stranger_key)).await;
    b.has_counted("unknown_signer", 1).await;
    carrier.publish(report(&carrier_key)).await;
    c.has_heard(1).await;
    assert_eq!(c.counted("unknown_signer"), 0, "b did not pass it on");
    assert_eq!(b.metrics.bans.get(), 0, "the carrier's list may be the newer one");
}

#[actix_rt::test]
async fn a_change_of_the_members_takes_effect_at_once() {
    let [a_key, b_key, c_key] = keys();
    let (all, two) = (members(&[&a_key, &b_key, &c_key]), members(&[&a_key, &b_key]));
    let a = start(&a_key, &all, vec![]);
    let b = start(&b_key, &all, vec![a.listens().await]);
    let c = start(&c_key, &all, vec![a.listens().await, b.listens().await]);
    all_up(&[&a, &b, &c]).await;

    for node in [&a, &b] {
        node.update_members(two.clone()).await;
    }
    for node in [&a, &b] {
        node.has_down(c_key.address()).await;
    }
    // It is not let in again, and what the others say to each other goes on.
    a.has_turned_away("not_member").await;
    a.publish(heartbeat(&a_key)).await;
    b.has_heard(1).await;
    assert_eq!(a.told(|told| told.up.clone()), [b_key.address()].into());

    for node in [&a, &b] {
        node.update_members(all.clone()).await;
    }
    all_up(&[&a, &b, &c]).await;
    c.publish(report(&c_key)).await;
    a.has_heard(1).await;
}

#[actix_rt::test]
async fn what_a_new_member_says_counts_from_then_on() {
    let [a_key, b_key] = keys();
    let a = start(&a_key, &members(&[&a_key]), vec![]);
    let b = start(&b_key, &Members::Open, vec![a.listens().await]);
    a.has_turned_away("not_member").await;
    a.update_members(members(&[&a_key, &b_key])).await;
    all_up(&[&a, &b]).await;
    b.publish(report(&b_key)).await;
    a.has_heard(1).await;
}

#[actix_rt::test]
async fn the_members_outlive_the_actors_restart() {
    let [a_key, b_key] = keys();
    let a = start(&a_key, &Members::Open, vec![]);
    a.update_members(members(&[&a_key])).await;
    a.restart();
    let b = start(&b_key, &Members::Open, vec![a.listens().await]);
    a.has_turned_away("not_member").await;
    eventually("it is alone", async || b.peers().await.is_empty().then_some(())).await;
    assert_eq!(a.told(|told| told.ups), 0);
}
