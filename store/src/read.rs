//! The questions that are asked of the database.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension, QueryResult,
    migration::MigrationSource,
    pg::Pg,
    prelude::*,
    sql_types::{Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::{Digest, Feed, LastRecord, Record, UnixMillis};

use crate::{
    error::StoreError,
    migrate::MIGRATIONS,
    pool::Pool,
    record::{RecordRow, SignatureRow, address, parse, unix_millis},
    schema::{__diesel_schema_migrations, eth_price_signatures, eth_prices, quorate_settings},
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
    /// In the order in which they were written: to go on after the last `id` that was seen.
    AsWritten,
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
    /// With a higher `id` than this. Within a feed that means: written later.
    pub after: Option<i64>,
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

fn known_versions() -> BTreeSet<String> {
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
    type Row = (
        String,
        DateTime<Utc>,
        DateTime<Utc>,
        bigdecimal::BigDecimal,
        DateTime<Utc>,
        String,
    );
    let row: Option<Row> = eth_prices::table
        .filter(eth_prices::feed.eq(feed))
        .order(eth_prices::written_at.desc())
        .select((
            eth_prices::digest,
            eth_prices::written_at,
            clock_timestamp(),
            eth_prices::price,
            eth_prices::timestamp,
            eth_prices::written_by,
        ))
        .first(connection)
        .await
        .optional()?;
    let Some((digest, written_at, now, price, observed_at, written_by)) = row else {
        return Ok(Ok(None));
    };
    let signatures: i64 = eth_price_signatures::table
        .filter(eth_price_signatures::digest.eq(&digest))
        .count()
        .get_result(connection)
        .await?;
    let last = || -> Result<LastRecord, String> {
        Ok(LastRecord {
            digest: parse(&digest).map_err(|error| format!("digest: {error}"))?,
            // Both times are the database's; zero if its clock was set back between them.
            age: (now - written_at).to_std().unwrap_or_default(),
            price: parse(&price.to_plain_string()).map_err(|error| format!("price: {error}"))?,
            observed_at: unix_millis(observed_at),
            written_by: address(&written_by).map_err(|error| format!("written_by: {error}"))?,
            signatures: usize::try_from(signatures).unwrap_or_default(),
        })
    };
    Ok(last().map(Some).map_err(|reason| StoreError::Damaged {
        digest: digest.clone(),
        reason,
    }))
}

pub(crate) async fn digest_exists(connection: &mut AsyncPgConnection, digest: &str) -> QueryResult<bool> {
    let this = eth_prices::table.filter(eth_prices::digest.eq(digest));
    diesel::select(diesel::dsl::exists(this))
        .get_result(connection)
        .await
}

pub(crate) async fn record(pool: &Pool, digest: &Digest) -> Result<Option<Record>, StoreError> {
    let digest = digest.to_string();
    let (rows, signatures) = pool
        .run(|connection| {
            async move {
                let rows = eth_prices::table
                    .filter(eth_prices::digest.eq(digest))
                    .select(RecordRow::as_select())
                    .load(connection)
                    .await?;
                with_signatures(connection, rows).await
            }
            .boxed()
        })
        .await?;
    Ok(join(rows, signatures)?.pop())
}

pub(crate) async fn records(pool: &Pool, query: RecordQuery) -> Result<Vec<Record>, StoreError> {
    let (rows, signatures) = pool
        .run(|connection| {
            async move {
                let rows = matching(connection, query).await?;
                with_signatures(connection, rows).await
            }
            .boxed()
        })
        .await?;
    join(rows, signatures)
}

async fn matching(connection: &mut AsyncPgConnection, query: RecordQuery) -> QueryResult<Vec<RecordRow>> {
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
        matching = matching.filter(eth_prices::id.gt(after));
    }
    matching = match query.order {
        Order::NewestFirst => matching.order((eth_prices::timestamp.desc(), eth_prices::id.desc())),
        Order::AsWritten => matching.order(eth_prices::id),
    };
    matching.load(connection).await
}

/// A time as a parameter; what lies behind the year 9999 counts as its end.
pub(crate) fn timestamp(time: UnixMillis) -> DateTime<Utc> {
    let millis = time.min(UnixMillis::MAX).get();
    i64::try_from(millis)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

async fn with_signatures(
    connection: &mut AsyncPgConnection,
    rows: Vec<RecordRow>,
) -> QueryResult<(Vec<RecordRow>, Vec<SignatureRow>)> {
    let digests: Vec<&str> = rows.iter().map(|row| row.digest.as_str()).collect();
    let signatures = eth_price_signatures::table
        .filter(eth_price_signatures::digest.eq_any(digests))
        .order((eth_price_signatures::digest, eth_price_signatures::signer))
        .select(SignatureRow::as_select())
        .load(connection)
        .await?;
    Ok((rows, signatures))
}

fn join(rows: Vec<RecordRow>, signatures: Vec<SignatureRow>) -> Result<Vec<Record>, StoreError> {
    let mut by_digest: HashMap<String, Vec<SignatureRow>> = HashMap::new();
    for signature in signatures {
        by_digest
            .entry(signature.digest.clone())
            .or_default()
            .push(signature);
    }
    rows.into_iter()
        .map(|row| {
            let signatures = by_digest.remove(&row.digest).unwrap_or_default();
            row.with_signatures(signatures)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::unix_millis;

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

    #[test]
    fn the_last_millisecond_that_can_be_signed_has_a_timestamp() {
        assert_eq!(unix_millis(timestamp(UnixMillis::MAX)), UnixMillis::MAX);
        assert_eq!(unix_millis(timestamp(UnixMillis::new(u64::MAX))), UnixMillis::MAX);
    }
}
