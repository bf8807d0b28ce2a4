//! Orders that every node computes alike and nobody can choose: hashes decide, no election is held.

use crate::{
    address::Address,
    digest::{Digest, keccak256},
};

/// The place of an observer's observation in the window that follows the record `anchor`: the lowest is tried first.
pub(super) fn of_observation(anchor: Digest, observer: Address) -> Digest {
    keccak256([anchor.as_bytes(), observer.as_bytes()])
}

/// A node's turn in co-signing or writing the observation `digest`: the lowest goes first.
fn of_turn(digest: Digest, node: Address) -> Digest {
    keccak256([digest.as_bytes(), node.as_bytes()])
}

/// How many of `nodes` have their turn before `me`.
pub(super) fn turn_of<'a>(digest: Digest, me: Address, nodes: impl Iterator<Item = &'a Address>) -> u32 {
    let mine = of_turn(digest, me);
    let before = nodes
        .filter(|node| **node != me && of_turn(digest, **node) < mine)
        .count();
    u32::try_from(before).unwrap_or(u32::MAX)
}
