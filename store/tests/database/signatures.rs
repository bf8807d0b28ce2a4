//! The database's own Keccak-256, digests and key recovery, held against libsecp256k1 and the golden vectors.

use quorate_protocol::{
    Address, Digest, Evidence, Link, NodeKey, Observation, Quote, Signature, UnixMillis, keccak256,
};
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::{LONG, connect, database, evidence, key, network};

/// As any reader in psql: with the node's role.
async fn reader() -> Client {
    connect(&database(LONG).await.node).await
}

/// What the database recovers from each of these.
async fn recovered(client: &Client, pairs: &[(Digest, Signature)]) -> Vec<Option<Address>> {
    let digests: Vec<&[u8]> = pairs.iter().map(|(digest, _)| &digest.as_bytes()[..]).collect();
    let signatures: Vec<&[u8]> = pairs
        .iter()
        .map(|(_, signature)| &signature.as_bytes()[..])
        .collect();
    let rows = client
        .query(
            "SELECT quorate_recover(digest, signature)
             FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS pair (digest, signature, place) ORDER BY place",
            &[&digests, &signatures],
        )
        .await
        .unwrap();
    let address = |bytes: &[u8]| Address::new(bytes.try_into().unwrap());
    rows.iter()
        .map(|row| row.get::<_, Option<&[u8]>>(0).map(address))
        .collect()
}

/// That the database recovers what libsecp256k1 recovers: the same address, or nobody.
async fn assert_alike(client: &Client, pairs: &[(Digest, Signature)]) {
    let expected: Vec<Option<Address>> = pairs
        .iter()
        .map(|(digest, signature)| signature.recover(*digest).ok())
        .collect();
    assert_eq!(recovered(client, pairs).await, expected);
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

/// The database's digest of an observation.
const DIGEST: &str = "
    SELECT quorate_digest($1, $2, $3, $4, $5::text::numeric,
        timestamptz 'epoch' + interval '1 millisecond' * ($6::bigint)::double precision, $7, $8)";

async fn digest_of(client: &Client, network: &str, observation: &Observation) -> Digest {
    let link = observation.link();
    let row = client
        .query_one(
            DIGEST,
            &[
                &network,
                &observation.feed().as_str(),
                &i64::try_from(link.sequence()).unwrap(),
                &link.previous().as_bytes().as_slice(),
                &observation.price().to_string(),
                &i64::try_from(observation.observed_at().get()).unwrap(),
                &observation.observer().as_bytes().as_slice(),
                &observation.evidence().canonical(),
            ],
        )
        .await
        .unwrap();
    Digest::new(row.get::<_, &[u8]>(0).try_into().unwrap())
}

#[tokio::test]
async fn the_golden_vectors_are_digested_and_recovered() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../protocol/testdata/vectors.json")).unwrap();
    let network = vectors["network"].as_str().unwrap();
    let client = reader().await;
    for case in vectors["cases"].as_array().unwrap() {
        let observation = &case["observation"];
        let quotes = observation["quotes"].clone();
        let link = Link::new(
            observation["sequence"].as_u64().unwrap(),
            observation["previous"].as_str().unwrap().parse().unwrap(),
        );
        let observation = Observation::new(
            observation["feed"].as_str().unwrap().parse().unwrap(),
            link.unwrap(),
            UnixMillis::new(observation["observed_at"].as_u64().unwrap()),
            observation["observer"].as_str().unwrap().parse().unwrap(),
            serde_json::from_value(quotes).unwrap(),
        );
        let digest = case["digest"].as_str().unwrap();
        let computed = digest_of(&client, network, &observation).await;
        assert_eq!(computed.to_string(), digest, "{}", case["name"]);
        for (signer, signature) in case["signatures"].as_object().unwrap() {
            let pair = (computed, signature.as_str().unwrap().parse().unwrap());
            assert_eq!(
                recovered(&client, &[pair]).await,
                [Some(signer.parse().unwrap())],
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
        let sequence = (1 + u64::from(bytes[7])) << (bytes[8] % 55);
        let observation = Observation::new(
            "ETH/USD".parse().unwrap(),
            Link::after(sequence - 1, hash("previous", number)),
            UnixMillis::new(u64::from(number) * 6_335_057_519_999),
            NodeKey::generate().address(),
            Evidence::sorted(quotes).unwrap(),
        );
        let expected = observation.digest(network());
        assert_eq!(
            digest_of(&client, "test", &observation).await,
            expected,
            "{observation:?}"
        );
    }
}

/// Lets the database keep the public keys with these numbers.
async fn know(owner: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let digest = hash("digest", number);
        let signature = numbered_key(number).sign(digest);
        let keep = "SELECT quorate_keep_key(quorate_recover_key($1, $2))";
        let (digest, signature) = (digest.as_bytes().as_slice(), signature.as_bytes().as_slice());
        owner.execute(keep, &[&digest, &signature]).await.unwrap();
    }
}

fn numbered_key(number: u32) -> NodeKey {
    NodeKey::from_bytes(*hash("key", number).as_bytes()).unwrap()
}

/// Whether the database takes each for the signer's signature over the digest.
async fn signed(client: &Client, claims: &[(Digest, Signature, Address)]) -> Vec<bool> {
    let digests: Vec<&[u8]> = claims.iter().map(|claim| &claim.0.as_bytes()[..]).collect();
    let signatures: Vec<&[u8]> = claims.iter().map(|claim| &claim.1.as_bytes()[..]).collect();
    let signers: Vec<&[u8]> = claims.iter().map(|claim| &claim.2.as_bytes()[..]).collect();
    let rows = client
        .query(
            "SELECT quorate_is_signed(digest, signature, signer) FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])
                WITH ORDINALITY AS claim (digest, signature, signer, place) ORDER BY place",
            &[&digests, &signatures, &signers],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_signature_verifies_with_a_known_key_as_without_it() {
    let database = database(LONG).await;
    let (owner, client) = (connect(&database.owner).await, connect(&database.node).await);
    let mut claims = vec![];
    for number in 0..40 {
        // Four keys.
        let (signer, other) = (number % 4, (number + 1) % 4);
        let digest = hash("message", number);
        let signature = numbered_key(signer).sign(digest);
        let address = numbered_key(signer).address();
        claims.push((digest, signature, address));
        claims.push((hash("message", number + 1), signature, address));
        claims.push((digest, signature, numbered_key(other).address()));
        // The other point with the same x.
        let mut turned = *signature.as_bytes();
        turned[64] = 55 - turned[64];
        claims.push((digest, Signature::new(turned), address));
        let mut changed = *signature.as_bytes();
        changed[usize::try_from(number).unwrap()] ^= 1;
        claims.push((digest, Signature::new(changed), address));
    }
    let expected: Vec<bool> = claims
        .iter()
        .map(|(digest, signature, signer)| signature.recover(*digest) == Ok(*signer))
        .collect();
    assert_eq!(expected.iter().filter(|&&genuine| genuine).count(), 40);
    assert_eq!(signed(&client, &claims).await, expected);
    know(&owner, 0..4).await;
    let row = owner
        .query_one("SELECT count(*) FROM quorate_signer_keys", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 5, "four and the generator");
    assert_eq!(signed(&client, &claims).await, expected);
}

#[tokio::test]
async fn each_record_lets_one_more_of_its_signers_be_known() {
    let database = database(LONG).await;
    let (owner, node) = (connect(&database.owner).await, connect(&database.node).await);
    let known = async || -> i64 {
        let count = "SELECT count(*) FROM quorate_signer_keys";
        owner.query_one(count, &[]).await.unwrap().get(0)
    };
    for (number, feed) in ["AA/USD", "BB/USD", "CC/USD", "DD/USD"].iter().enumerate() {
        crate::support::RawRecord::of(feed, evidence("1"), 1)
            .write(&node)
            .await
            .unwrap();
        assert_eq!(usize::try_from(known().await).unwrap(), 2 + number.min(2));
    }
    // Emptied, it fills again, the generator not being missed.
    owner.batch_execute("TRUNCATE quorate_signer_keys").await.unwrap();
    crate::support::RawRecord::of("EE/USD", evidence("1"), 1)
        .write(&node)
        .await
        .unwrap();
    assert_eq!(known().await, 1);
}

#[tokio::test]
async fn the_sum_is_right_where_points_meet() {
    let client = reader().await;
    // With V = U the sum u * U + v * V is (u + v) * U: here 2 G by a doubling on the way, and infinity.
    let sum = "
        SELECT encode(quorate_word(sum.x), 'hex') FROM quorate_signer_keys AS g,
            quorate_sum(quorate_word($1::text::numeric), g.xs, g.ys, quorate_word($2::text::numeric), g.xs, g.ys) AS sum";
    let order = "115792089237316195423570985008687907852837564279074904382605163141518161494337";
    let x_of =
        async |u: &str, v: &str| -> Option<String> { client.query_one(sum, &[&u, &v]).await.unwrap().get(0) };
    let two_g = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";
    assert_eq!(x_of("1", "1").await.as_deref(), Some(two_g));
    assert_eq!(x_of("2", "0").await.as_deref(), Some(two_g));
    assert_eq!(
        x_of("4294967296", "4294967296").await,
        x_of("8589934592", "0").await
    );
    let below = format!("{}6", &order[..order.len() - 1]);
    assert_eq!(x_of("1", &below).await, None);
    assert_eq!(x_of("0", "0").await, None);
}

#[tokio::test]
async fn signatures_of_any_key_recover_as_libsecp256k1_has_it() {
    let pairs: Vec<(Digest, Signature)> = (0..100)
        .map(|number| {
            let digest = hash("digest", number);
            (digest, numbered_key(number).sign(digest))
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
    let database = database(LONG).await;
    let (owner, client) = (connect(&database.owner).await, connect(&database.node).await);
    know(&owner, 0..1).await;
    let digest = hash("digest", 0);
    let signature = *numbered_key(0).sign(digest).as_bytes();
    let long = [&signature[..], &[0]].concat();
    let signer = numbered_key(0).address();
    for (digest, signature) in [
        (&[][..], &signature[..]),
        (&[0x12], &signature),
        (digest.as_bytes(), &[]),
        (digest.as_bytes(), &signature[..64]),
        (digest.as_bytes(), &long),
    ] {
        let row = client
            .query_one(
                "SELECT quorate_recover($1, $2), quorate_is_signed($1, $2, $3)",
                &[&digest, &signature, &signer.as_bytes().as_slice()],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<_, Option<&[u8]>>(0), None, "{digest:?} {signature:?}");
        assert!(!row.get::<_, bool>(1));
    }
}
