//! Larger networks of bridges in one process: nothing is lost although every node passes messages to a few others only.

mod gossip_bridge_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use gossip_bridge_support::{Node, all_up, eventually, heartbeat, tcp0};
use quorate_protocol::{Address, judge::Verified};

/// Starts a network in which everybody is connected to everybody.
async fn network_of(size: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..size {
        let mut others = Vec::new();
        for node in &nodes {
            others.push(node.listens().await);
        }
        nodes.push(Node::start(vec![tcp0()], others));
    }
    all_up(&nodes.iter().collect::<Vec<_>>()).await;
    nodes
}

/// Waits until the mesh holds together and has been the same for longer than a heartbeat. In a network's first seconds the first nodes have too many
/// neighbours and prune them, so that others have none for a moment.
async fn mesh_rests(nodes: &[Node]) {
    const HEARTBEAT_AND_A_HALF: Duration = Duration::from_millis(1500);
    let mut last = (Instant::now(), BTreeMap::new());
    eventually("the mesh rests", async || {
        let mut links: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
        for node in nodes {
            let mesh = node.peers().await.into_iter().filter(|peer| peer.is_in_mesh);
            links.insert(node.address(), mesh.map(|peer| peer.address).collect());
        }
        let (first, _) = links.first_key_value()?;
        let (mut reached, mut next) = (BTreeSet::from([*first]), vec![*first]);
        while let Some(at) = next.pop() {
            let mutual = links[&at]
                .iter()
                .filter(|to| links.get(*to).is_some_and(|back| back.contains(&at)));
            next.extend(mutual.copied().filter(|to| reached.insert(*to)));
        }
        let is_whole = reached.len() == nodes.len();
        if !is_whole || links != last.1 {
            last = (Instant::now(), links);
        }
        (last.0.elapsed() > HEARTBEAT_AND_A_HALF).then_some(())
    })
    .await;
}

fn heartbeats(node: &Node) -> usize {
    let heard = node.heard();
    heard
        .iter()
        .filter(|heard| matches!(heard, Verified::Heartbeat(_)))
        .count()
}

async fn everybody_is_heard(nodes: &[Node], rounds: usize) {
    mesh_rests(nodes).await;
    for round in 1..=rounds {
        for node in nodes {
            node.publish(heartbeat(&node.key)).await;
        }
        for node in nodes {
            eventually("everybody is heard", async || {
                (heartbeats(node) == round * (nodes.len() - 1)).then_some(())
            })
            .await;
        }
    }
}

/// Everybody is connected to all nine others. Were messages sent to all of them, each would come in 81 times over all nodes: nine
/// times from its author, and eight times from each of the others.
#[actix_rt::test]
async fn in_a_network_of_ten_every_message_reaches_every_node_though_it_goes_to_some_peers_only() {
    const ROUNDS: usize = 5;
    let nodes = network_of(10).await;
    everybody_is_heard(&nodes, ROUNDS).await;
    let copies: u64 = nodes.iter().map(|node| node.metrics.message_copies.get()).sum();
    let published: u64 = nodes.iter().map(|node| node.metrics.published.get()).sum();
    let each = copies / published;
    assert!((9..55).contains(&each), "{each} copies of each message");
    for node in &nodes {
        assert_eq!(
            node.told(|told| told.downs),
            0,
            "nobody was disconnected on the way"
        );
    }
}

#[actix_rt::test]
async fn the_loss_of_a_third_of_the_nodes_costs_the_others_nothing() {
    let mut nodes = network_of(9).await;
    for dead in nodes.split_off(6) {
        let address = dead.kill().await.address();
        for node in &nodes {
            node.has_down(address).await;
        }
    }
    everybody_is_heard(&nodes, 3).await;
}
