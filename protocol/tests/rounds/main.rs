//! Single rules of the rounds that whole networks do not reach.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

mod history;

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{
    Address, AgreedPrice, Certificate, Committee, Digest, Evidence, Fraction, Instant, LastRecord, Link,
    Members, Message, NodeKey, ProvenEquivocation, QuorumRule, RefusalNotice, UnixMillis, VerifiedReport,
    WriteOutcome, keccak256,
    rounds::{
        Effect, FetchRequest, Missing, NodeStatus, Note, Now, Rounds, Settings, SignRequest, StoreRequest,
        Timing,
    },
};
use quorate_testkit::builders::{self, certify, evidence, feed, key, observation, sign};

const WINDOW: Duration = Duration::from_secs(30);
const NOON: u64 = 1_763_820_000_000;

fn at(ms: u64) -> Now {
    Now {
        instant: Instant::after_start(Duration::from_millis(ms)),
        unix: UnixMillis::new(NOON + ms),
    }
}

fn timing() -> Timing {
    Timing::for_interval(WINDOW)
}

fn rule(min_signatures: usize) -> QuorumRule {
    QuorumRule::at_least(min_signatures)
}

fn members() -> Members {
    builders::members(1..=9)
}

/// What the database says of a last record that nobody here has seen: its number is also that of its digest.
fn last_record(digest: u8, age: Duration) -> LastRecord {
    LastRecord {
        sequence: digest.into(),
        previous: Digest::new([digest - 1; 32]),
        digest: Digest::new([digest; 32]),
        age,
        price: "3000".parse().unwrap(),
        observed_at: UnixMillis::new(NOON),
        written_by: key(2).address(),
        signatures: 3,
    }
}

fn settings(quorum: QuorumRule) -> Settings {
    let members = members();
    let committee = Committee {
        members,
        rule: quorum,
    };
    builders::settings(key(1).address(), committee)
}

/// For the feed's first record.
fn report(signers: &[u8], ms: u64) -> VerifiedReport {
    builders::report(signers, "3000", at(ms).unix)
}

/// For the one that follows the record of which the database says this.
fn report_after(last: &LastRecord, signers: &[u8], ms: u64) -> VerifiedReport {
    report_for(Link::after(last.sequence, last.digest), signers, ms)
}

fn report_for(link: Link, signers: &[u8], ms: u64) -> VerifiedReport {
    builders::report_for(link, signers, "3000", at(ms).unix)
}

/// What the database says of this certificate when it is its last record.
fn as_last(record: &Certificate, age: Duration) -> LastRecord {
    let link = record.report().observation().link();
    LastRecord {
        sequence: link.sequence(),
        previous: link.previous(),
        digest: record.digest(),
        ..last_record(1, age)
    }
}

fn agreed(ms: u64) -> AgreedPrice {
    agreed_on("3000", ms)
}

fn agreed_on(price: &str, ms: u64) -> AgreedPrice {
    let Now { instant, unix } = at(ms);
    AgreedPrice {
        feed: feed(),
        evidence: evidence(price, unix),
        observed_at: unix,
        observed: instant,
    }
}

fn certificate(signers: &[u8], ms: u64) -> Certificate {
    certify(&report(signers, ms))
}

/// A machine that has heard from an empty database.
fn ready(quorum: QuorumRule) -> Rounds {
    let (mut machine, effects) = Rounds::start(settings(quorum), at(0));
    assert_eq!(effects, [asks_last_record()]);
    machine.on_last_record(Ok(None), at(1));
    machine
}

fn asks_last_record() -> Effect {
    Effect::Store(StoreRequest::LastRecord(feed()))
}

fn has_write(effects: &[Effect]) -> bool {
    write_in(effects).is_some()
}

fn asks_to_cosign(effects: &[Effect]) -> bool {
    let is_request = |effect: &Effect| matches!(effect, Effect::Sign(SignRequest::CoSign(_)));
    effects.iter().any(is_request)
}

fn write_in(effects: &[Effect]) -> Option<Digest> {
    effects.iter().find_map(|effect| match effect {
        Effect::Store(StoreRequest::Write(certificate)) => Some(certificate.digest()),
        _ => None,
    })
}

/// Lets time pass until a write is asked for, and returns when.
fn next_write(machine: &mut Rounds, now: u64, until: u64) -> Option<(u64, Digest)> {
    (now..=until).find_map(|now| Some((now, write_in(&machine.on_tick(at(now)))?)))
}

/// Hears of a report, and lets time pass until a write is asked for.
fn write_after(machine: &mut Rounds, report: VerifiedReport, now: u64, until: u64) -> Option<(u64, Digest)> {
    let at_once = write_in(&machine.on_report(report, at(now)));
    match at_once {
        Some(digest) => Some((now, digest)),
        None => next_write(machine, now, until),
    }
}

#[test]
fn a_certificate_that_forms_in_an_open_window_is_written_when_its_turn_comes() {
    let mut machine = ready(rule(3));
    let written = write_after(&mut machine, report(&[1, 2, 3], 100), 100, 1200);
    assert!(written.is_some(), "within the longest wait for a turn");
}

#[test]
fn nothing_is_written_before_the_window_opens() {
    let mut machine = ready(rule(3));
    let last = last_record(7, Duration::from_secs(25));
    machine.on_write_outcome(
        Digest::new([1; 32]),
        WriteOutcome::TooSoon { last: Some(last) },
        at(1000),
    );
    machine.on_report(report_after(&last, &[2, 3, 4], 5500), at(5500));
    let (when, _) = next_write(&mut machine, 5500, 8000).unwrap();
    assert!(
        when >= 6000,
        "the window opens 5 s after 1000 ms, written at {when}"
    );
}

#[test]
fn a_certificate_that_formed_before_the_database_was_heard_of_is_written_once_it_is() {
    for last in [None, Some(Duration::from_secs(3600))] {
        let mut machine = Rounds::start(settings(rule(2)), at(0)).0;
        // Longer than an observation may come before the window that it is for.
        let last = last.map(|age| last_record(9, age));
        let next = last.map_or(Link::FIRST, |last| Link::after(last.sequence, last.digest));
        machine.on_report(report_for(next, &[1, 2], 1000), at(1000));
        let effects = machine.on_last_record(Ok(last), at(9000));
        let written = has_write(&effects) || next_write(&mut machine, 9000, 10_000).is_some();
        assert!(written, "within the longest wait for a turn");
    }
}

#[test]
fn writers_take_turns_in_a_window_that_has_been_open_when_they_hear_of_it() {
    let written_at = |me: u8| {
        let mut settings = settings(rule(3));
        settings.me = key(me).address();
        let mut machine = Rounds::start(settings, at(0)).0;
        for peer in (1..=3).filter(|peer| *peer != me) {
            machine.on_peer_up(key(peer).address(), at(500));
        }
        machine.on_report(report(&[1, 2, 3], 1000), at(1000));
        let effects = machine.on_last_record(Ok(None), at(9000));
        if has_write(&effects) {
            return 9000;
        }
        next_write(&mut machine, 9000, 10_000).unwrap().0
    };
    let mut times = [1, 2, 3].map(written_at);
    times.sort_unstable();
    let stagger = u64::try_from(timing().stagger.as_millis()).unwrap();
    assert_eq!(times, [9000, 9000 + stagger, 9000 + 2 * stagger]);
}

#[test]
fn a_record_that_cannot_be_read_is_no_reason_to_try_again_at_once() {
    let mut machine = ready(rule(3));
    let digest = report(&[1, 2, 3], 100).digest();
    write_after(&mut machine, report(&[1, 2, 3], 100), 100, 1200).unwrap();
    let effects = machine.on_write_outcome(digest, WriteOutcome::TooSoon { last: None }, at(1300));
    assert!(!has_write(&effects));
    let (when, _) = next_write(&mut machine, 1300, 3000).unwrap();
    assert!(when >= 1550, "tried again at {when}");
}

#[test]
fn a_lost_answer_to_a_write_is_given_up_and_the_write_tried_again() {
    let mut machine = ready(rule(3));
    let (first, digest) = write_after(&mut machine, report(&[1, 2, 3], 100), 100, 1200).unwrap();
    let (second, again) = next_write(&mut machine, first + 1, first + 12_000).unwrap();
    assert!(second >= first + 10_000, "after {} ms", second - first);
    assert_eq!(digest, again);
}

#[test]
fn a_refused_certificate_is_not_tried_again() {
    let mut machine = ready(rule(3));
    let (when, digest) = write_after(&mut machine, report(&[1, 2, 3], 100), 100, 1200).unwrap();
    let effects = machine.on_write_outcome(
        digest,
        WriteOutcome::Refused {
            reason: "check".into(),
        },
        at(when + 1),
    );
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Note(Note::WriteRefused { .. })))
    );
    assert_eq!(next_write(&mut machine, when + 1, when + 20_000), None);
}

#[test]
fn news_of_a_record_cancels_the_wait_and_is_confirmed_within_bounds() {
    let mut machine = ready(rule(3));
    machine.on_report(report(&[2, 3, 4], 100), at(100));
    machine.on_written(certificate(&[2, 3, 4], 100), key(2).address(), at(101));
    let mut asked = None;
    for ms in 102..6000 {
        let effects = machine.on_tick(at(ms));
        assert!(!has_write(&effects), "wrote at {ms} what is written");
        if asked.is_none() && effects.contains(&asks_last_record()) {
            asked = Some(ms);
        }
    }
    assert!(asked.is_some_and(|ms| ms < 5000), "asked at {asked:?}");
}

/// A machine of an open network, or of members, that has this price of its own, or none.
fn with_price(members: Members, price: Option<&str>) -> Rounds {
    let mut settings = settings(rule(3));
    settings.committee.members = members;
    let (mut machine, _) = Rounds::start(settings, at(0));
    machine.on_last_record(Ok(None), at(1));
    if let Some(price) = price {
        machine.on_own_price(agreed_on(price, 1000), at(1000));
    }
    machine
}

#[test]
fn a_quorum_of_others_is_written_only_if_this_nodes_own_price_would_let_it_sign() {
    for (price, is_written) in [("3010", true), ("3016", false)] {
        for members in [members(), Members::Open] {
            let mut machine = with_price(members, Some(price));
            let wrote = write_after(&mut machine, report(&[2, 3, 4], 1500), 1500, 20_000).is_some();
            assert_eq!(wrote, is_written, "own price {price}, theirs 3000");
        }
    }
}

#[test]
fn without_a_price_it_trusts_members_and_writes_after_all_who_have_one_and_strangers_never() {
    let mut machine = with_price(members(), None);
    machine.on_report(report(&[2, 3, 4], 1500), at(1500));
    let (written_at, _) = next_write(&mut machine, 1500, 20_000).unwrap();
    assert!(written_at >= 1500 + timing().max_stagger.as_millis() as u64);

    let mut machine = with_price(Members::Open, None);
    machine.on_report(report(&[2, 3, 4], 1500), at(1500));
    assert_eq!(next_write(&mut machine, 1500, 20_000), None);
}

#[test]
fn a_price_that_comes_later_decides_about_what_members_certified() {
    let certified_first = |price| {
        let mut machine = with_price(members(), None);
        machine.on_report(report(&[2, 3, 4], 1500), at(1500));
        machine.on_own_price(agreed_on(price, 1600), at(1600));
        next_write(&mut machine, 1600, 20_000)
    };
    let (written_at, _) = certified_first("3001").unwrap();
    assert!(
        written_at < 1500 + timing().max_stagger.as_millis() as u64,
        "its turn is no later than others'"
    );
    assert_eq!(certified_first("3100"), None);
}

#[test]
fn nothing_is_added_to_a_certificate() {
    let mut machine = ready(rule(3));
    machine.on_own_price(agreed(90), at(90));
    machine.on_report(report(&[2, 3], 100), at(100));
    // Asked to sign, and overtaken by somebody else's signature.
    assert!((100..400).any(|ms| asks_to_cosign(&machine.on_tick(at(ms)))));
    machine.on_report(report(&[2, 3, 4], 100), at(401));
    let ours = report(&[2, 3], 100).cosigned_by(&key(1));
    let mut effects = machine.on_cosigned(ours.digest(), Ok(ours), at(402));
    effects.extend((402..2000).flat_map(|ms| machine.on_tick(at(ms))));
    let is_note = |effect: &Effect| matches!(effect, Effect::Note(Note::CoSigned { .. }));
    assert!(!effects.iter().any(is_note), "{effects:?}");
    let written = effects.iter().find_map(|effect| match effect {
        Effect::Store(StoreRequest::Write(certificate)) => Some(certificate.report()),
        _ => None,
    });
    assert_eq!(written, Some(&report(&[2, 3, 4], 100)), "ours is not among them");
}

#[test]
fn a_validator_is_waited_for_by_name() {
    let mut quorum = rule(3);
    quorum.validators.insert(key(5).address());
    let mut machine = ready(quorum);
    machine.on_report(report(&[2, 3, 4], 100), at(100));
    machine.on_own_price(agreed(90), at(100));
    let waits = |effect: &Effect| {
        matches!(
            effect,
            Effect::Note(Note::Waiting {
                validators_missing: 1,
                ..
            })
        )
    };
    assert!((100..2000).any(|ms| machine.on_tick(at(ms)).iter().any(waits)));
    machine.on_report(report(&[2, 5], 100), at(2001));
    assert!(next_write(&mut machine, 2001, 4000).is_some());
}

#[test]
fn in_an_open_network_the_quorum_follows_who_is_alive() {
    let fraction: Fraction = "1/2".parse().unwrap();
    let quorum = QuorumRule {
        fraction: Some(fraction),
        ..rule(2)
    };
    let (mut machine, _) = Rounds::start(
        Settings {
            committee: Committee {
                members: Members::Open,
                rule: quorum.clone(),
            },
            ..settings(quorum)
        },
        at(0),
    );
    assert_eq!(machine.required(), 2);
    for n in 2..=7 {
        machine.on_peer_up(key(n).address(), at(10));
    }
    assert_eq!((machine.live(), machine.required()), (7, 4));
    for n in 5..=7 {
        machine.on_peer_down(key(n).address(), at(20));
    }
    assert_eq!(
        (machine.live(), machine.required()),
        (4, 4),
        "it falls by one node a window"
    );
    machine.on_tick(at(30_010));
    assert_eq!(machine.required(), 4);
    machine.on_tick(at(60_010));
    assert_eq!(
        (machine.live(), machine.required()),
        (1, 3),
        "silence for three heartbeats"
    );
    machine.on_tick(at(200_000));
    assert_eq!(machine.required(), 2);
}

#[test]
fn candidates_are_bounded_however_many_observers_there_are() {
    let (mut machine, _) = Rounds::start(
        Settings {
            committee: Committee {
                members: Members::Open,
                rule: rule(3),
            },
            ..settings(rule(3))
        },
        at(0),
    );
    for n in 1..=400u32 {
        let mut secret = [3; 32];
        secret[..4].copy_from_slice(&n.to_be_bytes());
        let stranger = NodeKey::from_bytes(secret).unwrap();
        let when = at(u64::from(n)).unix;
        let own = observation(&stranger, "3000", when);
        machine.on_report(sign(own, &stranger, &[]), at(u64::from(n)));
    }
    assert_eq!(machine.candidates(), 256);
}

#[test]
fn in_an_open_window_a_price_is_asked_for_every_few_seconds_until_one_comes() {
    let mut machine = ready(rule(3));
    let mut wishes = vec![];
    let mut take = |ms: u64, effects: Vec<Effect>| {
        let is_wish = |effect: &Effect| matches!(effect, Effect::Fetch(FetchRequest::By { .. }));
        wishes.extend(effects.iter().filter(|effect| is_wish(effect)).map(|_| ms));
    };
    // Two nodes are no quorum: prices would come to nothing.
    take(10, machine.on_peer_up(key(2).address(), at(10)));
    for ms in 11..1000 {
        take(ms, machine.on_tick(at(ms)));
    }
    take(1000, machine.on_peer_up(key(3).address(), at(1000)));
    for ms in 1001..30_000 {
        take(ms, machine.on_tick(at(ms)));
    }
    assert!((5..=6).contains(&wishes.len()), "{wishes:?}");
    assert!(
        wishes[0] == 1000 && wishes.windows(2).all(|pair| pair[1] - pair[0] >= 5000),
        "{wishes:?}"
    );
}

#[test]
fn an_observation_that_was_overtaken_does_not_take_the_newer_ones_place() {
    let mut machine = ready(rule(3));
    machine.on_report(report(&[2], 600), at(700));
    machine.on_report(report(&[2], 100), at(701));
    assert_eq!(machine.candidates(), 1);
    let newer = report(&[2, 3, 4], 600);
    let effects = machine.on_report(newer.clone(), at(702));
    let is_quorum = |effect: &Effect| matches!(effect, Effect::Note(Note::Quorum { digest, .. }) if *digest == newer.digest());
    assert!(
        effects.iter().any(is_quorum),
        "it had lost what was known of it: {effects:?}"
    );
    assert_eq!(machine.candidates(), 1);
}

/// When it states a price, among these moments in ms at which it has a new one, and the price's own moment.
fn stated(machine: &mut Rounds, prices: &[u64], until: u64) -> Vec<(u64, u64)> {
    let mut stated = vec![];
    for ms in prices[0]..until {
        let effects = match prices.contains(&ms) {
            true => machine.on_own_price(agreed(ms), at(ms)),
            false => machine.on_tick(at(ms)),
        };
        for effect in effects {
            if let Effect::Sign(SignRequest::State { price, .. }) = effect {
                stated.push((ms, price.observed_at.get() - NOON));
            }
        }
    }
    stated
}

fn with_two_peers(mut machine: Rounds, ms: u64) -> Rounds {
    for peer in [2, 3] {
        machine.on_peer_up(key(peer).address(), at(ms));
    }
    machine
}

#[test]
fn one_price_is_stated_for_a_window_however_many_there_are() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    let prices = [100, 5_100, 10_100, 15_099, 15_100, 20_000];
    assert_eq!(
        stated(&mut machine, &prices, 25_000),
        [(100, 100), (15_100, 15_100)]
    );
}

#[test]
fn a_price_waits_a_moment_for_enough_nodes_to_hear_it() {
    let mut alone = ready(rule(3));
    assert_eq!(
        stated(&mut alone, &[100], 5000),
        [(1100, 100)],
        "and is stated all the same"
    );
    let mut machine = ready(rule(3));
    assert_eq!(stated(&mut machine, &[100], 600), []);
    machine.on_peer_up(key(2).address(), at(600));
    let effects = machine.on_peer_up(key(3).address(), at(700));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Sign(SignRequest::State { .. }))),
        "{effects:?}"
    );
}

#[test]
fn a_price_for_no_window_is_not_stated() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    let last = last_record(7, Duration::ZERO);
    machine.on_write_outcome(
        Digest::new([1; 32]),
        WriteOutcome::TooSoon { last: Some(last) },
        at(10),
    );
    // The window opens at 30,010 ms; 3 s before, prices begin to serve it.
    assert_eq!(
        stated(&mut machine, &[10_000, 27_000, 27_010], 30_000),
        [(27_010, 27_010)]
    );
}

#[test]
fn a_node_that_follows_another_with_its_key_does_not_contradict_it() {
    let started = at(0).instant;
    let after = |age: Option<Duration>| {
        let settings = Settings {
            predecessor_ended: Some(started),
            ..settings(rule(3))
        };
        let (mut machine, _) = Rounds::start(settings, at(0));
        let last = age.map(|age| last_record(7, age));
        machine.on_last_record(Ok(last), at(1));
        let mut machine = with_two_peers(machine, 2);
        stated(&mut machine, &[100, 14_000, 16_000], 20_000)
    };
    // The last record is 31 s old: the window is open, and somebody was at work a moment ago.
    assert_eq!(after(Some(Duration::from_secs(31))), [(15_000, 14_000)]);
    assert_eq!(after(None), [(100, 100), (16_000, 16_000)], "a new network");
    assert_eq!(
        after(Some(Duration::from_secs(61))),
        [(100, 100), (16_000, 16_000)],
        "a network at rest"
    );
}

#[test]
fn an_observer_that_equivocated_is_not_cosigned_for_as_long_as_it_is_in_quarantine() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    let (one, other) = (report(&[2], 100), report(&[2], 200));
    machine.on_report(one.clone(), at(150));
    let proof = ProvenEquivocation::of(&one, &other, Duration::from_secs(15)).unwrap();
    let effects = machine.on_equivocation(proof.clone(), true, at(201));
    let claim = Effect::Publish(Message::Equivocation(proof.to_claim()));
    let kept = Effect::Store(StoreRequest::KeepEquivocation(Box::new(proof)));
    assert!(effects.contains(&claim) && effects.contains(&kept));
    assert_eq!(machine.candidates(), 0, "neither stays");
    let mut cosigned = vec![];
    for round in [20_000u64, 300_000, 599_000, 601_000] {
        machine.on_own_price(agreed(round), at(round));
        machine.on_report(report(&[2], round), at(round));
        if (round..round + 500).any(|ms| asks_to_cosign(&machine.on_tick(at(ms)))) {
            cosigned.push(round);
        }
    }
    assert_eq!(cosigned, [601_000]);
}

#[test]
fn a_validator_signs_when_its_name_is_all_that_is_missing_and_knows_the_others() {
    let mut quorum = rule(3);
    quorum.validators.insert(key(1).address());
    let signs_at = |heard: &[u8]| {
        let mut machine = ready(quorum.clone());
        for peer in heard {
            machine.on_peer_up(key(*peer).address(), at(2));
        }
        machine.on_own_price(agreed(90), at(90));
        machine.on_report(report(&[2], 100), at(100));
        (101..1000).find(|ms| {
            let effects = match ms {
                290 => machine.on_report(report(&[2, 3], 100), at(290)),
                _ => machine.on_tick(at(*ms)),
            };
            asks_to_cosign(&effects)
        })
    };
    // Not at 250 ms, when the observation is settled and ordinary co-signers sign at once.
    assert_eq!(signs_at(&[2, 3, 4]), Some(290));
    assert_eq!(signs_at(&[2, 4]), None, "nobody has heard of the third");
}

#[test]
fn when_all_live_nodes_have_stated_nobody_waits_for_more() {
    let signs_at = |stated: &[u8]| {
        let mut machine = with_two_peers(ready(rule(3)), 2);
        machine.on_own_price(agreed(90), at(90));
        let mut heard = stated
            .iter()
            .map(|observer| machine.on_report(report(&[*observer], 100), at(100)));
        if heard.any(|effects| asks_to_cosign(&effects)) {
            return Some(100);
        }
        drop(heard);
        (101..1000).find(|ms| asks_to_cosign(&machine.on_tick(at(*ms))))
    };
    // Its own, ranked first here, has its chance before it signs another's.
    let give_up = 100 + u64::try_from(timing().give_up.as_millis()).unwrap();
    let settle = u64::try_from(timing().settle.as_millis()).unwrap();
    assert_eq!(signs_at(&[1, 2]), Some(give_up + settle), "one may still come");
    assert_eq!(signs_at(&[1, 2, 3]), Some(give_up));
}

#[test]
fn what_is_refused_is_told_to_the_network_unless_it_is_for_lack_of_knowledge() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    let reasons = |effects: Vec<Effect>| -> Vec<&'static str> {
        let reason = |effect| match effect {
            Effect::Sign(SignRequest::Refusal { reason, .. }) => Some(reason),
            _ => None,
        };
        effects.into_iter().filter_map(reason).collect()
    };
    machine.on_report(report(&[2], 100), at(100));
    for ms in 100..1000 {
        assert_eq!(reasons(machine.on_tick(at(ms))), [""; 0], "no price of our own");
    }
    let counted = |machine: &Rounds| {
        let tally = machine.status(at(1000)).tally;
        (tally.abstained, tally.refused)
    };
    assert_eq!(counted(&machine), (1, 0));
    let dear = agreed_on("3600", 1000);
    assert_eq!(reasons(machine.on_own_price(dear, at(1000))), ["price_deviates"]);
    assert_eq!(counted(&machine), (1, 1));
    let nodes = machine.status(at(1000)).nodes;
    let of = nodes
        .iter()
        .find(|node| node.address == key(2).address())
        .unwrap();
    assert_eq!(of.findings, [("price_deviates", 1)].into());
}

/// The records that were noted, and by whom they were written.
fn written(effects: &[Effect]) -> Vec<(Digest, Address)> {
    let noted = effects.iter().filter_map(|effect| match effect {
        Effect::Note(Note::Written { digest, writer, .. }) => Some((*digest, *writer)),
        _ => None,
    });
    noted.collect()
}

/// Of one record a peer's news, the database and the outcome of this node's own write may tell, in any order.
#[test]
fn a_record_is_noted_once_by_whomever_this_node_hears_of_it() {
    #[derive(Clone, Copy)]
    enum Told {
        News,
        Duplicate,
        TooSoon,
        Asked,
    }
    use Told::{Asked, Duplicate, News, TooSoon};
    for order in [
        [Duplicate, News, Asked],
        [TooSoon, News, Asked],
        [News, Duplicate, Asked],
        [News, Asked, TooSoon],
        [Asked, News, Duplicate],
        [Asked, Duplicate, News],
    ] {
        let mut machine = ready(rule(3));
        machine.on_report(report(&[1, 2, 3], 100), at(100));
        let record = certificate(&[1, 2, 3], 100);
        let last = Some(as_last(&record, Duration::from_millis(10)));
        let mut effects = vec![];
        for (told, ms) in order.into_iter().zip(200..) {
            effects.extend(match told {
                News => machine.on_written(record.clone(), key(2).address(), at(ms)),
                Duplicate => {
                    let outcome = WriteOutcome::Duplicate { last };
                    machine.on_write_outcome(record.digest(), outcome, at(ms))
                }
                TooSoon => {
                    let outcome = WriteOutcome::TooSoon { last };
                    machine.on_write_outcome(Digest::new([1; 32]), outcome, at(ms))
                }
                Asked => machine.on_last_record(Ok(last), at(ms)),
            });
        }
        assert_eq!(written(&effects), [(record.digest(), key(2).address())]);
        assert_eq!(machine.status(at(300)).tally.records, 1);
    }
}

#[test]
fn a_record_from_before_the_start_is_not_noted() {
    let (mut machine, _) = Rounds::start(settings(rule(3)), at(0));
    let first = machine.on_last_record(Ok(Some(last_record(7, WINDOW))), at(1));
    assert_eq!(written(&first), []);
    let second = machine.on_last_record(Ok(Some(last_record(8, Duration::ZERO))), at(2));
    assert_eq!(written(&second), [(Digest::new([8; 32]), key(2).address())]);
    // News that turned out to be false: the record before it is none that is new.
    let last = last_record(8, Duration::ZERO);
    let lie = certify(&report_after(&last, &[2, 3, 4], 40_000));
    machine.on_written(lie, key(4).address(), at(40_000));
    let third = machine.on_last_record(Ok(Some(last_record(8, WINDOW))), at(40_100));
    assert_eq!(written(&third), []);
}

/// What was said about a database that does not answer: the reason, and whether it had ever been there.
fn lost(effects: &[Effect]) -> Vec<(&str, bool)> {
    let lost = effects.iter().filter_map(|effect| match effect {
        Effect::Note(Note::DatabaseLost {
            reason, was_there, ..
        }) => Some((reason.as_str(), *was_there)),
        _ => None,
    });
    lost.collect()
}

#[test]
fn the_reason_why_the_database_does_not_answer_is_told_again_when_it_is_another() {
    let (mut machine, _) = Rounds::start(settings(rule(3)), at(0));
    let mut fails = |reason: &str, ms| {
        let effects = machine.on_last_record(Err(reason.to_owned()), at(ms));
        let told: Vec<_> = lost(&effects)
            .iter()
            .map(|(told, _)| (*told).to_owned())
            .collect();
        let status = machine.status(at(ms)).tally;
        assert_eq!(
            status.database_problem.as_deref(),
            Some(reason),
            "what is true now"
        );
        assert_eq!(
            status.database_lost_at,
            Some(UnixMillis::new(NOON + 1)),
            "since when"
        );
        !told.is_empty()
    };
    assert!(fails("connection refused", 1));
    assert!(!fails("connection refused", 1000));
    assert!(fails("password authentication failed", 2000));
    assert!(fails("disk full", 3000));
    // Two that take turns for ever are not told each time.
    let reasons = ["starting up", "connection refused"];
    let told = (0..100).filter(|n| fails(reasons[n % 2], 4000 + 100 * *n as u64));
    assert!(told.count() <= 4);
    assert!(fails("connection refused", 30_001), "it is late now");
    assert!(!fails("connection refused", 90_000));
    assert!(fails("another again", 90_001));
}

#[test]
fn a_database_that_has_never_answered_is_not_gone() {
    let (mut machine, _) = Rounds::start(settings(rule(3)), at(0));
    let refused = || Err("connection refused".to_owned());
    assert_eq!(
        lost(&machine.on_last_record(refused(), at(1))),
        [("connection refused", false)]
    );
    let back = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Note(Note::DatabaseBack { was_there, .. }) => Some(*was_there),
            _ => None,
        })
    };
    assert_eq!(back(&machine.on_last_record(Ok(None), at(300))), Some(false));
    assert_eq!(machine.status(at(300)).tally.database_problem, None);
    assert_eq!(
        lost(&machine.on_last_record(refused(), at(400))),
        [("connection refused", true)]
    );
    assert_eq!(back(&machine.on_last_record(Ok(None), at(500))), Some(true));
}

#[test]
fn the_lack_of_a_quorum_is_early_until_a_window_has_passed() {
    let mut machine = ready(rule(3));
    let mut early = |from: u64| {
        machine.on_own_price(agreed(from), at(from));
        machine.on_report(report(&[2], from), at(from));
        (from..from + 10_000).find_map(|ms| {
            machine.on_tick(at(ms)).iter().find_map(|effect| match effect {
                Effect::Note(Note::Waiting { is_early, .. }) => Some(*is_early),
                _ => None,
            })
        })
    };
    assert_eq!(early(100), Some(true));
    assert_eq!(early(30_100), Some(false));
}

#[test]
fn whose_signature_is_missing_is_said_with_what_is_known_of_why() {
    let mut machine = ready(rule(5));
    // Four was heard long ago; five's clock is off, and what it says is ignored for it; seven refuses.
    machine.on_peer_up(key(4).address(), at(2000));
    for number in [2, 5, 6, 7] {
        machine.on_peer_up(key(number).address(), at(29_900));
    }
    machine.on_clock(key(5).address(), 10_000, at(29_900));
    machine.on_own_price(agreed(30_000), at(30_000));
    machine.on_report(report(&[2], 30_000), at(30_000));
    let refusal = RefusalNotice::sign(
        report(&[2], 30_000).digest(),
        key(2).address(),
        "price_deviates",
        at(30_000).unix,
        &builders::network(),
        &key(7),
    );
    let mut effects = machine.on_tick(at(30_200));
    effects.extend(machine.on_refusal(&refusal, at(30_250)));
    effects.extend((30_251..32_000).flat_map(|ms| machine.on_tick(at(ms))));
    let missing = effects.iter().find_map(|effect| match effect {
        Effect::Note(Note::Waiting { missing, .. }) => Some(missing.clone()),
        _ => None,
    });
    let missing: BTreeMap<Address, Missing> = missing.unwrap().into_iter().collect();
    let of = |number| missing.get(&key(number).address());
    assert!(
        matches!(of(4), Some(Missing::Silent(silence)) if silence.as_secs() == 28),
        "{missing:?}"
    );
    assert_eq!(of(5), Some(&Missing::ClockOff(10_000)));
    assert_eq!(of(6), Some(&Missing::Late));
    assert_eq!(of(7), Some(&Missing::Refused("price_deviates")));
    assert_eq!(of(8), Some(&Missing::Away));
    assert_eq!(of(2), None, "it has signed");
}

#[test]
fn the_lack_of_a_quorum_is_early_until_the_window_opens() {
    let (mut machine, _) = after_a_record_at("3000", &["a"], 60_000, 89_000);
    let mut early = |observed: u64, until: u64| {
        machine.on_own_price(agreed(observed), at(observed));
        machine.on_report(report_for(behind_7(), &[2], observed), at(observed));
        (observed..until).find_map(|ms| {
            machine.on_tick(at(ms)).iter().find_map(|effect| match effect {
                Effect::Note(Note::Waiting { is_early, .. }) => Some(*is_early),
                _ => None,
            })
        })
    };
    assert_eq!(early(89_000, 90_000), Some(true));
    assert_eq!(early(95_000, 97_000), Some(false));
}

/// Whether a machine asks for the last record at this moment.
fn asks_at(machine: &mut Rounds, ms: u64) -> bool {
    machine.on_tick(at(ms)).contains(&asks_last_record())
}

#[test]
fn the_last_record_is_asked_for_again_when_no_answer_comes() {
    let mut machine = Rounds::start(settings(rule(3)), at(0)).0;
    let asked: Vec<u64> = (1..25_000).filter(|ms| asks_at(&mut machine, *ms)).collect();
    assert_eq!(asked, [10_000, 20_000]);
    machine.on_last_record(Ok(None), at(25_000));
    assert!((25_001..60_000).all(|ms| !asks_at(&mut machine, ms)));
}

#[test]
fn while_the_database_is_away_it_is_asked_twice_a_second() {
    let mut machine = Rounds::start(settings(rule(3)), at(0)).0;
    let (mut now, mut pauses) = (0, vec![]);
    for _ in 0..7 {
        machine.on_last_record(Err("connection refused".to_owned()), at(now));
        let again = (now + 1..now + 10_000).find(|ms| asks_at(&mut machine, *ms));
        pauses.push(again.unwrap() - now);
        now = again.unwrap();
    }
    assert_eq!(pauses, [250, 500, 500, 500, 500, 500, 500]);
    assert!(machine.status(at(now)).tally.database_lost_at.is_some());
    machine.on_last_record(Ok(None), at(now));
    assert_eq!(machine.status(at(now)).tally.database_lost_at, None);
}

#[test]
fn a_certificate_waits_for_the_database_for_longer_than_anybody_would_vouch_for_it() {
    let mut machine = ready(rule(3));
    machine.on_report(report(&[2, 3, 4], 100), at(100));
    let (mut now, digest) = next_write(&mut machine, 100, 2200).unwrap();
    let reason = "connection refused".to_owned();
    machine.on_write_outcome(
        digest,
        WriteOutcome::Unavailable {
            reason: reason.clone(),
        },
        at(now + 1),
    );
    while let Some((again, same)) = next_write(&mut machine, now + 1, now + 600) {
        assert_eq!(same, digest);
        now = again;
        machine.on_write_outcome(
            digest,
            WriteOutcome::Unavailable {
                reason: reason.clone(),
            },
            at(now + 1),
        );
    }
    // Once it is old, the database is asked whether it is back, and nothing is written until it is.
    assert!((14_000..16_000).contains(&now), "still written after {now} ms");
    machine.on_last_record(Err(reason.clone()), at(now + 600));
    while now < 3 * 30_000 {
        now = (now + 1..now + 2_000)
            .find(|ms| asks_at(&mut machine, *ms))
            .unwrap();
        machine.on_last_record(Err(reason.clone()), at(now));
    }
    machine.on_last_record(Ok(None), at(now + 1));
    let back = now + 1;
    let (now, same) = next_write(&mut machine, back, back + 3_000).unwrap();
    assert_eq!(same, digest);
    assert!(now >= back + 1_900, "a fresh one had no time to come");
    let written_at = at(now + 1).unix;
    let effects = machine.on_write_outcome(digest, WriteOutcome::Written { written_at }, at(now + 1));
    let announced = Effect::Sign(SignRequest::Written {
        certificate: certificate(&[2, 3, 4], 100),
        written_at,
    });
    assert!(effects.contains(&announced), "{effects:?}");
}

/// The wish for a price a lead before a window that opens then.
fn wishes_for(opens: u64) -> Effect {
    Effect::Fetch(FetchRequest::By {
        feed: feed(),
        at: at(opens).instant.before(timing().lead),
    })
}

#[test]
fn the_next_price_is_wanted_a_lead_before_the_next_window_opens() {
    let mut machine = Rounds::start(settings(rule(3)), at(0)).0;
    let last = last_record(7, Duration::from_secs(25));
    assert_eq!(
        machine.on_last_record(Ok(Some(last)), at(1000)),
        [wishes_for(6000)]
    );
    machine.on_own_price(agreed(5000), at(5000));
    machine.on_report(report_after(&last, &[1, 2, 3], 5100), at(5100));
    let (written, digest) = next_write(&mut machine, 5100, 8000).unwrap();
    let written_at = at(written).unix;
    let effects = machine.on_write_outcome(digest, WriteOutcome::Written { written_at }, at(written));
    assert!(effects.contains(&wishes_for(written + 30_000)), "{effects:?}");
}

#[test]
fn the_answer_to_a_write_from_before_a_restart_is_a_reason_to_ask_for_the_last_record() {
    let mut machine = ready(rule(3));
    let written_at = at(1000).unix;
    let unknown = report(&[2, 3, 4], 100).digest();
    let effects = machine.on_write_outcome(unknown, WriteOutcome::Written { written_at }, at(1000));
    assert_eq!(effects, [asks_last_record()]);
}

#[test]
fn the_best_ranked_observation_is_cosigned_when_all_had_time_to_come_and_one_at_a_time() {
    let mut observers = [2u8, 3];
    // By the last record, of which there is none, and the observer.
    observers.sort_by_key(|n| keccak256([[0; 32].as_slice(), key(*n).address().as_bytes()]));
    let [best, other] = observers;
    let mut machine = with_two_peers(ready(rule(3)), 2);
    machine.on_own_price(agreed(90), at(90));
    machine.on_report(report(&[other], 100), at(100));
    machine.on_report(report(&[best], 150), at(150));
    let asked: Vec<(u64, Digest)> = (151..600)
        .flat_map(|ms| {
            machine
                .on_tick(at(ms))
                .into_iter()
                .map(move |effect| (ms, effect))
        })
        .filter_map(|(ms, effect)| match effect {
            Effect::Sign(SignRequest::CoSign(report)) => Some((ms, report.digest())),
            _ => None,
        })
        .collect();
    let settled = 100 + u64::try_from(timing().settle.as_millis()).unwrap();
    assert_eq!(asked, [(settled, report(&[best], 150).digest())]);
}

#[test]
fn without_a_price_of_its_own_a_node_cosigns_nothing_until_it_has_one() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    machine.on_report(report(&[2], 100), at(100));
    assert!((100..1000).all(|ms| !asks_to_cosign(&machine.on_tick(at(ms)))));
    assert!(asks_to_cosign(&machine.on_own_price(agreed(1000), at(1000))));
}

#[test]
fn a_known_proof_is_no_news_and_a_quarantine_ends() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    let (one, other) = (report(&[2], 100), report(&[2], 200));
    let proof = ProvenEquivocation::of(&one, &other, Duration::from_secs(15)).unwrap();
    machine.on_equivocation(proof.clone(), true, at(201));
    let again = machine.on_equivocation(proof, false, at(1000));
    let passes_on = |effect: &Effect| matches!(effect, Effect::Store(_) | Effect::Publish(_));
    assert!(!again.iter().any(passes_on), "{again:?}");
    let status = machine.status(at(1000));
    let of = |node: &&NodeStatus| node.address == key(2).address();
    let liar = status.nodes.iter().find(of).unwrap();
    assert_eq!(liar.findings, [("equivocation", 1)].into());
    assert!(liar.quarantined_ms.is_some_and(|left| left > 590_000));
    machine.on_tick(at(601_000));
    let nodes = machine.status(at(601_000)).nodes;
    assert!(nodes.iter().any(|node| of(&node)));
    assert!(nodes.iter().all(|node| node.quarantined_ms.is_none()));
}

#[test]
fn a_refusal_is_counted_each_time_and_told_once_a_window() {
    let mut machine = with_two_peers(ready(rule(3)), 2);
    machine.on_own_price(agreed_on("3600", 90), at(90));
    let mut told = 0;
    for ms in 100..4000 {
        let effects = match ms {
            100 | 1100 | 2100 => machine.on_report(report(&[2], ms), at(ms)),
            _ => machine.on_tick(at(ms)),
        };
        let is_told = |effect: &&Effect| matches!(effect, Effect::Sign(SignRequest::Refusal { .. }));
        told += effects.iter().filter(is_told).count();
    }
    let tally = machine.status(at(4000)).tally;
    assert_eq!((told, tally.refused), (1, 3));
    assert_eq!(tally.refusals[&key(2).address()]["price_deviates"], 3);
}

/// A machine that knows a record of 3000, written at the start, with two peers, and what it does about a price of that many
/// sources at that moment.
fn after_a_record(price: &str, sources: &[&str], ms: u64) -> (Rounds, Vec<Effect>) {
    after_a_record_at(price, sources, 2, ms)
}

/// The same with a record of that moment.
fn after_a_record_at(price: &str, sources: &[&str], written: u64, ms: u64) -> (Rounds, Vec<Effect>) {
    let mut machine = with_two_peers(ready(rule(3)), 1);
    machine.on_last_record(Ok(Some(last_record(7, Duration::ZERO))), at(written));
    let mut machine = with_two_peers(machine, ms);
    let effects = machine.on_own_price(agreed_by(price, sources, ms), at(ms));
    (machine, effects)
}

/// The place of the next record after the one with the number 7 that nobody here has seen.
fn behind_7() -> Link {
    Link::after(7, Digest::new([7; 32]))
}

fn agreed_by(price: &str, sources: &[&str], ms: u64) -> AgreedPrice {
    let quotes = sources
        .iter()
        .map(|source| builders::quote(source, price, at(ms).unix));
    AgreedPrice {
        evidence: Evidence::new(quotes.collect()).unwrap(),
        ..agreed(ms)
    }
}

fn states(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Sign(SignRequest::State { .. })))
}

fn withholds(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Note(Note::Withheld { .. })))
}

#[test]
fn a_price_far_from_the_last_record_is_stated_when_three_sources_agree_or_enough_time_has_passed() {
    const WINDOW_MS: u64 = 30_000;
    let rows: [(&str, &[&str], u64, bool); 8] = [
        ("3300", &["a"], WINDOW_MS, true),
        ("3301", &["a"], WINDOW_MS, false),
        ("2699", &["a", "b"], WINDOW_MS, false),
        ("9.99", &["a"], WINDOW_MS, false),
        ("9.99", &["a", "b", "c"], WINDOW_MS, true),
        ("3601", &["a"], 2 * WINDOW_MS, false),
        ("3599", &["a"], 2 * WINDOW_MS + 2, true),
        ("9.99", &["a"], 11 * WINDOW_MS, true),
    ];
    for (price, sources, ms, is_stated) in rows {
        let (_, effects) = after_a_record(price, sources, ms);
        assert_eq!(states(&effects), is_stated, "{price} of {sources:?} at {ms}");
        assert_eq!(withholds(&effects), !is_stated, "{price} of {sources:?} at {ms}");
    }
}

#[test]
fn a_price_that_becomes_believed_by_time_alone_is_stated_at_that_moment() {
    let (machine, effects) = after_a_record("9000", &["a"], 30_000);
    assert!(withholds(&effects) && !states(&effects));
    let mut machine = with_two_peers(machine, 119_000);
    assert!(!states(
        &machine.on_own_price(agreed_by("9001", &["a"], 119_000), at(119_000))
    ));
    assert!(machine.next_wakeup().unwrap() <= at(120_000).instant);
    let stated = (119_001..=121_000).find(|ms| states(&machine.on_tick(at(*ms))));
    assert_eq!(stated, Some(120_000), "three windows after the first such price");
    // 30 % in three windows is as much as they allow.
    let (machine, _) = after_a_record("3900", &["a"], 31_000);
    let mut machine = with_two_peers(machine, 89_000);
    assert!(!states(
        &machine.on_own_price(agreed_by("3900", &["a"], 89_000), at(89_000))
    ));
    let stated = (89_001..=91_000).find(|ms| states(&machine.on_tick(at(*ms))));
    assert_eq!(stated, Some(90_002));
}

#[test]
fn a_price_that_has_stood_far_from_the_last_record_for_three_windows_is_stated() {
    let (mut machine, effects) = after_a_record("9000", &["a"], 30_000);
    assert!(withholds(&effects) && !states(&effects));
    for ms in [60_000, 90_000] {
        let effects = machine.on_own_price(agreed_by("9001", &["a"], ms), at(ms));
        assert!(!states(&effects) && !withholds(&effects), "it is said once");
    }
    let mut machine = with_two_peers(machine, 120_000);
    let effects = machine.on_own_price(agreed_by("9002", &["a"], 120_000), at(120_000));
    assert!(states(&effects));
    // One that jumps about has not stood.
    let (mut machine, _) = after_a_record("9000", &["a"], 30_000);
    machine.on_own_price(agreed_by("15000", &["a"], 90_000), at(90_000));
    let effects = machine.on_own_price(agreed_by("15000", &["a"], 120_000), at(120_000));
    assert!(!states(&effects));
}

#[test]
fn while_its_own_price_has_moved_too_far_a_node_signs_for_nobody_and_holds_it_against_nobody() {
    const OPENED: u64 = 30_003;
    let stated = |price: &str| builders::report_for(behind_7(), &[2], price, at(OPENED).unix);
    for theirs in ["9.99", "3000"] {
        let (mut machine, _) = after_a_record("9.99", &["a"], OPENED);
        let mut effects = machine.on_report(stated(theirs), at(OPENED));
        effects.extend((OPENED..34_000).flat_map(|ms| machine.on_tick(at(ms))));
        assert!(!asks_to_cosign(&effects));
        let tells = |effect: &Effect| matches!(effect, Effect::Sign(SignRequest::Refusal { .. }));
        assert!(!effects.iter().any(tells));
        let noted = effects.iter().filter_map(|effect| match effect {
            Effect::Note(Note::Refused { refusal, .. }) => Some(refusal.label()),
            _ => None,
        });
        assert_eq!(noted.collect::<Vec<_>>(), ["moved_too_far"]);
    }
    let (mut machine, _) = after_a_record("9.99", &["a", "b", "c"], OPENED);
    machine.on_report(stated("9.99"), at(OPENED));
    assert!((OPENED..34_000).any(|ms| asks_to_cosign(&machine.on_tick(at(ms)))));
}

#[test]
fn a_price_that_has_moved_too_far_backs_no_certificate() {
    let opened = 30_003;
    for (sources, is_written) in [(vec!["a"], false), (vec!["a", "b", "c"], true)] {
        let open = Settings {
            committee: builders::open(3),
            ..settings(rule(3))
        };
        let mut machine = Rounds::start(open, at(0)).0;
        machine.on_last_record(Ok(Some(last_record(7, Duration::ZERO))), at(2));
        machine.on_own_price(agreed_by("9.99", &sources, opened), at(opened));
        let report = builders::report_for(behind_7(), &[2, 3, 4], "9.99", at(opened).unix);
        machine.on_report(report, at(opened));
        assert_eq!(next_write(&mut machine, opened, 40_000).is_some(), is_written);
    }
}
