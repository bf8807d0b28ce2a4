//! Reading records back.

use std::{collections::BTreeSet, time::Duration};

use futures::TryStreamExt;
use quorate_protocol::{Certificate, Link, Record, RecordFault, UnixMillis, VerifyError, WriteOutcome};
use quorate_store::{FeedSpan, History, Order, Part, Range, RecordQuery, Store, StoreConfig, StoreError};
use tokio::time::sleep;

use crate::support::{
    LONG, RawRecord, after, certificate, certificate_at, certificate_for, connect, database, evidence, key,
    network, now, signer, store, write,
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
    assert_eq!(
        record.observation().as_ref(),
        Ok(certificate.report().observation())
    );
    assert_eq!(record.price.to_string(), "3012.450000000000000001");
    assert_eq!(record.evidence, evidence("3012.450000000000000001"));
    assert_eq!(
        (record.observer, record.written_by),
        (key(3).address(), key(9).address())
    );
    assert_eq!((record.sequence, record.previous), (1, Link::FIRST.previous()));
    assert_eq!(record.network, "test");
    assert_eq!(store.network().await, Ok(Some("test".to_owned())));
    assert_eq!(store.record_at(&record.feed, 1).await, Ok(Some(record.clone())));
    assert_eq!(store.record_at(&record.feed, 2).await, Ok(None));
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
        .batch_execute("ALTER TABLE eth_prices DISABLE TRIGGER quorate_follow_last_record;
             ALTER TABLE eth_prices ALTER written_at SET DEFAULT now(), ALTER next_at SET DEFAULT now() + interval '1 hour'")
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
    (changed.sequence, changed.previous) = (2, record.digest);
    assert!(matches!(changed.verify(), Err(RecordFault::Digest { .. })));

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
    let order = Order::BySequence;
    assert_eq!(feeds(RecordQuery { order, ..all() }).await, ["AA", "BB", "CC"]);
}

/// Writes so many records of the feed one after another.
async fn write_many(store: &Store, feed: &str, count: usize) -> Vec<Certificate> {
    let mut link = Link::FIRST;
    let mut written = vec![];
    while written.len() < count {
        let next = certificate_at(link, feed, "1.5", now(), &[1, 2, 3]);
        if let WriteOutcome::Written { .. } = write(store, &next).await {
            link = after(&next);
            written.push(next);
        }
        sleep(Duration::from_millis(10)).await;
    }
    written
}

#[tokio::test]
async fn records_are_read_by_their_numbers_and_streamed_feed_by_feed() {
    let database = database(Duration::from_millis(100)).await;
    let store = store(&database.node);
    let three = write_many(&store, "ETH/USD", 3).await;
    write_many(&store, "BTC/USD", 2).await;
    let feed = Some(three[0].report().observation().feed().clone());
    let query = RecordQuery {
        feed: feed.clone(),
        order: Order::BySequence,
        ..RecordQuery::default()
    };
    let sequences = async |after, up_to| -> Vec<u64> {
        let query = RecordQuery {
            after,
            up_to,
            ..query.clone()
        };
        let records = store.records(query).await.unwrap();
        records.iter().map(|record| record.sequence).collect()
    };
    assert_eq!(sequences(None, None).await, [1, 2, 3]);
    assert_eq!(sequences(Some(1), None).await, [2, 3]);
    assert_eq!(sequences(Some(1), Some(2)).await, [2]);

    let streamed = async |query| -> Vec<String> {
        let records: Vec<Record> = store.stream(query).try_collect().await.unwrap();
        let name = |record: &Record| format!("{} {}", record.feed.codes().0, record.sequence);
        records.iter().map(name).collect()
    };
    assert_eq!(
        streamed(RecordQuery::default()).await,
        ["BTC 1", "BTC 2", "ETH 1", "ETH 2", "ETH 3"]
    );
    let behind_the_first = RecordQuery {
        after: Some(1),
        ..query
    };
    assert_eq!(streamed(behind_the_first).await, ["ETH 2", "ETH 3"]);
    let span = |code: &str, last| FeedSpan {
        feed: format!("{code}/USD").parse().unwrap(),
        first: 1,
        last,
    };
    assert_eq!(store.feeds().await, Ok(vec![span("BTC", 2), span("ETH", 3)]));
}

#[tokio::test]
async fn more_than_a_page_is_streamed_in_order_and_whole() {
    let database = database(LONG).await;
    let store = store(&database.node);
    write_one(&store, "ETH/USD", "1.5", now()).await;
    // 2,500 of each of two feeds, by the owner: the triggers do not look, and the readers of a stream may.
    let copies = "
        ALTER TABLE eth_prices DISABLE TRIGGER USER;
        INSERT INTO eth_prices SELECT number, timestamp, written_at + number * interval '1 hour',
            written_at + number * interval '1 hour' + interval '1 second', feed.name, price, observer, written_by, digest,
            digest, network, evidence, signers, signatures, validators
        FROM eth_prices, generate_series(2, 2500) AS number, unnest(ARRAY['ETH/USD', 'BTC/USD']) AS feed (name);";
    connect(&database.owner)
        .await
        .batch_execute(copies)
        .await
        .unwrap();
    let records: Vec<Record> = store.stream(RecordQuery::default()).try_collect().await.unwrap();
    let places: Vec<(&str, u64)> = records
        .iter()
        .map(|record| (record.feed.as_str(), record.sequence))
        .collect();
    let expected: Vec<(&str, u64)> = (2..=2500)
        .map(|number| ("BTC/USD", number))
        .chain((1..=2500).map(|number| ("ETH/USD", number)))
        .collect();
    assert!(places == expected, "{} records", places.len());
}

#[tokio::test]
async fn a_lost_record_is_kept_once_and_one_that_stands_is_not_lost() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let keep = async |certificate: &Certificate| {
        store
            .keep_lost(certificate, network(), key(9).address(), &BTreeSet::new())
            .await
    };
    let refused = |result: &Result<bool, StoreError>, rule: &str| {
        assert!(
            matches!(result, Err(StoreError::Refused { reason }) if reason.contains(rule)),
            "{result:?}"
        );
    };
    let (lost, stands) = (
        certificate("3000", now(), &[1, 2, 3]),
        certificate("3001", now(), &[1, 2, 3]),
    );
    write(&store, &stands).await;
    assert_eq!(keep(&lost).await, Ok(true));
    assert_eq!(keep(&lost).await, Ok(false));
    refused(&keep(&stands).await, "eth_prices_lost_is_lost");
    // Judged like a record.
    let few = certificate("3002", now(), &[1, 2]);
    refused(&keep(&few).await, "eth_prices_lost_min_signatures");
    let owner = connect(&database.owner).await;
    let found_by = "SELECT found_by FROM eth_prices_lost";
    let row = owner.query_one(found_by, &[]).await.unwrap();
    assert_eq!(row.get::<_, &[u8]>(0), key(9).address().as_bytes());
    // What was archived is not lost either.
    let archived = "DELETE FROM eth_prices_lost; UPDATE eth_prices SET sequence = 2, previous = digest";
    owner.batch_execute(archived).await.unwrap();
    refused(&keep(&lost).await, "eth_prices_lost_is_lost");
}

#[tokio::test]
async fn a_record_that_the_owner_has_changed_can_be_read_and_does_not_verify() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let record = RawRecord::good(1);
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
async fn the_readable_view_names_members_and_fits_in_120_columns() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let owner = connect(&database.owner).await;
    let names: String = (1..=9)
        .map(|number| {
            let name = if number == 9 {
                "a name that is too long for this"
            } else {
                "frankfurt"
            };
            format!("('{}', '{name}'),", signer(number))
        })
        .collect();
    let members = format!(
        "INSERT INTO quorate_members (address, name) VALUES {} ('{}', '')",
        names,
        signer(10)
    );
    let line = async |feed: &str| -> (String, String, i32, String, String) {
        let query = format!(
            "SELECT time::text, price::text, signed, written_by, signed_by FROM eth_prices_readable WHERE feed = '{feed}'"
        );
        let row = owner.query_one(&query, &[]).await.unwrap();
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
    };
    let of = |feed, signers: &[u8]| certificate_for(feed, "3012.450000000000000001", now(), signers);
    write(&store, &of("AA/USD", &[1, 2, 3])).await;
    let short = |number| signer(number)[..10].to_owned();
    let mut signers = [1, 2, 3].map(signer);
    signers.sort();
    let (_, price, signed, written_by, signed_by) = line("AA/USD").await;
    assert_eq!((price.as_str(), signed, written_by), ("3012.45", 3, short(1)));
    assert_eq!(signed_by, signers.map(|one| one[..10].to_owned()).join(" "));

    owner.batch_execute(&members).await.unwrap();
    write(&store, &of("BB/USD", &[1, 2, 3])).await;
    assert_eq!(line("BB/USD").await.4, "frankfurt frankfurt frankfurt");
    write(&store, &of("CC/USD", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])).await;
    let (time, price, signed, written_by, signed_by) = line("CC/USD").await;
    assert!(
        signed_by.ends_with(" +8") || signed_by.ends_with(" +7"),
        "{signed_by}"
    );
    assert_eq!((signed, written_by.as_str()), (10, "frankfurt"));
    // As psql prints it: a space on both sides of a column, a bar between two, sequences up to 8 digits, prices to 11.
    assert!(time.len() == 22 && price.len() <= 11);
    for feed in ["AA/USD", "BB/USD", "CC/USD"] {
        let (_, _, _, written_by, signed_by) = line(feed).await;
        assert!(
            written_by.len() <= 10 && signed_by.len() <= 33,
            "{written_by} {signed_by}"
        );
    }
    assert!(8 + 22 + "ETH/USD".len() + 11 + "signed".len() + "written_by".len() + 33 + 7 * 3 - 1 <= 120);
}

#[tokio::test]
async fn the_hex_view_shows_everything_as_text() {
    let database = database(LONG).await;
    let certificate = certificate("3012.45", now(), &[1, 2, 3]);
    write(&store(&database.node), &certificate).await;
    let owner = connect(&database.owner).await;
    let row = owner
        .query_one(
            "SELECT digest, observer, previous, price::text, evidence -> 0 ->> 'price', signatures ->> $1,
                signature_count, jsonb_typeof(evidence -> 0 -> 'at')
             FROM eth_prices_hex",
            &[&signer(2)],
        )
        .await
        .unwrap();
    let text = |column| row.get::<_, String>(column);
    assert_eq!(text(0), certificate.digest().to_string());
    assert_eq!(text(1), signer(1));
    assert_eq!(text(2), format!("0x{}", "00".repeat(32)));
    assert_eq!((text(3), text(4)), ("3012.45".to_owned(), "3012.45".to_owned()));
    assert_eq!(text(5), key(2).sign(certificate.digest()).to_string());
    assert_eq!((row.get::<_, i32>(6), text(7)), (3, "number".to_owned()));
}

#[tokio::test]
async fn whose_work_the_records_of_a_range_are_is_counted_by_the_database() {
    let window = Duration::from_millis(100);
    let database = database(window).await;
    let store = store(&database.node);
    let (start, mut link) = (now(), Link::FIRST);
    let at = |number: u64| UnixMillis::new(start.get() - 10_000 + number);
    for (number, signers) in [[1, 2, 3].as_slice(), &[2, 1, 3], &[2, 3, 4], &[5, 6, 7]]
        .into_iter()
        .enumerate()
    {
        let certificate = certificate_at(link, "ETH/USD", "3000", at(number as u64), signers);
        link = after(&certificate);
        while !matches!(write(&store, &certificate).await, WriteOutcome::Written { .. }) {
            sleep(window / 10).await;
        }
    }
    let history = History::new(StoreConfig::new(database.node.clone()));
    let range = |from, to, feed: &str| Range {
        feed: feed.parse().unwrap(),
        from: at(from),
        to: at(to),
    };
    // From is in it, to is not. All are written by the first key.
    let work = history.work(range(0, 3, "ETH/USD")).await.unwrap();
    let part = |signed, observed, wrote| Part {
        signed,
        observed,
        wrote,
    };
    let of = |number, part| (key(number).address(), part);
    let nodes = [
        of(1, part(2, 1, 3)),
        of(2, part(3, 2, 0)),
        of(3, part(3, 0, 0)),
        of(4, part(1, 0, 0)),
    ];
    assert_eq!((work.records, work.nodes), (3, nodes.into()));
    let nothing = history.work(range(0, 3, "BTC/USD")).await.unwrap();
    assert_eq!((nothing.records, nothing.nodes.len()), (0, 0));
}
