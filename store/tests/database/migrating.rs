//! `quorate migrate`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use quorate_protocol::WriteOutcome;
use quorate_store::{
    EquivocationQuery, Member, MigrateError, MigrateOptions, PrivateOptions, PrivatePostgres, RecordQuery,
    Secret, Settings, StoreError, migrate,
};

use crate::support::{
    Database, LONG, certificate, connect, database, database_of, empty_database, now, options, store, write,
};

/// The folder's migrations in order: what each does, and how it is undone.
fn migrations() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let read = |folder: &Path, name| fs::read_to_string(folder.join(name)).unwrap();
    folders
        .iter()
        .map(|folder| (read(folder, "up.sql"), read(folder, "down.sql")))
        .collect()
}

#[tokio::test]
async fn six_concurrent_migrations_of_an_empty_database_all_succeed() {
    let database = empty_database().await;
    let attempts = (0..6).map(|_| migrate(&database.owner, options(LONG)));
    let results = join_all(attempts).await;
    let applied: Vec<usize> = results
        .iter()
        .map(|result| result.as_ref().unwrap().applied.len())
        .collect();
    // One of them did the work, the others found it done.
    assert_eq!(
        applied
            .iter()
            .filter(|&&count| count == migrations().len())
            .count(),
        1,
        "{applied:?}"
    );
    assert_eq!(
        applied.iter().filter(|&&count| count == 0).count(),
        5,
        "{applied:?}"
    );
    assert!(store(&database.node).settings().await.is_ok());
}

#[tokio::test]
async fn several_databases_of_one_server_can_be_migrated_at_once() {
    let databases = join_all((0..4).map(|_| empty_database())).await;
    let results = join_all(
        databases
            .iter()
            .map(|database| migrate(&database.owner, options(LONG))),
    )
    .await;
    for result in results {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_new_database_has_a_window_of_30_s_and_a_minimum_of_3() {
    let database = empty_database().await;
    let migrated = migrate(&database.owner, MigrateOptions::default()).await.unwrap();
    let defaults = Settings {
        write_interval: Duration::from_secs(30),
        min_signatures: 3,
        min_validators: 1,
    };
    assert_eq!((migrated.before, migrated.now.settings), (None, defaults));
    assert_eq!(store(&database.owner).settings().await, Ok(defaults));
}

#[tokio::test]
async fn settings_change_only_when_asked() {
    let database = database(Duration::from_secs(60)).await;
    let only_minimum = MigrateOptions {
        min_signatures: Some(5),
        ..MigrateOptions::default()
    };
    let migrated = migrate(&database.owner, only_minimum).await.unwrap();
    let settings = Settings {
        write_interval: Duration::from_secs(60),
        min_signatures: 5,
        min_validators: 1,
    };
    assert_eq!(migrated.now.settings, settings);
    let before = migrated.before.unwrap().settings;
    assert_eq!(
        before,
        Settings {
            min_signatures: 3,
            ..settings
        }
    );
    assert!(migrated.applied.is_empty());
    assert_eq!(store(&database.node).settings().await, Ok(settings));
    let mismatch = settings
        .check(Duration::from_secs(30), 5)
        .unwrap_err()
        .to_string();
    assert!(mismatch.contains("30s") && mismatch.contains("60s") && mismatch.contains("quorate migrate"));
}

#[tokio::test]
async fn an_unmigrated_database_says_what_to_do() {
    let database = empty_database().await;
    let store = store(&database.owner);
    for error in [
        store.settings().await.unwrap_err(),
        store.records(RecordQuery::default()).await.unwrap_err(),
        store
            .equivocations(EquivocationQuery::default())
            .await
            .unwrap_err(),
        store.last_record(&"ETH/USD".parse().unwrap()).await.unwrap_err(),
        store.members().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NotMigrated { .. }), "{error}");
        assert!(error.to_string().contains("quorate migrate"), "{error}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_recognized() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    owner
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')")
        .await
        .unwrap();
    let newer = StoreError::SchemaNewer {
        version: "29990101000000".to_owned(),
    };
    assert_eq!(store(&database.node).settings().await, Err(newer.clone()));
    let refused = migrate(&database.owner, MigrateOptions::default()).await;
    assert!(matches!(refused, Err(MigrateError::Schema(error)) if error == newer));
}

#[tokio::test]
async fn the_node_role_cannot_migrate() {
    let database = database(LONG).await;
    let shorter = MigrateOptions {
        write_interval: Some(Duration::from_secs(1)),
        ..MigrateOptions::default()
    };
    let refused = migrate(&database.node, shorter).await;
    assert!(
        matches!(refused, Err(MigrateError::Refused { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_migration_can_be_undone_and_done_again() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    for (_, down) in migrations().iter().rev() {
        owner.batch_execute(down).await.unwrap();
    }
    let left = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relname NOT LIKE '\\_\\_diesel%' AND relkind IN ('r', 'v', 'S'))
        + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'quorate%')";
    let row = owner.query_one(left, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    owner
        .batch_execute("DELETE FROM __diesel_schema_migrations")
        .await
        .unwrap();
    let migrated = migrate(&database.owner, options(LONG)).await.unwrap();
    assert_eq!(migrated.applied.len(), migrations().len());
    assert!(store(&database.node).settings().await.is_ok());
}

#[test]
fn a_runtime_of_one_thread_is_enough() {
    // As in actix: current-thread, and the caller's own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let applied = runtime.block_on(async {
        let database = empty_database().await;
        migrate(&database.owner, options(LONG)).await.unwrap().applied
    });
    assert_eq!(applied.len(), migrations().len());
}

#[tokio::test]
async fn an_owner_that_is_no_superuser_can_migrate_and_the_role_is_limited_all_the_same() {
    // On a server of its own: since Postgres 16 an owner changes only roles that it has made, and other tests have made the node's.
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let database = Database::named(&server, "prices").await;
    let secret = Secret::new("an owner's password");
    let superuser = connect(&database.owner).await;
    superuser
        .batch_execute(
            "CREATE ROLE proprietor LOGIN CREATEROLE PASSWORD 'an owner''s password';
             ALTER DATABASE prices OWNER TO proprietor; ALTER SCHEMA public OWNER TO proprietor",
        )
        .await
        .unwrap();
    let owner = server.url_for("proprietor", &secret).with_database("prices");
    // Twice: an upgrade finds everything there.
    for _ in 0..2 {
        migrate(&owner, options(LONG)).await.unwrap();
    }
    let node = connect(&database.node).await;
    let row = node
        .query_one("SELECT current_setting('statement_timeout')", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "1min");
    assert!(
        node.batch_execute("CREATE TEMPORARY TABLE mine (id int)")
            .await
            .is_err()
    );
    let outcome = write(&store(&database.node), &certificate("3000", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

/// Everything that migrations make, as text. Privileges that nobody has changed are spelled out, and sorted: neither whether
/// they were ever written down nor in which order means anything.
const CONTENTS: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT pg_get_functiondef(oid)
                || array(SELECT one::text FROM unnest(coalesce(proacl, acldefault('f', proowner))) AS one ORDER BY 1)::text
                AS line
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'quorate%'
        UNION ALL SELECT oid::regclass || ' ' || relkind::text || ' '
                || array(SELECT one::text FROM unnest(coalesce(relacl, acldefault('r', relowner))) AS one ORDER BY 1)::text
                || coalesce(obj_description(oid, 'pg_class'), '')
            FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
                || ' ' || attnotnull || coalesce(attacl::text, '') || coalesce(col_description(attrelid, attnum), '')
            FROM pg_attribute
            WHERE attnum > 0 AND NOT attisdropped
                AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_viewdef(oid)
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
        UNION ALL SELECT 'temporary tables ' || has_database_privilege('quorate_node', current_database(), 'TEMPORARY')
        UNION ALL SELECT 'large objects ' || has_function_privilege('quorate_node', 'lo_create(oid)', 'EXECUTE')
        UNION ALL SELECT 'defaults ' || setconfig::text FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS lines";

async fn contents(client: &tokio_postgres::Client) -> BTreeSet<String> {
    let text: String = client.query_one(CONTENTS, &[]).await.unwrap().get(0);
    text.lines().map(str::to_owned).collect()
}

/// What is in one of two only.
fn difference(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Vec<String> {
    one.symmetric_difference(other).cloned().collect()
}

#[tokio::test]
async fn undoing_a_migration_leads_back_to_the_schema_before_it() {
    let database = empty_database().await;
    let owner = connect(&database.owner).await;
    owner
        .batch_execute(
            "CREATE TABLE __diesel_schema_migrations (
                version varchar(50) PRIMARY KEY, run_on timestamp NOT NULL DEFAULT current_timestamp);
             -- These stay when their migrations are undone.
             CREATE EXTENSION btree_gist WITH SCHEMA public;
             DO $$ BEGIN CREATE ROLE quorate_node; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        )
        .await
        .unwrap();
    for (up, down) in migrations() {
        let before = contents(&owner).await;
        owner.batch_execute(&up).await.unwrap();
        let after = contents(&owner).await;
        assert_ne!(after, before);
        owner.batch_execute(&down).await.unwrap();
        let left = difference(&contents(&owner).await, &before);
        assert!(left.is_empty(), "{left:#?}");
        owner.batch_execute(&up).await.unwrap();
        let missing = difference(&contents(&owner).await, &after);
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

#[tokio::test]
async fn a_dump_that_is_restored_on_another_server_is_brought_back_into_service() {
    // A server of its own: the role belongs to all of it.
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let database = database_of(&server, LONG).await;
    let owner = connect(&database.owner).await;
    let before = contents(&owner).await;
    let restores = [
        // What another server is: without the role, and so without all that it was granted.
        "DROP OWNED BY quorate_node; DROP ROLE quorate_node",
        // A dump without privileges (pg_dump --no-acl), with a role that somebody has made.
        "DROP OWNED BY quorate_node; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC; \
         GRANT CREATE ON SCHEMA public TO PUBLIC",
    ];
    for restore in restores {
        owner.batch_execute(restore).await.unwrap();
        let migrated = migrate(&database.owner, MigrateOptions::default()).await.unwrap();
        assert!(migrated.applied.is_empty());
        let role = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'quorate_node'";
        let row = owner.query_one(role, &[]).await.unwrap();
        assert_eq!(migrated.can_log_in, row.get::<_, bool>(0));
        migrate(&database.owner, options(LONG)).await.unwrap();
        let difference = difference(&contents(&owner).await, &before);
        assert!(difference.is_empty(), "{difference:#?}");
        assert!(store(&database.node).settings().await.is_ok());
    }
    let outcome = write(&store(&database.node), &certificate("3000", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let before = contents(&owner).await;
    let members = vec![Member {
        address: crate::support::key(1).address(),
        name: "alone".to_owned(),
        validator: false,
    }];
    let impossible = MigrateOptions {
        write_interval: Some(Duration::from_secs(7)),
        members: Some(members),
        ..MigrateOptions::default()
    };
    let refused = migrate(&database.owner, impossible).await.unwrap_err();
    assert!(matches!(refused, MigrateError::TooFew { .. }), "{refused}");
    assert_eq!(contents(&owner).await, before);
    assert_eq!(
        store(&database.node).settings().await.unwrap().write_interval,
        LONG
    );
    // Nor does it keep the lock.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(owner.query_one(locks, &[]).await.unwrap().get::<_, i64>(0), 0);
}
