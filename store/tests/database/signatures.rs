//! The database's own Keccak-256, digests and key recovery, held against libsecp256k1 and the golden vectors.

use quorate_protocol::{
    Address, Digest, Evidence, NodeKey, Observation, Quote, Signature, UnixMillis, keccak256,
};
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::{LONG, connect, database, evidence, key, network};

/// As any reader in psql: with the node's role.
async fn reader() -> Client {
    connect(&database(LONG).await.node).await
}

/// What the database recovers from each of these.
async fn recovered(client: &Client, pairs: &[(Digest, Signature)]) -> Vec<Option<String>> {
    let digests: Vec<String> = pairs.iter().map(|(digest, _)| digest.to_string()).collect();
    let signatures: Vec<String> = pairs.iter().map(|(_, signature)| signature.to_string()).collect();
    let rows = client
        .query(
            "SELECT quorate_recover(digest, signature)
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pair (digest, signature, place) ORDER BY place",
            &[&digests, &signatures],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// That the database recovers what libsecp256k1 recovers: the same address, or nobody.
async fn assert_alike(client: &Client, pairs: &[(Digest, Signature)]) {
    let expected: Vec<Option<String>> = pairs
        .iter()
        .map(|(digest, signature)| signature.recover(*digest).ok().map(lower))
        .collect();
    assert_eq!(recovered(client, pairs).await, expected);
}

fn lower(address: Address) -> String {
    address.to_string().to_lowercase()
}

/// Numbers that look random and are the same in every run.
fn hash(name: &str, number: u32) -> Digest {
    keccak256([name.as_bytes(), &number.to_be_bytes()])
}

fn word(hex: &str) -> [u8; 32] {
    let digest: Digest = format!("0x{hex}").parse().unwrap();
    *digest.as_bytes()
}

fn signature_of(r: [u8; 32], s: [u8; 32], v: u8) -> Signature {
    let mut bytes = [v; 65];
    bytes[..32].copy_from_slice(&r);
    bytes[32..64].copy_from_slice(&s);
    Signature::new(bytes)
}

/// The group's order.
const N: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
/// The x of the group's generator; its y is even.
const G: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

#[tokio::test]
async fn keccak_of_any_length_is_the_programs() {
    let client = reader().await;
    // Across the ends of two blocks of 136 bytes.
    let messages: Vec<Vec<u8>> = (0..=280)
        .map(|length| (0..length).map(|i: u32| i.to_le_bytes()[0] ^ 0x5a).collect())
        .collect();
    let rows = client
        .query(
            "SELECT quorate_keccak256(message)
             FROM unnest($1::bytea[]) WITH ORDINALITY AS one (message, place) ORDER BY place",
            &[&messages],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), messages.len());
    for (row, message) in rows.iter().zip(&messages) {
        let expected = keccak256([message]);
        assert_eq!(
            row.get::<_, &[u8]>(0),
            expected.as_bytes(),
            "{} bytes",
            message.len()
        );
    }
}

#[tokio::test]
async fn the_golden_vectors_are_digested_and_recovered() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../protocol/testdata/vectors.json")).unwrap();
    let network = vectors["network"].as_str().unwrap();
    let client = reader().await;
    for case in vectors["cases"].as_array().unwrap() {
        let observation = &case["observation"];
        let quotes: Vec<Value> = observation["quotes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|quote| serde_json::json!({ "source": quote[0], "price": quote[1], "at": quote[2] }))
            .collect();
        let row = client
            .query_one(
                "SELECT quorate_digest($1, $2, $3::text::numeric,
                    timestamptz 'epoch' + interval '1 millisecond' * ($4::bigint)::double precision, $5, $6::text::jsonb)",
                &[
                    &network,
                    &observation["feed"].as_str().unwrap(),
                    &observation["price"].as_str().unwrap(),
                    &observation["observed_at"].as_i64().unwrap(),
                    &observation["observer"].as_str().unwrap(),
                    &Value::Array(quotes).to_string(),
                ],
            )
            .await
            .unwrap();
        let digest = case["digest"].as_str().unwrap();
        assert_eq!(row.get::<_, String>(0), digest, "{}", case["name"]);
        for (signer, signature) in case["signatures"].as_object().unwrap() {
            let pair = (
                digest.parse().unwrap(),
                signature.as_str().unwrap().parse().unwrap(),
            );
            assert_eq!(
                recovered(&client, &[pair]).await,
                [Some(signer.to_lowercase())],
                "{}",
                case["name"]
            );
        }
    }
}

#[tokio::test]
async fn any_observation_has_the_programs_digest() {
    let client = reader().await;
    for number in 0..40 {
        let bytes = *hash("observation", number).as_bytes();
        let nth = |index: usize| u128::from(bytes[index]);
        let quotes = (0..=bytes[0] % 16)
            .map(|index| Quote {
                source: format!("source-{index:02}").parse().unwrap(),
                // From 1 to 36 digits, with and without decimals.
                price: quorate_protocol::Price::from_scaled(
                    (1 + nth(1) * nth(2)) * 10u128.pow(u32::from(bytes[3] % 31)) + nth(4) + u128::from(index),
                )
                .unwrap(),
                at: UnixMillis::new(u64::from(bytes[5]) << (bytes[6] % 56)),
            })
            .collect();
        let observed_at = UnixMillis::new(u64::from(number) * 6_335_057_519_999);
        let observation = Observation::new(
            "ETH/USD".parse().unwrap(),
            observed_at,
            NodeKey::generate().address(),
            Evidence::sorted(quotes).unwrap(),
        );
        let quotes: Vec<Value> = observation
            .evidence()
            .quotes()
            .iter()
            .map(|quote| serde_json::json!({ "source": quote.source, "price": quote.price, "at": quote.at }))
            .collect();
        let row = client
            .query_one(
                "SELECT quorate_digest('test', 'ETH/USD', $1::text::numeric,
                    timestamptz 'epoch' + interval '1 millisecond' * ($2::bigint)::double precision, $3, $4::text::jsonb)",
                &[
                    &observation.price().to_string(),
                    &i64::try_from(observed_at.get()).unwrap(),
                    &observation.observer().to_string(),
                    &Value::Array(quotes).to_string(),
                ],
            )
            .await
            .unwrap();
        let expected = observation.digest(network()).to_string();
        assert_eq!(row.get::<_, String>(0), expected, "{observation:?}");
    }
}

#[tokio::test]
async fn the_spelling_of_a_price_does_not_change_its_digest() {
    let client = reader().await;
    let digest = "SELECT quorate_digest('test', 'ETH/USD', 3000.50, 'epoch', $1, $2::text::jsonb)";
    let observer = key(1).address().to_string();
    for spelling in ["3000.5", "3000.500", "03000.5"] {
        let evidence = format!(
            r#"[{{"at":1700000000123, "source":"coinbase","price":"{spelling}"}},
                {{"source":"kraken","price":"3000.5","at":1700000000123}}]"#
        );
        let row = client.query_one(digest, &[&observer, &evidence]).await.unwrap();
        let expected = Observation::new(
            "ETH/USD".parse().unwrap(),
            UnixMillis::new(0),
            key(1).address(),
            evidence_of_two(),
        );
        assert_eq!(row.get::<_, String>(0), expected.digest(network()).to_string());
    }
}

fn evidence_of_two() -> Evidence {
    evidence("3000.5")
}

#[tokio::test]
async fn signatures_of_any_key_recover_as_libsecp256k1_has_it() {
    let pairs: Vec<(Digest, Signature)> = (0..100)
        .map(|number| {
            let key = NodeKey::from_bytes(*hash("key", number).as_bytes()).unwrap();
            let digest = hash("digest", number);
            (digest, key.sign(digest))
        })
        .collect();
    let client = reader().await;
    assert_alike(&client, &pairs).await;
    assert!(recovered(&client, &pairs).await.iter().all(Option::is_some));
}

#[tokio::test]
async fn random_bytes_recover_to_a_stranger_or_to_nobody_as_in_libsecp256k1() {
    let pairs: Vec<(Digest, Signature)> = (0..100)
        .map(|number| {
            let mut s = *hash("s", number).as_bytes();
            // Low, or half of them would be refused for that.
            s[0] &= 0x7f;
            let v = 27 + u8::from(number % 2 == 0);
            let signature = signature_of(*hash("r", number).as_bytes(), s, v);
            (hash("digest", number), signature)
        })
        .collect();
    let client = reader().await;
    assert_alike(&client, &pairs).await;
    // No point of the curve has every second x.
    let nobody = recovered(&client, &pairs)
        .await
        .iter()
        .filter(|answer| answer.is_none())
        .count();
    assert!((20..80).contains(&nobody), "{nobody}");
}

#[tokio::test]
async fn what_is_out_of_range_or_not_canonical_recovers_to_nobody() {
    let digest = hash("digest", 0);
    let good = *key(1).sign(digest).as_bytes();
    let (r, s): ([u8; 32], [u8; 32]) = (good[..32].try_into().unwrap(), good[32..64].try_into().unwrap());
    let (zero, ones) = ([0; 32], [0xff; 32]);
    let half_n = word("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
    let above_half = word("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1");
    let p = word("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
    let v = good[64];
    let nobody: Vec<(Digest, Signature)> = [
        (zero, s, v),
        (r, zero, v),
        (r, above_half, v),
        (r, ones, v),
        (ones, s, v),
        (word(N), s, v),
        (p, s, v),
        // r = 5: 5^3 + 7 is no square.
        (
            word("0000000000000000000000000000000000000000000000000000000000000005"),
            s,
            v,
        ),
        (r, s, 0),
        (r, s, 1),
        (r, s, 26),
        (r, s, 29),
        (r, s, 255),
    ]
    .map(|(r, s, v)| (digest, signature_of(r, s, v)))
    .to_vec();
    let client = reader().await;
    assert_alike(&client, &nobody).await;
    assert!(recovered(&client, &nobody).await.iter().all(Option::is_none));
    // The highest s that is low, both v, and digests at and above the order are fine.
    let somebody: Vec<(Digest, Signature)> = [zero, ones, word(N), *digest.as_bytes()]
        .into_iter()
        .flat_map(|digest| [27, 28].map(|v| (Digest::new(digest), signature_of(r, half_n, v))))
        .collect();
    assert_alike(&client, &somebody).await;
    assert!(recovered(&client, &somebody).await.iter().all(Option::is_some));
}

#[tokio::test]
async fn a_sum_at_infinity_is_nobody_and_a_doubling_on_the_way_is_right() {
    let s = word("00000000000000000000000000000000000000000000000000000000c0ffee11");
    let client = reader().await;
    // R is G, so the key is (s - digest) / r times G: with the digest s it is no point at all.
    let infinity = (Digest::new(s), signature_of(word(G), s, 27));
    assert_eq!(infinity.1.recover(infinity.0).ok(), None);
    assert_eq!(recovered(&client, &[infinity]).await, [None]);
    // With the digest n - s both factors are the same: the two tables give the same point at every step.
    let negated = word("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8c0f365330");
    let doubling = (Digest::new(negated), signature_of(word(G), s, 27));
    assert!(doubling.1.recover(doubling.0).is_ok());
    assert_alike(&client, &[doubling]).await;
    // R is -G: the tables give opposite points at every step.
    let opposite = (Digest::new(s), signature_of(word(G), s, 28));
    assert_alike(&client, &[opposite]).await;
    let cancelling = (Digest::new(negated), signature_of(word(G), s, 28));
    assert_alike(&client, &[cancelling]).await;
}

#[tokio::test]
async fn what_is_no_digest_and_no_signature_is_nobody_and_no_error() {
    let client = reader().await;
    let digest = hash("digest", 0);
    let signature = key(1).sign(digest).to_string();
    let upper = signature.to_uppercase();
    for (digest, signature) in [
        ("", signature.as_str()),
        ("0x12", &signature),
        (&digest.to_string(), ""),
        (&digest.to_string(), &signature[..130]),
        (&digest.to_string(), &upper),
        (&digest.to_string(), "0xzz"),
    ] {
        let row = client
            .query_one("SELECT quorate_recover($1, $2)", &[&digest, &signature])
            .await
            .unwrap();
        assert_eq!(row.get::<_, Option<String>>(0), None, "{digest} {signature}");
    }
}
