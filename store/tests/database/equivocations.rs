//! Proofs that an observer has signed two statements for one moment.

use std::time::Duration;

use quorate_protocol::{Attestation, Link, Observation, ProvenEquivocation, UnixMillis, VerifiedReport};
use quorate_store::{
    Equivocation, EquivocationFault, EquivocationQuery, Member, MigrateOptions, Store, StoreError, migrate,
};

use crate::support::{Database, LONG, attempt, connect, count, database, evidence, key, network, now, store};

fn report(number: u8, price: &str, observed_at: UnixMillis) -> VerifiedReport {
    let observer = key(number);
    let observation = Observation::new(
        "ETH/USD".parse().unwrap(),
        Link::FIRST,
        observed_at,
        observer.address(),
        evidence(price),
    );
    VerifiedReport::sign_own(observation, network(), &observer).unwrap()
}

/// A proof for a window without end: it is for the database to say that the two are too far apart.
async fn keep(store: &Store, one: &VerifiedReport, other: &VerifiedReport) -> Result<bool, StoreError> {
    let proof = ProvenEquivocation::of(one, other, Duration::MAX).unwrap();
    store.keep_equivocation(&proof, network(), key(9).address()).await
}

async fn all(store: &Store) -> Vec<Equivocation> {
    store.equivocations(EquivocationQuery::default()).await.unwrap()
}

fn assert_refused(result: Result<bool, StoreError>, constraint: &str) {
    assert!(
        matches!(&result, Err(StoreError::Refused { reason }) if reason.contains(constraint)),
        "{constraint}: {result:?}"
    );
}

#[tokio::test]
async fn a_proof_is_kept_once_and_comes_back_and_verifies() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let at = now();
    let (first, second) = (report(1, "3000", at), report(1, "3001", at));
    assert_eq!(keep(&store, &first, &second).await, Ok(true));
    // In the other order it is the same.
    assert_eq!(keep(&store, &second, &first).await, Ok(false));
    let kept = all(&store).await;
    assert_eq!(kept.len(), 1);
    let proof = &kept[0];
    assert_eq!(proof.verify(), Ok(()));
    assert_eq!(
        (proof.observer, proof.found_by),
        (key(1).address(), key(9).address())
    );
    assert_eq!((proof.sequence, proof.previous), (1, Link::FIRST.previous()));
    assert_eq!(proof.moment, Duration::from_secs(15));
    assert!(proof.first.digest < proof.second.digest);
    let mut prices = [proof.first.price, proof.second.price].map(|price| price.to_string());
    prices.sort();
    assert_eq!(prices, ["3000", "3001"]);
    assert_eq!(proof.first.observed_at, at);
    let text = serde_json::to_string(proof).unwrap();
    assert_eq!(
        serde_json::from_str::<Equivocation>(&text).unwrap().verify(),
        Ok(())
    );
}

#[tokio::test]
async fn the_observers_own_signature_is_taken_from_a_report_with_many() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let observation = |price| {
        Observation::new(
            "ETH/USD".parse().unwrap(),
            Link::FIRST,
            UnixMillis::new(now().get()),
            key(3).address(),
            evidence(price),
        )
    };
    let [first, second] = ["3000", "3001"].map(|price| {
        let mut report = VerifiedReport::sign_own(observation(price), network(), &key(3)).unwrap();
        for number in [1, 2, 4] {
            let signature = key(number).sign(report.digest());
            let signer = key(number).address();
            report.add(Attestation { signer, signature }).unwrap();
        }
        report
    });
    assert_eq!(keep(&store, &first, &second).await, Ok(true));
    assert_eq!(all(&store).await[0].verify(), Ok(()));
}

#[tokio::test]
async fn two_statements_are_for_one_moment_below_half_a_window_and_below_15_s() {
    for (window, moment) in [(LONG, 15_000), (Duration::from_secs(4), 2_000)] {
        let database = database(window).await;
        let store = store(&database.node);
        let at = now();
        let later = |millis| UnixMillis::new(at.get() + millis);
        let apart = keep(&store, &report(1, "3000", at), &report(1, "3001", later(moment))).await;
        assert_refused(apart, "eth_price_equivocations_of_one_moment");
        let near = keep(
            &store,
            &report(1, "3000", at),
            &report(1, "3001", later(moment - 1)),
        )
        .await;
        assert_eq!(near, Ok(true));
        assert_eq!(all(&store).await[0].moment, Duration::from_millis(moment));
    }
}

#[tokio::test]
async fn the_same_statement_twice_proves_nothing() {
    let database = database(LONG).await;
    let insert = insert_of(&database).await;
    let node = connect(&database.node).await;
    let [first, second] = digests(&insert)[..] else {
        panic!("two digests")
    };
    // Whichever of the two prices comes first, both statements are now of the same one, and so is the signature.
    let (price, other) = if insert.find("3000") < insert.find("3001") {
        ("3000", "3001")
    } else {
        ("3001", "3000")
    };
    let twice = insert
        .replace(&bytes(second.as_bytes()), &bytes(first.as_bytes()))
        .replace(other, price)
        .replace(
            &bytes(key(1).sign(second).as_bytes()),
            &bytes(key(1).sign(first).as_bytes()),
        );
    let (_, constraint) = attempt(&node, &twice).await.unwrap_err();
    assert_eq!(constraint, "eth_price_equivocations_digests_differ");
}

#[tokio::test]
async fn only_members_can_be_accused_where_they_are_listed() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let members = [1, 2, 3].map(|number| Member {
        address: key(number).address(),
        name: String::new(),
        validator: false,
    });
    let options = MigrateOptions {
        members: Some(members.to_vec()),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, options).await.unwrap();
    let at = now();
    let stranger = keep(&store, &report(4, "3000", at), &report(4, "3001", at)).await;
    assert_refused(stranger, "eth_price_equivocations_by_members");
    let member = keep(&store, &report(2, "3000", at), &report(2, "3001", at)).await;
    assert_eq!(member, Ok(true));
}

#[tokio::test]
async fn sixteen_a_day_of_an_observer_are_enough_and_what_is_known_stays_known() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let at = now();
    let first = report(1, "3000", at);
    for cents in 1..=16 {
        let second = report(1, &format!("3000.{cents:02}"), at);
        assert_eq!(keep(&store, &first, &second).await, Ok(true));
    }
    let one_more = keep(&store, &first, &report(1, "3001", at)).await;
    assert_refused(one_more, "eth_price_equivocations_a_day");
    assert_eq!(keep(&store, &first, &report(1, "3000.16", at)).await, Ok(false));
    assert_eq!(
        keep(&store, &report(2, "1", at), &report(2, "2", at)).await,
        Ok(true)
    );

    let of_one = EquivocationQuery {
        observer: Some(key(1).address()),
        limit: 5,
    };
    let listed = store.equivocations(of_one).await.unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|proof| proof.observer == key(1).address()));
    assert!(listed.is_sorted_by(|a, b| a.found_at >= b.found_at));
    assert_eq!(all(&store).await.len(), 17);
}

/// The columns that a node may insert, with these two reports.
async fn insert_of(database: &Database) -> String {
    let store = store(&database.node);
    let at = now();
    keep(&store, &report(1, "3000", at), &report(1, "3001", at))
        .await
        .unwrap();
    let owner = connect(&database.owner).await;
    let row = owner
        .query_one(
            "DELETE FROM eth_price_equivocations RETURNING format(
                'INSERT INTO eth_price_equivocations (observer, feed, sequence, previous, network, found_by, first_digest,
                    first_timestamp, first_price, first_evidence, first_signature, second_digest, second_timestamp,
                    second_price, second_evidence, second_signature)
                 VALUES (%L, %L, %s, %L, %L, %L, %L, %L, %s, %L, %L, %L, %L, %s, %L, %L);',
                observer, feed, sequence, previous, network, found_by, first_digest, first_timestamp, first_price, first_evidence,
                first_signature, second_digest, second_timestamp, second_price, second_evidence, second_signature)",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn nobody_can_be_slandered_by_a_thief_of_the_nodes_password() {
    let database = database(LONG).await;
    let insert = insert_of(&database).await;
    let node = connect(&database.node).await;
    for (from, to) in [
        (
            bytes(key(1).address().as_bytes()),
            bytes(key(2).address().as_bytes()),
        ),
        ("'ETH/USD'".to_owned(), "'BTC/USD'".to_owned()),
        ("'test'".to_owned(), "'production'".to_owned()),
        (", 3000, ".to_owned(), ", 3002, ".to_owned()),
        ("coinbase 3000 ".to_owned(), "coinbase 2999 ".to_owned()),
        (bytes(&[0; 32]), bytes(&[1; 32])),
        (", 3001, ".to_owned(), ", 3002, ".to_owned()),
    ] {
        let forged = insert.replace(&from, &to);
        assert_ne!(forged, insert, "{from}");
        let (_, constraint) = attempt(&node, &forged).await.unwrap_err();
        assert!(
            constraint.starts_with("eth_price_equivocations_digests_match")
                || constraint.starts_with("eth_price_equivocations_prices_are_medians"),
            "{from}: {constraint}"
        );
    }
    // Genuine statements, and a signature that is somebody else's.
    let signature = bytes(key(1).sign(digests(&insert)[0]).as_bytes());
    let of_another = bytes(key(2).sign(digests(&insert)[0]).as_bytes());
    let forged = insert.replace(&signature, &of_another);
    assert_ne!(forged, insert);
    let (_, constraint) = attempt(&node, &forged).await.unwrap_err();
    assert_eq!(constraint, "eth_price_equivocations_signatures_recover");
    // Neither its time nor its moment can be chosen, and nothing can be changed or deleted.
    for statement in [
        insert
            .replace("(observer,", "(found_at, observer,")
            .replace("VALUES (", "VALUES (now(), "),
        insert
            .replace("(observer,", "(moment, observer,")
            .replace("VALUES (", "VALUES ('1 day', "),
        "UPDATE eth_price_equivocations SET found_by = observer;".to_owned(),
        "DELETE FROM eth_price_equivocations;".to_owned(),
        "TRUNCATE eth_price_equivocations;".to_owned(),
    ] {
        let (code, message) = attempt(&node, &statement).await.unwrap_err();
        assert_eq!(
            code,
            tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE,
            "{statement}: {message}"
        );
    }
    let stale = format!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {insert}");
    let (_, constraint) = attempt(&node, &stale).await.unwrap_err();
    assert_eq!(constraint, "eth_price_equivocations_isolation_is_read_committed");
    assert_eq!(count(&node, "eth_price_equivocations").await, 0);
    // Unchanged it is a proof.
    attempt(&node, &insert).await.unwrap();
}

/// As the database writes them.
fn bytes(bytes: &[u8]) -> String {
    format!("\\x{}", const_hex::encode(bytes))
}

/// The two digests: the only values of 32 bytes but the record that both follow, which is none.
fn digests(insert: &str) -> Vec<quorate_protocol::Digest> {
    insert
        .split('\'')
        .filter_map(|part| part.rsplit_once("\\x"))
        .filter(|(_, digits)| digits.len() == 64 && digits.contains(|digit| digit != '0'))
        .map(|(_, digits)| digits.parse().unwrap())
        .collect()
}

#[tokio::test]
async fn whatever_is_changed_in_a_proof_shows() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let at = now();
    keep(&store, &report(1, "3000", at), &report(1, "3001", at))
        .await
        .unwrap();
    let proof = all(&store).await.remove(0);

    let mut changed = proof.clone();
    changed.observer = key(2).address();
    assert!(matches!(changed.verify(), Err(EquivocationFault::Digest { .. })));

    let mut changed = proof.clone();
    changed.network = "production".to_owned();
    assert!(matches!(changed.verify(), Err(EquivocationFault::Digest { .. })));

    let mut changed = proof.clone();
    (changed.sequence, changed.previous) = (2, changed.first.digest);
    assert!(matches!(changed.verify(), Err(EquivocationFault::Digest { .. })));

    let mut changed = proof.clone();
    changed.second.price = "3002".parse().unwrap();
    assert!(matches!(changed.verify(), Err(EquivocationFault::Price { .. })));

    let mut changed = proof.clone();
    changed.second = changed.first.clone();
    assert!(matches!(changed.verify(), Err(EquivocationFault::Same(_))));

    let mut changed = proof.clone();
    changed.second.observed_at = UnixMillis::new(at.get() + 15_000);
    // However long somebody says that a moment is.
    changed.moment = Duration::from_secs(3600);
    assert!(matches!(changed.verify(), Err(EquivocationFault::Apart { .. })));

    let mut changed = proof.clone();
    changed.first.signature = key(2).sign(changed.first.digest);
    assert!(matches!(
        changed.verify(),
        Err(EquivocationFault::OtherSigner { .. })
    ));

    let mut changed = proof;
    changed.first.signature = quorate_protocol::Signature::new([0; 65]);
    assert!(matches!(changed.verify(), Err(EquivocationFault::Invalid { .. })));
}
