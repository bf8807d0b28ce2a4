//! What comes of writing a certificate.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::WriteOutcome;
use quorate_store::{MigrateOptions, Store, StoreConfig, migrate};
use tokio::time::timeout;

use crate::support::{
    LONG, RawRecord, after, certificate, certificate_at, connect, database, key, network, now, store, write,
};

#[tokio::test]
async fn a_certificate_is_written_with_its_signatures() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let certificate = certificate("3012.45", now(), &[1, 2, 3, 4]);
    let outcome = store
        .write(&certificate, key(2).address(), network(), &BTreeSet::new())
        .await;
    let WriteOutcome::Written { written_at } = outcome else {
        panic!("{outcome:?}")
    };
    let last = store
        .last_record(&"ETH/USD".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((last.sequence, last.digest), (1, certificate.digest()));
    assert_eq!(last.signatures, 4);
    assert!(last.age < Duration::from_secs(5));
    let record = store.record(&last.digest).await.unwrap().unwrap();
    assert_eq!(record.written_at, written_at);
    assert_eq!(record.written_by, key(2).address());
    assert_eq!(record.signatures.len(), 4);
}

#[tokio::test]
async fn the_same_certificate_again_is_a_duplicate() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    write(&store, &certificate).await;
    let outcome = store
        .write(&certificate, key(2).address(), network(), &BTreeSet::new())
        .await;
    let WriteOutcome::Duplicate { last: Some(last) } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(last.digest, certificate.digest());
    let record = store.record(&last.digest).await.unwrap().unwrap();
    assert_eq!(record.written_by, key(1).address(), "the first writer's");
}

#[tokio::test]
async fn the_same_certificate_is_a_duplicate_also_after_its_window() {
    let window = Duration::from_millis(100);
    let database = database(window).await;
    let store = store(&database.node);
    let first = certificate("3012.45", now(), &[1, 2, 3]);
    write(&store, &first).await;
    // Written again and again until the next window is open for another one.
    let second = certificate_at(after(&first), "ETH/USD", "3013", now(), &[1, 2, 3]);
    while !matches!(write(&store, &second).await, WriteOutcome::Written { .. }) {}
    tokio::time::sleep(window).await;
    let outcome = store
        .write(&first, key(2).address(), network(), &BTreeSet::new())
        .await;
    assert!(
        matches!(&outcome, WriteOutcome::Duplicate { last: Some(last) } if last.digest == second.digest()),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn another_certificate_in_the_window_is_too_soon_and_learns_the_last_records_age() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let first = certificate("3012.45", now(), &[1, 2, 3]);
    write(&store, &first).await;
    let wait = Duration::from_millis(150);
    tokio::time::sleep(wait).await;
    let second = certificate("3013", now(), &[2, 1, 3]);
    let outcome = store
        .write(&second, key(2).address(), network(), &BTreeSet::new())
        .await;
    let WriteOutcome::TooSoon { last: Some(last) } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(last.digest, first.digest());
    assert!(
        last.age >= wait && last.age < Duration::from_secs(30),
        "{:?}",
        last.age
    );
    // The same for one that follows it.
    let next = certificate_at(after(&first), "ETH/USD", "3013", now(), &[2, 1, 3]);
    let outcome = write(&store, &next).await;
    assert!(
        matches!(&outcome, WriteOutcome::TooSoon { last: Some(last) } if last.digest == first.digest()),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_follows_another_history_is_too_soon_and_learns_what_the_database_has() {
    let database = database(Duration::from_millis(100)).await;
    let store = store(&database.node);
    let first = certificate("3012.45", now(), &[1, 2, 3]);
    write(&store, &first).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    // As after a failover that has lost records.
    let lost = certificate_at(after(&first), "ETH/USD", "3013", now(), &[1, 2, 3]);
    let other = certificate("3012.46", now(), &[1, 2, 3]);
    for link in [after(&lost), after(&other)] {
        let ahead = certificate_at(link, "ETH/USD", "3014", now(), &[1, 2, 3]);
        let outcome = write(&store, &ahead).await;
        assert!(
            matches!(&outcome, WriteOutcome::TooSoon { last: Some(last) } if last.digest == first.digest()),
            "{outcome:?}"
        );
    }
    let outcome = write(&store, &lost).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn feeds_have_windows_of_their_own() {
    let database = database(LONG).await;
    let store = store(&database.node);
    for feed in ["ETH/USD", "BTC/USD"] {
        let certificate = crate::support::certificate_for(feed, "3012.45", now(), &[1, 2, 3]);
        let outcome = write(&store, &certificate).await;
        assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn fewer_signatures_than_the_database_requires_are_refused_with_both_numbers() {
    let database = database(LONG).await;
    let more = MigrateOptions {
        min_signatures: Some(4),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, more).await.unwrap();
    let outcome = write(&store(&database.node), &certificate("3012.45", now(), &[1, 2, 3])).await;
    let WriteOutcome::Refused { reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        reason.contains("has 3 distinct signatures, 4 are required"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_unmigrated_database_refuses() {
    let database = crate::support::empty_database().await;
    let outcome = write(
        &store(&database.owner),
        &certificate("3012.45", now(), &[1, 2, 3]),
    )
    .await;
    assert!(
        matches!(&outcome, WriteOutcome::Refused { reason } if reason.contains("eth_prices")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_write_that_must_wait_too_long_is_unavailable_and_succeeds_later() {
    let database = database(LONG).await;
    let blocker = connect(&database.node).await;
    blocker
        .batch_execute(&format!("BEGIN; {}", RawRecord::good(1).insert()))
        .await
        .unwrap();
    let store = Store::new(StoreConfig {
        // A write takes a tenth of this, on a busy machine perhaps half.
        statement_timeout: Duration::from_secs(1),
        ..StoreConfig::new(database.node.clone())
    });
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    let outcome = write(&store, &certificate).await;
    assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let outcome = write(&store, &certificate).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_write_that_is_given_up_does_not_hold_its_connection() {
    let database = database(LONG).await;
    let blocker = connect(&database.node).await;
    blocker
        .batch_execute(&format!("BEGIN; {}", RawRecord::good(1).insert()))
        .await
        .unwrap();
    let store = Store::new(StoreConfig {
        pool_size: 1,
        statement_timeout: Duration::from_secs(60),
        ..StoreConfig::new(database.node.clone())
    });
    // Connected first, so that what is given up is the write itself.
    store.settings().await.unwrap();
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    let writing = write(&store, &certificate);
    assert!(timeout(Duration::from_millis(300), writing).await.is_err());
    // The only connection of the pool is free again, though the server is still at work on the write.
    timeout(Duration::from_secs(10), store.settings())
        .await
        .unwrap()
        .unwrap();
}
