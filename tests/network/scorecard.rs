//! Which member is the weak one, and why, as another member tells.

use std::collections::BTreeMap;

use quorate_protocol::Address;
use serde::Deserialize;

use crate::harness::{Network, Node, Plan, SOON, eventually};

/// What `/api/v1/scorecard` tells, as far as this test asks.
#[derive(Deserialize)]
struct Scorecard {
    records: u64,
    members: Vec<Card>,
}

#[derive(Debug, Deserialize)]
struct Card {
    address: Address,
    signed: u64,
    observed: u64,
    wrote: u64,
    windows: u64,
    missed: u64,
    misses: BTreeMap<String, u64>,
    restarts: u64,
}

fn scorecard(node: &Node) -> Scorecard {
    let (status, body) = node.ask("GET", "/api/v1/scorecard?period=1h");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn who_sees_another_price_and_who_is_gone_are_told_apart_from_those_who_do_their_part() {
    let mut network = Network::start(Plan {
        own_exchange: Some((5, &["all=offset:2000"])),
        ..Plan::of(5)
    });
    network.has_records(2, SOON);
    network.nodes[3].kill();
    let [gone, deceived] = [3, 4].map(|index: usize| network.nodes[index].address());
    let teller = &network.nodes[0];
    let misses = |of: Address, reason: &str| {
        let cards = scorecard(teller).members;
        let card = cards.into_iter().find(|card| card.address == of)?;
        card.misses.get(reason).copied().filter(|count| *count >= 3)
    };
    eventually("one is deceived", SOON, || misses(deceived, "price_deviates"));
    eventually("one is gone", SOON, || misses(gone, "absent"));
    eventually("the deceived one tells the same of itself", SOON, || {
        let cards = scorecard(&network.nodes[4]).members;
        let own = cards.into_iter().find(|card| card.address == deceived)?;
        own.misses.get("price_deviates").copied()
    });

    let told = scorecard(teller);
    let (weak, others) = told.members.split_at(2);
    assert!(
        weak.iter().all(|card| [gone, deceived].contains(&card.address)),
        "the weakest come first: {:?}",
        told.members
    );
    assert!(told.records >= 1);
    for card in others {
        assert!(card.missed * 4 < card.windows, "{card:?}");
        assert!(card.signed >= card.observed && card.observed + card.wrote <= 2 * told.records);
    }

    network.nodes[3].start();
    let teller = &network.nodes[0];
    eventually("it has started anew", SOON, || {
        let cards = scorecard(teller).members;
        let card = cards.into_iter().find(|card| card.address == gone)?;
        (card.restarts == 1).then_some(())
    });
}
