//! The judging table of docs/protocol.md, row by row. A row without a case, or a case without a row, fails.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{
    Address, Committee, Digest, Heartbeat, Link, Members, Message, NodeKey, Observation, ProvenEquivocation,
    QuorumRule, RefusalNotice, Signature, UnixMillis, VerifiedReport, Written,
    cosign::Refusal,
    judge::{Finding, Judge, JudgeConfig, Verdict, Verified},
    seal::{self, Keyring},
};
use quorate_testkit::builders::{self, certify, evidence, key, network, observation, sign};

const NOON: u64 = 1_763_820_000_000;
const WINDOW: Duration = Duration::from_secs(30);

fn at(offset_ms: i64) -> UnixMillis {
    UnixMillis::new(NOON.checked_add_signed(offset_ms).unwrap())
}

/// A report by the first of these keys, signed by all of them.
fn report(signers: &[u8], when: UnixMillis) -> VerifiedReport {
    builders::report(signers, "3000", when)
}

fn bytes(report: &VerifiedReport) -> Vec<u8> {
    Message::Report(report.to_report()).encode(&network())
}

fn news(signers: &[u8], writer: u8, when: UnixMillis) -> Vec<u8> {
    let report = report(signers, when);
    Message::Written(Written::sign(&certify(&report), when, &network(), &key(writer))).encode(&network())
}

fn heartbeat(node: u8, when: UnixMillis) -> Heartbeat {
    Heartbeat {
        node: Address::new([0; 20]),
        version: "0.1.0".into(),
        feeds: vec![],
        sent_at: when,
        last_observation: when,
        last_record: Digest::new([0; 32]),
        uptime_s: 1,
        signature: Signature::new([0; 65]),
    }
    .signed(&network(), &key(node))
}

/// Which node judges.
const ME: u8 = 5;

/// Members are 1 to 5; three signatures are a quorum.
fn judge() -> Judge {
    let config = JudgeConfig::new(
        network(),
        ["ETH/USD".parse().unwrap()].into(),
        key(ME).address(),
        committee(1..=5),
        WINDOW,
    );
    Judge::new(config, at(-60_000))
}

fn statement(by: u8, price: &str, when: UnixMillis) -> VerifiedReport {
    builders::report(&[by], price, when)
}

fn claim(one: VerifiedReport, other: VerifiedReport) -> Vec<u8> {
    let proof = ProvenEquivocation::of(&one, &other, Duration::from_secs(15)).unwrap();
    Message::Equivocation(proof.to_claim()).encode(&network())
}

/// A claim that no honest node makes of these two.
fn doctored_claim(one: VerifiedReport, other: VerifiedReport) -> Vec<u8> {
    let proof = ProvenEquivocation::of(&one, &other, Duration::MAX).unwrap();
    Message::Equivocation(proof.to_claim()).encode(&network())
}

fn refusal(by: u8, of: u8, when: UnixMillis) -> Vec<u8> {
    let observation = Digest::new([7; 32]);
    let notice = RefusalNotice::sign(
        observation,
        key(of).address(),
        "price_deviates",
        when,
        &network(),
        &key(by),
    );
    Message::Refusal(notice).encode(&network())
}

/// Where the feed ends in a message, and the number of what is stated begins.
fn end_of_feed(message: &[u8]) -> usize {
    let feed = b"ETH/USD";
    let begins = message.windows(feed.len()).position(|at| at == feed).unwrap();
    begins + feed.len()
}

/// Flips a bit of the last signature of a report, which stands at the end of its message.
fn forged(mut message: Vec<u8>) -> Vec<u8> {
    let last = message.len() - 10;
    message[last] ^= 1;
    message
}

struct Case {
    label: &'static str,
    verdict: Verdict,
    what: &'static str,
    judge: Judge,
    message: Vec<u8>,
}

fn cases() -> Vec<Case> {
    use Verdict::{Accept, Ignore, Reject};
    let mut cases = vec![];
    let mut case = |label, verdict, what, before: &[Vec<u8>], message: Vec<u8>| {
        let mut judge = judge();
        for earlier in before {
            judge.judge(earlier, at(0)).unwrap();
        }
        cases.push(Case {
            label,
            verdict,
            what,
            judge,
            message,
        });
    };
    let fresh = report(&[1, 2], at(0));
    let valid = bytes(&fresh);

    case("accepted", Accept, "a report", &[], valid.clone());
    case(
        "accepted",
        Accept,
        "one more signature",
        std::slice::from_ref(&valid),
        bytes(&report(&[1, 2, 3], at(0))),
    );
    case(
        "accepted",
        Accept,
        "news of a record",
        &[],
        news(&[1, 2, 3], 2, at(0)),
    );
    case(
        "accepted",
        Accept,
        "news of a record an outage ago",
        &[],
        news(&[1, 2, 3], 2, at(-80_000)),
    );
    case(
        "accepted",
        Accept,
        "a heartbeat",
        &[],
        Message::Heartbeat(heartbeat(1, at(0))).encode(&network()),
    );

    case("malformed", Reject, "nothing", &[], vec![]);
    case("malformed", Reject, "text", &[], b"<html>hello</html>".to_vec());
    case(
        "malformed",
        Reject,
        "a truncated report",
        &[],
        valid[..valid.len() - 1].to_vec(),
    );
    case(
        "malformed",
        Reject,
        "a report and a byte",
        &[],
        [valid.clone(), vec![0]].concat(),
    );
    case("malformed", Reject, "a mebibyte", &[], vec![0; 1 << 20]);
    case("malformed", Reject, "deep nesting", &[], vec![0x81; 16_000]);
    case("malformed", Reject, "a list that claims to be endless", &[], {
        let mut message = valid[..10].to_vec();
        message.extend([0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        message
    });
    case("malformed", Reject, "another version", &[], {
        let mut message = valid.clone();
        message[1] = 2;
        message
    });
    case("malformed", Reject, "another network", &[], {
        Message::Report(fresh.to_report()).encode(&"other".parse().unwrap())
    });
    case("malformed", Reject, "an unknown kind", &[], {
        let mut message = valid.clone();
        message[8] = 9;
        message
    });
    case("malformed", Reject, "one signer three times", &[], {
        // The list of one attestation, [0x81, attestation], becomes a list of the same one three times.
        let one = bytes(&report(&[1], at(0)));
        let attestation = one[one.len() - 89..].to_vec();
        let head = [&one[..one.len() - 90], &[0x83]].concat();
        [head, attestation.repeat(3)].concat()
    });
    case("malformed", Reject, "the observer has not signed", &[], {
        let one = bytes(&report(&[1], at(0)));
        let signer = one.len() - 87;
        let mut message = one;
        message[signer] ^= 1;
        message
    });
    case("malformed", Reject, "a price that is not the median", &[], {
        let mut message = valid.clone();
        let price = message.iter().position(|b| *b == 0xc2).unwrap() + 10;
        message[price] ^= 1;
        message
    });
    case("malformed", Reject, "a record with the number 0", &[], {
        let mut message = valid.clone();
        let sequence = end_of_feed(&message);
        message[sequence] = 0;
        message
    });
    case("malformed", Reject, "a first record that follows another", &[], {
        let mut message = valid.clone();
        // Behind the number, a byte, stand the two of the digest's head.
        let previous = end_of_feed(&message) + 3;
        message[previous] = 7;
        message
    });
    case("malformed", Reject, "a second spelling", &[], {
        // The version 1 in two bytes instead of one.
        [&[0x84, 0x18, 0x01], &valid[2..]].concat()
    });

    case("other_feed", Ignore, "another feed", &[], {
        let btc = "BTC/USD".parse().unwrap();
        let price = evidence("90000", at(0));
        let observation = Observation::new(btc, Link::FIRST, at(0), key(1).address(), price);
        bytes(&sign(observation, &key(1), &[]))
    });

    case(
        "stale",
        Ignore,
        "just too old",
        &[],
        bytes(&report(&[1], at(-30_001))),
    );
    case(
        "stale",
        Ignore,
        "of 1970",
        &[],
        bytes(&report(&[1], UnixMillis::new(0))),
    );
    case("stale", Ignore, "old news", &[], news(&[1, 2, 3], 1, at(-90_001)));
    case("stale", Ignore, "an old heartbeat", &[], {
        Message::Heartbeat(heartbeat(1, at(-30_001))).encode(&network())
    });
    case(
        "accepted",
        Accept,
        "just not too old",
        &[],
        bytes(&report(&[1], at(-30_000))),
    );

    case(
        "future",
        Ignore,
        "just too early",
        &[],
        bytes(&report(&[1], at(5_001))),
    );
    case(
        "future",
        Ignore,
        "of 2099",
        &[],
        bytes(&report(&[1], UnixMillis::new(4_070_908_800_000))),
    );
    case(
        "accepted",
        Accept,
        "just not too early",
        &[],
        bytes(&report(&[1], at(5_000))),
    );

    let written = news(&[1, 2, 3], 2, at(0));
    case(
        "settled",
        Ignore,
        "a report of a record",
        std::slice::from_ref(&written),
        bytes(&report(&[1, 4], at(0))),
    );
    case(
        "settled",
        Ignore,
        "the news again",
        std::slice::from_ref(&written),
        news(&[1, 2, 3], 4, at(0)),
    );

    case(
        "duplicate",
        Ignore,
        "the same report",
        std::slice::from_ref(&valid),
        valid.clone(),
    );
    case(
        "duplicate",
        Ignore,
        "a part of what is known",
        &[bytes(&report(&[1, 2, 3], at(0)))],
        valid.clone(),
    );
    case(
        "duplicate",
        Ignore,
        "an older heartbeat",
        &[Message::Heartbeat(heartbeat(1, at(0))).encode(&network())],
        Message::Heartbeat(heartbeat(1, at(-1))).encode(&network()),
    );

    case(
        "unknown_signer",
        Ignore,
        "a stranger's observation",
        &[],
        bytes(&report(&[9], at(0))),
    );
    case(
        "unknown_signer",
        Ignore,
        "a stranger's signature",
        &[],
        bytes(&report(&[1, 9], at(0))),
    );
    case(
        "unknown_signer",
        Ignore,
        "a stranger's news",
        &[],
        news(&[1, 2, 3], 9, at(0)),
    );

    let mut place = builders::after(&fresh);
    let statements: Vec<Vec<u8>> = (0..16)
        .map(|_| {
            let statement = builders::report_for(place, &[1], "3000", at(0));
            place = builders::after(&statement);
            bytes(&statement)
        })
        .collect();
    case(
        "overload",
        Ignore,
        "the 17th observation of one node within three windows",
        &statements,
        bytes(&builders::report_for(place, &[1], "3000", at(0))),
    );

    let refusals: Vec<Vec<u8>> = (0..32).map(|n| refusal(1, 2, at(-n))).collect();
    case(
        "overload",
        Ignore,
        "the 33rd refusal of one node in a window",
        &refusals,
        refusal(1, 2, at(-32)),
    );

    case(
        "bad_signature",
        Reject,
        "a flipped bit",
        &[],
        forged(valid.clone()),
    );
    case(
        "bad_signature",
        Reject,
        "a forged signature beside known ones",
        std::slice::from_ref(&valid),
        forged(bytes(&report(&[1, 2, 3], at(0)))),
    );
    case(
        "bad_signature",
        Reject,
        "news that the writer did not sign",
        &[],
        forged(news(&[1, 2, 3], 2, at(0))),
    );
    case("bad_signature", Reject, "a forged heartbeat", &[], {
        forged(Message::Heartbeat(heartbeat(1, at(0))).encode(&network()))
    });

    case(
        "bad_signature",
        Reject,
        "a forged refusal",
        &[],
        forged(refusal(1, 2, at(0))),
    );
    case(
        "bad_signature",
        Reject,
        "a proof with a forged statement",
        &[],
        forged(claim(statement(1, "3000", at(0)), statement(1, "3001", at(0)))),
    );

    for (what, ms) in [
        ("two prices for one moment", 0),
        ("two prices for one window", -14_999),
    ] {
        let first = std::slice::from_ref(&valid);
        case(
            "equivocation",
            Ignore,
            what,
            first,
            bytes(&statement(1, "3001", at(ms))),
        );
    }
    case(
        "accepted",
        Accept,
        "two prices for two records",
        std::slice::from_ref(&valid),
        bytes(&builders::report_for(
            builders::after(&fresh),
            &[1],
            "3001",
            at(0),
        )),
    );
    case(
        "accepted",
        Accept,
        "two prices for two windows",
        std::slice::from_ref(&valid),
        bytes(&statement(1, "3001", at(-15_000))),
    );
    case(
        "no_proof",
        Reject,
        "a proof of two statements for two records",
        &[],
        {
            let first = statement(1, "3000", at(0));
            let second = builders::report_for(builders::after(&first), &[1], "3001", at(0));
            let mut reports = [first, second];
            reports.sort_by_key(VerifiedReport::digest);
            let [first, second] = reports.map(|report| report.to_report());
            let mut message = vec![];
            ciborium::into_writer(&(1, network().as_str(), 4, (first, second)), &mut message).unwrap();
            message
        },
    );
    let proof = claim(statement(1, "3000", at(0)), statement(1, "3001", at(-14_999)));
    case(
        "accepted",
        Accept,
        "a proof of an equivocation",
        &[],
        proof.clone(),
    );
    case(
        "duplicate",
        Ignore,
        "a proof again",
        std::slice::from_ref(&proof),
        proof.clone(),
    );
    case(
        "unknown_signer",
        Ignore,
        "a proof about a stranger",
        &[],
        claim(statement(9, "3000", at(0)), statement(9, "3001", at(0))),
    );
    case(
        "no_proof",
        Reject,
        "a proof of two statements for two windows",
        &[],
        doctored_claim(statement(1, "3000", at(0)), statement(1, "3001", at(-15_000))),
    );
    case("accepted", Accept, "a refusal", &[], refusal(1, 2, at(0)));
    case(
        "unknown_signer",
        Ignore,
        "a stranger's refusal",
        &[],
        refusal(9, 2, at(0)),
    );
    case(
        "unknown_signer",
        Ignore,
        "a refusal of a stranger's price",
        &[],
        refusal(1, 9, at(0)),
    );
    case(
        "our_key",
        Ignore,
        "our own heartbeat that we did not send",
        &[],
        Message::Heartbeat(heartbeat(ME, at(0))).encode(&network()),
    );
    case(
        "our_key",
        Ignore,
        "a proof that we made two statements",
        &[],
        claim(statement(ME, "3000", at(0)), statement(ME, "3001", at(0))),
    );
    case(
        "our_key",
        Ignore,
        "our own observation that we did not make",
        &[],
        bytes(&report(&[ME], at(0))),
    );

    case(
        "not_quorate",
        Ignore,
        "news with two signatures",
        &[],
        news(&[1, 2], 2, at(0)),
    );
    cases
}

fn keyring(secret: u8) -> Keyring {
    let secret = format!("{secret:02x}").repeat(32).parse().unwrap();
    Keyring::new(&network(), &[secret]).unwrap()
}

/// `label -> verdict` of what is found before a message is judged.
fn sealing_rows() -> BTreeMap<String, String> {
    use Verdict::{Accept, Ignore, Reject};
    let clear = bytes(&report(&[1], at(0)));
    let sealed = keyring(1).seal(&clear, [0; 24]);
    let mut forged = sealed.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut cut = sealed.clone();
    cut.pop();
    let (with, without) = (Some(keyring(1)), None);
    let cases = [
        ("unsealed", Ignore, &with, true, &clear),
        // The row of the table is that of a closed network.
        ("sealed", Ignore, &without, false, &sealed),
        ("sealed", Accept, &without, true, &sealed),
        ("unknown_key", Ignore, &Some(keyring(2)), true, &sealed),
        ("bad_seal", Ignore, &with, true, &forged),
        ("malformed", Reject, &with, true, &cut),
        ("malformed", Reject, &without, true, &cut),
        ("malformed", Reject, &with, true, &b"neither".to_vec()),
    ];
    let row =
        |(label, verdict, keyring, relays, message): (&str, Verdict, &Option<Keyring>, bool, &Vec<u8>)| {
            let finding = seal::open(message, &network(), keyring.as_ref(), relays).unwrap_err();
            assert_eq!(
                (finding.label(), finding.verdict()),
                (label, verdict),
                "{finding:?}"
            );
            (label.to_owned(), format!("{verdict:?}"))
        };
    cases.into_iter().map(row).collect()
}

#[test]
fn what_was_sealed_is_judged_like_what_was_not_but_held_against_no_relay() {
    let (clear, ring) = (bytes(&report(&[1], at(0))), keyring(1));
    let sealed = ring.seal(&clear, [0; 24]);
    let opened = seal::open(&sealed, &network(), Some(&ring), false).unwrap();
    assert!(judge().judge(&opened.message, at(0)).is_ok());

    let bad = forged(clear.clone());
    for (message, verdict) in [
        (bad.clone(), Verdict::Reject),
        (ring.seal(&bad, [1; 24]), Verdict::Ignore),
    ] {
        let keyring = (verdict == Verdict::Ignore).then_some(&ring);
        let opened = seal::open(&message, &network(), keyring, false).unwrap();
        let finding = judge().judge(&opened.message, at(0)).unwrap_err();
        assert_eq!(
            (finding.label(), opened.verdict(&finding)),
            ("bad_signature", verdict)
        );
    }
}

/// `label -> verdict` of the table in the documentation.
fn documented() -> BTreeMap<String, String> {
    let text = include_str!("../../docs/protocol.md");
    let table = text
        .split("## Judging")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    table
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let label = cells.get(2)?.strip_prefix('`')?.strip_suffix('`')?;
            let verdict = cells[1].split(',').next()?;
            Some((label.to_owned(), verdict.to_owned()))
        })
        .collect()
}

#[test]
fn every_row_of_the_table_is_as_documented() {
    let documented = documented();
    assert_eq!(documented.len(), 18, "{documented:?}");
    let mut covered = BTreeMap::new();
    for mut case in cases() {
        let judged = case.judge.judge(&case.message, at(0));
        let (label, verdict) = match &judged {
            Ok(_) => ("accepted", Verdict::Accept),
            Err(finding) => (finding.label(), finding.verdict()),
        };
        assert_eq!(
            (label, verdict),
            (case.label, case.verdict),
            "{}: {judged:?}",
            case.what
        );
        covered.insert(case.label.to_owned(), format!("{:?}", case.verdict));
    }
    covered.extend(sealing_rows());
    assert_eq!(covered, documented);
}

#[test]
fn every_refusal_is_documented() {
    let text = include_str!("../../docs/protocol.md");
    let table = text
        .split("## Refusing")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let documented: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            line.split('|')
                .nth(1)?
                .trim()
                .strip_prefix('`')?
                .strip_suffix('`')
        })
        .collect();
    assert_eq!(documented, Refusal::LABELS);
}

#[test]
fn two_statements_for_one_window_are_a_proof_that_others_accept() {
    let mut judge = judge();
    judge.judge(&bytes(&report(&[1, 2], at(0))), at(0)).unwrap();
    let other = statement(1, "3001", at(-9_000));
    let Err(Finding::Equivocation(proof)) = judge.judge(&bytes(&other), at(0)) else {
        panic!("it was accepted");
    };
    assert_eq!(proof.observer(), key(1).address());
    let told = Message::Equivocation(proof.to_claim()).encode(&network());
    assert_eq!(
        self::judge().judge(&told, at(0)),
        Ok(Verified::Equivocation(proof)),
        "a node that saw neither"
    );
}

fn committee(members: std::ops::RangeInclusive<u8>) -> Committee {
    Committee {
        members: builders::members(members),
        rule: QuorumRule::at_least(3),
    }
}

#[test]
fn a_replaced_member_counts_for_what_was_in_flight_and_for_one_window_only() {
    let mut judge = judge();
    judge.replace_committee(committee(2..=6), at(0));
    let stranger = |n: u8| Err(Finding::UnknownSigner(key(n).address()));
    let mut verdict = |signers: &[u8], observed, seen| {
        judge
            .judge(&bytes(&report(signers, at(observed))), at(seen))
            .map(|_| ())
    };
    assert_eq!(verdict(&[2, 1], -1000, 500), Ok(()), "observed before the change");
    assert_eq!(verdict(&[3, 1], 400, 500), stranger(1), "observed after it");
    assert_eq!(verdict(&[6, 2], 400, 500), Ok(()), "the new member");
    assert_eq!(verdict(&[4, 1], 0, 30_000), Ok(()), "a window later");
}

#[test]
fn news_of_a_record_by_the_old_members_is_believed_for_one_window() {
    for (seen, believed) in [(30_000, true), (30_001, false)] {
        let mut judge = judge();
        judge.replace_committee(committee(2..=6), at(0));
        let verdict = judge.judge(&news(&[1, 2, 3], 1, at(-1)), at(seen));
        assert_eq!(verdict.is_ok(), believed, "{seen}: {verdict:?}");
    }
}

#[test]
fn our_own_messages_come_back_as_known() {
    let mut judge = judge();
    let own = report(&[1], at(0));
    judge.remember_own(&Message::Report(own.to_report()));
    assert_eq!(judge.judge(&bytes(&own), at(0)), Err(Finding::Duplicate));
}

#[test]
fn memory_stays_bounded_however_much_is_heard() {
    // An open network, so that strangers count: each with an observation of its own.
    let committee = Committee {
        members: Members::Open,
        rule: QuorumRule::at_least(3),
    };
    let feeds = ["ETH/USD".parse().unwrap()].into();
    let config = JudgeConfig::new(network(), feeds, key(ME).address(), committee, WINDOW);
    let mut judge = Judge::new(config, at(0));
    let mut accepted = 0;
    for n in 1..=1500u32 {
        let mut secret = [1; 32];
        secret[..4].copy_from_slice(&n.to_be_bytes());
        let stranger = NodeKey::from_bytes(secret).unwrap();
        let message = bytes(&sign(observation(&stranger, "3000", at(0)), &stranger, &[]));
        accepted += usize::from(matches!(judge.judge(&message, at(0)), Ok(Verified::Report(_))));
    }
    assert_eq!(accepted, 1500);
    assert_eq!(judge.remembered(), 1024);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_made_up_is_never_accepted_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(judge().judge(&bytes, at(0)).is_err());
        }

        #[test]
        fn a_valid_message_with_any_byte_changed_is_never_accepted(
            position in any::<prop::sample::Index>(), change in 1u8..
        ) {
            let mut message = bytes(&report(&[1, 2], at(0)));
            let position = position.index(message.len());
            message[position] ^= change;
            let judged = judge().judge(&message, at(0));
            prop_assert!(judged.is_err(), "byte {position}: {judged:?}");
        }
    }
}
