//! A sealed network: records come about as in any other, also while its secret is changed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use quorate_protocol::{Message, NodeKey};

use crate::{
    harness::{NETWORK_NAME, Network, Plan, SOON, eventually, meet, unix_now},
    hostility::forgery,
};

const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01";

/// A network of `nodes`, none of which runs yet.
fn planned(nodes: usize) -> Network {
    Network::start(Plan {
        running: 0,
        ..Plan::of(nodes)
    })
}

fn secret(digit: &str) -> String {
    format!("{}0\n", digit.repeat(63))
}

fn write_private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_sealed_network_writes_records_while_its_secret_is_changed() {
    let mut network = planned(3);
    let (old, new) = (secret("a"), secret("b"));
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (1..=3)
        .map(|number| folder.path().join(format!("secret-{number}")))
        .collect();
    for (node, file) in network.nodes.iter_mut().zip(&files) {
        write_private(file, &old);
        node.start_with(&["--network-secret-file", file.to_str().unwrap()]);
    }
    network.has_records(1, SOON);
    // The new one second everywhere, then first, then alone.
    let steps = [format!("{old}{new}"), format!("{new}{old}"), new];
    for (step, secrets) in steps.iter().enumerate() {
        for (node, file) in network.nodes.iter().zip(&files) {
            fs::write(file, secrets).unwrap();
            node.has_logged_times(&["network secret changed: key_ids="], step + 1);
        }
        network.has_further_records(1, SOON);
    }
    for node in &network.nodes {
        assert_eq!(
            node.logged(&["messages not opened"]),
            0,
            "a message was lost: {}",
            node.log()
        );
        assert!(!node.log().contains(&"a".repeat(63)));
    }
    assert!(network.all_run());
}

#[test]
fn a_node_with_another_secret_takes_no_part_and_says_why() {
    let mut network = planned(4);
    let folder = tempfile::tempdir().unwrap();
    for (node, digit) in network.nodes.iter_mut().zip(["a", "a", "a", "b"]) {
        let file = folder.path().join(format!("secret-{}", node.number));
        write_private(&file, &secret(digit));
        node.start_with(&["--network-secret-file", file.to_str().unwrap()]);
    }
    let records = network.has_records(2, SOON);
    let odd = &network.nodes[3];
    odd.has_logged(&[
        "messages not opened",
        "last_finding=unknown_key",
        "--network-secret-file",
    ]);
    for record in &records {
        assert!(!record.verify().unwrap().contains(&odd.address()));
    }
}

#[test]
fn a_member_without_the_secret_hears_and_reads_nothing_and_is_not_listened_to() {
    let member = NodeKey::generate();
    let network = Network::start(Plan {
        other_members: vec![member.clone()],
        secret: Some(SECRET),
        ..Plan::of(3)
    });
    network.has_records(1, SOON);
    let listener = meet(&network.nodes[0], &member);
    let heard = eventually("it hears what all hear", SOON, || {
        let heard = listener.heard();
        (heard.len() >= 5).then_some(heard)
    });
    let name = NETWORK_NAME.parse().unwrap();
    for message in &heard {
        assert!(Message::decode(message, &name).is_err(), "it is in clear");
        for node in &network.nodes {
            let address = *node.address().as_bytes();
            assert!(
                !message.windows(20).any(|bytes| bytes == address),
                "it names a node"
            );
        }
    }
    listener.say(forgery::report(&member, unix_now().get()));
    network.nodes[0].finds("unsealed", 1);
    network.has_further_records(2, SOON);
}
