//! Many writers, one record a window.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use quorate_protocol::{Link, WriteOutcome};
use quorate_store::{DatabaseUrl, PrivateOptions, PrivatePostgres, Store, StoreConfig};
use tokio::time::{Instant, sleep};

use crate::support::{
    LONG, after, certificate, certificate_at, connect, database, database_of, now, store, write,
};

const WINDOW: Duration = Duration::from_millis(500);
const WINDOWS: usize = 4;
const WRITERS: u8 = 8;

/// Writes new certificates as fast as it can until enough have got in, its own or others'.
async fn write_in_a_loop(url: DatabaseUrl, number: u8, written: Arc<AtomicUsize>, deadline: Instant) {
    let store = Store::new(StoreConfig {
        pool_size: 1,
        ..StoreConfig::new(url)
    });
    let mut link = Link::FIRST;
    while written.load(Ordering::SeqCst) < WINDOWS {
        assert!(Instant::now() < deadline, "{written:?} records in all this time");
        let certificate = certificate_at(link, "ETH/USD", "3012.45", now(), &[number, 101, 102]);
        match write(&store, &certificate).await {
            WriteOutcome::Written { .. } => {
                written.fetch_add(1, Ordering::SeqCst);
                link = after(&certificate);
            }
            WriteOutcome::TooSoon { last } => {
                let last = last.unwrap();
                link = Link::after(last.sequence, last.digest);
            }
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_writers_write_once_a_window_a_window_apart_and_each_after_the_last() {
    let database = database(WINDOW).await;
    let written = Arc::new(AtomicUsize::new(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    let writers = (1..=WRITERS).map(|number| {
        let (url, written) = (database.node.clone(), Arc::clone(&written));
        tokio::spawn(write_in_a_loop(url, number, written, deadline))
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }

    let owner = connect(&database.owner).await;
    let row = owner
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE gap < interval '500 milliseconds'),
                count(*) FILTER (WHERE sequence <> place OR previous <> before) FROM (
                SELECT written_at - lag(written_at) OVER in_order AS gap, sequence, previous,
                    row_number() OVER in_order AS place, lag(digest) OVER in_order AS before
                FROM eth_prices WINDOW in_order AS (ORDER BY written_at)) AS records",
            &[],
        )
        .await
        .unwrap();
    let (records, too_close, unlinked): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(usize::try_from(records).unwrap(), written.load(Ordering::SeqCst));
    assert_eq!((too_close, unlinked), (0, 0));
}

#[tokio::test]
async fn a_lost_race_is_no_error_in_the_servers_log() {
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let database = database_of(&server, LONG).await;
    let store = store(&database.node);
    let (winner, loser) = (
        certificate("3012.45", now(), &[1, 2, 3]),
        certificate("3012.46", now(), &[4, 5, 6]),
    );
    assert!(matches!(
        write(&store, &winner).await,
        WriteOutcome::Written { .. }
    ));
    let digest = winner.digest();
    for (certificate, is_the_same) in [(&loser, false), (&winner, true)] {
        match write(&store, certificate).await {
            WriteOutcome::TooSoon { last } if !is_the_same => assert_eq!(last.unwrap().digest, digest),
            WriteOutcome::Duplicate { last } if is_the_same => assert_eq!(last.unwrap().digest, digest),
            other => panic!("{other:?}"),
        }
    }
    // That the log tells of errors at all is seen by one that is.
    connect(&database.owner)
        .await
        .batch_execute("SELECT 1 / 0")
        .await
        .unwrap_err();
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        matches!(errors[..], [error] if error.contains("division by zero")),
        "{errors:?}"
    );
}
