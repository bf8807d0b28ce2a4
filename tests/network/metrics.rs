//! `/metrics` shows what docs/metrics.md promises: every metric, with its type and labels, and no other.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Network, Plan, SOON, eventually, figure};

/// The type and the labels of each metric.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_shown() {
    // A source that fails and a node that is deceived give the labels that have an occasion only then.
    let network = Network::start(Plan {
        faults: &["kraken=status:500"],
        own_exchange: Some((4, &["all=offset:2000"])),
        ..Plan::of(4)
    });
    network.has_records(2, SOON);
    let node = &network.nodes[0];
    node.has_logged(&["report refused", "reason=price_deviates"]);

    let documented = documented();
    assert!(documented.len() > 40, "{documented:?}");
    eventually("all documented metrics", SOON, || {
        let shown = shown(&node.metrics());
        (shown.keys().eq(documented.keys())).then_some(())
    });
    assert_eq!(shown(&node.metrics()), documented);
}

#[test]
fn the_figures_are_those_of_what_happened() {
    let network = Network::start(Plan::of(3));
    let records = network.has_records(3, SOON);
    let node = &network.nodes[0];
    let of_feed = |name: &str| format!("quorate_{name}{{feed=\"ETH/USD\"}}");
    node.counts(&of_feed("records_total"), records.len() as u64);
    for (sample, times) in [
        (of_feed("price_age_seconds_count"), 1),
        (of_feed("quorum_latency_seconds_count"), 1),
        (of_feed("observations_total"), 1),
        // Two of three are others'.
        ("quorate_signatures_verified_total".into(), 2),
    ] {
        eventually(&format!("{sample} is {times} for each record"), SOON, || {
            // Of one page: both grow.
            let page = node.metrics();
            let [counted, records] = [&sample, &of_feed("records_total")].map(|name| figure(&page, name));
            (counted? >= times * records?).then_some(())
        });
    }
    // All that came in, not only what gossip carried.
    let page = node.metrics();
    assert!(
        figure(&page, "quorate_network_bytes_total{direction=\"in\"}")
            > figure(&page, "quorate_received_bytes_total")
    );
    assert!(figure(&page, "quorate_received_bytes_total") > Some(0));
    assert!(figure(&page, "quorate_network_bytes_total{direction=\"out\"}") > Some(0));
    for (sample, expected) in [
        ("quorate_mesh_peers", 2),
        ("quorate_condition{condition=\"peers\"}", 1),
        ("quorate_actor_state{actor=\"Signer\",state=\"running\"}", 1),
        ("quorate_mailbox_dropped_total{actor=\"Aggregator\"}", 0),
    ] {
        eventually(&format!("{sample} is {expected}"), SOON, || {
            (node.metric(sample)? == expected).then_some(())
        });
    }
    let written = "quorate_writes_total{feed=\"ETH/USD\",outcome=\"written\"}";
    eventually("one of them has written each record", SOON, || {
        let records = network.records().len() as u64;
        let by_all: u64 = network.nodes.iter().filter_map(|node| node.metric(written)).sum();
        (by_all >= records).then_some(())
    });
}

/// The rows of the documentation's tables: `| `name` | type | `label`, … | …`.
fn documented() -> Described {
    let text = include_str!("../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `quorate_"));
    let described = rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        let (name, kind, labels) = (cell(), cell(), cell());
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let plain = |code: &str| code.trim_matches('`').to_owned();
        (plain(name), (kind.to_owned(), labels.map(plain).collect()))
    });
    described.collect()
}

/// What a page says of its families. A histogram's samples have the ends of its name and a label of their own.
fn shown(page: &str) -> Described {
    let mut described = Described::new();
    for line in page.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            let before = described.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert_eq!(before, None, "{name} is shown twice");
        }
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["", "_bucket", "_sum", "_count"].iter().find_map(|end| {
            described
                .get_key_value(name.strip_suffix(end)?)
                .map(|(name, _)| name.clone())
        });
        let family = family.unwrap_or_else(|| panic!("{line} has no type"));
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
        for label in labels.map_or("", |(labels, _)| labels).split("\",") {
            let name = label.split('=').next().unwrap();
            if !name.is_empty() && name != "le" {
                described.get_mut(&family).unwrap().1.insert(name.to_owned());
            }
        }
    }
    described
}
