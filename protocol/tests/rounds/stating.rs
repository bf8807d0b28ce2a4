//! Which price this node states, and when.

use super::*;

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
fn a_price_that_does_not_come_is_asked_for_again_though_nobody_says_a_word() {
    let mut machine = with_two_peers(Rounds::start(settings(rule(3)), at(0)).0, 1);
    let last = last_record(7, Duration::from_secs(25));
    let mut effects = machine.on_last_record(Ok(Some(last)), at(1000));
    // It is woken when it wants to be, and at no other time.
    let mut wishes = vec![];
    while let Some(wakeup) = machine.next_wakeup().filter(|_| wishes.len() < 4) {
        let ms = u64::try_from(wakeup.since_start().as_millis()).unwrap();
        effects.extend(machine.on_tick(at(ms)));
        let asked = |effect: Effect| match effect {
            Effect::Fetch(FetchRequest::By { at, .. }) => Some(at.since_start().as_millis()),
            _ => None,
        };
        wishes.extend(effects.drain(..).filter_map(asked));
    }
    // A lead before the window opens at 6 s, and every five seconds.
    assert_eq!(wishes, [5000, 10_000, 15_000, 20_000]);
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
