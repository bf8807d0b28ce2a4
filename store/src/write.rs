//! Writing a certificate: one statement, all or nothing. And keeping one that a failover has lost.

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    prelude::*,
    result::{DatabaseErrorKind, Error},
    sql_types::{Array, BigInt, Binary, Bool, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::WriteOutcome;

use crate::{
    error::{Failure, StoreError, classify},
    pool::Pool,
    read::{last_record_on, stands},
    record::{CertificateRow, unix_millis},
};

/// The statement is its own transaction: a client that dies leaves none half open, and the others wait for it no longer than
/// the statement takes. A lost race (the number is taken, the window is closed) inserts nothing and is no error, which the
/// server would log with the whole statement. The DSL has no typed way to leave a numeric to the server's parser.
const WRITE: &str = r#"
    INSERT INTO public.eth_prices (sequence, "timestamp", feed, price, observer, written_by, previous, digest, network,
        evidence, signers, signatures, validators)
    VALUES ($1, $2, $3, $4::numeric, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT DO NOTHING
    RETURNING written_at AS at"#;

/// The same for a record that was lost; what is kept already is kept once.
const KEEP_LOST: &str = r#"
    INSERT INTO public.eth_prices_lost (sequence, "timestamp", feed, price, observer, found_by, previous, digest, network,
        evidence, signers, signatures, validators)
    VALUES ($1, $2, $3, $4::numeric, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT DO NOTHING
    RETURNING found_at AS at"#;

/// The rule that a record follows the last one. It refuses only what has no place behind the last record as the database
/// has it: a lost race inserts nothing.
const FOLLOWS_THE_LAST: &str = "eth_prices_follows_the_last";

#[derive(QueryableByName)]
struct Inserted {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

pub(crate) async fn write(pool: &Pool, row: CertificateRow) -> WriteOutcome {
    let place = Place {
        feed: row.feed.clone(),
        sequence: row.sequence,
        digest: row.digest.clone(),
    };
    let attempt = pool.attempt(|connection| insert(connection, WRITE, row).boxed());
    let error = match attempt.await {
        Ok(Ok(Some(inserted))) => {
            return WriteOutcome::Written {
                written_at: unix_millis(inserted.at),
            };
        }
        Ok(Ok(None)) => return in_the_way(pool, place).await,
        Ok(Err(error)) => error,
        Err(error) => return unavailable(error),
    };
    match classify(&error) {
        Failure::Conflict => in_the_way(pool, place).await,
        Failure::Passing(reason) => WriteOutcome::Unavailable { reason },
        // Nobody's fault: the database has gone back, or has another history. Its last record tells which.
        Failure::Refusal(_) if is_by(&error, FOLLOWS_THE_LAST) => in_the_way(pool, place).await,
        Failure::Refusal(reason) => WriteOutcome::Refused { reason },
        // Asked only now, so that the usual way costs nothing. If even that is not answered, the trouble may pass.
        Failure::Unclear(reason) => match pool.run(|connection| may_write(connection).boxed()).await {
            Ok(false) => WriteOutcome::Refused { reason },
            Ok(true) | Err(_) => WriteOutcome::Unavailable { reason },
        },
    }
}

/// Whether it is new.
pub(crate) async fn keep_lost(pool: &Pool, row: CertificateRow) -> Result<bool, StoreError> {
    let kept = pool.run(|connection| insert(connection, KEEP_LOST, row).boxed());
    kept.await.map(|inserted| inserted.is_some())
}

fn is_by(error: &Error, rule: &str) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::CheckViolation, information)
        if information.constraint_name() == Some(rule))
}

fn unavailable(error: StoreError) -> WriteOutcome {
    WriteOutcome::Unavailable {
        reason: match error {
            StoreError::Unavailable { reason } => reason,
            other => other.to_string(),
        },
    }
}

/// Nothing, if another row stands in the way.
async fn insert(
    connection: &mut AsyncPgConnection,
    statement: &str,
    row: CertificateRow,
) -> QueryResult<Option<Inserted>> {
    // `load` reads to the end of the answer. `get_result` would stop at the first row, and the row comes before the
    // triggers that look at what was inserted, and before the commit.
    let inserted: Vec<Inserted> = diesel::sql_query(statement)
        .bind::<BigInt, _>(row.sequence)
        .bind::<Timestamptz, _>(row.timestamp)
        .bind::<Text, _>(row.feed)
        .bind::<Text, _>(row.price)
        .bind::<Binary, _>(row.observer)
        .bind::<Binary, _>(row.by)
        .bind::<Binary, _>(row.previous)
        .bind::<Binary, _>(row.digest)
        .bind::<Text, _>(row.network)
        .bind::<Text, _>(row.evidence)
        .bind::<Array<Binary>, _>(row.signers)
        .bind::<Array<Binary>, _>(row.signatures)
        .bind::<Array<Bool>, _>(row.validators)
        .load(connection)
        .await?;
    Ok(inserted.into_iter().next())
}

/// What a write was about.
struct Place {
    feed: String,
    sequence: i64,
    digest: Vec<u8>,
}

/// What the write conflicted with: the same record, or another one.
async fn in_the_way(pool: &Pool, place: Place) -> WriteOutcome {
    let found = pool.run(|connection| {
        async move {
            let exists = stands(connection, &place.feed, place.sequence, &place.digest).await?;
            let last = last_record_on(connection, &place.feed).await?;
            // A damaged last record still means that the window is closed.
            Ok((exists, last.unwrap_or(None)))
        }
        .boxed()
    });
    match found.await {
        Ok((true, last)) => WriteOutcome::Duplicate { last },
        Ok((false, last)) => WriteOutcome::TooSoon { last },
        // Not knowing which of the two, it is tried again: a number stands once.
        Err(error) => unavailable(error),
    }
}

#[derive(QueryableByName)]
struct Privilege {
    #[diesel(sql_type = Bool)]
    granted: bool,
}

/// Whether the table is there and this role may insert into it.
async fn may_write(connection: &mut AsyncPgConnection) -> QueryResult<bool> {
    let privilege: Privilege = diesel::sql_query(
        "SELECT coalesce(has_any_column_privilege(to_regclass('public.eth_prices')::oid, 'INSERT'), false) AS granted",
    )
    .get_result(connection)
    .await?;
    Ok(privilege.granted)
}
