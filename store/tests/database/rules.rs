//! What the database refuses, whatever a client with the node's password does.

use quorate_protocol::{Evidence, Quote, UnixMillis};
use tokio_postgres::error::SqlState;

use crate::support::{LONG, RawRecord, attempt, connect, count, database, evidence, signer};

#[tokio::test]
async fn a_second_record_in_the_window_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    RawRecord::good(1).write(&node).await.unwrap();
    assert_eq!(
        RawRecord::good(2).write(&node).await.unwrap_err(),
        (
            SqlState::EXCLUSION_VIOLATION,
            "eth_prices_one_a_window".to_owned()
        )
    );
    let other_feed = RawRecord::of("BTC/USD", evidence("3000.5"), 3);
    other_feed.write(&node).await.unwrap();
}

#[tokio::test]
async fn two_records_in_one_transaction_are_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let both = [1, 2].map(|number| RawRecord::good(number).statements());
    let (code, _) = attempt(&node, &both.concat()).await.unwrap_err();
    assert_eq!(code, SqlState::EXCLUSION_VIOLATION);
}

#[tokio::test]
async fn the_same_digest_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let record = RawRecord::good(1);
    record.write(&node).await.unwrap();
    let other_feed = RawRecord {
        feed: "BTC/USD".to_owned(),
        ..record
    };
    assert_eq!(
        other_feed.write(&node).await.unwrap_err(),
        (SqlState::UNIQUE_VIOLATION, "eth_prices_digest_once".to_owned())
    );
}

#[tokio::test]
async fn a_record_with_two_signatures_is_refused_at_commit() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let mut record = RawRecord::good(1);
    record.signatures.truncate(2);
    assert_eq!(
        record.write(&node).await.unwrap_err(),
        (SqlState::CHECK_VIOLATION, "eth_prices_min_signatures".to_owned())
    );
    assert_eq!(count(&node, "eth_prices").await, 0);
    assert_eq!(count(&node, "eth_price_signatures").await, 0);
}

#[tokio::test]
async fn a_record_without_signatures_is_refused_outside_of_a_transaction_too() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let error = node.execute(&RawRecord::good(1).insert(), &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION));
}

#[tokio::test]
async fn a_signer_in_another_letter_case_is_the_same_signer() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let mut record = RawRecord::good(1);
    let (signer, signature) = record.signatures[1].clone();
    assert_ne!(signer, signer.to_lowercase());
    record.signatures[2] = (signer.to_lowercase(), signature);
    assert_eq!(
        record.write(&node).await.unwrap_err(),
        (
            SqlState::UNIQUE_VIOLATION,
            "eth_price_signatures_once_a_signer".to_owned()
        )
    );
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
async fn a_signature_cannot_be_added_to_an_old_record() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let record = RawRecord::good(1);
    record.write(&node).await.unwrap();
    let record = record.signed_by(&[4]);
    let refused = (
        SqlState::CHECK_VIOLATION,
        "eth_price_signatures_only_with_record".to_owned(),
    );
    assert_eq!(
        attempt(&node, &record.insert_signatures()).await.unwrap_err(),
        refused
    );

    let no_record = RawRecord::good(2);
    assert_eq!(
        attempt(&node, &no_record.insert_signatures()).await.unwrap_err(),
        refused
    );
}

#[tokio::test]
async fn a_restored_records_transaction_number_admits_no_signature() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let owner = connect(&database.owner).await;
    let record = RawRecord::good(1);
    record.write(&node).await.unwrap();
    let record = record.signed_by(&[4]);
    // As after a restore into a server whose transactions have just got as far as the record's number.
    let statements = format!(
        "UPDATE eth_prices SET written_in = pg_current_xact_id(); {}",
        record.insert_signatures()
    );
    let (_, constraint) = attempt(&owner, &statements).await.unwrap_err();
    assert_eq!(constraint, "eth_price_signatures_only_with_record");
}

#[tokio::test]
async fn a_price_that_is_not_the_median_of_readable_evidence_is_refused() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    let quote = |source: &str, price: &str| format!(r#"{{"source":"{source}","price":"{price}","at":1}}"#);
    let wrong = [
        ("3000.5", "null".to_owned()),
        ("3000.5", "{}".to_owned()),
        ("3000.5", "[]".to_owned()),
        ("3000.5", "[1]".to_owned()),
        ("3000.5", format!("[[{}]]", quote("a", "3000.5"))),
        ("3000.5", r#"[{"source":"a","price":"3000.5"}]"#.to_owned()),
        ("3000.5", r#"[{"source":"a","price":3000.5,"at":1}]"#.to_owned()),
        (
            "3000.5",
            r#"[{"source":"a","price":"3000.5","at":1.5}]"#.to_owned(),
        ),
        (
            "3000.5",
            r#"[{"source":"a","price":"3000.5","at":-1}]"#.to_owned(),
        ),
        (
            "3000.5",
            r#"[{"source":"a","price":"3000.5","at":18446744073709551616}]"#.to_owned(),
        ),
        (
            "3000.5",
            r#"[{"source":"a","price":"3000.5","at":1,"note":"x"}]"#.to_owned(),
        ),
        ("3000.5", format!("[{}]", quote("A", "3000.5"))),
        ("3000.5", format!("[{}]", quote("a", "3.0005e3"))),
        ("3000.5", format!("[{}]", quote("a", "3000.6"))),
        (
            "3000.5",
            format!("[{},{}]", quote("b", "3000.5"), quote("a", "3000.5")),
        ),
        (
            "3000.5",
            format!("[{},{}]", quote("a", "3000.5"), quote("a", "3000.5")),
        ),
        ("3001", format!("[{},{}]", quote("a", "3000"), quote("b", "3003"))),
        ("0", format!("[{}]", quote("a", "0"))),
        ("'NaN'", format!("[{}]", quote("a", "3000.5"))),
        (
            "1000000000000000001",
            format!("[{}]", quote("a", "1000000000000000001")),
        ),
    ];
    for (price, evidence) in wrong {
        let record = RawRecord {
            price: price.to_owned(),
            evidence: evidence.clone(),
            ..RawRecord::good(1)
        };
        let refused = record.refusal(&node).await;
        assert!(
            refused.starts_with("eth_prices_price_i"),
            "{price} of {evidence}: {refused}"
        );
    }

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
    let good = RawRecord::good(1);
    let upper_digest = format!("0x{}", "AB".repeat(32));
    for (from, to) in [
        (good.digest.as_str(), upper_digest.as_str()),
        (&good.digest, "0x12"),
        ("ETH/USD", "eth/usd"),
        ("'test'", "'Test'"),
        (&signer(9), "somebody"),
        (&good.timestamp, "'1969-12-31'"),
        (&good.timestamp, "'infinity'"),
    ] {
        let insert = good.insert().replace(from, to);
        assert_ne!(insert, good.insert(), "{from}");
        let (code, constraint) = attempt(&node, &insert).await.unwrap_err();
        assert_eq!(code, SqlState::CHECK_VIOLATION, "{to}");
        assert_ne!(constraint, "eth_prices_digest_matches", "{to}");
    }
    let signature = &good.signatures[0].1;
    let upper = format!("0x{}", signature[2..].to_uppercase());
    let wrong_signature = good.insert_signatures().replace(signature, &upper);
    let (code, constraint) = attempt(&node, &format!("{}{wrong_signature}", good.insert()))
        .await
        .unwrap_err();
    assert_eq!(code, SqlState::CHECK_VIOLATION);
    assert_eq!(constraint, "eth_price_signatures_signature_is_65_bytes");
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
    ] {
        assert!(attempt(&owner, &format!("{wrong};")).await.is_err(), "{wrong}");
    }
}
