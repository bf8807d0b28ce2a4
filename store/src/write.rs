//! Writing a certificate: one statement, all or nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    prelude::*,
    sql_types::{Array, Bool, Jsonb, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::{Address, Certificate, Network, WriteOutcome};

use crate::{
    error::{Failure, StoreError, classify},
    pool::Pool,
    read::{digest_exists, last_record_on, timestamp},
    record::{evidence_to_json, unix_millis},
};

/// Record and signatures in one statement, which is its own transaction: a client that dies leaves none half open, and
/// the others wait for it no longer than the statement takes. A lost race (the same digest, the same window) inserts nothing
/// and is no error, which the server would log with the whole statement. The DSL has no statement with two inserts.
const WRITE: &str = r#"
    WITH record AS (
        INSERT INTO public.eth_prices ("timestamp", feed, price, observer, written_by, digest, evidence, network)
        VALUES ($1, $2, $3::numeric, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING
        RETURNING digest, written_at
    ), signed AS (
        INSERT INTO public.eth_price_signatures (digest, signer, signature, validator)
        SELECT record.digest, attestation.signer, attestation.signature, attestation.validator
        FROM record, unnest($9::text[], $10::text[], $11::boolean[]) AS attestation (signer, signature, validator)
    )
    SELECT written_at FROM record"#;

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = Timestamptz)]
    written_at: DateTime<Utc>,
}

/// The certificate as the statement's parameters.
struct Rows {
    timestamp: DateTime<Utc>,
    feed: String,
    price: String,
    observer: String,
    written_by: String,
    digest: String,
    evidence: serde_json::Value,
    network: String,
    signers: Vec<String>,
    signatures: Vec<String>,
    validators: Vec<bool>,
}

impl Rows {
    fn new(
        certificate: &Certificate,
        writer: Address,
        network: &Network,
        validators: &BTreeSet<Address>,
    ) -> serde_json::Result<Self> {
        let report = certificate.report();
        let observation = report.observation();
        Ok(Self {
            timestamp: timestamp(observation.observed_at()),
            feed: observation.feed().to_string(),
            price: observation.price().to_string(),
            observer: observation.observer().to_string(),
            written_by: writer.to_string(),
            digest: certificate.digest().to_string(),
            evidence: evidence_to_json(observation.evidence())?,
            network: network.to_string(),
            signers: report.signatures().keys().map(ToString::to_string).collect(),
            signatures: report.signatures().values().map(ToString::to_string).collect(),
            validators: report
                .signatures()
                .keys()
                .map(|signer| validators.contains(signer))
                .collect(),
        })
    }
}

pub(crate) async fn write(
    pool: &Pool,
    certificate: &Certificate,
    writer: Address,
    network: &Network,
    validators: &BTreeSet<Address>,
) -> WriteOutcome {
    let rows = match Rows::new(certificate, writer, network, validators) {
        Ok(rows) => rows,
        Err(error) => {
            return WriteOutcome::Refused {
                reason: error.to_string(),
            };
        }
    };
    let (feed, digest) = (rows.feed.clone(), rows.digest.clone());
    let attempt = pool.attempt(|connection| insert(connection, rows).boxed());
    let error = match attempt.await {
        Ok(Ok(Some(written))) => {
            return WriteOutcome::Written {
                written_at: unix_millis(written.written_at),
            };
        }
        Ok(Ok(None)) => return in_the_way(pool, feed, digest).await,
        Ok(Err(error)) => error,
        Err(error) => return unavailable(error),
    };
    match classify(&error) {
        Failure::Conflict => in_the_way(pool, feed, digest).await,
        Failure::Passing(reason) => WriteOutcome::Unavailable { reason },
        Failure::Refusal(reason) => WriteOutcome::Refused { reason },
        // Asked only now, so that the usual way costs nothing. If even that is not answered, the trouble may pass.
        Failure::Unclear(reason) => match pool.run(|connection| may_write(connection).boxed()).await {
            Ok(false) => WriteOutcome::Refused { reason },
            Ok(true) | Err(_) => WriteOutcome::Unavailable { reason },
        },
    }
}

fn unavailable(error: StoreError) -> WriteOutcome {
    WriteOutcome::Unavailable {
        reason: match error {
            StoreError::Unavailable { reason } => reason,
            other => other.to_string(),
        },
    }
}

/// Nothing, if another record stands in the way.
async fn insert(connection: &mut AsyncPgConnection, rows: Rows) -> QueryResult<Option<Written>> {
    // `load` reads to the end of the answer. `get_result` would stop at the first row, and the row comes before the
    // commit, at which the database counts the signatures.
    let written: Vec<Written> = diesel::sql_query(WRITE)
        .bind::<Timestamptz, _>(rows.timestamp)
        .bind::<Text, _>(rows.feed)
        .bind::<Text, _>(rows.price)
        .bind::<Text, _>(rows.observer)
        .bind::<Text, _>(rows.written_by)
        .bind::<Text, _>(rows.digest)
        .bind::<Jsonb, _>(rows.evidence)
        .bind::<Text, _>(rows.network)
        .bind::<Array<Text>, _>(rows.signers)
        .bind::<Array<Text>, _>(rows.signatures)
        .bind::<Array<Bool>, _>(rows.validators)
        .load(connection)
        .await?;
    Ok(written.into_iter().next())
}

/// What the write conflicted with: the same record, or one within the window.
async fn in_the_way(pool: &Pool, feed: String, digest: String) -> WriteOutcome {
    let found = pool.run(|connection| {
        async move {
            let exists = digest_exists(connection, &digest).await?;
            let last = last_record_on(connection, &feed).await?;
            // A damaged last record still means that the window is closed.
            Ok((exists, last.unwrap_or(None)))
        }
        .boxed()
    });
    match found.await {
        Ok((true, last)) => WriteOutcome::Duplicate { last },
        Ok((false, last)) => WriteOutcome::TooSoon { last },
        // Not knowing which of the two, it is tried again: the digest is unique.
        Err(error) => unavailable(error),
    }
}

#[derive(QueryableByName)]
struct Privilege {
    #[diesel(sql_type = Bool)]
    granted: bool,
}

/// Whether the tables are there and this role may insert into them.
async fn may_write(connection: &mut AsyncPgConnection) -> QueryResult<bool> {
    let privilege: Privilege = diesel::sql_query(
        "SELECT coalesce(
            has_any_column_privilege(to_regclass('public.eth_prices')::oid, 'INSERT')
            AND has_any_column_privilege(to_regclass('public.eth_price_signatures')::oid, 'INSERT'), false) AS granted",
    )
    .get_result(connection)
    .await?;
    Ok(privilege.granted)
}
