//! Whom this node signs for, and what it says when it does not.

use super::*;

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
