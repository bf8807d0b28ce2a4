//! What a node does about observations and records that have another place in the history than it believes.

use super::*;

/// A machine to which the database has shown this record, with two peers, in the window that opens then: at 30 s.
fn behind(record: &Certificate) -> Rounds {
    let mut machine = with_two_peers(ready(rule(3)), 1);
    machine.on_last_record(Ok(Some(as_last(record, Duration::ZERO))), at(2));
    with_two_peers(machine, OPENED - 2000)
}

const OPENED: u64 = 30_002;

fn first() -> Certificate {
    certificate(&[2, 3, 4], 0)
}

/// A certificate of the record that follows this one.
fn next_after(record: &Certificate, ms: u64) -> Certificate {
    certify(&report_for(builders::after(record.report()), &[2, 3, 4], ms))
}

fn notes(effects: Vec<Effect>) -> Vec<Note> {
    let note = |effect| match effect {
        Effect::Note(note) => Some(note),
        _ => None,
    };
    effects.into_iter().filter_map(note).collect()
}

#[test]
fn nothing_is_stated_before_the_last_record_is_known_and_then_for_the_one_behind_it() {
    let (mut machine, _) = Rounds::start(settings(rule(3)), at(0));
    let mut effects = machine.on_own_price(agreed(100), at(100));
    effects.extend((100..5000).flat_map(|ms| machine.on_tick(at(ms))));
    assert!(!states(&effects));
    let last = last_record(7, Duration::from_secs(40));
    let effects = machine.on_last_record(Ok(Some(last)), at(5000));
    let stated = effects.iter().find_map(|effect| match effect {
        Effect::Sign(SignRequest::State { link, .. }) => Some(*link),
        _ => None,
    });
    assert_eq!(stated, Some(behind_7()));
}

#[test]
fn a_price_may_be_stated_again_for_another_record_and_not_for_the_same() {
    let mut machine = behind(&first());
    assert_eq!(stated(&mut machine, &[OPENED], OPENED + 10), [(OPENED, OPENED)]);
    // Another node has written the second one without it, an outage ago: the third is due at once.
    let second = next_after(&first(), OPENED);
    let told = as_last(&second, Duration::from_secs(40));
    let effects = machine.on_last_record(Ok(Some(told)), at(OPENED + 20));
    assert!(states(&effects));
    let effects = machine.on_last_record(Ok(Some(told)), at(OPENED + 30));
    assert!(!states(&effects));
}

#[test]
fn what_is_stated_for_a_record_that_stands_is_dropped() {
    let mut machine = behind(&first());
    machine.on_report(report(&[3], OPENED), at(OPENED));
    assert_eq!(machine.candidates(), 0);
}

#[test]
fn another_history_is_refused_and_held_against_nobody_until_the_database_shows_it() {
    let mut machine = behind(&first());
    machine.on_own_price(agreed(OPENED), at(OPENED));
    let elsewhere = Link::after(1, Digest::new([9; 32]));
    let theirs = report_for(elsewhere, &[2], OPENED);
    let mut effects = machine.on_report(theirs.clone(), at(OPENED));
    effects.extend((OPENED..OPENED + 1000).flat_map(|ms| machine.on_tick(at(ms))));
    assert!(!asks_to_cosign(&effects));
    assert_eq!(
        effects
            .iter()
            .filter(|effect| **effect == asks_last_record())
            .count(),
        1
    );
    let tells = |effect: &Effect| matches!(effect, Effect::Sign(SignRequest::Refusal { .. }));
    assert!(!effects.iter().any(tells));
    let refused: Vec<&str> = notes(effects)
        .iter()
        .filter_map(|note| match note {
            Note::Refused { refusal, .. } => Some(refusal.label()),
            _ => None,
        })
        .collect();
    assert_eq!(refused, ["other_history"]);
    let nodes = machine.status(at(OPENED + 1000)).nodes;
    assert!(nodes.iter().all(|node| node.findings.is_empty()));

    let told = LastRecord {
        digest: elsewhere.previous(),
        ..as_last(&first(), Duration::from_secs(31))
    };
    let mut effects = machine.on_last_record(Ok(Some(told)), at(OPENED + 1000));
    effects.extend((OPENED + 1000..OPENED + 2000).flat_map(|ms| machine.on_tick(at(ms))));
    assert!(asks_to_cosign(&effects), "it is the next one now");
}

#[test]
fn whoever_is_ahead_is_a_reason_to_ask_once_in_half_a_window() {
    let mut machine = behind(&first());
    let mut asked = vec![];
    for ms in OPENED..OPENED + 60_000 {
        let effects = match ms % 100 {
            0 => {
                let ahead = Link::after(ms, Digest::new([9; 32]));
                machine.on_report(report_for(ahead, &[2], ms), at(ms))
            }
            _ => machine.on_tick(at(ms)),
        };
        if effects.contains(&asks_last_record()) {
            asked.push(ms);
            machine.on_last_record(Ok(Some(as_last(&first(), Duration::from_millis(ms)))), at(ms));
        }
    }
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        pauses.len() >= 2 && pauses.iter().all(|pause| *pause >= 15_000),
        "{asked:?}"
    );
}

#[test]
fn what_came_too_early_is_a_certificate_as_soon_as_the_record_before_it_is_known() {
    let mut machine = behind(&first());
    let second = next_after(&first(), OPENED - 1000);
    let third = next_after(&second, OPENED);
    machine.on_report(third.report().clone(), at(OPENED));
    assert_eq!(next_write(&mut machine, OPENED, OPENED + 20), None);
    let told = as_last(&second, Duration::from_secs(40));
    machine.on_last_record(Ok(Some(told)), at(OPENED + 20));
    let written = next_write(&mut machine, OPENED + 20, OPENED + 2000);
    assert_eq!(written.map(|(_, digest)| digest), Some(third.digest()));
}

#[test]
fn news_of_what_does_not_come_next_is_only_a_reason_to_ask() {
    let elsewhere = report_for(Link::after(1, Digest::new([9; 32])), &[2, 3, 4], OPENED);
    // Of one that is further ahead, this node may have missed what lies between, or somebody has made it up.
    let third = next_after(&next_after(&first(), OPENED - 100), OPENED);
    for news in [certificate(&[3, 4, 5], 10), certify(&elsewhere), third] {
        let mut machine = behind(&first());
        let mut effects = machine.on_written(news, key(2).address(), at(OPENED));
        assert_eq!(machine.last_record(), first().digest());
        effects.extend((OPENED..OPENED + 2000).flat_map(|ms| machine.on_tick(at(ms))));
        assert!(effects.contains(&asks_last_record()));
    }
}

/// The database had shown the first record, then the second, and has lost it: it was announced, so that the node has it.
fn rewound(second: &Certificate) -> (Rounds, Vec<Effect>) {
    let mut machine = behind(&first());
    machine.on_written(second.clone(), key(2).address(), at(OPENED));
    machine.on_last_record(Ok(Some(as_last(second, Duration::ZERO))), at(OPENED + 100));
    let told = as_last(&first(), Duration::from_secs(60));
    let effects = machine.on_last_record(Ok(Some(told)), at(2 * OPENED));
    (machine, effects)
}

#[test]
fn while_a_lost_record_is_to_be_written_again_nothing_else_is_stated_signed_or_written() {
    let second = next_after(&first(), OPENED);
    let (mut machine, mut effects) = rewound(&second);
    let now = 2 * OPENED;
    effects.extend(machine.on_own_price(agreed(now), at(now)));
    let rival = report_for(builders::after(first().report()), &[3, 4], now);
    let certified = report_for(builders::after(first().report()), &[5, 6, 7], now + 1);
    effects.extend(machine.on_report(rival, at(now)));
    effects.extend(machine.on_report(certified, at(now + 1)));
    effects.extend((now + 1..now + 2000).flat_map(|ms| machine.on_tick(at(ms))));
    assert!(!states(&effects) && !asks_to_cosign(&effects));
    assert_eq!(write_in(&effects), Some(second.digest()));
    let (sequence, digest) = (2, second.digest());
    assert!(notes(effects).contains(&Note::HistoryRewound {
        sequence,
        digest,
        is_held: true
    }));

    let written_at = at(now + 2000).unix;
    let effects = machine.on_write_outcome(digest, WriteOutcome::Written { written_at }, at(now + 2000));
    let noted = notes(effects);
    assert!(noted.contains(&Note::HistoryHealed { sequence, digest }));
    assert!(
        !noted.iter().any(|note| matches!(note, Note::Written { .. })),
        "it was noted when it was new"
    );
    assert_eq!(machine.last_record(), digest);
}

#[test]
fn another_record_in_the_place_of_a_lost_one_is_a_fork_and_the_lost_one_is_kept() {
    let second = next_after(&first(), OPENED);
    let other = next_after(&first(), OPENED + 1);
    let forked = |effects: Vec<Effect>| {
        let kept = Effect::Store(StoreRequest::KeepLost(second.clone()));
        assert!(effects.contains(&kept), "{effects:?}");
        let last_record = |note| match note {
            Note::Forked {
                digest, last_record, ..
            } if digest == second.digest() => Some(last_record),
            _ => None,
        };
        notes(effects).into_iter().find_map(last_record).unwrap()
    };
    // Somebody else was faster.
    let (mut machine, _) = rewound(&second);
    let last = Some(as_last(&other, Duration::ZERO));
    let outcome = WriteOutcome::TooSoon { last };
    let effects = machine.on_write_outcome(second.digest(), outcome, at(2 * OPENED + 10));
    assert_eq!(forked(effects), other.digest());
    assert_eq!(machine.status(at(2 * OPENED + 10)).tally.forks, 1);
    // Another history, or none at all, where this node had a record.
    for (last, goes_on_from) in [(last, other.digest()), (None, Digest::new([0; 32]))] {
        let mut machine = behind(&first());
        machine.on_last_record(Ok(Some(as_last(&second, Duration::ZERO))), at(OPENED));
        machine.on_written(second.clone(), key(2).address(), at(OPENED + 1));
        let effects = machine.on_last_record(Ok(last), at(OPENED + 100));
        assert_eq!(forked(effects), goes_on_from);
    }
    // One that follows another one than this node's.
    let mut machine = behind(&first());
    machine.on_last_record(Ok(Some(as_last(&second, Duration::ZERO))), at(OPENED));
    machine.on_written(second.clone(), key(2).address(), at(OPENED + 1));
    let third = next_after(&other, OPENED + 2);
    let effects = machine.on_last_record(Ok(Some(as_last(&third, Duration::ZERO))), at(OPENED + 100));
    assert_eq!(forked(effects), third.digest());
}

#[test]
fn what_was_only_announced_was_never_there() {
    let second = next_after(&first(), OPENED);
    let mut machine = behind(&first());
    machine.on_written(second, key(2).address(), at(OPENED));
    let told = as_last(&first(), Duration::from_secs(30));
    let noted = notes(machine.on_last_record(Ok(Some(told)), at(OPENED + 100)));
    let is_about_history = |note: &Note| {
        matches!(
            note,
            Note::HistoryRewound { .. } | Note::HistoryHealed { .. } | Note::Forked { .. }
        )
    };
    assert!(!noted.iter().any(is_about_history));
    assert!(noted.iter().any(|note| matches!(note, Note::FalseWritten { .. })));
}

#[test]
fn what_was_announced_right_before_an_outage_may_have_been_lost_in_it() {
    let second = next_after(&first(), OPENED);
    let mut machine = behind(&first());
    machine.on_written(second.clone(), key(2).address(), at(OPENED));
    machine.on_last_record(Err("connection refused".to_owned()), at(OPENED + 100));
    let told = as_last(&first(), Duration::from_secs(40));
    let mut effects = machine.on_last_record(Ok(Some(told)), at(OPENED + 10_000));
    effects.extend((OPENED + 10_000..OPENED + 12_000).flat_map(|ms| machine.on_tick(at(ms))));
    assert_eq!(write_in(&effects), Some(second.digest()));
    assert!(
        !notes(effects)
            .iter()
            .any(|note| matches!(note, Note::FalseWritten { .. }))
    );
}
