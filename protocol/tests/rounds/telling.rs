//! What the operator is told, and how often.

use super::*;

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
