//! Who writes when, what keeps a node from it, and how the database is asked.

use super::*;

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

#[test]
fn the_answer_to_a_write_from_before_a_restart_is_a_reason_to_ask_for_the_last_record() {
    let mut machine = ready(rule(3));
    let written_at = at(1000).unix;
    let unknown = report(&[2, 3, 4], 100).digest();
    let effects = machine.on_write_outcome(unknown, WriteOutcome::Written { written_at }, at(1000));
    assert_eq!(effects, [asks_last_record()]);
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
