//! Exchanges fail and lie; records stay right, or stay away.

use quorate_protocol::Price;
use quorate_protocol::Record;

use crate::harness::{Network, Plan, SOON, WINDOW, eventually, let_pass};

/// The exchange begins at 3000 and moves by 2 bps a second at most: 1 % is a lie already.
fn assert_is_right(record: &Record) {
    let honest: Price = "3000".parse().unwrap();
    assert!(record.price.deviation_bps(honest) < 100, "{record:?}");
}

#[test]
fn without_any_price_nothing_is_written_until_an_exchange_is_back() {
    let mut network = Network::start(Plan::of(3));
    network.has_records(1, SOON);

    network.exchange.fail("coinbase", "status:429:retry-after=3");
    network.exchange.fail("kraken", "status:500");
    network.exchange.fail("bitstamp", "html");
    for node in &network.nodes {
        node.has_logged(&["source failed: source=coinbase error=rate_limited"]);
        node.has_logged(&["source failed: source=kraken error=status"]);
        node.has_logged(&["source failed: source=bitstamp error=html"]);
        node.has_logged(&["no price: feed=ETH/USD"]);
    }
    // The last price is too old to vouch for after half a window.
    let_pass(WINDOW);
    let before = network.records().len();
    let_pass(2 * WINDOW);
    assert_eq!(network.records().len(), before);
    assert!(network.all_run());

    network.exchange.heal();
    for record in network.has_further_records(2, SOON) {
        assert_is_right(&record);
    }
}

#[test]
fn one_of_three_sources_that_lies_is_left_out() {
    let network = Network::start(Plan {
        faults: &["kraken=offset:2000"],
        ..Plan::of(3)
    });
    for record in network.has_records(3, SOON) {
        assert_is_right(&record);
        let liar = record
            .evidence
            .quotes()
            .iter()
            .find(|quote| quote.source.as_str() == "kraken");
        assert_eq!(liar, None);
    }
    for node in &network.nodes {
        node.has_logged(&["outlier left out", "source=kraken"]);
    }
}

#[test]
fn a_node_whose_own_exchange_lies_is_refused_and_the_others_go_on() {
    let network = Network::start(Plan {
        own_exchange: Some((4, &["all=offset:2000"])),
        ..Plan::of(4)
    });
    let deceived = &network.nodes[3];
    let refusals = format!(
        "quorate_refusals_total{{feed=\"ETH/USD\",observer=\"{}\",reason=\"price_deviates\"}}",
        deceived.address()
    );
    let its_address = format!("observer={}", deceived.address());
    for node in &network.nodes[..3] {
        node.has_logged(&["report refused:", &its_address, "reason=price_deviates"]);
        node.counts(&refusals, 1);
    }
    deceived.has_logged(&["report refused:", "reason=price_deviates"]);
    // Its operator sees why its price does not pass.
    deceived.has_logged(&["report refused by a peer:", &its_address, "reason=price_deviates"]);
    eventually("its status says so", SOON, || {
        let (_, told) = deceived.findings(deceived.address());
        (*told.get("price_deviates")? >= 1).then_some(())
    });
    for record in network.has_further_records(2, SOON) {
        assert_is_right(&record);
        assert_ne!(record.observer, deceived.address());
        assert!(!record.verify().unwrap().contains(&deceived.address()));
    }
}
