//! What is found in a history that somebody has changed, and that nothing is found in one that nobody has.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use std::time::Duration;

use proptest::prelude::*;
use quorate_protocol::{
    Committee, Digest, Evidence, QuorumRule, Record, Signature, UnixMillis,
    history::{Fault, History, Prover, Start},
};
use quorate_testkit::{
    builders::{feed, key, members},
    history::{Chronicle, history},
};

const INTERVAL: Duration = Duration::from_secs(30);

fn committee() -> Committee {
    Committee {
        members: members(1..=3),
        rule: QuorumRule::at_least(3),
    }
}

/// The label of each fault, with the record's number.
fn found(records: &[Record]) -> Vec<(u64, &'static str)> {
    let mut history = History::new(None);
    history.space_by(Some(INTERVAL));
    found_by(&mut history, records)
}

fn found_by(history: &mut History, records: &[Record]) -> Vec<(u64, &'static str)> {
    let checked = |record: &Record| {
        (
            record.sequence,
            history.check(record, &mut Prover::new(committee())),
        )
    };
    let faults = records
        .iter()
        .map(checked)
        .filter_map(|(n, outcome)| Some((n, outcome.err()?)));
    faults
        .map(|(sequence, fault)| (sequence, fault.label()))
        .collect()
}

/// Ten records, changed.
fn changed(change: impl FnOnce(&mut Vec<Record>)) -> Vec<(u64, &'static str)> {
    let mut records = history(10);
    change(&mut records);
    found(&records)
}

fn other_quote(evidence: &Evidence) -> Evidence {
    let mut quotes = evidence.quotes().to_vec();
    quotes[0].at = UnixMillis::new(quotes[0].at.get() + 1);
    Evidence::new(quotes).unwrap()
}

fn flipped(signature: Signature, byte: usize) -> Signature {
    let mut bytes = *signature.as_bytes();
    bytes[byte] ^= 1;
    Signature::new(bytes)
}

#[test]
fn an_untouched_history_holds_upwards_and_downwards() {
    assert_eq!(found(&history(10)), []);
    let newest_first: Vec<Record> = history(10).into_iter().rev().collect();
    assert_eq!(found(&newest_first), []);
}

#[test]
fn each_change_of_a_record_is_found_at_that_record_and_nowhere_else() {
    let at_5 = |label| vec![(5, label)];
    assert_eq!(
        changed(|r| r[4].price = "3000.01".parse().unwrap()),
        at_5("price")
    );
    assert_eq!(changed(|r| r[4].digest = Digest::new([7; 32])), at_5("digest"));
    assert_eq!(changed(|r| r[4].previous = Digest::new([7; 32])), at_5("digest"));
    assert_eq!(
        changed(|r| r[4].evidence = other_quote(&r[4].evidence)),
        at_5("digest")
    );
    assert_eq!(changed(|r| r[4].observed_at = UnixMillis::new(1)), at_5("digest"));
    assert_eq!(changed(|r| r[4].network = "other".to_owned()), at_5("digest"));
    assert_eq!(changed(|r| r[4].network = "No Name".to_owned()), at_5("network"));
    assert_eq!(changed(|r| r[4].sequence = 0), vec![(0, "place")]);
    assert_eq!(changed(|r| r[4].sequence = 50), vec![(50, "digest")]);
    for byte in [0, 40, 64] {
        let flip =
            |r: &mut Vec<Record>| r[4].signatures[1].signature = flipped(r[4].signatures[1].signature, byte);
        assert_eq!(changed(flip), at_5("signature"), "{byte}");
    }
    assert_eq!(
        changed(|r| r[4].signatures[0].signer = key(9).address()),
        at_5("signature")
    );
    assert_eq!(
        changed(|r| r[4].observer = r[4].signatures[0].signer),
        at_5("digest")
    );
    let without = |whose: bool| {
        move |r: &mut Vec<Record>| {
            let observer = r[4].observer;
            let place = r[4]
                .signatures
                .iter()
                .position(|by| (by.signer == observer) == whose);
            r[4].signatures.remove(place.unwrap());
        }
    };
    assert_eq!(changed(without(true)), at_5("observer"));
    assert_eq!(changed(without(false)), at_5("quorum"));
    let invent = |r: &mut Vec<Record>| r[4].validators = [key(9).address()].into();
    assert_eq!(changed(invent), at_5("validator"));
}

#[test]
fn who_signs_must_be_a_member_and_a_validator_where_there_are_some() {
    let mut records = history(3);
    let stranger = key(9);
    let digest = records[1].digest;
    records[1]
        .signatures
        .push(quorate_testkit::builders::attest(&stranger, digest));
    assert_eq!(found(&records), [(2, "signer")]);
    let mut strict = committee();
    strict.rule.validators = [stranger.address()].into();
    let outcome = History::new(None).check(&history(1)[0], &mut Prover::new(strict));
    assert_eq!(outcome.unwrap_err().label(), "validators");
}

#[test]
fn what_is_missing_doubled_moved_or_put_in_is_found() {
    let without_5 = changed(|r| drop(r.remove(4)));
    assert_eq!(without_5, [(6, "gap")]);
    assert_eq!(changed(|r| drop(r.drain(3..6))), [(7, "gap")]);
    assert_eq!(changed(|r| r.insert(5, r[4].clone())), [(5, "doubled")]);
    assert_eq!(changed(|r| r.insert(8, r[4].clone())), [(5, "order")]);
    assert_eq!(changed(|r| r.swap(4, 5)), [(6, "gap"), (5, "order")]);
    let made_up = |r: &mut Vec<Record>| {
        let mut record = r[4].clone();
        record.observed_at = UnixMillis::new(record.observed_at.get() + 15_000);
        r.insert(5, record);
    };
    assert_eq!(changed(made_up), [(5, "digest")]);
}

#[test]
fn a_genuine_record_of_another_history_is_found() {
    let other = || Chronicle::new(feed(), &[1, 2, 3], 31_000);
    let fork = changed(|r| r.insert(5, other().nth(4).unwrap()));
    assert_eq!(fork, [(5, "fork")]);
    let replaced = changed(|r| r[4] = other().nth(4).unwrap());
    assert_eq!(replaced, [(5, "link"), (6, "link")]);
    let mut history = History::new(Some("production".to_owned()));
    assert_eq!(
        found_by(&mut history, &other().take(1).collect::<Vec<_>>()),
        [(1, "network")]
    );
}

#[test]
fn records_are_a_window_apart_by_the_database() {
    let nearer = |r: &mut Vec<Record>| r[4].written_at = UnixMillis::new(r[3].written_at.get() + 29_999);
    assert_eq!(changed(nearer), [(5, "spacing")]);
    let earlier = |r: &mut Vec<Record>| r[4].written_at = UnixMillis::new(1);
    assert_eq!(changed(earlier), [(5, "spacing")]);
}

#[test]
fn what_is_known_from_elsewhere_is_where_records_begin() {
    let records = history(10);
    let mut from_archive = History::new(None);
    from_archive.begin_after(feed(), 5, records[4].digest);
    assert_eq!(found_by(&mut from_archive, &records[5..]), []);
    let (_, span) = from_archive.spans().next().unwrap();
    assert_eq!((span.start, span.first, span.last), (Start::Known, 6, 10));
    // A second source goes on where the first has ended.
    from_archive.begin_after(feed(), 0, Digest::new([0; 32]));
    assert_eq!(from_archive.last(&feed()), Some((10, records[9].digest)));

    let mut of_another = History::new(None);
    of_another.begin_after(feed(), 5, Digest::new([7; 32]));
    assert_eq!(found_by(&mut of_another, &records[5..]), [(6, "link")]);
    let mut whole = History::new(None);
    whole.begin_after(feed(), 0, Digest::new([0; 32]));
    assert_eq!(found_by(&mut whole, &records[1..]), [(2, "gap")]);
    let mut on_trust = History::new(None);
    assert_eq!(found_by(&mut on_trust, &records[1..]), []);
    assert_eq!(on_trust.spans().next().unwrap().1.start, Start::OnTrust);
}

#[test]
fn every_fault_has_a_label_of_its_own_and_a_meaning() {
    let labels: std::collections::BTreeSet<&str> = Fault::LABELS.into();
    assert_eq!(labels.len(), Fault::LABELS.len());
    for fault in [
        Fault::Unreadable("x".to_owned()),
        Fault::Truncated("x".to_owned()),
        Fault::Doubled(1),
    ] {
        assert!(labels.contains(fault.label()) && fault.meaning().ends_with('.'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_range_of_a_history_holds(first in 0..12usize, count in 1..12usize, downwards in any::<bool>()) {
        let mut records: Vec<Record> = history(first + count).split_off(first);
        if downwards {
            records.reverse();
        }
        prop_assert_eq!(found(&records), []);
    }

    /// Whatever is taken away from the inside is missed.
    #[test]
    fn no_record_can_be_missing(count in 3..12usize, from in 1..11usize, missing in 1..4usize) {
        let mut records = history(count);
        prop_assume!(from + missing < count);
        records.drain(from..from + missing);
        let after = u64::try_from(from + missing + 1).unwrap();
        prop_assert_eq!(found(&records), [(after, "gap")]);
    }

    /// Whatever byte of what is signed or signs is changed, by whomever: it is found at that record.
    #[test]
    fn no_byte_can_be_changed(place in 0..6usize, what in 0..4usize, byte in 0..32usize) {
        let mut records = history(6);
        let flip = |digest: &mut Digest| {
            let mut bytes = *digest.as_bytes();
            bytes[byte] ^= 0x10;
            *digest = Digest::new(bytes);
        };
        let record = &mut records[place];
        let expected = match what {
            0 => { flip(&mut record.digest); "digest" }
            1 => { flip(&mut record.previous); if place == 0 { "place" } else { "digest" } }
            2 => { record.signatures[byte % 3].signature = flipped(record.signatures[byte % 3].signature, 2 * byte); "signature" }
            _ => { record.price = quorate_protocol::Price::from_scaled(record.price.scaled() ^ (1 << byte)).unwrap(); "price" }
        };
        let sequence = record.sequence;
        prop_assert_eq!(found(&records), [(sequence, expected)]);
    }
}
