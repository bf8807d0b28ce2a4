//! Larger networks of bridges in one process: nothing is lost although every node passes messages to a few others only.

mod gossip_bridge_support;

use std::collections::BTreeSet;

use gossip_bridge_support::{Node, all_up, eventually, heartbeat, report, tcp0};
use quorate_protocol::judge::Verified;

/// Starts a network in which everybody is connected to everybody, and waits until everybody has been heard by everybody: who
/// comes to nodes whose meshes are full is refused by some, and finds its place within a second or two.
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
    eventually("everybody has a place in the mesh", async || {
        for node in &nodes {
            node.publish(heartbeat(&node.key)).await;
        }
        nodes
            .iter()
            .all(|node| alive(node) == nodes.len() - 1)
            .then_some(())
    })
    .await;
    nodes
}

/// From how many nodes a sign of life was heard.
fn alive(node: &Node) -> usize {
    let nodes: BTreeSet<_> = node
        .heard()
        .iter()
        .filter_map(|heard| match heard {
            Verified::Heartbeat(heartbeat) => Some(heartbeat.node),
            _ => None,
        })
        .collect();
    nodes.len()
}

fn reports(node: &Node) -> usize {
    let heard = node.heard();
    heard
        .iter()
        .filter(|heard| matches!(heard, Verified::Report(_)))
        .count()
}

async fn everybody_is_heard(nodes: &[Node], rounds: usize) {
    for round in 1..=rounds {
        for node in nodes {
            node.publish(report(&node.key)).await;
        }
        for node in nodes {
            eventually("everybody is heard", async || {
                (reports(node) == round * (nodes.len() - 1)).then_some(())
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
    let copies: u64 = nodes.iter().map(|node| node.snapshot().copies).sum();
    let published: u64 = nodes.iter().map(|node| node.snapshot().published).sum();
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
