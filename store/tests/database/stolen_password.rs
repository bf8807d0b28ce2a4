//! Everything that somebody could try who has stolen the nodes' password, in raw SQL. `docs/stolen-password.md` lists what
//! is refused, and what remains possible; both halves are here.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{Link, UnixMillis, WriteOutcome};
use quorate_store::{Member, MigrateOptions, RecordQuery, migrate};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, error::SqlState};

use crate::support::{
    Database, LONG, RawRecord, attempt, certificate, connect, count, database, evidence, key, now, options,
    signature, signer, store, write,
};

/// A migrated database. What belongs to the server and not to the database is not part of a copy.
async fn limited() -> Database {
    let database = database(LONG).await;
    migrate(&database.owner, MigrateOptions::default()).await.unwrap();
    database
}

/// A database with one written record, and a session of the thief.
async fn stolen() -> (Database, Client) {
    let database = limited().await;
    let thief = connect(&database.node).await;
    RawRecord::good(1).write(&thief).await.unwrap();
    (database, thief)
}

/// That each is refused, with one of these codes, and that the record that was there is as it was.
async fn assert_refused(codes: &[SqlState], statements: &[&str]) {
    let (_database, thief) = stolen().await;
    let before = contents(&thief).await;
    for statement in statements {
        let Err((code, message)) = attempt(&thief, &format!("{statement};")).await else {
            panic!("allowed: {statement}");
        };
        assert!(codes.contains(&code), "{statement}: {code:?} {message}");
    }
    assert_eq!(contents(&thief).await, before);
}

async fn contents(client: &Client) -> String {
    let row = client
        .query_one(
            "SELECT jsonb_agg(to_jsonb(one))::text FROM eth_prices_hex AS one",
            &[],
        )
        .await;
    row.unwrap().get(0)
}

/// That the rule with this name refuses the record.
async fn assert_forged(thief: &Client, record: &RawRecord, constraint: &str) {
    let refused = record.write(thief).await.unwrap_err();
    assert_eq!(refused, (SqlState::CHECK_VIOLATION, constraint.to_owned()));
}

/// The rule about signatures.
const SIGNED: &str = "eth_prices_signatures_are_the_signers";

const FORBIDDEN: &[SqlState] = &[SqlState::INSUFFICIENT_PRIVILEGE];

#[tokio::test]
async fn past_records_cannot_be_changed_deleted_or_locked() {
    // Nobody can write into the view; and MERGE is unknown before PostgreSQL 15.
    let codes = [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        SqlState::SYNTAX_ERROR,
    ];
    assert_refused(
        &codes,
        &[
            "UPDATE eth_prices SET price = 1",
            "UPDATE eth_prices SET signatures = signatures",
            "UPDATE eth_prices SET validators = ARRAY[true, true, true]",
            "UPDATE eth_prices_hex SET price = 1",
            "UPDATE eth_prices_readable SET sequence = 1",
            "DELETE FROM eth_prices",
            "DELETE FROM eth_prices_readable",
            "TRUNCATE eth_prices CASCADE",
            "UPDATE eth_prices_lost SET found_by = observer",
            "DELETE FROM eth_prices_lost",
            "INSERT INTO eth_prices (sequence, timestamp, feed, price, observer, written_by, previous, digest, network,
                evidence, signers, signatures, validators)
             SELECT sequence, timestamp, feed, price, observer, written_by, previous, digest, network, evidence, signers,
                signatures, validators FROM eth_prices
             ON CONFLICT (feed, sequence) DO UPDATE SET price = 1",
            "MERGE INTO eth_prices USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
            "SELECT * FROM eth_prices FOR UPDATE",
            "SELECT * FROM eth_prices FOR KEY SHARE",
            "LOCK TABLE eth_prices IN ROW SHARE MODE",
            "LOCK TABLE eth_prices IN ROW EXCLUSIVE MODE",
            "LOCK TABLE eth_prices IN SHARE MODE",
            "LOCK TABLE eth_prices IN ACCESS EXCLUSIVE MODE",
            "LOCK TABLE quorate_signer_keys IN SHARE ROW EXCLUSIVE MODE",
            "LOCK TABLE quorate_settings IN ACCESS EXCLUSIVE MODE",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_schema_cannot_be_changed() {
    let codes = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::WRONG_OBJECT_TYPE];
    assert_refused(
        &codes,
        &[
            "DROP TABLE eth_prices CASCADE",
            "ALTER TABLE eth_prices ADD COLUMN note text",
            "ALTER TABLE eth_prices RENAME TO old_prices",
            "ALTER TABLE eth_prices OWNER TO quorate_node",
            "ALTER TABLE eth_prices DROP CONSTRAINT eth_prices_once_a_number",
            "ALTER TABLE eth_prices DISABLE TRIGGER ALL",
            "ALTER TABLE eth_prices DISABLE TRIGGER quorate_follow_last_record",
            "ALTER TABLE eth_prices DISABLE ROW LEVEL SECURITY",
            "DROP TRIGGER quorate_judge_certificate ON eth_prices",
            "DROP FUNCTION quorate_recover(bytea, bytea)",
            "ALTER FUNCTION quorate_recover(bytea, bytea) RENAME TO recover",
            "CREATE OR REPLACE FUNCTION public.quorate_recover(digest bytea, signature bytea) RETURNS bytea
             LANGUAGE sql AS 'SELECT $1'",
            "CREATE TRIGGER early BEFORE INSERT ON eth_prices
             FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE RULE nothing AS ON INSERT TO eth_prices DO INSTEAD NOTHING",
            "CREATE TABLE public.mine (id int)",
            "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
            "CREATE SCHEMA mine",
            "CREATE EXTENSION btree_gin",
            "CREATE TEMPORARY TABLE quorate_members (address text)",
            "CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
            "DROP SCHEMA public CASCADE",
            "DROP EXTENSION btree_gist CASCADE",
            "DROP INDEX eth_prices_newest",
            "REINDEX TABLE eth_prices",
            "COMMENT ON TABLE eth_prices IS 'not to be trusted'",
            "ALTER VIEW eth_prices_readable RENAME TO other",
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')",
            "DELETE FROM __diesel_schema_migrations",
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_members_and_known_keys_cannot_be_changed() {
    assert_refused(
        FORBIDDEN,
        &[
            "UPDATE quorate_settings SET min_signatures = 1",
            "UPDATE quorate_settings SET min_validators = 0",
            "UPDATE quorate_settings SET write_interval = '1 second'",
            "UPDATE quorate_settings SET network = 'mine'",
            "DELETE FROM quorate_settings",
            "INSERT INTO quorate_settings DEFAULT VALUES",
            "INSERT INTO quorate_members (address) VALUES ('0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed')",
            "UPDATE quorate_members SET validator = true",
            "UPDATE quorate_members SET removed_at = NULL",
            "DELETE FROM quorate_members",
            "TRUNCATE quorate_members",
            "INSERT INTO quorate_signer_keys SELECT * FROM quorate_signer_keys",
            "UPDATE quorate_signer_keys SET address = decode(repeat('00', 20), 'hex')",
            "DELETE FROM quorate_signer_keys",
            "SELECT quorate_keep_key(decode(repeat('00', 64), 'hex'))",
        ],
    )
    .await;
}

#[tokio::test]
async fn no_other_role_and_nothing_of_the_server_can_be_had() {
    assert_refused(
        FORBIDDEN,
        &[
            "SET session_replication_role = replica",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
            "ALTER ROLE quorate_node SUPERUSER",
            "ALTER ROLE quorate_node CREATEROLE",
            "ALTER ROLE quorate_node CONNECTION LIMIT 1000",
            "ALTER ROLE postgres PASSWORD 'mine'",
            "GRANT postgres TO quorate_node",
            "CREATE ROLE mine",
            "SET log_statement = 'none'",
            "SET temp_file_limit = -1",
            "SELECT pg_reload_conf()",
            "SELECT rolpassword FROM pg_authid",
            "SELECT pg_read_file('postgresql.conf')",
            "SELECT pg_ls_dir('.')",
            "SELECT lo_import('/etc/passwd')",
            "SELECT lo_from_bytea(0, '0x00')",
            "SELECT lo_create(0)",
            "COPY eth_prices TO '/tmp/prices'",
            "COPY eth_prices (sequence, feed) FROM '/etc/passwd'",
            "COPY eth_prices TO PROGRAM 'id'",
            "COPY eth_prices (sequence, feed) FROM PROGRAM 'id'",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
            "SELECT pg_create_physical_replication_slot('mine')",
            "SELECT public.quorate_limit_node_role()",
            "SELECT public.quorate_grant_node_role()",
        ],
    )
    .await;
    let (_database, thief) = stolen().await;
    // Not in a transaction.
    let error = thief
        .batch_execute("ALTER SYSTEM SET log_connections = off")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    // Granting what one does not have is no error, and no grant.
    attempt(
        &thief,
        "GRANT ALL ON eth_prices, quorate_members TO quorate_node;",
    )
    .await
    .unwrap();
    assert!(attempt(&thief, "DELETE FROM eth_prices;").await.is_err());
}

#[tokio::test]
async fn the_databases_own_columns_cannot_be_chosen() {
    let (_database, thief) = stolen().await;
    let insert = RawRecord::of("BTC/USD", evidence("3000"), 2).insert();
    for (column, value) in [("written_at", "now() - interval '1 hour'"), ("next_at", "now()")] {
        let chosen = insert
            .replace("(sequence,", &format!("({column}, sequence,"))
            .replace("VALUES (", &format!("VALUES ({value}, "));
        let (code, _) = attempt(&thief, &chosen).await.unwrap_err();
        assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{column}");
    }
}

#[tokio::test]
async fn invented_signatures_are_refused() {
    let (_database, thief) = stolen().await;
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    for bytes in ["ab".repeat(65), format!("{}1b", "11".repeat(64)), "00".repeat(65)] {
        let mut forged = record.clone();
        forged.signatures[1].1 = format!("0x{bytes}");
        assert_forged(&thief, &forged, SIGNED).await;
    }
    // Whichever of them it is, the observer's own included.
    for index in 0..3 {
        let mut forged = record.clone();
        forged.signatures[index].1 = forged.signatures[(index + 1) % 3].1.clone();
        assert_forged(&thief, &forged, SIGNED).await;
    }
    // A genuine signature in the name of somebody else.
    let mut forged = record.clone();
    let another = forged.signatures.iter().position(|(name, _)| *name != signer(1));
    forged.signatures[another.unwrap()].0 = signer(7);
    forged.signatures.sort();
    assert_forged(&thief, &forged, SIGNED).await;
    // The malleable twin of a signature: the same r, n - s, the other v.
    let mut forged = record.clone();
    forged.signatures[1].1 = twin(&record.signatures[1].1);
    assert_forged(&thief, &forged, SIGNED).await;
    // The signature of another record.
    let mut forged = record.clone();
    let of_another_record = signature(2, &RawRecord::good(1).digest);
    let by_2 = forged.signatures.iter().position(|(name, _)| *name == signer(2));
    forged.signatures[by_2.unwrap()] = of_another_record;
    assert_forged(&thief, &forged, SIGNED).await;
    assert_eq!(count(&thief, "eth_prices").await, 1);
    record.write(&thief).await.unwrap();
}

/// `(r, n - s, 55 - v)`: valid mathematics for the same key.
fn twin(signature: &str) -> String {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
        0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
    ];
    let signature: quorate_protocol::Signature = signature.parse().unwrap();
    let mut bytes = *signature.as_bytes();
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i16::from(N[index]) - i16::from(bytes[32 + index]) - borrow;
        bytes[32 + index] = difference.rem_euclid(256).to_le_bytes()[0];
        borrow = i16::from(difference < 0);
    }
    bytes[64] = 55 - bytes[64];
    quorate_protocol::Signature::new(bytes).to_string()
}

#[tokio::test]
async fn a_genuine_certificate_with_anything_changed_is_refused() {
    let (_database, thief) = stolen().await;
    let genuine = RawRecord::of("BTC/USD", evidence("3000"), 2);
    let other_price = RawRecord::of("BTC/USD", evidence("3001"), 2);
    let changed: Vec<RawRecord> = vec![
        RawRecord {
            price: other_price.price,
            evidence: other_price.evidence,
            ..genuine.clone()
        },
        RawRecord {
            // The same median of other quotes.
            evidence: genuine.evidence.replace("kraken", "okx"),
            ..genuine.clone()
        },
        RawRecord {
            evidence: genuine.evidence.replace("1700000000123", "1700000000124"),
            ..genuine.clone()
        },
        RawRecord {
            // Another spelling of the same price.
            evidence: genuine.evidence.replace("3000", "3000.0"),
            ..genuine.clone()
        },
        RawRecord {
            timestamp: format!("{} + interval '1 millisecond'", genuine.timestamp),
            ..genuine.clone()
        },
        RawRecord {
            feed: "SOL/USD".to_owned(),
            ..genuine.clone()
        },
        RawRecord {
            observer: signer(2),
            ..genuine.clone()
        },
        RawRecord {
            digest: format!("0x{}", "ab".repeat(32)),
            ..genuine.clone()
        },
    ];
    for record in &changed {
        assert_forged(&thief, record, "eth_prices_digest_matches").await;
    }
    let other_network = RawRecord {
        network: "production".to_owned(),
        ..genuine.clone()
    };
    assert_forged(&thief, &other_network, "eth_prices_network_is_the_databases").await;
    // With the digest of the changed contents the signatures are over something else.
    let mut rehashed = RawRecord::of("BTC/USD", crate::support::evidence("3001"), 2);
    rehashed.signatures = genuine.signatures.clone();
    assert_forged(&thief, &rehashed, SIGNED).await;
    assert_eq!(count(&thief, "eth_prices").await, 1);
    genuine.write(&thief).await.unwrap();
}

/// The thief's server has a window that ends while a test waits.
async fn shorten_the_window(database: &Database) {
    let shorter = MigrateOptions {
        write_interval: Some(Duration::from_millis(100)),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, shorter).await.unwrap();
}

#[tokio::test]
async fn the_history_cannot_be_forked_or_skipped() {
    let database = limited().await;
    shorten_the_window(&database).await;
    let thief = connect(&database.node).await;
    let of = |link, price: &str, number| RawRecord::at(link, "ETH/USD", evidence(price), number);
    let first = RawRecord::good(1);
    first.write(&thief).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    let follows = "eth_prices_follows_the_last";
    let digest = format!("0x{}", "ab".repeat(32)).parse().unwrap();
    // Certificates as genuine as any: signed by a quorum that somebody has misled about the last record.
    assert_forged(&thief, &of(Link::after(1, digest), "3001", 2), follows).await;
    assert_forged(&thief, &of(Link::after(2, digest), "3001", 2), follows).await;
    // The number that is taken: nothing is inserted, by whichever statement.
    let fork = of(Link::FIRST, "3002", 3);
    let columns = RawRecord::columns("written_by");
    for statement in [
        fork.insert(),
        fork.insert().replace(';', " ON CONFLICT DO NOTHING;"),
        format!("INSERT INTO eth_prices ({columns}) SELECT {};", fork.values()),
        format!(
            "WITH one AS (INSERT INTO eth_prices ({columns}) VALUES ({}) RETURNING *) SELECT * FROM one;",
            fork.values()
        ),
    ] {
        attempt(&thief, &statement).await.unwrap();
    }
    // Two that follow the same record, in one statement and in one transaction: one of them.
    let (one, other) = (of(first.next(), "3003", 4), of(first.next(), "3004", 5));
    attempt(
        &thief,
        &format!(
            "INSERT INTO eth_prices ({columns}) VALUES ({}), ({}); {}",
            one.values(),
            other.values(),
            other.insert()
        ),
    )
    .await
    .unwrap();
    let digests = "SELECT string_agg(encode(digest, 'hex'), ' ' ORDER BY sequence) FROM eth_prices";
    let stands: String = thief.query_one(digests, &[]).await.unwrap().get(0);
    assert_eq!(stands, format!("{} {}", &first.digest[2..], &one.digest[2..]));
}

#[tokio::test]
async fn sessions_side_by_side_cannot_fork_the_history() {
    let database = limited().await;
    let (first, second) = (connect(&database.node).await, connect(&database.node).await);
    let of = |price: &str, number| RawRecord::of("ETH/USD", evidence(price), number);
    let (one, other) = (of("3001", 1), of("3002", 2));
    for (end, stands) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        first
            .batch_execute(&format!("BEGIN; {}", one.insert()))
            .await
            .unwrap();
        // The other session waits for the first one's end, and looks only then.
        let statement = other.insert();
        let waiting = second.batch_execute(&statement);
        let mut waiting = std::pin::pin!(waiting);
        assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err());
        if stands == 0 {
            // What was rolled back was never there.
            first.batch_execute(end).await.unwrap();
            waiting.await.unwrap();
            assert_eq!(count(&first, "eth_prices").await, 1);
            let owner = connect(&database.owner).await;
            owner.batch_execute("DELETE FROM eth_prices").await.unwrap();
        } else {
            first.batch_execute(end).await.unwrap();
            waiting.await.unwrap();
            assert_eq!(count(&first, "eth_prices").await, stands);
        }
    }
    // A transaction that has looked before is no exception.
    let snapshot = "BEGIN; SELECT * FROM eth_prices";
    let third = connect(&database.node).await;
    let bitcoin = RawRecord::of("BTC/USD", evidence("1"), 1);
    third.batch_execute(snapshot).await.unwrap();
    bitcoin.write(&first).await.unwrap();
    let fork = RawRecord::of("BTC/USD", evidence("2"), 2);
    third
        .batch_execute(&format!("{} COMMIT", fork.insert()))
        .await
        .unwrap();
    assert_eq!(count(&third, "eth_prices").await, 2);
}

#[tokio::test]
async fn no_lost_record_can_be_invented() {
    let (_database, thief) = stolen().await;
    let lost = RawRecord::of("ETH/USD", evidence("3000"), 2);
    let mut forged = lost.clone();
    forged.signatures[1].1 = format!("0x{}", "ab".repeat(65));
    let few = lost.clone().signed_by(&[1, 2]);
    let stands = RawRecord::good(1);
    let other_price = RawRecord {
        price: "3001".to_owned(),
        evidence: lost.evidence.replace("3000", "3001"),
        ..lost.clone()
    };
    for (record, rule) in [
        (&forged, "eth_prices_lost_signatures_are_the_signers"),
        (&few, "eth_prices_lost_min_signatures"),
        (&stands, "eth_prices_lost_is_lost"),
        (&other_price, "eth_prices_lost_digest_matches"),
    ] {
        let (_, constraint) = attempt(&thief, &record.insert_lost()).await.unwrap_err();
        assert_eq!(constraint, rule);
    }
    // What a quorum has signed, and what does not stand: the database cannot know that it was never written. It is kept, as
    // what it is, apart from the records.
    attempt(&thief, &lost.insert_lost()).await.unwrap();
    attempt(&thief, &lost.insert_lost()).await.unwrap();
    assert_eq!(count(&thief, "eth_prices_lost").await, 1);
    assert_eq!(count(&thief, "eth_prices").await, 1);
}

#[tokio::test]
async fn a_written_record_cannot_be_replayed_and_a_hoarded_one_grows_old() {
    let (database, thief) = stolen().await;
    RawRecord::good(1).write(&thief).await.unwrap();
    assert_eq!(count(&thief, "eth_prices").await, 1);
    shorten_the_window(&database).await;
    let store = store(&database.node);
    let minutes = |minutes: i64| {
        let millis = i64::try_from(now().get()).unwrap() + minutes * 60_000;
        UnixMillis::new(u64::try_from(millis).unwrap())
    };
    for observed_at in [minutes(-11), minutes(2)] {
        let hoarded = crate::support::certificate_for("BTC/USD", "3000", observed_at, &[1, 2, 3]);
        let outcome = write(&store, &hoarded).await;
        assert!(
            matches!(&outcome, WriteOutcome::Refused { reason } if reason.contains("eth_prices_timestamp_is_recent")),
            "{outcome:?}"
        );
    }
    // After an outage of the database the last certificate is still news.
    let late = crate::support::certificate_for("BTC/USD", "3000", minutes(-9), &[1, 2, 3]);
    let outcome = write(&store, &late).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn with_long_windows_a_certificate_stays_news_for_ten() {
    let database = database(LONG).await;
    let store = store(&database.node);
    let hours = |hours: u64| UnixMillis::new(now().get() - hours * 3_600_000);
    let outcome = write(&store, &certificate("3000", hours(11), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Refused { .. }), "{outcome:?}");
    let outcome = write(&store, &certificate("3000", hours(9), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn too_few_signatures_or_none_of_the_observers_are_refused() {
    let (_database, thief) = stolen().await;
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    assert_forged(
        &thief,
        &record.clone().signed_by(&[1, 2]),
        "eth_prices_min_signatures",
    )
    .await;
    assert_forged(
        &thief,
        &record.clone().signed_by(&[]),
        "eth_prices_min_signatures",
    )
    .await;
    assert_forged(
        &thief,
        &record.signed_by(&[2, 3, 4]),
        "eth_prices_observer_signed",
    )
    .await;
}

#[tokio::test]
async fn a_thiefs_own_keys_are_worthless_where_members_are_listed() {
    let (database, thief) = stolen().await;
    let members = [1, 2, 3].map(|number| Member {
        address: key(number).address(),
        name: String::new(),
        validator: number == 1,
    });
    let options = MigrateOptions {
        members: Some(members.to_vec()),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, options).await.unwrap();
    let outcome = write(
        &store(&database.node),
        &crate::support::certificate_for("BTC/USD", "1", now(), &[101, 102, 103]),
    )
    .await;
    assert!(
        matches!(&outcome, WriteOutcome::Refused { reason } if reason.contains("is not among the members")),
        "{outcome:?}"
    );
    // Nor can they be added to a genuine record, or be passed off as validators.
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    assert_forged(
        &thief,
        &record.clone().signed_by(&[1, 2, 3, 101]),
        "eth_prices_signed_by_members",
    )
    .await;
    let flagged = record
        .insert()
        .replace("ARRAY[false, false, false]", "ARRAY[true, true, true]");
    attempt(&thief, &flagged).await.unwrap();
    let validators = "SELECT validators FROM eth_prices_hex WHERE feed = 'BTC/USD'";
    let row = thief.query_one(validators, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), [signer(1)]);
}

#[tokio::test]
async fn no_setting_of_a_session_lets_a_forgery_through() {
    let (_database, thief) = stolen().await;
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    let mut forged = record.clone();
    forged.signatures[1].1 = format!("0x{}", "ab".repeat(65));
    let mut rehashed = record.clone();
    rehashed.digest = format!("0x{}", "ab".repeat(32));
    let mut few = record.clone();
    few.signatures.truncate(2);
    for setting in [
        "SET CONSTRAINTS ALL DEFERRED;",
        "SET LOCAL standard_conforming_strings = off;",
        "SET LOCAL search_path = pg_temp, public;",
        "SET LOCAL transform_null_equals = on;",
        "SET LOCAL plpgsql.check_asserts = off;",
        "SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'; SET LOCAL IntervalStyle = 'iso_8601';",
        "SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = -15;",
        "SET LOCAL client_encoding = 'LATIN1'; SET LOCAL array_nulls = off;",
    ] {
        for (record, constraint) in [
            (&forged, SIGNED),
            (&rehashed, "eth_prices_digest_matches"),
            (&few, "eth_prices_min_signatures"),
        ] {
            let statements = format!("{setting} {}", record.insert());
            let (_, said) = attempt(&thief, &statements).await.unwrap_err();
            assert_eq!(said, constraint, "{setting}");
        }
        // And none makes the database refuse what is genuine.
        let genuine = format!(
            "{setting} {} SAVEPOINT s; SET CONSTRAINTS ALL IMMEDIATE;",
            record.insert()
        );
        thief
            .batch_execute(&format!("BEGIN; {genuine} ROLLBACK"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_transaction_from_before_a_change_of_the_owner_is_of_no_use() {
    let (database, thief) = stolen().await;
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let statements = format!("SET TRANSACTION ISOLATION LEVEL {level}; {}", record.insert());
        let (_, constraint) = attempt(&thief, &statements).await.unwrap_err();
        assert_eq!(constraint, "eth_prices_isolation_is_read_committed");
    }
    // At the level that is taken, a transaction that was begun before sees the owner's change.
    thief
        .batch_execute("BEGIN; SELECT * FROM quorate_settings")
        .await
        .unwrap();
    let more = MigrateOptions {
        min_signatures: Some(4),
        ..MigrateOptions::default()
    };
    migrate(&database.owner, more).await.unwrap();
    let result = thief.batch_execute(&format!("{} COMMIT", record.insert())).await;
    let error = result.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().constraint(),
        Some("eth_prices_min_signatures")
    );
}

#[tokio::test]
async fn possible_is_to_write_a_genuine_certificate_that_is_news_under_any_writers_name() {
    let (database, thief) = stolen().await;
    // Signed by a quorum, never written: the thief has heard it in the network.
    let record = RawRecord::of("BTC/USD", evidence("3000"), 2);
    record.write(&thief).await.unwrap();
    let records = store(&database.node)
        .records(RecordQuery {
            feed: Some("BTC/USD".parse().unwrap()),
            ..RecordQuery::default()
        })
        .await
        .unwrap();
    // Nothing in it is untrue but, if the thief likes, the name of the writer.
    assert!(records[0].verify().is_ok());
    assert_eq!(records[0].written_by, key(9).address());
}

#[tokio::test]
async fn possible_is_any_price_with_keys_of_ones_own_where_no_members_are_listed() {
    let (database, _thief) = stolen().await;
    // An open network takes anybody's signature: so does its database.
    let invented = crate::support::certificate_for("BTC/USD", "1", now(), &[101, 102, 103]);
    let outcome = write(&store(&database.node), &invented).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn possible_is_to_hold_a_feed_up_until_the_owner_ends_the_session() {
    let (database, thief) = stolen().await;
    // The limits for accidents are there, and a session can raise them.
    let row = thief
        .query_one(
            "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout'),
                current_setting('statement_timeout'), current_setting('temp_file_limit'),
                (SELECT rolconnlimit BETWEEN 1 AND current_setting('max_connections')::int - 10
                 FROM pg_roles WHERE rolname = current_user)",
            &[],
        )
        .await
        .unwrap();
    let limits: Vec<String> = (0..4).map(|index| row.get(index)).collect();
    assert_eq!(limits, ["30s", "30s", "1min", "256MB"]);
    assert!(row.get::<_, bool>(4));
    let hold = format!(
        "SET idle_in_transaction_session_timeout = 0; BEGIN; {}",
        RawRecord::of("BTC/USD", evidence("3000"), 2).insert()
    );
    thief.batch_execute(&hold).await.unwrap();
    let store = quorate_store::Store::new(quorate_store::StoreConfig {
        statement_timeout: Duration::from_secs(1),
        ..quorate_store::StoreConfig::new(database.node.clone())
    });
    let honest = crate::support::certificate_for("BTC/USD", "3000", now(), &[4, 5, 6]);
    let outcome = write(&store, &honest).await;
    assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");

    // The remedy: a new password ends all sessions of the role, the thief's too.
    let migrated = migrate(&database.owner, options(LONG)).await.unwrap();
    assert!(migrated.sessions_ended >= Some(1), "{migrated:?}");
    assert!(thief.batch_execute("SELECT 1").await.is_err());
    let outcome = write(&store, &honest).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn possible_is_to_spoil_the_roles_defaults_until_the_owner_resets_them() {
    let database = database(LONG).await;
    let thief = connect(&database.node).await;
    let name = database.owner.database().unwrap();
    // In this database only: other tests share the role. Its password it could change as well: rolled back.
    let spoil = format!("ALTER ROLE quorate_node IN DATABASE {name} SET default_transaction_read_only = on");
    thief.batch_execute(&spoil).await.unwrap();
    thief
        .batch_execute("BEGIN; ALTER ROLE quorate_node PASSWORD 'mine'; ROLLBACK")
        .await
        .unwrap();
    let honest = certificate("3000", now(), &[1, 2, 3]);
    let outcome = write(&store(&database.node), &honest).await;
    assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");

    migrate(&database.owner, options(LONG)).await.unwrap();
    let outcome = write(&store(&database.node), &honest).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn possible_is_to_end_the_nodes_sessions_and_they_connect_anew() {
    let (database, thief) = stolen().await;
    let store = store(&database.node);
    store.settings().await.unwrap();
    let end = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()";
    let row = thief.query_one(end, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    let honest = crate::support::certificate_for("BTC/USD", "3000", now(), &[1, 2, 3]);
    let outcome = write(&store, &honest).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn possible_is_to_read_everything_and_to_make_the_server_work() {
    let (_database, thief) = stolen().await;
    for statement in [
        "SELECT * FROM eth_prices_readable",
        "SELECT * FROM eth_prices_hex",
        "SELECT * FROM quorate_members",
        "SELECT query FROM pg_stat_activity WHERE usename = current_user",
        "SELECT count(*) FROM generate_series(1, 100000)",
        "SELECT quorate_keccak256('x')",
        "LOCK TABLE eth_prices IN ACCESS SHARE MODE",
        "SELECT pg_advisory_xact_lock(1)",
        "NOTIFY anything",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
    ] {
        attempt(&thief, &format!("{statement};")).await.unwrap();
    }
}

#[test]
fn the_documentation_lists_these_tests_and_no_others() {
    let names = |text: &str, begin: &str, end: &str| -> BTreeSet<String> {
        text.split(begin)
            .skip(1)
            .filter_map(|rest| rest.split_once(end))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let tests = names(
        include_str!("stolen_password.rs"),
        "#[tokio::test]\nasync fn ",
        "(",
    );
    assert!(tests.len() > 10);
    let documented: BTreeSet<String> = include_str!("../../../docs/stolen-password.md")
        .split('`')
        .filter(|word| {
            word.matches('_').count() > 2
                && !word.starts_with("eth_")
                && !word.contains(' ')
                && *word != ELSEWHERE
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, tests);
}

/// Documented there too, but a test of the proofs.
const ELSEWHERE: &str = "nobody_can_be_slandered_by_a_thief_of_the_nodes_password";
