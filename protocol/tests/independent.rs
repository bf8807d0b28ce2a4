//! An Ethereum library that is not ours must agree on digests and signers.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use alloy_primitives::{Address as EthAddress, B256, Signature as EthSignature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use proptest::prelude::*;
use quorate_protocol::{
    Digest, Evidence, Heartbeat, Link, Network, NodeKey, Observation, Price, Quote, Signature, UnixMillis,
    VerifiedReport,
};

sol! {
    struct PriceObservation {
        string feed;
        uint64 sequence;
        bytes32 previous;
        uint256 price;
        uint64 observedAt;
        address observer;
        bytes32 evidence;
    }
}

mod heartbeat {
    alloy_sol_types::sol! {
        struct Heartbeat {
            address node;
            string version;
            string[] feeds;
            uint64 sentAt;
            uint64 lastObservation;
            bytes32 lastRecord;
            uint64 uptime;
        }
    }
}

fn domain(network: &Network) -> Eip712Domain {
    let salt = alloy_primitives::keccak256(network.as_str());
    Eip712Domain {
        name: Some("quorate".into()),
        version: Some("1".into()),
        salt: Some(salt),
        ..Default::default()
    }
}

fn quotes() -> impl Strategy<Value = Vec<Quote>> {
    let quote = (1..=Price::MAX.scaled(), 0..UnixMillis::MAX.get());
    prop::collection::btree_map("[a-z0-9-]{1,32}", quote, 1..=16).prop_map(|quotes| {
        quotes
            .into_iter()
            .map(|(source, (price, at))| Quote {
                source: source.parse().unwrap(),
                price: Price::from_scaled(price).unwrap(),
                at: UnixMillis::new(at),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn alloy_computes_the_same_digest_and_recovers_the_same_signer(
        secret in prop::array::uniform32(1u8..=250),
        network in "[a-z0-9-]{1,32}",
        feed in "[A-Z0-9]{2,10}/[A-Z0-9]{2,10}",
        sequence in 2..=Link::MAX_SEQUENCE,
        previous in prop::array::uniform32(any::<u8>()),
        at in 0..UnixMillis::MAX.get(),
        quotes in quotes(),
    ) {
        let key = NodeKey::from_bytes(secret).unwrap();
        let network: Network = network.parse().unwrap();
        let evidence = Evidence::new(quotes).unwrap();
        let link = Link::new(sequence, Digest::new(previous)).unwrap();
        let observed_at = UnixMillis::new(at);
        let observation = Observation::new(feed.parse().unwrap(), link, observed_at, key.address(), evidence);
        let report = VerifiedReport::sign_own(observation.clone(), &network, &key).unwrap();

        let theirs = PriceObservation {
            feed,
            sequence,
            previous: B256::from(previous),
            price: U256::from(observation.price().scaled()),
            observedAt: at,
            observer: EthAddress::from(*key.address().as_bytes()),
            evidence: alloy_primitives::keccak256(observation.evidence().canonical()),
        };
        let digest = theirs.eip712_signing_hash(&domain(&network));
        prop_assert_eq!(digest, B256::from(*report.digest().as_bytes()));

        let signature = EthSignature::from_raw(report.signatures()[&key.address()].as_bytes()).unwrap();
        prop_assert!(signature.normalize_s().is_none(), "high s");
        let signer = signature.recover_address_from_prehash(&digest).unwrap();
        prop_assert_eq!(signer.to_string(), key.address().to_string(), "EIP-55 included");
    }
}

#[test]
fn alloy_computes_the_same_heartbeat() {
    let key = NodeKey::from_bytes([9; 32]).unwrap();
    let network: Network = "local".parse().unwrap();
    let ours = Heartbeat {
        node: key.address(),
        version: "0.1.0".into(),
        feeds: vec!["ETH/USD".parse().unwrap(), "BTC/USD".parse().unwrap()],
        sent_at: UnixMillis::new(3),
        last_observation: UnixMillis::new(2),
        last_record: Digest::new([4; 32]),
        uptime_s: 5,
        signature: Signature::new([0; 65]),
    }
    .signed(&network, &key);
    assert!(ours.is_authentic(&network));
    let theirs = heartbeat::Heartbeat {
        node: EthAddress::from(*key.address().as_bytes()),
        version: "0.1.0".into(),
        feeds: vec!["ETH/USD".into(), "BTC/USD".into()],
        sentAt: 3,
        lastObservation: 2,
        lastRecord: B256::repeat_byte(4),
        uptime: 5,
    };
    let digest = theirs.eip712_signing_hash(&domain(&network));
    assert_eq!(digest, B256::from(*ours.digest(&network).as_bytes()));
}

#[test]
fn alloy_agrees_with_the_golden_vectors() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let network: Network = text(&golden["network"]).parse().unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let observation = &case["observation"];
        let evidence = alloy_primitives::keccak256(text(&case["evidence_text"]));
        assert_eq!(evidence.to_string(), text(&case["evidence"]));
        let theirs = PriceObservation {
            feed: text(&observation["feed"]),
            sequence: observation["sequence"].as_u64().unwrap(),
            previous: text(&observation["previous"]).parse().unwrap(),
            price: text(&observation["price_scaled"]).parse().unwrap(),
            observedAt: observation["observed_at"].as_u64().unwrap(),
            observer: text(&observation["observer"]).parse().unwrap(),
            evidence,
        };
        let digest = theirs.eip712_signing_hash(&domain(&network));
        assert_eq!(digest.to_string(), text(&case["digest"]), "{}", case["name"]);
        let signatures = case["signatures"].as_object().unwrap();
        assert_eq!(signatures.len(), 3);
        for (signer, signature) in signatures {
            let signature: EthSignature = text(signature).parse().unwrap();
            assert_eq!(
                signature
                    .recover_address_from_prehash(&digest)
                    .unwrap()
                    .to_string(),
                *signer
            );
        }
    }
}
