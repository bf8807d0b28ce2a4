//! Reading records back.

use std::collections::BTreeSet;

use quorate_protocol::{RecordFault, UnixMillis, VerifyError, WriteOutcome};
use quorate_store::{Order, RecordQuery, Store};

use crate::support::{
    LONG, RawRecord, certificate, certificate_for, connect, database, evidence, key, network, now, signer,
    store, write,
};

async fn write_one(store: &Store, feed: &str, price: &str, observed_at: UnixMillis) {
    let outcome = write(store, &certificate_for(feed, price, observed_at, &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_certified_and_verifies() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let certificate = certificate("3012.450000000000000001", now(), &[3, 1, 2]);
    let validators = [1, 7].map(|number| key(number).address()).into();
    store
        .write(&certificate, key(9).address(), network(), &validators)
        .await;
    let record = store.record(&certificate.digest()).await.unwrap().unwrap();
    assert_eq!(record.observation(), *certificate.report().observation());
    assert_eq!(record.price.to_string(), "3012.450000000000000001");
    assert_eq!(record.evidence, evidence("3012.450000000000000001"));
    assert_eq!(
        (record.observer, record.written_by),
        (key(3).address(), key(9).address())
    );
    assert_eq!(record.network, "test");
    // Of those that the writer names, those that have signed.
    assert_eq!(record.validators, BTreeSet::from([key(1).address()]));
    let signers: BTreeSet<_> = [1, 2, 3].map(|number| key(number).address()).into();
    assert_eq!(record.verify(), Ok(signers));
    assert_eq!(record.digest, certificate.digest());
    assert_eq!(store.records(RecordQuery::default()).await, Ok(vec![record]));
}

#[tokio::test]
async fn the_highest_price_and_the_latest_time_survive() {
    let database = database(LONG).await;
    // It is not the year 9999 yet.
    let owner = connect(&database.owner).await;
    owner
        .batch_execute("ALTER TABLE eth_prices DISABLE TRIGGER quorate_verify_record")
        .await
        .unwrap();
    let store = store(&database.node);
    let certificate = certificate("1000000000000000000", UnixMillis::MAX, &[1, 2, 3]);
    write(&store, &certificate).await;
    let record = store.record(&certificate.digest()).await.unwrap().unwrap();
    assert_eq!(record.observed_at, UnixMillis::MAX);
    assert!(record.verify().is_ok());
}

#[tokio::test]
async fn whatever_is_changed_in_a_record_shows() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let observed_at = now();
    write_one(&store, "ETH/USD", "3012.45", observed_at).await;
    let record = store.records(RecordQuery::default()).await.unwrap().remove(0);

    let mut changed = record.clone();
    changed.price = "3012.46".parse().unwrap();
    assert!(matches!(changed.verify(), Err(RecordFault::Price { .. })));

    let mut changed = record.clone();
    changed.network = "production".to_owned();
    assert!(matches!(changed.verify(), Err(RecordFault::Digest { .. })));

    let mut changed = record.clone();
    changed.observed_at = UnixMillis::new(observed_at.get() + 1);
    assert!(matches!(changed.verify(), Err(RecordFault::Digest { .. })));

    let mut changed = record.clone();
    changed.signatures[0].signer = key(7).address();
    assert!(matches!(
        changed.verify(),
        Err(RecordFault::Signature(VerifyError::OtherSigner { .. }))
    ));

    let mut changed = record.clone();
    changed
        .signatures
        .retain(|attestation| attestation.signer != record.observer);
    assert_eq!(
        changed.verify(),
        Err(RecordFault::ObserverMissing(record.observer))
    );
}

#[tokio::test]
async fn records_are_filtered_and_ordered() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let start = now().get() - 10_000;
    let at = |later| UnixMillis::new(start + later);
    // Written in another order than observed.
    for (feed, later) in [("AA/USD", 2000), ("BB/USD", 3000), ("CC/USD", 1000)] {
        write_one(&store, feed, "1.5", at(later)).await;
    }
    let feeds = async |query: RecordQuery| -> Vec<String> {
        let records = store.records(query).await.unwrap();
        records
            .iter()
            .map(|record| record.feed.codes().0.to_owned())
            .collect()
    };
    let all = RecordQuery::default;
    assert_eq!(feeds(all()).await, ["BB", "AA", "CC"]);
    assert_eq!(feeds(RecordQuery { limit: 1, ..all() }).await, ["BB"]);
    let feed = Some("AA/USD".parse().unwrap());
    assert_eq!(feeds(RecordQuery { feed, ..all() }).await, ["AA"]);
    let (from, to) = (Some(at(1000)), Some(at(3000)));
    assert_eq!(feeds(RecordQuery { from, to, ..all() }).await, ["AA", "CC"]);
    let order = Order::AsWritten;
    assert_eq!(feeds(RecordQuery { order, ..all() }).await, ["AA", "BB", "CC"]);
    let first = store
        .records(RecordQuery {
            order,
            limit: 1,
            ..all()
        })
        .await
        .unwrap()[0]
        .id;
    let after = Some(first);
    assert_eq!(
        feeds(RecordQuery {
            order,
            after,
            ..all()
        })
        .await,
        ["BB", "CC"]
    );
}

#[tokio::test]
async fn a_record_that_the_owner_has_changed_can_be_read_and_does_not_verify() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let mut record = RawRecord::good(1);
    // Not the letter case of the checksum: that harms nobody.
    record.signatures[1].0 = format!("0x{}", signer(2)[2..].to_uppercase());
    record.write(&node).await.unwrap();
    let change = "UPDATE eth_prices SET timestamp = timestamp + interval '1 second'";
    connect(&database.owner)
        .await
        .batch_execute(change)
        .await
        .unwrap();
    let records = store(&database.node)
        .records(RecordQuery::default())
        .await
        .unwrap();
    assert_eq!(records.len(), 1);
    assert!(matches!(records[0].verify(), Err(RecordFault::Digest { .. })));
}

#[tokio::test]
async fn there_is_no_last_record_before_the_first() {
    let database = database(LONG).await;
    let last = store(&database.node)
        .last_record(&"ETH/USD".parse().unwrap())
        .await;
    assert_eq!(last, Ok(None));
}

#[tokio::test]
async fn psql_shows_a_price_as_people_write_it() {
    let database = database(LONG).await;
    write_one(&store(&database.node), "ETH/USD", "3012.45", now()).await;
    let owner = connect(&database.owner).await;
    let row = owner
        .query_one(
            "SELECT timestamp::text, price::text, evidence -> 0 ->> 'price' FROM eth_prices ORDER BY timestamp DESC",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(1), "3012.45");
    assert_eq!(row.get::<_, String>(2), "3012.45");
}
