//! The database goes away and comes back.

use std::time::Duration;

use quorate_protocol::WriteOutcome;
use quorate_store::{PrivateOptions, PrivatePostgres, Store, StoreConfig, StoreError};
use tokio::time::Instant;

use crate::support::{
    LONG, RawRecord, after, certificate, certificate_at, connect, database, database_of, now, store, write,
};

#[tokio::test]
async fn a_stopped_server_is_unavailable_and_writes_again_after_its_return() {
    let mut server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let database = database_of(&server, Duration::from_millis(100)).await;
    let store = store(&database.node);
    let first = certificate("3012.45", now(), &[1, 2, 3]);
    let next = certificate_at(after(&first), "ETH/USD", "3012.46", now(), &[1, 2, 3]);
    let outcome = write(&store, &first).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");

    server.stop().unwrap();
    for _ in 0..2 {
        let outcome = write(&store, &next).await;
        assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");
    }
    assert!(matches!(
        store.settings().await,
        Err(StoreError::Unavailable { .. })
    ));

    server.start_again().unwrap();
    let outcome = write(&store, &next).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
    // What was written before is still there.
    assert_eq!(store.records(Default::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn terminated_connections_cost_no_write() {
    let database = database(LONG).await;
    let store = store(&database.node);
    // Several connections in the pool, all of them idle.
    let (a, b, c) = tokio::join!(store.settings(), store.settings(), store.settings());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    let owner = connect(&database.owner).await;
    owner
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    let outcome = write(&store, &certificate("3012.45", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_connection_that_is_terminated_in_a_write_is_unavailable() {
    let database = database(LONG).await;
    let blocker = connect(&database.node).await;
    blocker
        .batch_execute(&format!("BEGIN; {}", RawRecord::good(1).insert()))
        .await
        .unwrap();
    let store = Store::new(StoreConfig {
        application_name: "the victim".to_owned(),
        ..StoreConfig::new(database.node.clone())
    });
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    let terminate = async {
        let owner = connect(&database.owner).await;
        let deadline = Instant::now() + Duration::from_secs(4);
        // Until it has been caught in the act of waiting for the blocker.
        let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'the victim' AND wait_event_type = 'Lock'";
        while owner.query(waiting, &[]).await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "the write never waited");
        }
    };
    let (outcome, ()) = tokio::join!(write(&store, &certificate), terminate);
    assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let outcome = write(&store, &certificate).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_busy_pool_says_so() {
    let database = database(LONG).await;
    let blocker = connect(&database.node).await;
    blocker
        .batch_execute(&format!("BEGIN; {}", RawRecord::good(1).insert()))
        .await
        .unwrap();
    let store = Store::new(StoreConfig {
        pool_size: 1,
        // Also for connecting, on a machine that may be busy.
        connect_timeout: Duration::from_secs(2),
        ..StoreConfig::new(database.node.clone())
    });
    store.settings().await.unwrap();
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    let writing = write(&store, &certificate);
    let other = async {
        // The write is polled first and takes the only connection.
        tokio::task::yield_now().await;
        store.settings().await
    };
    tokio::select! {
        biased;
        outcome = writing => panic!("{outcome:?}"),
        answer = other => {
            let error = answer.unwrap_err();
            assert!(error.to_string().contains("1 connections were busy"), "{error}");
        }
    }
}
