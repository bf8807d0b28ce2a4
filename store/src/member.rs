//! The members, as the owner has listed them in the database.

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    prelude::*,
    sql_types::{Array, Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::{Address, UnixMillis};

use crate::{
    error::StoreError,
    pool::Pool,
    record::{parse, unix_millis},
    schema::quorate_members,
};

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The node's address.
    pub address: Address,
    /// What people call it: up to 64 characters, or nothing.
    pub name: String,
    /// Whether its signature counts towards the minimum of validators.
    pub validator: bool,
}

/// From when to when somebody was a member. Who left and came back is known by the last time only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub member: Member,
    /// Since when, by the database's clock.
    pub added_at: UnixMillis,
    /// Since when not any more; what was observed before was taken for one more write interval.
    pub removed_at: Option<UnixMillis>,
}

/// One statement, so that nodes see the old list or the new one. Who is not listed any more stays as a former member; who
/// comes back begins anew.
const REPLACE: &str = "
    WITH listed AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[]) AS member (address, name, validator)
    ), removed AS (
        UPDATE public.quorate_members AS old SET removed_at = clock_timestamp()
        WHERE old.removed_at IS NULL
            AND NOT EXISTS (SELECT FROM listed WHERE lower(listed.address) = lower(old.address))
    )
    INSERT INTO public.quorate_members (address, name, validator)
    SELECT address, name, validator FROM listed
    ON CONFLICT (lower(address)) DO UPDATE SET
        name = excluded.name,
        validator = excluded.validator,
        added_at = CASE WHEN quorate_members.removed_at IS NULL THEN quorate_members.added_at ELSE clock_timestamp() END,
        removed_at = NULL";

/// Makes these the members; an empty list opens the network.
pub(crate) async fn replace(connection: &mut AsyncPgConnection, members: &[Member]) -> QueryResult<()> {
    if members.is_empty() {
        diesel::delete(quorate_members::table).execute(connection).await?;
        return Ok(());
    }
    let addresses: Vec<String> = members.iter().map(|member| member.address.to_string()).collect();
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let validators: Vec<bool> = members.iter().map(|member| member.validator).collect();
    diesel::sql_query(REPLACE)
        .bind::<Array<Text>, _>(addresses)
        .bind::<Array<Text>, _>(names)
        .bind::<Array<Bool>, _>(validators)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn members(pool: &Pool) -> Result<Vec<Member>, StoreError> {
    pool.run(|connection| listed(connection).boxed()).await?
}

/// The outer result is the connection's, the inner one the rows'.
pub(crate) async fn listed(
    connection: &mut AsyncPgConnection,
) -> QueryResult<Result<Vec<Member>, StoreError>> {
    use quorate_members::{removed_at, table, validator};

    let rows: Vec<(String, String, bool)> = table
        .filter(removed_at.is_null())
        .select((quorate_members::address, quorate_members::name, validator))
        .load(connection)
        .await?;
    let members: Result<Vec<Member>, StoreError> = rows.into_iter().map(to_member).collect();
    Ok(members.map(|mut members| {
        members.sort();
        members
    }))
}

pub(crate) async fn memberships(pool: &Pool) -> Result<Vec<Membership>, StoreError> {
    type Row = (String, String, bool, DateTime<Utc>, Option<DateTime<Utc>>);
    let rows: Vec<Row> = pool
        .run(|connection| {
            quorate_members::table
                .order((quorate_members::added_at, quorate_members::address))
                .load(connection)
                .boxed()
        })
        .await?;
    let membership = |(address, name, validator, added_at, removed_at): Row| {
        Ok(Membership {
            member: to_member((address, name, validator))?,
            added_at: unix_millis(added_at),
            removed_at: removed_at.map(unix_millis),
        })
    };
    rows.into_iter().map(membership).collect()
}

fn to_member((text, name, validator): (String, String, bool)) -> Result<Member, StoreError> {
    match parse(&text.to_ascii_lowercase()) {
        Ok(address) => Ok(Member {
            address,
            name,
            validator,
        }),
        Err(reason) => Err(StoreError::Damaged {
            record: format!("member {text}"),
            reason: format!("quorate_members.address: {reason}"),
        }),
    }
}
