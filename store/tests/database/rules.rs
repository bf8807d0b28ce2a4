//! What the database refuses, whatever a client with the node's password does.

use std::time::Duration;

use quorate_protocol::{Evidence, Link, Quote, UnixMillis};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use crate::support::{Database, LONG, RawRecord, attempt, bytea, connect, count, database, evidence, signer};

/// As the owner, for rules that stand behind these: what they say of a row that this trigger has let through.
async fn without(database: &Database, trigger: &str) {
    let owner = connect(&database.owner).await;
    let disable = format!("ALTER TABLE eth_prices DISABLE TRIGGER {trigger}");
    owner.batch_execute(&disable).await.unwrap();
}

#[tokio::test]
async fn a_second_record_in_the_window_inserts_nothing() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let first = RawRecord::good(1);
    first.write(&node).await.unwrap();
    let second = RawRecord::at(first.next(), "ETH/USD", evidence("3000.5"), 2);
    second.write(&node).await.unwrap();
    assert_eq!(count(&node, "eth_prices").await, 1);
    let other_feed = RawRecord::of("BTC/USD", evidence("3000.5"), 3);
    other_feed.write(&node).await.unwrap();
    assert_eq!(count(&node, "eth_prices").await, 2);

    // Behind the triggers stands a constraint, which needs nobody to look.
    let owner = connect(&database.owner).await;
    let copy = "
        ALTER TABLE eth_prices DISABLE TRIGGER quorate_follow_last_record;
        ALTER TABLE eth_prices DISABLE TRIGGER quorate_judge_certificate;
        INSERT INTO eth_prices SELECT 2, timestamp, written_at + interval '1 second', next_at, feed, price, observer,
            written_by, digest, digest, network, evidence, signers, signatures, validators
        FROM eth_prices WHERE feed = 'ETH/USD';";
    assert_eq!(
        attempt(&owner, copy).await.unwrap_err(),
        (
            SqlState::EXCLUSION_VIOLATION,
            "eth_prices_one_a_window".to_owned()
        )
    );
}

#[tokio::test]
async fn two_records_in_one_transaction_or_statement_are_one() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let first = RawRecord::good(1);
    let second = RawRecord::at(first.next(), "ETH/USD", evidence("3000.5"), 2);
    attempt(&node, &format!("{}{}", first.insert(), second.insert()))
        .await
        .unwrap();
    assert_eq!(count(&node, "eth_prices").await, 1);
    let (first, second) = (
        RawRecord::of("BTC/USD", evidence("1"), 1),
        RawRecord::of("BTC/USD", evidence("2"), 2),
    );
    let both = format!(
        "INSERT INTO eth_prices ({}) VALUES ({}), ({});",
        RawRecord::columns("written_by"),
        first.values(),
        second.values()
    );
    attempt(&node, &both).await.unwrap();
    assert_eq!(count(&node, "eth_prices").await, 2);
}

#[tokio::test]
async fn a_record_that_does_not_follow_the_last_is_refused() {
    let database = database(Duration::from_millis(100)).await;
    let node = connect(&database.node).await;
    let at = |link, number| RawRecord::at(link, "ETH/USD", evidence("3000.5"), number);
    let nothing = RawRecord::good(1).next();
    let refused = "eth_prices_follows_the_last";
    // Nothing can follow what is not there.
    assert_eq!(at(nothing, 2).refusal(&node).await, refused);
    let first = RawRecord::good(1);
    first.write(&node).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    let digest = "0xabababababababababababababababababababababababababababababababab";
    for link in [
        Link::after(1, digest.parse().unwrap()),
        Link::after(2, first.digest.parse().unwrap()),
        Link::after(7, digest.parse().unwrap()),
    ] {
        assert_eq!(at(link, 2).refusal(&node).await, refused, "{link:?}");
    }
    // A number that is taken is a lost race.
    at(Link::FIRST, 3).write(&node).await.unwrap();
    assert_eq!(count(&node, "eth_prices").await, 1);
    at(first.next(), 2).write(&node).await.unwrap();
    assert_eq!(count(&node, "eth_prices").await, 2);
}

#[tokio::test]
async fn the_link_is_part_of_what_was_signed() {
    let database = database(Duration::from_millis(100)).await;
    let node = connect(&database.node).await;
    let first = RawRecord::good(1);
    first.write(&node).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    // Signed for another place, and now said to be for this one.
    let mut moved = RawRecord::of("ETH/USD", evidence("3001"), 2);
    (moved.sequence, moved.previous) = (2, first.digest.clone());
    assert_eq!(moved.refusal(&node).await, "eth_prices_digest_matches");
}

#[tokio::test]
async fn the_first_record_fixes_the_network() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let network = "SELECT network FROM quorate_settings";
    let before = node.query_one(network, &[]).await.unwrap();
    assert_eq!(before.get::<_, Option<String>>(0), None);
    RawRecord::good(1).write(&node).await.unwrap();
    assert_eq!(
        node.query_one(network, &[]).await.unwrap().get::<_, String>(0),
        "test"
    );
    let mut other = RawRecord::of("BTC/USD", evidence("1"), 1);
    other.network = "production".to_owned();
    let error = node.batch_execute(&other.insert()).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.constraint(), Some("eth_prices_network_is_the_databases"));
    assert!(
        error.message().contains("network production") && error.message().contains("network test"),
        "{}",
        error.message()
    );
}

#[tokio::test]
async fn a_record_with_two_signatures_or_none_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    for signers in [&[1, 2][..], &[]] {
        assert_eq!(
            RawRecord::good(1)
                .signed_by(signers)
                .write(&node)
                .await
                .unwrap_err(),
            (SqlState::CHECK_VIOLATION, "eth_prices_min_signatures".to_owned())
        );
    }
    assert_eq!(count(&node, "eth_prices").await, 0);
}

#[tokio::test]
async fn nobody_signs_twice_and_the_lists_are_of_one_length() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let good = RawRecord::good(1);
    let mut twice = good.clone();
    twice.signatures[2] = twice.signatures[1].clone();
    let mut unsorted = good.clone();
    unsorted.signatures.swap(0, 1);
    let many: Vec<u8> = (1..=129).collect();
    for record in [twice, unsorted, good.clone().signed_by(&many)] {
        assert_eq!(record.refusal(&node).await, "eth_prices_signers_once_in_order");
    }
    let insert = good.insert();
    let (signer, signature) = &good.signatures[1];
    for (from, to) in [
        (bytea(signer), "NULL".to_owned()),
        (format!("{}, ", bytea(signature)), String::new()),
        (
            format!("ARRAY[{}", bytea(&good.signatures[0].0)),
            "ARRAY['\\x'::bytea".to_owned(),
        ),
    ] {
        let changed = insert.replacen(&from, &to, 1);
        assert_ne!(changed, insert, "{from}");
        let (code, _) = attempt(&node, &changed).await.unwrap_err();
        assert_eq!(code, SqlState::CHECK_VIOLATION, "{to}");
    }
    for validators in [
        "ARRAY[false]",
        "ARRAY[false, NULL, false]",
        "ARRAY[[false, false, false]]",
    ] {
        let changed = insert.replace("ARRAY[false, false, false]", validators);
        assert_ne!(changed, insert);
        let (_, constraint) = attempt(&node, &changed).await.unwrap_err();
        assert_eq!(constraint, "eth_prices_validators_of_signers", "{validators}");
    }
    good.write(&node).await.unwrap();
}

#[tokio::test]
async fn an_observer_that_has_not_signed_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let record = RawRecord::good(1).signed_by(&[2, 3, 4]);
    assert_eq!(
        record.write(&node).await.unwrap_err(),
        (SqlState::CHECK_VIOLATION, "eth_prices_observer_signed".to_owned())
    );
}

#[tokio::test]
async fn a_price_that_is_not_the_median_of_canonical_evidence_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    // Or the digest would not match.
    without(&database, "quorate_judge_certificate").await;
    let wrong = [
        ("3000.5", ""),
        ("3000.5", "\n"),
        ("3000.5", "a 3000.5 1"),
        ("3000.5", "a 3000.5\n"),
        ("3000.5", "a 3000.5 1 \n"),
        ("3000.5", "a  3000.5 1\n"),
        ("3000.5", "a 3000.5 1\n\n"),
        ("3000.5", "a 3000.5 1.5\n"),
        ("3000.5", "a 3000.5 -1\n"),
        ("3000.5", "a 3000.5 01\n"),
        ("3000.5", "a 3000.5 18446744073709551616\n"),
        ("3000.5", "A 3000.5 1\n"),
        ("3000.5", "a 3000.50 1\n"),
        ("3000.5", "a 03000.5 1\n"),
        ("3000.5", "a 3.0005e3 1\n"),
        ("3000.5", "a 3000.6 1\n"),
        ("3000", "a 3000. 1\n"),
        ("3000.5", "b 3000.5 1\na 3000.5 1\n"),
        ("3000.5", "a 3000.5 1\na 3000.5 1\n"),
        ("3001", "a 3000 1\nb 3003 1\n"),
        ("0", "a 0 1\n"),
        ("'NaN'", "a 3000.5 1\n"),
        ("1000000000000000001", "a 1000000000000000001 1\n"),
    ];
    for (price, evidence) in wrong {
        let record = RawRecord {
            price: price.to_owned(),
            evidence: evidence.to_owned(),
            ..RawRecord::good(1)
        };
        let refused = record.refusal(&node).await;
        assert!(
            refused.starts_with("eth_prices_price_i"),
            "{price} of {evidence:?}: {refused}"
        );
    }
    let names: Vec<String> = (0..17).map(|number| format!("s{number:02} 3000.5 1\n")).collect();
    let too_many = RawRecord {
        evidence: names.concat(),
        ..RawRecord::good(1)
    };
    assert_eq!(
        too_many.refusal(&node).await,
        "eth_prices_price_is_median_of_evidence"
    );

    // The midpoint is rounded down to 18 decimals, as nodes compute it.
    let quote = |source: &str, price: &str| Quote {
        source: source.parse().unwrap(),
        price: price.parse().unwrap(),
        at: UnixMillis::new(1),
    };
    let quotes = vec![
        quote("a", "1.000000000000000001"),
        quote("b", "1.000000000000000002"),
    ];
    let midpoint = RawRecord::of("ETH/USD", Evidence::sorted(quotes).unwrap(), 1);
    assert_eq!(midpoint.price, "1.000000000000000001");
    midpoint.write(&node).await.unwrap();
}

#[tokio::test]
async fn what_no_reader_could_parse_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    without(&database, "quorate_judge_certificate").await;
    let good = RawRecord::good(1);
    for (from, to) in [
        (bytea(&good.digest), "'\\x12'"),
        (bytea(&signer(9)), "'\\x12'"),
        ("ETH/USD".to_owned(), "eth/usd"),
        ("'test'".to_owned(), "'Test'"),
        (good.timestamp.clone(), "'1969-12-31'"),
        (good.timestamp.clone(), "'infinity'"),
    ] {
        let insert = good.insert().replace(&from, to);
        assert_ne!(insert, good.insert(), "{from}");
        let (code, _) = attempt(&node, &insert).await.unwrap_err();
        assert_eq!(code, SqlState::CHECK_VIOLATION, "{to}");
    }
}

#[tokio::test]
async fn the_settings_are_one_row_of_sensible_values() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    for wrong in [
        "INSERT INTO quorate_settings DEFAULT VALUES",
        "INSERT INTO quorate_settings (only_row) VALUES (false)",
        "UPDATE quorate_settings SET write_interval = '0'",
        "UPDATE quorate_settings SET write_interval = '1 day'",
        "UPDATE quorate_settings SET write_interval = '1 month'",
        "UPDATE quorate_settings SET min_signatures = 0",
        "UPDATE quorate_settings SET min_signatures = 129",
        "UPDATE quorate_settings SET min_validators = -1",
        "UPDATE quorate_settings SET min_validators = 129",
        "UPDATE quorate_settings SET network = 'Test'",
    ] {
        assert!(attempt(&owner, &format!("{wrong};")).await.is_err(), "{wrong}");
    }
}
