//! What the node role may not do, one test each.

use quorate_protocol::WriteOutcome;
use quorate_store::StoreError;
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

use crate::support::{
    Database, LONG, RawRecord, attempt, certificate, connect, database, now, signer, store, write,
};

/// That a node is refused this statement for lack of privilege. One database for all, since none of them gets through.
async fn assert_forbidden(statement: &str) {
    static DATABASE: OnceCell<Database> = OnceCell::const_new();
    let with_a_record = Box::pin(async {
        let database = database(LONG).await;
        RawRecord::good(1)
            .write(&connect(&database.node).await)
            .await
            .unwrap();
        database
    });
    let database = DATABASE.get_or_init(|| with_a_record).await;
    let node = connect(&database.node).await;
    let (code, message) = attempt(&node, &format!("{statement};")).await.unwrap_err();
    assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{statement}: {message}");
}

#[tokio::test]
async fn a_node_cannot_update_a_record() {
    assert_forbidden("UPDATE eth_prices SET price = 1").await;
}

#[tokio::test]
async fn a_node_cannot_delete_a_record() {
    assert_forbidden("DELETE FROM eth_prices").await;
}

#[tokio::test]
async fn a_node_cannot_truncate() {
    assert_forbidden("TRUNCATE eth_prices CASCADE").await;
}

/// An otherwise good insert with one more column.
fn insert_with(column: &str, value: &str) -> String {
    let insert = RawRecord::good(2).insert();
    insert
        .replace("(sequence,", &format!("({column}, sequence,"))
        .replace("VALUES (", &format!("VALUES ({value}, "))
}

#[tokio::test]
async fn a_node_cannot_choose_its_own_written_at() {
    assert_forbidden(&insert_with("written_at", "now() - interval '1 hour'")).await;
}

#[tokio::test]
async fn a_node_cannot_choose_the_end_of_its_window() {
    assert_forbidden(&insert_with("next_at", "now()")).await;
}

#[tokio::test]
async fn a_node_cannot_put_keys_of_its_own_among_the_known_ones() {
    assert_forbidden("INSERT INTO quorate_signer_keys SELECT * FROM quorate_signer_keys").await;
    assert_forbidden("SELECT quorate_keep_key('x')").await;
}

#[tokio::test]
async fn a_node_cannot_change_the_settings() {
    assert_forbidden("UPDATE quorate_settings SET write_interval = '1 second'").await;
}

#[tokio::test]
async fn a_node_cannot_add_settings() {
    assert_forbidden("INSERT INTO quorate_settings DEFAULT VALUES").await;
}

#[tokio::test]
async fn a_node_cannot_forge_the_schemas_version() {
    assert_forbidden("INSERT INTO __diesel_schema_migrations (version) VALUES ('1')").await;
}

#[tokio::test]
async fn a_node_cannot_make_tables() {
    assert_forbidden("CREATE TABLE public.more (id int)").await;
}

#[tokio::test]
async fn a_node_cannot_switch_triggers_off() {
    assert_forbidden("SET session_replication_role = replica").await;
}

#[tokio::test]
async fn the_trigger_overrides_even_the_owners_written_at() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let insert = insert_with("written_at", "'2000-01-01'");
    attempt(&owner, &insert).await.unwrap();
    let row = owner
        .query_one(
            "SELECT written_at > now() - interval '1 minute' AND next_at = written_at + interval '1 hour' FROM eth_prices",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn a_role_that_may_only_read_is_refused_for_good() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let name = format!("reader_{}", database.owner.database().unwrap());
    let setup = format!(
        "CREATE ROLE {name} LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"
    );
    owner.batch_execute(&setup).await.unwrap();
    let reader = crate::support::server()
        .url_for(&name, &quorate_store::Secret::new("reader"))
        .with_database(database.owner.database().unwrap());
    let store = store(&reader);
    let outcome = write(&store, &certificate("3000", now(), &[1, 2, 3])).await;
    assert!(
        matches!(&outcome, WriteOutcome::Refused { reason } if reason.contains("eth_prices")),
        "{outcome:?}"
    );

    // One that may not even read is told so, and which role to use.
    owner
        .batch_execute(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"))
        .await
        .unwrap();
    let error = store.settings().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { reason } if reason.contains(&name) && reason.contains("quorate_node")),
        "{error}"
    );
}

#[tokio::test]
async fn the_node_role_can_do_its_work() {
    let database = database(LONG).await;
    let node = connect(&database.node).await;
    RawRecord::good(1).write(&node).await.unwrap();
    let row = node
        .query_one(
            "SELECT signature_count, signatures ->> $1 FROM eth_prices_hex",
            &[&signer(3)],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 3);
    let (_, expected) = crate::support::signature(3, &RawRecord::good(1).digest);
    assert_eq!(row.get::<_, String>(1), expected);
}
