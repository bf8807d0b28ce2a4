//! Messages that no honest node sends.

use quorate_protocol::{
    Address, Attestation, Evidence, Feed, Link, Message, Network, NodeKey, Observation, Quote, UnixMillis,
    VerifiedReport,
};

use crate::harness::{NETWORK_NAME, unix_now};

/// An attestation on the wire: a pair (1 byte) of 20 bytes (1 more) and 65 bytes (2 more).
const ATTESTATION_BYTES: usize = 1 + 1 + 20 + 2 + 65;
/// CBOR's heads of lists of one and of three.
const LIST_OF_1: u8 = 0x81;
const LIST_OF_3: u8 = 0x83;

fn network() -> Network {
    NETWORK_NAME.parse().unwrap()
}

/// A report that is right but for its date.
pub(crate) fn report(observer: &NodeKey, at: u64) -> Vec<u8> {
    let at = UnixMillis::new(at);
    let quote = Quote {
        source: "coinbase".parse().unwrap(),
        price: "3000".parse().unwrap(),
        at,
    };
    let feed: Feed = "ETH/USD".parse().unwrap();
    let evidence = Evidence::new(vec![quote]).unwrap();
    let observation = Observation::new(feed, Link::FIRST, at, observer.address(), evidence);
    let report = VerifiedReport::sign_own(observation, &network(), observer).unwrap();
    Message::Report(report.to_report()).encode(&network())
}

/// A node's report with the signature of another key too.
pub(super) fn vouched_for(observer: &NodeKey, other: &NodeKey, at: u64) -> Vec<u8> {
    let Ok(Message::Report(report)) = Message::decode(&report(observer, at), &network()) else {
        panic!("it is one");
    };
    let mut report = report.verify(&network(), |_, _| false).unwrap();
    let (signer, signature) = (other.address(), other.sign(report.digest()));
    report.add(Attestation { signer, signature }).unwrap();
    Message::Report(report.to_report()).encode(&network())
}

fn report_now(observer: &NodeKey) -> Vec<u8> {
    report(observer, unix_now().get())
}

/// A report that claims to be another's: both times that the signer's address stands in it.
pub(super) fn report_in_the_name_of(victim: Address, forger: &NodeKey) -> Vec<u8> {
    let mut bytes = report_now(forger);
    let (forger, victim) = (*forger.address().as_bytes(), victim.as_bytes());
    let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&forger));
    let places: Vec<usize> = places.collect();
    assert_eq!(places.len(), 2, "as observer and as signer");
    for at in places {
        bytes[at..at + victim.len()].copy_from_slice(victim);
    }
    assert!(Message::decode(&bytes, &network()).is_ok(), "its form is right");
    bytes
}

/// One signer's signature, three times: would be a quorum to those who count without looking.
pub(super) fn thrice_signed(signer: &NodeKey) -> Vec<u8> {
    let mut bytes = report_now(signer);
    let attestation = bytes.split_off(bytes.len() - ATTESTATION_BYTES);
    assert_eq!(bytes.pop(), Some(LIST_OF_1));
    bytes.push(LIST_OF_3);
    bytes.extend(attestation.repeat(3));
    bytes
}

/// `[1, "e2e", 9, 0]`: no such kind.
pub(super) fn unknown_kind() -> Vec<u8> {
    let mut bytes = vec![0x84, 1, 0x60 + u8::try_from(NETWORK_NAME.len()).unwrap()];
    bytes.extend(NETWORK_NAME.as_bytes());
    bytes.extend([9, 0]);
    bytes
}

/// Of two messages about one observation the beginnings are the same, and what is said twice is heard once: so only the end is cut off.
pub(super) fn truncated(message: &[u8]) -> Vec<u8> {
    message[..message.len() - 1].to_vec()
}

/// Near the end, where the last signature is.
pub(super) fn bit_flipped(message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    bytes
}
