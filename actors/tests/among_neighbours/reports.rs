//! Whose turn it is.

use quorate_protocol::{Address, Digest, NodeKey, Observation, UnixMillis, keccak256};
use quorate_testkit::builders::{key, network};

/// Three keys in the order in which the observations of the window after the record `anchor` are tried.
pub(crate) fn by_rank(anchor: Digest) -> [NodeKey; 3] {
    let mut keys = [1, 2, 3].map(key);
    keys.sort_by_key(|key| keccak256([anchor.as_bytes(), key.address().as_bytes()]));
    keys
}

/// The observation of `observer`, made at `from` or some milliseconds later, at which `first`'s turn is before the others'.
pub(crate) fn whose_turn_is(
    first: &NodeKey,
    others: &[Address],
    from: UnixMillis,
    make: impl Fn(UnixMillis) -> Observation,
) -> Observation {
    let turn = |digest: Digest, node: Address| keccak256([digest.as_bytes(), node.as_bytes()]);
    (from.get()..)
        .map(|at| make(UnixMillis::new(at)))
        .find(|observation| {
            let digest = observation.digest(&network());
            others
                .iter()
                .all(|other| turn(digest, first.address()) < turn(digest, *other))
        })
        .unwrap()
}
