//! Builders. All tests share one network and, if they need no other, one feed; nodes are told apart by their key's number.
//!
//! Golden vectors do not use these: they say each value themselves.

use std::time::{Duration, SystemTime};

use quorate_protocol::{
    Address, Attestation, Certificate, Committee, Digest, Evidence, Feed, Link, Members, Network, NodeKey,
    Observation, QuorumRule, Quote, UnixMillis, VerifiedReport,
    cosign::CosignPolicy,
    rounds::{Settings, Timing},
};

/// The network for which everything here is signed: `test`.
pub fn network() -> Network {
    "test".parse().unwrap()
}

/// `ETH/USD`.
pub fn feed() -> Feed {
    "ETH/USD".parse().unwrap()
}

/// The same number (not 0) is the same key.
pub fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32]).unwrap()
}

/// Now, by the calendar.
pub fn unix_now() -> UnixMillis {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixMillis::new(since_1970.as_millis().try_into().unwrap())
}

/// What `source` said at a moment; the price in decimals.
pub fn quote(source: &str, price: &str, at: UnixMillis) -> Quote {
    Quote {
        source: source.parse().unwrap(),
        price: price.parse().unwrap(),
        at,
    }
}

/// One source's quote.
pub fn evidence(price: &str, at: UnixMillis) -> Evidence {
    Evidence::new(vec![quote("coinbase", price, at)]).unwrap()
}

/// The observer saw this price of [`feed`] at that moment, and states it for the feed's first record.
pub fn observation(observer: &NodeKey, price: &str, at: UnixMillis) -> Observation {
    observation_for(Link::FIRST, observer, price, at)
}

/// The same for another place in the feed's history.
pub fn observation_for(link: Link, observer: &NodeKey, price: &str, at: UnixMillis) -> Observation {
    Observation::new(feed(), link, at, observer.address(), evidence(price, at))
}

/// What the observer would send, with the signatures of `others` too.
pub fn sign(observation: Observation, observer: &NodeKey, others: &[&NodeKey]) -> VerifiedReport {
    let mut report = VerifiedReport::sign_own(observation, &network(), observer).unwrap();
    for other in others {
        report.add(attest(other, report.digest())).unwrap();
    }
    report
}

/// An observation of the first of these keys for the feed's first record, signed by all of them.
pub fn report(signers: &[u8], price: &str, at: UnixMillis) -> VerifiedReport {
    report_for(Link::FIRST, signers, price, at)
}

/// The same for another place in the feed's history.
pub fn report_for(link: Link, signers: &[u8], price: &str, at: UnixMillis) -> VerifiedReport {
    let keys: Vec<NodeKey> = signers.iter().map(|number| key(*number)).collect();
    let others: Vec<&NodeKey> = keys[1..].iter().collect();
    sign(observation_for(link, &keys[0], price, at), &keys[0], &others)
}

/// The place right behind this record.
pub fn after(record: &VerifiedReport) -> Link {
    Link::after(record.observation().link().sequence(), record.digest())
}

/// One node's signature.
pub fn attest(signer: &NodeKey, digest: Digest) -> Attestation {
    Attestation {
        signer: signer.address(),
        signature: signer.sign(digest),
    }
}

/// Makes a report a certificate, whoever has signed it.
pub fn certify(report: &VerifiedReport) -> Certificate {
    report.certify(&open(1), report.signatures().len()).unwrap()
}

/// A network open to all, in which so many signatures make a record.
pub fn open(min_signatures: usize) -> Committee {
    let rule = QuorumRule::at_least(min_signatures);
    Committee {
        members: Members::Open,
        rule,
    }
}

/// The owners of the keys with these numbers.
pub fn members(numbers: impl IntoIterator<Item = u8>) -> Members {
    Members::Closed(numbers.into_iter().map(|number| key(number).address()).collect())
}

/// What a node is told of [`feed`] with a window of 30 s: the defaults of `quorate node`.
pub fn settings(me: Address, committee: Committee) -> Settings {
    let window = Duration::from_secs(30);
    Settings {
        feed: feed(),
        me,
        committee,
        write_interval: window,
        fetch_interval: window,
        max_move_bps: 1000,
        policy: CosignPolicy {
            max_deviation_bps: 50,
            max_age: Settings::max_age(window),
            future_tolerance: Duration::from_secs(5),
        },
        timing: Timing::for_interval(window),
        quarantine: Duration::from_secs(600),
        predecessor_ended: None,
    }
}
