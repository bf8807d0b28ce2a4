//! The questions that are asked of the database.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult,
    dsl::sql,
    migration::MigrationSource,
    pg::Pg,
    prelude::*,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use quorate_protocol::{Digest, Feed, LastRecord, Record, UnixMillis};

use crate::{
    error::StoreError,
    migrate::MIGRATIONS,
    pool::Pool,
    record::{self, RecordRow, parse, timestamp},
    schema::{__diesel_schema_migrations, eth_prices, quorate_settings},
    settings::{Settings, SettingsRow},
};

/// Most records that one question returns: bounds the memory that a request of the HTTP API can cost (about 10 MB).
pub const MAX_RECORDS: u32 = 10_000;

/// From which end records are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first, by the time of observation.
    #[default]
    NewestFirst,
    /// By feed, and within a feed by number, which is the order in which they were written.
    BySequence,
}

/// Which records to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// Of this feed only.
    pub feed: Option<Feed>,
    /// Observed at this time or later.
    pub from: Option<UnixMillis>,
    /// Observed before this time.
    pub to: Option<UnixMillis>,
    /// With a higher number than this, within their feed.
    pub after: Option<u64>,
    /// With this number or a lower one.
    pub up_to: Option<u64>,
    /// From which end.
    pub order: Order,
    /// No more than this many; [`MAX_RECORDS`] caps it.
    pub limit: u32,
}

impl Default for RecordQuery {
    /// The newest 100 of all feeds.
    fn default() -> Self {
        Self {
            feed: None,
            from: None,
            to: None,
            after: None,
            up_to: None,
            order: Order::default(),
            limit: 100,
        }
    }
}

diesel::define_sql_function! {
    /// The database's clock.
    fn clock_timestamp() -> Timestamptz;
}

/// What the role at the other end of this connection sees of the schema.
#[derive(QueryableByName)]
struct Visible {
    #[diesel(sql_type = Bool)]
    present: bool,
    #[diesel(sql_type = Bool)]
    readable: bool,
    #[diesel(sql_type = Text)]
    role: String,
}

/// `to_regclass` answers where a query would fail with an error that cannot be told from others.
const VISIBLE: &str = "
    SELECT count(found.id) = 2 AS present,
        coalesce(bool_and(has_table_privilege(found.id::oid, 'SELECT')), false) AS readable,
        current_user::text AS role
    FROM unnest(ARRAY[to_regclass('public.__diesel_schema_migrations'), to_regclass('public.quorate_settings')])
        AS found (id)";

pub(crate) async fn settings(pool: &Pool) -> Result<Settings, StoreError> {
    pool.run(|connection| settings_on(connection).boxed()).await?
}

/// The outer result is the connection's, the inner one what this role finds of the schema.
pub(crate) async fn settings_on(
    connection: &mut AsyncPgConnection,
) -> QueryResult<Result<Settings, StoreError>> {
    let visible: Visible = diesel::sql_query(VISIBLE).get_result(connection).await?;
    if !visible.present {
        let missing = "quorate's tables".to_owned();
        return Ok(Err(StoreError::NotMigrated { missing }));
    }
    if !visible.readable {
        let reason = format!(
            "role {} may not read quorate's tables: log in as {}",
            visible.role,
            crate::NODE_ROLE
        );
        return Ok(Err(StoreError::Refused { reason }));
    }
    let applied: Vec<String> = __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .order(__diesel_schema_migrations::version)
        .load(connection)
        .await?;
    if let Err(error) = check_version(&applied) {
        return Ok(Err(error));
    }
    let row: SettingsRow = quorate_settings::table
        .select((
            quorate_settings::write_interval,
            quorate_settings::min_signatures,
            quorate_settings::min_validators,
        ))
        .first(connection)
        .await?;
    Ok(Ok(Settings::from_row(row)))
}

/// Whether exactly the migrations that this program carries were applied.
pub(crate) fn check_version(applied: &[String]) -> Result<(), StoreError> {
    let known = known_versions();
    if let Some(unknown) = applied.iter().find(|version| !known.contains(*version)) {
        return Err(StoreError::SchemaNewer {
            version: unknown.clone(),
        });
    }
    match known.iter().find(|version| !applied.contains(*version)) {
        Some(version) => Err(StoreError::NotMigrated {
            missing: format!("migration {version}"),
        }),
        None => Ok(()),
    }
}

pub(crate) fn known_versions() -> BTreeSet<String> {
    MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .unwrap_or_default()
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect()
}

pub(crate) async fn last_record(pool: &Pool, feed: &Feed) -> Result<Option<LastRecord>, StoreError> {
    let feed = feed.to_string();
    pool.run(|connection| async move { last_record_on(connection, &feed).await }.boxed())
        .await?
}

/// The outer result is the connection's, the inner one the row's.
pub(crate) async fn last_record_on(
    connection: &mut AsyncPgConnection,
    feed: &str,
) -> QueryResult<Result<Option<LastRecord>, StoreError>> {
    let last: Option<(RecordRow, DateTime<Utc>, DateTime<Utc>)> = eth_prices::table
        .filter(eth_prices::feed.eq(feed))
        .order(eth_prices::sequence.desc())
        .select((RecordRow::as_select(), eth_prices::written_at, clock_timestamp()))
        .first(connection)
        .await
        .optional()?;
    let Some((row, written_at, now)) = last else {
        return Ok(Ok(None));
    };
    Ok(row.read().map(|record| {
        Some(LastRecord {
            sequence: record.sequence,
            previous: record.previous,
            digest: record.digest,
            // Both times are the database's; zero if its clock was set back between them.
            age: (now - written_at).to_std().unwrap_or_default(),
            price: record.price,
            observed_at: record.observed_at,
            written_by: record.written_by,
            signatures: record.signatures.len(),
        })
    }))
}

/// Whether this record has this number.
pub(crate) async fn stands(
    connection: &mut AsyncPgConnection,
    feed: &str,
    sequence: i64,
    digest: &[u8],
) -> QueryResult<bool> {
    let this = eth_prices::table
        .filter(eth_prices::feed.eq(feed))
        .filter(eth_prices::sequence.eq(sequence))
        .filter(eth_prices::digest.eq(digest));
    diesel::select(diesel::dsl::exists(this))
        .get_result(connection)
        .await
}

pub(crate) async fn record(pool: &Pool, digest: &Digest) -> Result<Option<Record>, StoreError> {
    let digest = *digest.as_bytes();
    let this = pool.run(|connection| {
        async move {
            let rows = eth_prices::table
                .filter(eth_prices::digest.eq(digest.as_slice()))
                .select(RecordRow::as_select());
            rows.first(connection).await.optional()
        }
        .boxed()
    });
    this.await?.map(RecordRow::read).transpose()
}

pub(crate) async fn record_at(pool: &Pool, feed: &Feed, sequence: u64) -> Result<Option<Record>, StoreError> {
    let (feed, sequence) = (feed.to_string(), record::sequence(sequence));
    let this = pool.run(|connection| {
        async move {
            let rows = eth_prices::table.find((feed, sequence));
            rows.select(RecordRow::as_select())
                .first(connection)
                .await
                .optional()
        }
        .boxed()
    });
    this.await?.map(RecordRow::read).transpose()
}

pub(crate) async fn records(pool: &Pool, query: RecordQuery) -> Result<Vec<Record>, StoreError> {
    let rows = pool
        .run(|connection| load(connection, query, None).boxed())
        .await?;
    rows.into_iter().map(RecordRow::read).collect()
}

/// Behind this place, if one is given; only of use in the order of sequences.
async fn load(
    connection: &mut AsyncPgConnection,
    query: RecordQuery,
    behind: Option<(String, i64)>,
) -> QueryResult<Vec<RecordRow>> {
    let mut matching = eth_prices::table
        .select(RecordRow::as_select())
        .limit(query.limit.min(MAX_RECORDS).into())
        .into_boxed();
    if let Some(feed) = query.feed {
        matching = matching.filter(eth_prices::feed.eq(feed.to_string()));
    }
    if let Some(from) = query.from {
        matching = matching.filter(eth_prices::timestamp.ge(timestamp(from)));
    }
    if let Some(to) = query.to {
        matching = matching.filter(eth_prices::timestamp.lt(timestamp(to)));
    }
    if let Some(after) = query.after {
        matching = matching.filter(eth_prices::sequence.gt(record::sequence(after)));
    }
    if let Some(up_to) = query.up_to {
        matching = matching.filter(eth_prices::sequence.le(record::sequence(up_to)));
    }
    if let Some((feed, sequence)) = behind {
        // Compared as a pair: that is how the index is entered. The DSL has no pairs.
        let is_behind = sql::<Bool>("(feed, sequence) > (")
            .bind::<Text, _>(feed)
            .sql(", ")
            .bind::<BigInt, _>(sequence)
            .sql(")");
        matching = matching.filter(is_behind);
    }
    matching = match query.order {
        Order::NewestFirst => matching.order((
            eth_prices::timestamp.desc(),
            eth_prices::feed,
            eth_prices::sequence.desc(),
        )),
        Order::BySequence => matching.order((eth_prices::feed, eth_prices::sequence)),
    };
    matching.load(connection).await
}

/// So many rows are asked for at a time: about a megabyte.
const PAGE: u32 = 1000;

/// Page by page, each a question of its own: the time-out of a statement and a pooler's transactions are as long as a page.
pub(crate) fn stream(
    pool: Pool,
    query: RecordQuery,
) -> impl Stream<Item = Result<Record, StoreError>> + Send + 'static {
    let first = Some((
        RecordQuery {
            limit: PAGE,
            order: Order::BySequence,
            ..query
        },
        None,
    ));
    let pages = stream::try_unfold(first, move |next| {
        let pool = pool.clone();
        async move {
            let Some((query, behind)) = next else {
                return Ok(None);
            };
            let question = query.clone();
            let rows = pool
                .run(|connection| load(connection, question, behind).boxed())
                .await?;
            let next = match rows.last() {
                Some(last) if rows.len() == PAGE as usize => Some((query, Some(last.place()))),
                _ => None,
            };
            Ok(Some((stream::iter(rows).map(RecordRow::read), next)))
        }
    });
    pages.try_flatten()
}

/// From which to which number records of a feed stand in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSpan {
    /// What is priced.
    pub feed: Feed,
    /// The first number: 1, unless the records before it were archived.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

#[derive(QueryableByName)]
struct SpanRow {
    #[diesel(sql_type = Text)]
    feed: String,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

/// From feed to feed, each found by the index: however many records there are. The DSL has no recursion.
const FEEDS: &str = "
    WITH RECURSIVE listed (feed) AS (
        (SELECT feed FROM public.eth_prices ORDER BY feed LIMIT 1)
        UNION ALL
        SELECT (SELECT next.feed FROM public.eth_prices AS next WHERE next.feed > listed.feed ORDER BY next.feed LIMIT 1)
        FROM listed WHERE listed.feed IS NOT NULL
    )
    SELECT feed,
        (SELECT min(sequence) FROM public.eth_prices AS record WHERE record.feed = listed.feed) AS first,
        (SELECT max(sequence) FROM public.eth_prices AS record WHERE record.feed = listed.feed) AS last
    FROM listed WHERE feed IS NOT NULL";

pub(crate) async fn feeds(pool: &Pool) -> Result<Vec<FeedSpan>, StoreError> {
    let rows: Vec<SpanRow> = pool
        .run(|connection| diesel::sql_query(FEEDS).load(connection).boxed())
        .await?;
    let read = |row: SpanRow| -> Result<FeedSpan, String> {
        Ok(FeedSpan {
            feed: parse(&row.feed)?,
            first: row.first.try_into().map_err(|_| "a number below 0")?,
            last: row.last.try_into().map_err(|_| "a number below 0")?,
        })
    };
    let damaged = |reason| StoreError::Damaged {
        record: "a feed of eth_prices".to_owned(),
        reason,
    };
    rows.into_iter().map(|row| read(row).map_err(damaged)).collect()
}

/// The network whose records stand here; `None` before the first.
pub(crate) async fn network(pool: &Pool) -> Result<Option<String>, StoreError> {
    pool.run(|connection| {
        quorate_settings::table
            .select(quorate_settings::network)
            .first(connection)
            .boxed()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_migrations_fit() {
        let known: Vec<String> = known_versions().into_iter().collect();
        assert_eq!(check_version(&known), Ok(()));
        assert!(matches!(
            check_version(&known[1..]),
            Err(StoreError::NotMigrated { missing }) if missing.contains(&known[0])
        ));
        let newer = [known.clone(), vec!["29991231235959".to_owned()]].concat();
        assert!(matches!(
            check_version(&newer),
            Err(StoreError::SchemaNewer { .. })
        ));
        assert!(matches!(check_version(&[]), Err(StoreError::NotMigrated { .. })));
    }
}
