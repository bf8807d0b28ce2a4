//! Larger networks of bridges in one process: everybody hears everybody, once, also where not all are connected to all.

mod gossip_bridge_support;

use gossip_bridge_support::{Node, all_up, eventually, heartbeat, tcp0};
use quorate_protocol::judge::Verified;

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

fn heartbeats(node: &Node) -> usize {
    let heard = node.heard();
    heard
        .iter()
        .filter(|heard| matches!(heard, Verified::Heartbeat(_)))
        .count()
}

async fn everybody_is_heard(nodes: &[Node], rounds: usize) {
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

/// Everybody tells everybody itself, so that each message comes in nine times over all nodes. Were it passed on as well, it would be up to
/// 81 times: eight times from each of the others.
#[actix_rt::test]
async fn in_a_network_of_ten_every_message_comes_to_every_node_about_once() {
    const ROUNDS: usize = 5;
    let nodes = network_of(10).await;
    everybody_is_heard(&nodes, ROUNDS).await;
    let copies: u64 = nodes.iter().map(|node| node.metrics.message_copies.get()).sum();
    let published: u64 = nodes.iter().map(|node| node.metrics.published.get()).sum();
    let each = copies / published;
    assert!((9..=10).contains(&each), "{each} copies of each message");
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

/// A partition, but for one node in the middle that both halves reach: what one half says, the other asks it for.
#[actix_rt::test]
async fn two_halves_that_meet_in_one_node_only_hear_each_other() {
    let middle = Node::start(vec![tcp0()], vec![]);
    let mut nodes = Vec::new();
    for half in [3, 3] {
        let mut others = vec![middle.listens().await];
        for _ in 0..half {
            let node = Node::start(vec![tcp0()], others.clone());
            others.push(node.listens().await);
            nodes.push(node);
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let half = &nodes[index / 3 * 3..index / 3 * 3 + 3];
        let others = half.iter().filter(|other| other.address() != node.address());
        node.has_up(&others.chain([&middle]).collect::<Vec<_>>()).await;
    }
    nodes.push(middle);
    everybody_is_heard(&nodes, 2).await;
}
