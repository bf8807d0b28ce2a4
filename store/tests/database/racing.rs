//! Many writers, one record a window.

use std::time::Duration;

use futures::future::join_all;
use quorate_protocol::UnixMillis;
use quorate_store::{DatabaseUrl, Outcome, Store, StoreConfig};
use tokio::time::{Instant, sleep};

use crate::support::{certificate, connect, database, key, network, now};

const WINDOW: Duration = Duration::from_millis(500);
const WINDOWS: u32 = 4;
const WRITERS: u8 = 8;

/// Writes new certificates as fast as it can until the deadline; how many got in.
async fn write_in_a_loop(url: DatabaseUrl, number: u8, deadline: Instant) -> usize {
    let store = Store::new(StoreConfig {
        pool_size: 1,
        ..StoreConfig::new(url)
    });
    let mut written = 0;
    let mut observed_at = now().get();
    while Instant::now() < deadline {
        observed_at += 1;
        let signers = [number, 101, 102];
        let certificate = certificate("3012.45", UnixMillis::new(observed_at), &signers);
        match store.write(&certificate, key(number).address(), network()).await {
            Outcome::Written { .. } => written += 1,
            Outcome::TooSoon { last } => assert!(last.unwrap().age < WINDOW + Duration::from_secs(1)),
            other => panic!("{other:?}"),
        }
        sleep(Duration::from_millis(2)).await;
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_writers_write_once_a_window_and_at_least_a_window_apart() {
    let database = database(WINDOW).await;
    let deadline = Instant::now() + WINDOW * WINDOWS;
    let writers = (1..=WRITERS).map(|number| {
        let task = write_in_a_loop(database.node.clone(), number, deadline);
        tokio::spawn(task)
    });
    let written: usize = join_all(writers)
        .await
        .into_iter()
        .map(|count| count.unwrap())
        .sum();

    let owner = connect(&database.owner).await;
    let row = owner
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE gap < interval '500 milliseconds') FROM (
                SELECT written_at - lag(written_at) OVER (ORDER BY written_at) AS gap FROM eth_prices) AS gaps",
            &[],
        )
        .await
        .unwrap();
    let (records, too_close): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(usize::try_from(records).unwrap(), written);
    assert_eq!(too_close, 0);
    // A slow machine may miss one; none may be written twice.
    assert!(
        written >= 2 && written <= WINDOWS as usize + 1,
        "{written} records"
    );
}
