//! Golden vectors: the same bytes for every version and every language. `testdata/vectors.json` is part of the protocol;
//! a change here that is not a new protocol version is a mistake. `QUORATE_WRITE_VECTORS=1` writes the file anew.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use std::time::Duration;

use const_hex::encode as hex;
use quorate_protocol::{
    Address, Attestation, Committee, Digest, Evidence, Heartbeat, Link, Members, Message, Network, NodeKey,
    Observation, ProvenEquivocation, QuorumRule, Quote, RefusalNotice, Signature, UnixMillis, VerifiedReport,
    Written, keccak256,
    seal::{Keyring, NetworkSecret, SealError, Sealed},
};
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors.json");

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
    let later = Link::new(1042, keccak256([b"the record before"])).unwrap();
    let cases = [
        (
            "the first record, of one source",
            Link::FIRST,
            vec![quote("coinbase", "3012.45", 1_763_820_000_100)],
        ),
        (
            "an even number of sources",
            later,
            vec![
                quote("bitstamp", "3012.5", 1_763_820_000_000),
                quote("kraken", "3012.45", 1_763_820_000_111),
            ],
        ),
        (
            "the smallest and the largest price, and a long number",
            Link::new(1 << 32, later.previous()).unwrap(),
            vec![
                quote("a", "0.000000000000000001", 0),
                quote("b", "1000000000000000000", UnixMillis::MAX.get()),
                quote("c", "18.446744073709551616", 1),
            ],
        ),
    ];
    let cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, link, quotes)| {
            let evidence = Evidence::new(quotes).unwrap();
            let (feed, observer) = ("ETH/USD".parse().unwrap(), keys[0].address());
            let observation = Observation::new(feed, link, at, observer, evidence);
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
            let committee = Committee {
                members: Members::Open,
                rule: QuorumRule::at_least(3),
            };
            let certificate = report.certify(&committee, 3).unwrap();
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
                "own_report_cbor": hex(own.encode(&network)),
                "certificate_cbor": hex(Message::Report(report.to_report()).encode(&network)),
                "written_cbor": hex(Message::Written(written).encode(&network)),
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
        let (feed, observer) = ("ETH/USD".parse().unwrap(), keys[0].address());
        let observation = Observation::new(feed, later, at, observer, evidence);
        VerifiedReport::sign_own(observation, &network, &keys[0]).unwrap()
    });
    let proof = ProvenEquivocation::of(&statements[0], &statements[1], Duration::from_secs(15)).unwrap();
    let sealed = sealed_json(&network, &Message::Heartbeat(heartbeat.clone()).encode(&network));
    json!({
        "network": network.as_str(),
        "keys": keys.iter().map(|key| json!({
            "secret": hex(key.secret_bytes().as_slice()),
            "address": key.address(),
        })).collect::<Vec<_>>(),
        "cases": cases,
        "heartbeat": {
            "digest": heartbeat.digest(&network),
            "cbor": hex(Message::Heartbeat(heartbeat).encode(&network)),
        },
        "refusal": { "cbor": hex(Message::Refusal(refusal).encode(&network)) },
        "equivocation": { "cbor": hex(Message::Equivocation(proof.to_claim()).encode(&network)) },
        "sealed": sealed,
    })
}

/// A message that is sealed, and what an implementation computes on the way there.
fn sealed_json(network: &Network, plaintext: &[u8]) -> Value {
    let secret: [u8; 32] = std::array::from_fn(|at| at as u8 + 1);
    let secret_text = hex(secret);
    let nonce: [u8; 24] = std::array::from_fn(|at| at as u8 + 100);
    let secret: NetworkSecret = secret_text.parse().unwrap();
    let keyring = Keyring::new(network, std::slice::from_ref(&secret)).unwrap();
    json!({
        "secret": secret_text,
        "key_id": secret.key_id(network),
        "nonce": hex(nonce),
        "plaintext": hex(plaintext),
        "cbor": hex(keyring.seal(plaintext, nonce)),
    })
}

fn observation_json(observation: &Observation) -> Value {
    json!({
        "feed": observation.feed(),
        "sequence": observation.link().sequence(),
        "previous": observation.link().previous(),
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
        let bytes = bytes_of(text);
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

fn bytes_of(hex: &Value) -> Vec<u8> {
    const_hex::decode(hex.as_str().unwrap()).unwrap()
}

/// By the documentation's words alone, with a cipher taken from elsewhere: this file does not use the code that sealed.
#[test]
fn the_golden_seal_is_made_as_documented() {
    use chacha20poly1305::{
        KeyInit, XChaCha20Poly1305, XNonce,
        aead::{Aead, Payload},
    };
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let golden = &golden["sealed"];
    let (secret, nonce) = (bytes_of(&golden["secret"]), bytes_of(&golden["nonce"]));
    let salt = keccak256([b"local"]);
    let derived = |domain: &str| *keccak256([domain.as_bytes(), salt.as_bytes(), &secret]).as_bytes();
    let key_id = &derived("quorate key id")[..8];
    assert_eq!(key_id, bytes_of(&golden["key_id"]));

    let clear = ciborium::Value::Bytes(key_id.to_vec());
    let mut aad = Vec::new();
    ciborium::into_writer(&(1, "local", 255, clear), &mut aad).unwrap();
    let payload = Payload {
        msg: &bytes_of(&golden["plaintext"]),
        aad: &aad,
    };
    let cipher = XChaCha20Poly1305::new(&derived("quorate seal key").into());
    let ciphertext = cipher.encrypt(XNonce::from_slice(&nonce), payload).unwrap();

    let network: Network = "local".parse().unwrap();
    let message = bytes_of(&golden["cbor"]);
    let sealed = Sealed::decode(&message, &network).unwrap();
    assert_eq!(
        (&sealed.nonce[..], sealed.ciphertext),
        (&nonce[..], &ciphertext[..])
    );
}

#[test]
fn the_golden_seal_opens_with_its_secret_alone() {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let golden = &golden["sealed"];
    let network: Network = "local".parse().unwrap();
    let message = bytes_of(&golden["cbor"]);
    let with = |secret: &str| {
        let secret: NetworkSecret = secret.parse().unwrap();
        Keyring::new(&network, &[secret]).unwrap().open(&message)
    };
    let secret = golden["secret"].as_str().unwrap();
    assert_eq!(with(secret).unwrap(), bytes_of(&golden["plaintext"]));
    let other = secret.replace("01", "02");
    assert!(matches!(with(&other), Err(SealError::UnknownKey { .. })));
}
