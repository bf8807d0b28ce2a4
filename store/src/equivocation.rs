//! Proofs that an observer has signed two statements for one window: kept, read, and checked with nothing but themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    dsl::exists,
    pg::data_types::PgInterval,
    prelude::*,
    sql_types::{Jsonb, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::{
    Address, Digest, Evidence, Feed, Network, Observation, Price, ProvenEquivocation, Signature,
    SignatureError, UnixMillis, VerifiedReport,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    pool::Pool,
    read::timestamp,
    record::{address, evidence_from_json, evidence_to_json, parse, unix_millis},
    schema::eth_price_equivocations,
};

/// Most proofs that one question returns: each is up to 10 kB.
pub const MAX_EQUIVOCATIONS: u32 = 1000;

/// The longest moment: no node vouches for anything with a price of its own that is older.
const LONGEST_MOMENT: Duration = Duration::from_secs(15);

/// One of the two statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What was signed.
    pub digest: Digest,
    /// When the price was observed, by the observer's clock.
    pub observed_at: UnixMillis,
    /// The price.
    pub price: Price,
    /// The quotes behind it.
    pub evidence: Evidence,
    /// The observer's signature over the digest.
    pub signature: Signature,
}

/// A proof that an observer has signed two statements for one window. Whoever reads it need not trust the database, nor
/// who found it: [`Equivocation::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equivocation {
    /// Who made both statements.
    pub observer: Address,
    /// What both price.
    pub feed: Feed,
    /// The network that both signatures are for.
    pub network: String,
    /// The statement with the lower digest.
    pub first: Statement,
    /// The other one.
    pub second: Statement,
    /// Statements less than this apart are for one window: half a write interval when it was found, at most 15 s.
    pub moment: Duration,
    /// Who found it, by its own word.
    pub found_by: Address,
    /// When it was kept, by the database's clock.
    pub found_at: UnixMillis,
}

/// What makes a proof worthless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationFault {
    /// No network can have this name.
    #[error("{0:?} is no network's name")]
    Network(String),
    /// Both statements are the same.
    #[error("both statements have the digest {0}")]
    Same(Digest),
    /// An honest node can have made both.
    #[error("the statements are {apart:?} apart, one moment is shorter than {moment:?}")]
    Apart {
        /// How far.
        apart: Duration,
        /// How near they would have to be.
        moment: Duration,
    },
    /// A price does not follow from its quotes.
    #[error("the price of {digest} is {price}, the median of its quotes is {median}")]
    Price {
        /// Which of the two.
        digest: Digest,
        /// As kept.
        price: Price,
        /// As computed.
        median: Price,
    },
    /// A digest does not follow from its statement.
    #[error("the digest is {kept}, the statement hashes to {computed}")]
    Digest {
        /// As kept.
        kept: Digest,
        /// As computed.
        computed: Digest,
    },
    /// A signature names nobody.
    #[error("the signature over {digest} is invalid: {error}")]
    Invalid {
        /// Which of the two.
        digest: Digest,
        /// What is wrong with it.
        error: SignatureError,
    },
    /// A signature is somebody else's.
    #[error("the signature over {digest} recovers to {recovered}")]
    OtherSigner {
        /// Which of the two.
        digest: Digest,
        /// Whose it is.
        recovered: Address,
    },
}

impl Equivocation {
    /// Checks that the observer has signed both statements, that they differ, and that they are for one window.
    pub fn verify(&self) -> Result<(), EquivocationFault> {
        let network: Network = self
            .network
            .parse()
            .map_err(|_| EquivocationFault::Network(self.network.clone()))?;
        if self.first.digest == self.second.digest {
            return Err(EquivocationFault::Same(self.first.digest));
        }
        let (one, other) = (self.first.observed_at, self.second.observed_at);
        let (apart, moment) = (
            one.max(other).since(one.min(other)),
            self.moment.min(LONGEST_MOMENT),
        );
        if apart >= moment {
            return Err(EquivocationFault::Apart { apart, moment });
        }
        self.check(&self.first, &network)?;
        self.check(&self.second, &network)
    }

    fn check(&self, statement: &Statement, network: &Network) -> Result<(), EquivocationFault> {
        let digest = statement.digest;
        let observation = Observation::new(
            self.feed.clone(),
            statement.observed_at,
            self.observer,
            statement.evidence.clone(),
        );
        if observation.price() != statement.price {
            return Err(EquivocationFault::Price {
                digest,
                price: statement.price,
                median: observation.price(),
            });
        }
        let computed = observation.digest(network);
        if computed != digest {
            return Err(EquivocationFault::Digest {
                kept: digest,
                computed,
            });
        }
        match statement.signature.recover(digest) {
            Ok(recovered) if recovered == self.observer => Ok(()),
            Ok(recovered) => Err(EquivocationFault::OtherSigner { digest, recovered }),
            Err(error) => Err(EquivocationFault::Invalid { digest, error }),
        }
    }
}

/// Which proofs to list, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquivocationQuery {
    /// Of this observer only.
    pub observer: Option<Address>,
    /// No more than this many; [`MAX_EQUIVOCATIONS`] caps it.
    pub limit: u32,
}

impl Default for EquivocationQuery {
    /// The newest 100 of all observers.
    fn default() -> Self {
        Self {
            observer: None,
            limit: 100,
        }
    }
}

/// A digest without a price, a time and quotes proves nothing, so the row holds all of both statements. Found in the
/// meantime by somebody else: no row. The DSL has no typed way to leave a numeric to the server's parser.
const KEEP: &str = "
    INSERT INTO public.eth_price_equivocations (observer, feed, network, found_by,
        first_digest, first_timestamp, first_price, first_evidence, first_signature,
        second_digest, second_timestamp, second_price, second_evidence, second_signature)
    VALUES ($1, $2, $3, $4, $5, $6, $7::numeric, $8, $9, $10, $11, $12::numeric, $13, $14)
    ON CONFLICT (first_digest, second_digest) DO NOTHING";

/// One statement as parameters.
struct Half {
    digest: Digest,
    timestamp: DateTime<Utc>,
    price: String,
    evidence: serde_json::Value,
    signature: String,
}

impl Half {
    fn new(statement: &VerifiedReport) -> Result<Self, StoreError> {
        let observation = statement.observation();
        let refused = |reason: String| StoreError::Refused { reason };
        let signature = statement
            .signatures()
            .get(&observation.observer())
            .ok_or_else(|| refused("the observer has not signed its own observation".to_owned()))?;
        Ok(Self {
            digest: statement.digest(),
            timestamp: timestamp(observation.observed_at()),
            price: observation.price().to_string(),
            evidence: evidence_to_json(observation.evidence()).map_err(|error| refused(error.to_string()))?,
            signature: signature.to_string(),
        })
    }
}

pub(crate) async fn keep(
    pool: &Pool,
    proof: &ProvenEquivocation,
    network: &Network,
    found_by: Address,
) -> Result<bool, StoreError> {
    let (first, second) = proof.statements();
    let observer = proof.observer().to_string();
    let feed = first.observation().feed().to_string();
    let network_name = network.to_string();
    let (first, second) = (Half::new(first)?, Half::new(second)?);
    pool.run(|connection| {
        async move {
            // Asked first: what is known costs the server no verification, and fits in any day.
            if is_kept(connection, &first.digest, &second.digest).await? {
                return Ok(false);
            }
            let rows = diesel::sql_query(KEEP)
                .bind::<Text, _>(observer)
                .bind::<Text, _>(feed)
                .bind::<Text, _>(network_name)
                .bind::<Text, _>(found_by.to_string())
                .bind::<Text, _>(first.digest.to_string())
                .bind::<Timestamptz, _>(first.timestamp)
                .bind::<Text, _>(first.price)
                .bind::<Jsonb, _>(first.evidence)
                .bind::<Text, _>(first.signature)
                .bind::<Text, _>(second.digest.to_string())
                .bind::<Timestamptz, _>(second.timestamp)
                .bind::<Text, _>(second.price)
                .bind::<Jsonb, _>(second.evidence)
                .bind::<Text, _>(second.signature)
                .execute(connection)
                .await?;
            Ok(rows > 0)
        }
        .boxed()
    })
    .await
}

async fn is_kept(connection: &mut AsyncPgConnection, first: &Digest, second: &Digest) -> QueryResult<bool> {
    use eth_price_equivocations::{first_digest, second_digest, table};

    let this = table
        .filter(first_digest.eq(first.to_string()))
        .filter(second_digest.eq(second.to_string()));
    diesel::select(exists(this)).get_result(connection).await
}

/// A row of `eth_price_equivocations`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = eth_price_equivocations)]
#[diesel(check_for_backend(diesel::pg::Pg))]
struct Row {
    observer: String,
    feed: String,
    network: String,
    first_digest: String,
    first_timestamp: DateTime<Utc>,
    first_price: bigdecimal::BigDecimal,
    first_evidence: serde_json::Value,
    first_signature: String,
    second_digest: String,
    second_timestamp: DateTime<Utc>,
    second_price: bigdecimal::BigDecimal,
    second_evidence: serde_json::Value,
    second_signature: String,
    moment: PgInterval,
    found_by: String,
    found_at: DateTime<Utc>,
}

diesel::define_sql_function! {
    /// In small letters.
    fn lower(text: Text) -> Text;
}

pub(crate) async fn equivocations(
    pool: &Pool,
    query: EquivocationQuery,
) -> Result<Vec<Equivocation>, StoreError> {
    let rows = pool.run(|connection| load(connection, query).boxed()).await?;
    rows.into_iter().map(Row::read).collect()
}

async fn load(connection: &mut AsyncPgConnection, query: EquivocationQuery) -> QueryResult<Vec<Row>> {
    let mut matching = eth_price_equivocations::table
        .select(Row::as_select())
        .order((
            eth_price_equivocations::found_at.desc(),
            eth_price_equivocations::first_digest,
            eth_price_equivocations::second_digest,
        ))
        .limit(query.limit.min(MAX_EQUIVOCATIONS).into())
        .into_boxed();
    if let Some(observer) = query.observer {
        let observer = observer.to_string().to_ascii_lowercase();
        matching = matching.filter(lower(eth_price_equivocations::observer).eq(observer));
    }
    matching.load(connection).await
}

impl Row {
    fn read(self) -> Result<Equivocation, StoreError> {
        let damaged = |reason: String| StoreError::Damaged {
            digest: self.first_digest.clone(),
            reason: format!("equivocation: {reason}"),
        };
        let statement = |digest: &str, at, price: &bigdecimal::BigDecimal, evidence, signature: &str| {
            Ok(Statement {
                digest: parse(digest)?,
                observed_at: unix_millis(at),
                price: parse(&price.to_plain_string())?,
                evidence: evidence_from_json(evidence)?,
                signature: parse(signature)?,
            })
        };
        let first = statement(
            &self.first_digest,
            self.first_timestamp,
            &self.first_price,
            self.first_evidence,
            &self.first_signature,
        );
        let second = statement(
            &self.second_digest,
            self.second_timestamp,
            &self.second_price,
            self.second_evidence,
            &self.second_signature,
        );
        Ok(Equivocation {
            observer: address(&self.observer).map_err(damaged)?,
            feed: parse(&self.feed).map_err(damaged)?,
            first: first.map_err(damaged)?,
            second: second.map_err(damaged)?,
            moment: Duration::from_micros(u64::try_from(self.moment.microseconds).unwrap_or(0)),
            found_by: address(&self.found_by).map_err(damaged)?,
            found_at: unix_millis(self.found_at),
            network: self.network,
        })
    }
}
