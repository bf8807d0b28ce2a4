//! Golden vectors: the same bytes for every version and every language. `testdata/vectors.json` is part of the protocol;
//! a change here that is not a new protocol version is a mistake. `QUORATE_WRITE_VECTORS=1` writes the file anew.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use std::time::Duration;

use quorate_protocol::{
    Address, Attestation, Digest, Electorate, Evidence, Heartbeat, Members, Message, Network, NodeKey,
    Observation, ProvenEquivocation, QuorumRule, Quote, RefusalNotice, Signature, UnixMillis, VerifiedReport,
    Written,
};
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quote(source: &str, price: &str, at: u64) -> Quote {
    Quote {
        source: source.parse().unwrap(),
        price: price.parse().unwrap(),
        at: UnixMillis::new(at),
    }
}

fn vectors() -> Value {
    let network: Network = "local".parse().unwrap();
    let keys: Vec<NodeKey> = (1..=3).map(|n| NodeKey::from_bytes([n; 32]).unwrap()).collect();
    let at = UnixMillis::new(1_763_820_000_123);
    let cases = [
        (
            "one source",
            vec![quote("coinbase", "3012.45", 1_763_820_000_100)],
        ),
        (
            "an even number of sources",
            vec![
                quote("bitstamp", "3012.5", 1_763_820_000_000),
                quote("kraken", "3012.45", 1_763_820_000_111),
            ],
        ),
        (
            "the smallest and the largest price",
            vec![
                quote("a", "0.000000000000000001", 0),
                quote("b", "1000000000000000000", UnixMillis::MAX.get()),
                quote("c", "18.446744073709551616", 1),
            ],
        ),
    ];
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, quotes)| {
            let evidence = Evidence::new(quotes).unwrap();
            let observation = Observation::new("ETH/USD".parse().unwrap(), at, keys[0].address(), evidence);
            let mut report = VerifiedReport::sign_own(observation.clone(), &network, &keys[0]).unwrap();
            let own = Message::Report(report.to_report());
            for key in &keys[1..] {
                let signature = key.sign(report.digest());
                report
                    .add(Attestation {
                        signer: key.address(),
                        signature,
                    })
                    .unwrap();
            }
            let electorate = Electorate {
                members: Members::Open,
                rule: QuorumRule::at_least(3),
            };
            let certificate = report.certify(&electorate, 3).unwrap();
            let written = Written::sign(
                &certificate,
                UnixMillis::new(1_763_820_001_000),
                &network,
                &keys[1],
            );
            json!({
                "name": name,
                "observation": observation_json(&observation),
                "evidence_text": observation.evidence().canonical(),
                "evidence": observation.evidence().hash(),
                "digest": report.digest(),
                "signatures": report.signatures(),
                "own_report_cbor": hex(&own.encode(&network)),
                "certificate_cbor": hex(&Message::Report(report.to_report()).encode(&network)),
                "written_cbor": hex(&Message::Written(written).encode(&network)),
            })
        })
        .collect();
    let heartbeat = Heartbeat {
        node: Address::new([0; 20]),
        version: "0.1.0".into(),
        feeds: vec!["ETH/USD".parse().unwrap()],
        sent_at: at,
        last_observation: UnixMillis::new(0),
        last_record: Digest::new([0; 32]),
        uptime_s: 60,
        signature: Signature::new([0; 65]),
    }
    .signed(&network, &keys[2]);
    let refusal = RefusalNotice::sign(
        Digest::new([7; 32]),
        keys[0].address(),
        "price_deviates",
        at,
        &network,
        &keys[2],
    );
    let statements = ["3000", "3001"].map(|price| {
        let evidence = Evidence::new(vec![quote("coinbase", price, at.get())]).unwrap();
        let observation = Observation::new("ETH/USD".parse().unwrap(), at, keys[0].address(), evidence);
        VerifiedReport::sign_own(observation, &network, &keys[0]).unwrap()
    });
    let proof = ProvenEquivocation::of(&statements[0], &statements[1], Duration::from_secs(15)).unwrap();
    json!({
        "network": network.as_str(),
        "keys": keys.iter().map(|key| json!({
            "secret": hex(&key.secret_bytes()),
            "address": key.address(),
        })).collect::<Vec<_>>(),
        "cases": cases,
        "heartbeat": {
            "digest": heartbeat.digest(&network),
            "cbor": hex(&Message::Heartbeat(heartbeat).encode(&network)),
        },
        "refusal": { "cbor": hex(&Message::Refusal(refusal).encode(&network)) },
        "equivocation": { "cbor": hex(&Message::Equivocation(proof.to_claim()).encode(&network)) },
    })
}

fn observation_json(observation: &Observation) -> Value {
    json!({
        "feed": observation.feed(),
        "price": observation.price(),
        "price_scaled": observation.price().scaled().to_string(),
        "observed_at": observation.observed_at(),
        "observer": observation.observer(),
        "quotes": observation.evidence().quotes().iter()
            .map(|q| json!([q.source, q.price.to_string(), q.at])).collect::<Vec<_>>(),
    })
}

#[test]
fn every_byte_is_as_it_was() {
    let now = vectors();
    if std::env::var_os("QUORATE_WRITE_VECTORS").is_some() {
        std::fs::write(FILE, format!("{now:#}\n")).unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    assert_eq!(now, golden);
}

#[test]
fn golden_messages_decode_to_what_encodes_to_them() {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let network: Network = "local".parse().unwrap();
    let mut seen = 0;
    let mut check = |text: &Value| {
        let text = text.as_str().unwrap();
        let bytes: Vec<u8> = (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect();
        let message = Message::decode(&bytes, &network).unwrap();
        assert_eq!(message.encode(&network), bytes);
        seen += 1;
    };
    for case in golden["cases"].as_array().unwrap() {
        for name in ["own_report_cbor", "certificate_cbor", "written_cbor"] {
            check(&case[name]);
        }
    }
    for kind in ["heartbeat", "refusal", "equivocation"] {
        check(&golden[kind]["cbor"]);
    }
    assert_eq!(seen, 12);
}
