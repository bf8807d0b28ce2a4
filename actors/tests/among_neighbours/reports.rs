//! Keys, observations and certificates.

use std::time::SystemTime;

use quorate_protocol::{
    Address, Attestation, Certificate, Committee, Digest, Evidence, Feed, Members, Network, NodeKey,
    Observation, QuorumRule, Quote, UnixMillis, VerifiedReport, keccak256,
};

pub(crate) fn network() -> Network {
    "test".parse().unwrap()
}

pub(crate) fn feed() -> Feed {
    "ETH/USD".parse().unwrap()
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn unix_now() -> UnixMillis {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixMillis::new(elapsed.as_millis().try_into().unwrap())
}

pub(crate) fn evidence(price: &str) -> Evidence {
    let quote = Quote {
        source: "coinbase".parse().unwrap(),
        price: price.parse().unwrap(),
        at: UnixMillis::new(1_700_000_000_123),
    };
    Evidence::new(vec![quote]).unwrap()
}

pub(crate) fn observation(observer: &NodeKey, price: &str, at: UnixMillis) -> Observation {
    Observation::new(feed(), at, observer.address(), evidence(price))
}

/// What the observer would send, with the signatures of `others` too.
pub(crate) fn report(observation: Observation, observer: &NodeKey, others: &[&NodeKey]) -> VerifiedReport {
    let mut report = VerifiedReport::sign_own(observation, &network(), observer).unwrap();
    for other in others {
        report.add(attest(other, report.digest())).unwrap();
    }
    report
}

pub(crate) fn attest(signer: &NodeKey, digest: Digest) -> Attestation {
    Attestation {
        signer: signer.address(),
        signature: signer.sign(digest),
    }
}

/// An open network in which three signatures make a record.
pub(crate) fn three_signatures() -> Committee {
    Committee {
        members: Members::Open,
        rule: QuorumRule::at_least(3),
    }
}

pub(crate) fn certify(report: &VerifiedReport) -> Certificate {
    let committee = Committee {
        rule: QuorumRule::at_least(1),
        ..three_signatures()
    };
    report.certify(&committee, 3).unwrap()
}

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
