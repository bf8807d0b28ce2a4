//! Records that leave the database after they were archived, and what stays of them: their end, which the next record follows.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Text},
};
use diesel_async::RunQueryDsl;
use futures::FutureExt;
use quorate_protocol::{Digest, Feed};

use crate::{error::StoreError, pool::Pool, record, schema::eth_prices_archived};

/// The last record of a feed that was removed, with all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// What is priced.
    pub feed: Feed,
    /// Its number.
    pub sequence: u64,
    /// Its digest: what the first record that is still there names as the one before it.
    pub digest: Digest,
}

pub(crate) async fn archived(pool: &Pool) -> Result<Vec<Archived>, StoreError> {
    let rows: Vec<(String, i64, Vec<u8>)> = pool
        .run(|connection| {
            eth_prices_archived::table
                .select((
                    eth_prices_archived::feed,
                    eth_prices_archived::sequence,
                    eth_prices_archived::digest,
                ))
                .order(eth_prices_archived::feed)
                .load(connection)
                .boxed()
        })
        .await?;
    let read = |(feed, sequence, digest): (String, i64, Vec<u8>)| {
        let archived = || -> Result<Archived, String> {
            Ok(Archived {
                feed: record::parse(&feed)?,
                sequence: u64::try_from(sequence).map_err(|error| error.to_string())?,
                digest: record::digest(&digest)?,
            })
        };
        archived().map_err(|reason| StoreError::Damaged {
            record: format!("what was archived of {feed}"),
            reason,
        })
    };
    rows.into_iter().map(read).collect()
}

/// The mark and the removal are one statement, so that a reader sees both or neither. It does nothing unless the record is the one
/// that the archive ends with, and another one of the feed follows.
const REMOVE: &str = "
    WITH last AS (
        SELECT feed, sequence, digest FROM public.eth_prices AS last
        WHERE feed = $1 AND sequence = $2 AND digest = $3 AND EXISTS (
            SELECT FROM public.eth_prices AS later WHERE later.feed = $1 AND later.sequence > $2
        )
    ), marked AS (
        INSERT INTO public.eth_prices_archived AS archived (feed, sequence, digest) SELECT feed, sequence, digest FROM last
        ON CONFLICT (feed) DO UPDATE
            SET sequence = excluded.sequence, digest = excluded.digest, archived_at = clock_timestamp()
            WHERE archived.sequence < excluded.sequence
        RETURNING feed
    ), removed AS (
        DELETE FROM public.eth_prices USING marked
        WHERE eth_prices.feed = marked.feed AND eth_prices.sequence <= $2
        RETURNING 1
    )
    SELECT count(*) AS count FROM removed";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

pub(crate) async fn remove(pool: &Pool, end: &Archived) -> Result<u64, StoreError> {
    let Archived {
        feed,
        sequence,
        digest,
    } = end.clone();
    let removed: Count = pool
        .run(|connection| {
            diesel::sql_query(REMOVE)
                .bind::<Text, _>(feed.to_string())
                .bind::<BigInt, _>(record::sequence(sequence))
                .bind::<Binary, _>(digest.as_bytes().to_vec())
                .get_result(connection)
                .boxed()
        })
        .await?;
    Ok(u64::try_from(removed.count).unwrap_or(0))
}

#[derive(QueryableByName)]
struct Privilege {
    #[diesel(sql_type = Bool)]
    granted: bool,
    #[diesel(sql_type = Text)]
    role: String,
}

/// The error names the role.
pub(crate) async fn check_may_remove(pool: &Pool) -> Result<(), StoreError> {
    let privilege: Privilege = pool
        .run(|connection| {
            diesel::sql_query(
                "SELECT current_user::text AS role, has_table_privilege('public.eth_prices', 'DELETE')
                    AND has_table_privilege('public.eth_prices_archived', 'INSERT, UPDATE') AS granted",
            )
            .get_result(connection)
            .boxed()
        })
        .await?;
    if privilege.granted {
        return Ok(());
    }
    let reason = format!(
        "role {} may not remove records: only the owner of the database may",
        privilege.role
    );
    Err(StoreError::Refused { reason })
}
