//! Bridges among themselves, over real libp2p on loopback.

mod gossip_bridge_support;

use std::{net::TcpListener, time::Duration};

use gossip_bridge_support::{Node, all_up, config, crossing, eventually, free_tcp, heartbeat, report, tcp0};
use libp2p::Multiaddr;
use quorate_actors::gossip_bridge::{DnsPeers, Via};
use quorate_protocol::{Message, NodeKey, UnixMillis, judge::Verified};

/// Two nodes of which the second dials the first.
async fn pair() -> (Node, Node) {
    let a = Node::start(vec![tcp0()], vec![]);
    let b = Node::start(vec![tcp0()], vec![a.listens().await]);
    all_up(&[&a, &b]).await;
    (a, b)
}

#[actix_rt::test]
async fn a_report_is_heard_once_by_every_other_node() {
    let a = Node::start(vec![tcp0()], vec![]);
    let b = Node::start(vec![tcp0()], vec![a.listens().await]);
    let c = Node::start(vec![tcp0()], vec![a.listens().await, b.listens().await]);
    let nodes = [&a, &b, &c];
    all_up(&nodes).await;
    for node in nodes {
        node.publish(report(&node.key)).await;
        for other in nodes
            .into_iter()
            .filter(|other| other.address() != node.address())
        {
            eventually("it is heard", async || {
                other
                    .heard()
                    .iter()
                    .any(|heard| matches!(heard, Verified::Report(r) if r.observation().observer() == node.address()))
                    .then_some(())
            })
            .await;
        }
        assert_eq!(node.metrics.published.get(), 1);
    }
    for node in nodes {
        assert_eq!(node.heard().len(), 2, "one of each other, none of its own");
        assert_eq!(node.counted("accepted"), 2);
        assert_eq!(node.metrics.peers.get(), 2);
    }
}

#[actix_rt::test]
async fn a_message_reaches_a_node_that_is_connected_to_another_only() {
    let a = Node::start(vec![tcp0()], vec![]);
    let b = Node::start(vec![tcp0()], vec![a.listens().await]);
    let c = Node::start(vec![tcp0()], vec![b.listens().await]);
    a.has_up(&[&b]).await;
    b.has_up(&[&a, &c]).await;
    c.has_up(&[&b]).await;
    a.publish(heartbeat(&a.key)).await;
    c.has_heard(1).await;
}

#[actix_rt::test]
async fn what_is_not_valid_is_not_passed_on() {
    let a = Node::start(vec![tcp0()], vec![]);
    let b = Node::start(vec![tcp0()], vec![a.listens().await]);
    let c = Node::start(vec![tcp0()], vec![b.listens().await]);
    b.has_up(&[&a, &c]).await;
    // A report that b knows to be old news, and c would be glad of: b must not forward it.
    let stale = gossip_bridge_support::report_at(&a.key, UnixMillis::new(1)).to_report();
    a.publish(Message::Report(stale)).await;
    b.has_counted("stale", 1).await;
    a.publish(heartbeat(&a.key)).await;
    c.has_heard(1).await;
    assert_eq!(c.counted("stale"), 0);
}

#[actix_rt::test]
async fn a_peer_whose_own_messages_are_ignored_for_their_time_is_named_with_by_how_much_its_clock_is_off() {
    const AHEAD_MS: u64 = 10_000;
    let (a, b) = pair().await;
    let in_future = |key: &NodeKey| {
        let at = UnixMillis::new(gossip_bridge_support::unix_now().get() + AHEAD_MS);
        Message::Report(gossip_bridge_support::report_at(key, at).to_report())
    };
    // What it brings of somebody else may be a replay, and says nothing of anybody's clock.
    a.publish(in_future(&NodeKey::generate())).await;
    a.publish(in_future(&a.key)).await;
    let told = eventually("it is named", async || {
        b.told(|told| told.clocks.first().copied())
    })
    .await;
    assert_eq!(b.counted("future"), 2);
    assert_eq!(told.0, a.address());
    assert!(
        (AHEAD_MS as i64 - 2_000..=AHEAD_MS as i64).contains(&told.1),
        "{told:?}"
    );
    assert_eq!(b.told(|told| told.clocks.len()), 1);
}

#[actix_rt::test]
async fn a_peer_is_dialled_by_an_address_that_names_its_key() {
    let a = Node::start(vec![tcp0()], vec![]);
    let b = Node::start(vec![tcp0()], vec![a.full_address().await]);
    all_up(&[&a, &b]).await;
    a.publish(report(&a.key)).await;
    b.publish(report(&b.key)).await;
    a.has_heard(1).await;
    b.has_heard(1).await;
}

#[actix_rt::test]
async fn nodes_that_dial_each_other_keep_one_connection() {
    let (here, there) = (free_tcp(), free_tcp());
    let a = Node::start(vec![here.clone()], vec![there.clone()]);
    let b = Node::start(vec![there], vec![here]);
    all_up(&[&a, &b]).await;
    for node in [&a, &b] {
        eventually("one connection is left", async || {
            matches!(node.peers().await[..], [ref peer] if peer.connections == 1).then_some(())
        })
        .await;
    }
    a.publish(report(&a.key)).await;
    b.has_heard(1).await;
    b.publish(report(&b.key)).await;
    a.has_heard(1).await;
    assert_eq!((a.told(|told| told.downs), b.told(|told| told.downs)), (0, 0));
}

/// After the first of two connections is closed as spare, gossipsub does not notice that the second has something to send: see
/// `second_connections.rs`.
#[actix_rt::test]
async fn nodes_that_dialled_each_other_at_once_hear_each_other_promptly_after_a_quiet_time() {
    /// A message arrives within milliseconds; without being woken, with the next ping, some 20 s later.
    const PROMPTLY: Duration = Duration::from_secs(2);
    /// Long enough for gossipsub to have grafted its mesh and to have nothing more to say.
    const QUIET: Duration = Duration::from_secs(3);

    let (a, b) = crossing::pair().await;
    for node in [&a, &b] {
        crossing::connections(node, 1).await;
    }
    tokio::time::sleep(QUIET).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.publish(report(&from.key)).await;
        let heard = tokio::time::timeout(PROMPTLY, to.has_heard(1)).await;
        assert!(heard.is_ok(), "nothing was heard for {PROMPTLY:?}");
    }
    assert_eq!((a.told(|told| told.downs), b.told(|told| told.downs)), (0, 0));
}

#[actix_rt::test]
async fn a_node_that_comes_back_on_its_port_is_found_again() {
    let port = free_tcp();
    let a = Node::start(vec![port.clone()], vec![]);
    let b = Node::start(vec![tcp0()], vec![port.clone()]);
    all_up(&[&a, &b]).await;
    let key = a.kill().await;
    b.has_down(key.address()).await;
    let a = Node::start_as(key, config(vec![port], vec![]));
    all_up(&[&a, &b]).await;
    a.publish(report(&a.key)).await;
    b.has_heard(1).await;
    b.publish(report(&b.key)).await;
    a.has_heard(1).await;
}

#[actix_rt::test]
async fn a_peer_that_comes_back_elsewhere_is_found_though_nothing_ended_its_old_connection() {
    /// Less than it takes to notice that nobody answers on the old one.
    const SOON: Duration = Duration::from_secs(20);

    let (before, after) = (free_tcp(), free_tcp());
    let a = Node::start(vec![before], vec![]);
    let (through, freeze) = crossing::until_frozen(a.port().await).await;
    let b = Node::start(vec![tcp0()], vec![through, after.clone()]);
    all_up(&[&a, &b]).await;
    freeze.send(()).unwrap();
    let key = a.kill().await;
    let a = Node::start_as(key, config(vec![after], vec![]));
    let found = tokio::time::timeout(SOON, a.has_up(&[&b])).await;
    assert!(found.is_ok(), "not within {SOON:?}");
    b.has_up(&[&a]).await;
    a.publish(report(&a.key)).await;
    b.has_heard(1).await;
}

#[actix_rt::test]
async fn a_peer_that_is_not_there_yet_is_dialled_until_it_is() {
    let port = free_tcp();
    let b = Node::start(vec![tcp0()], vec![port.clone()]);
    b.listens().await;
    let a = Node::start(vec![port], vec![]);
    all_up(&[&a, &b]).await;
    assert_eq!(b.peers().await[0].via, Via::Static);
    assert_eq!(a.peers().await[0].via, Via::Inbound);
}

#[actix_rt::test]
async fn a_restarted_actor_has_its_port_and_its_peers_again() {
    let port = free_tcp();
    let a = Node::start(vec![port.clone()], vec![]);
    let b = Node::start(vec![tcp0()], vec![port.clone()]);
    let c = Node::start(vec![tcp0()], vec![port.clone()]);
    a.has_up(&[&b, &c]).await;
    for round in 1..=2 {
        a.restart();
        for node in [&b, &c] {
            eventually("it noticed", async || {
                node.told(|told| told.downs == round).then_some(())
            })
            .await;
            node.has_up(&[&a]).await;
        }
        a.has_up(&[&b, &c]).await;
        assert_eq!(a.told(|told| (told.ups, told.downs)), (2 + 2 * round, 2 * round));
        assert_eq!(a.listens().await, port);
        b.publish(heartbeat(&b.key)).await;
        a.has_heard(round).await;
    }
}

#[actix_rt::test]
async fn nodes_are_found_behind_a_name() {
    let a = Node::start(vec![tcp0()], vec![]);
    let port = a.port().await;
    let name: DnsPeers = format!("localhost:{port}").parse().unwrap();
    let mut with_name = config(vec![tcp0()], vec![]);
    with_name.dns_peers = vec![name];
    let b = Node::start_as(NodeKey::generate(), with_name);
    all_up(&[&a, &b]).await;
    assert_eq!(b.peers().await[0].via, Via::Dns);
}

#[actix_rt::test]
async fn a_node_does_not_connect_to_itself() {
    let port = free_tcp();
    let a = Node::start(vec![port.clone()], vec![port.clone()]);
    let b = Node::start(vec![tcp0()], vec![port]);
    all_up(&[&a, &b]).await;
    assert_eq!(a.peers().await.len(), 1);
}

#[actix_rt::test]
async fn nodes_of_another_network_are_never_up() {
    let a = Node::start(vec![tcp0()], vec![]);
    let mut other = config(vec![tcp0()], vec![a.listens().await]);
    other.judge.network = "elsewhere".parse().unwrap();
    let other = Node::start_as(NodeKey::generate(), other);
    let b = Node::start(vec![tcp0()], vec![a.listens().await, other.listens().await]);
    all_up(&[&a, &b]).await;
    eventually("it is alone", async || {
        other.peers().await.is_empty().then_some(())
    })
    .await;
    for node in [&a, &b, &other] {
        assert!(node.told(|told| told.ups) <= 1);
        assert_eq!(node.metrics.bans.get(), 0, "it did no harm");
    }
}

#[actix_rt::test]
async fn an_address_that_cannot_be_listened_on_ends_the_actor() {
    let wrong: Multiaddr = "/ip4/127.0.0.1/udp/5000".parse().unwrap();
    let a = Node::start(vec![wrong], vec![]);
    eventually("it ends", async || a.is_over().then_some(())).await;
}

#[actix_rt::test]
async fn a_port_that_is_taken_is_waited_for() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let a = Node::start(
        vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()],
        vec![],
    );
    assert!(a.peers().await.is_empty(), "it runs");
    drop(socket);
    a.listens().await;
}

#[actix_rt::test]
async fn without_anybody_to_tell_nothing_breaks() {
    let a = Node::start(vec![tcp0()], vec![]);
    a.publish(report(&a.key)).await;
    assert_eq!(a.metrics.publish_failures.get(), 1);
    let (a, b) = pair().await;
    let message = report(&a.key);
    for _ in 0..3 {
        a.publish(message.clone()).await;
    }
    b.has_heard(1).await;
    assert_eq!(
        (a.metrics.published.get(), a.metrics.publish_failures.get()),
        (1, 0)
    );
}
