//! What makes an observation a certificate.

use super::*;

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
