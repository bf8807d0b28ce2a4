//! What diesel believes of the schema, and what the database says of itself.

use crate::support::{LONG, connect, database};

/// Column names and types as `store/src/schema.rs` has them.
fn believed() -> Vec<(String, String, String)> {
    let source = include_str!("../../src/schema.rs");
    let mut columns = Vec::new();
    let mut table = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
            table = name.0.to_owned();
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            columns.push((table.clone(), column.to_owned(), kind.to_lowercase()));
        }
    }
    columns
}

#[tokio::test]
async fn the_printed_schema_is_the_migrated_one() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let rows = owner
        .query(
            "SELECT table_name::text, column_name::text, udt_name::text, is_nullable = 'YES'
             FROM information_schema.columns
             WHERE table_schema = 'public'
                AND table_name NOT IN ('eth_prices_readable', 'eth_prices_hex', 'eth_price_equivocations')",
            &[],
        )
        .await
        .unwrap();
    let mut actual: Vec<(String, String, String)> = rows
        .iter()
        .map(|row| {
            let kind = match row.get::<_, String>(2).as_str() {
                "varchar" => "text".to_owned(),
                kind => match kind.strip_prefix('_') {
                    Some(item) => format!("array<nullable<{item}>>"),
                    None => kind.to_owned(),
                },
            };
            let kind = if row.get(3) {
                format!("nullable<{kind}>")
            } else {
                kind
            };
            (row.get(0), row.get(1), kind)
        })
        .collect();
    let mut believed = believed();
    actual.sort();
    believed.sort();
    assert_eq!(believed, actual);
}

#[tokio::test]
async fn every_table_column_and_function_is_explained() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let rows = owner
        .query(
            "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
                AND relname <> '__diesel_schema_migrations'
                AND attnum > 0 AND col_description(attrelid, attnum) IS NULL
             UNION ALL
             SELECT pg_class.oid::regclass::text FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
                AND relname <> '__diesel_schema_migrations' AND obj_description(oid, 'pg_class') IS NULL
             UNION ALL
             SELECT oid::regprocedure::text FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'quorate%'
                AND obj_description(oid, 'pg_proc') IS NULL",
            &[],
        )
        .await
        .unwrap();
    let unexplained: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[tokio::test]
async fn the_last_record_is_found_by_an_index() {
    let query = "SELECT digest FROM eth_prices WHERE feed = 'ETH/USD' ORDER BY sequence DESC LIMIT 1";
    assert_plan_uses("eth_prices_once_a_number", query).await;
}

#[tokio::test]
async fn a_page_of_many_begins_by_an_index() {
    let query =
        "SELECT * FROM eth_prices WHERE (feed, sequence) > ('ETH/USD', 7) ORDER BY feed, sequence LIMIT 10";
    assert_plan_uses("eth_prices_once_a_number", query).await;
}

#[tokio::test]
async fn a_record_is_found_by_its_digest() {
    let query = "SELECT * FROM eth_prices WHERE digest = '\\x12'";
    assert_plan_uses("eth_prices_by_digest", query).await;
}

#[tokio::test]
async fn the_newest_records_are_found_by_an_index() {
    let query = "SELECT * FROM eth_prices ORDER BY timestamp DESC LIMIT 10";
    assert_plan_uses("eth_prices_newest", query).await;
    assert_plan_uses("eth_prices_newest", "SELECT * FROM eth_prices_hex LIMIT 10").await;
    assert_plan_uses("eth_prices_newest", "SELECT * FROM eth_prices_readable LIMIT 10").await;
}

/// That the index gives the order, so that the query costs the same however many records there are.
async fn assert_plan_uses(index: &str, query: &str) {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    // The tables are empty: without this a scan of nothing is cheapest.
    owner.batch_execute("SET enable_seqscan = off").await.unwrap();
    let rows = owner.query(&format!("EXPLAIN {query}"), &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    // What is sorted below it is one record's signers.
    let above = plan.split_once(index).map(|(above, _)| above);
    assert!(above.is_some_and(|above| !above.contains("Sort")), "{plan}");
}
