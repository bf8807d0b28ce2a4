//! Proofs that an observer has signed two statements for one place in the history: kept, read, and checked with nothing but themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    pg::data_types::PgInterval,
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Interval, Nullable, Numeric, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use quorate_protocol::{
    Address, Digest, Evidence, Feed, Link, LinkError, Network, Observation, Price, ProvenEquivocation,
    Signature, SignatureError, UnixMillis, VerifiedReport,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    pool::Pool,
    record::{self, address, parse, sequence, timestamp, unix_millis},
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

/// A proof that an observer has signed two statements for one place in the history. Whoever reads it need not trust the database, nor
/// who found it: [`Equivocation::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equivocation {
    /// Who made both statements.
    pub observer: Address,
    /// What both price.
    pub feed: Feed,
    /// The number that both would have as records.
    pub sequence: u64,
    /// The record that both follow; zeros for none.
    pub previous: Digest,
    /// The network that both signatures are for.
    pub network: String,
    /// The statement with the lower digest.
    pub first: Statement,
    /// The other one.
    pub second: Statement,
    /// Statements that follow the same record and are less than this apart contradict each other: half a write interval when
    /// it was found, at most 15 s.
    pub moment: Duration,
    /// Who found it, by its own word.
    pub found_by: Address,
    /// When it was kept, by the database's clock.
    pub found_at: UnixMillis,
}

/// What makes a proof worthless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationFault {
    /// No record can have this place.
    #[error(transparent)]
    Link(#[from] LinkError),
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
    /// Checks that the observer has signed both statements, that they differ, and that they are for one place in the history and one moment.
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
            Link::new(self.sequence, self.previous)?,
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
    INSERT INTO public.eth_price_equivocations (observer, feed, sequence, previous, network, found_by,
        first_digest, first_timestamp, first_price, first_evidence, first_signature,
        second_digest, second_timestamp, second_price, second_evidence, second_signature)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::numeric, $10, $11, $12, $13, $14::numeric, $15, $16)
    ON CONFLICT (first_digest, second_digest) DO NOTHING";

/// One statement as parameters.
struct Half {
    digest: Digest,
    timestamp: DateTime<Utc>,
    price: String,
    evidence: String,
    signature: Vec<u8>,
}

impl Half {
    fn new(statement: &VerifiedReport) -> Result<Self, StoreError> {
        let observation = statement.observation();
        let signature = statement
            .signatures()
            .get(&observation.observer())
            .ok_or_else(|| StoreError::Refused {
                reason: "the observer has not signed its own observation".to_owned(),
            })?;
        Ok(Self {
            digest: statement.digest(),
            timestamp: timestamp(observation.observed_at()),
            price: observation.price().to_string(),
            evidence: observation.evidence().canonical(),
            signature: signature.as_bytes().to_vec(),
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
    let observer = proof.observer().as_bytes().to_vec();
    let (feed, link) = (first.observation().feed().to_string(), first.observation().link());
    let network_name = network.to_string();
    let (first, second) = (Half::new(first)?, Half::new(second)?);
    pool.run(|connection| {
        async move {
            // Asked first: what is known costs the server no verification, and fits in any day.
            if is_kept(connection, &first.digest, &second.digest).await? {
                return Ok(false);
            }
            let rows = diesel::sql_query(KEEP)
                .bind::<Binary, _>(observer)
                .bind::<Text, _>(feed)
                .bind::<BigInt, _>(sequence(link.sequence()))
                .bind::<Binary, _>(link.previous().as_bytes().to_vec())
                .bind::<Text, _>(network_name)
                .bind::<Binary, _>(found_by.as_bytes().to_vec())
                .bind::<Binary, _>(first.digest.as_bytes().to_vec())
                .bind::<Timestamptz, _>(first.timestamp)
                .bind::<Text, _>(first.price)
                .bind::<Text, _>(first.evidence)
                .bind::<Binary, _>(first.signature)
                .bind::<Binary, _>(second.digest.as_bytes().to_vec())
                .bind::<Timestamptz, _>(second.timestamp)
                .bind::<Text, _>(second.price)
                .bind::<Text, _>(second.evidence)
                .bind::<Binary, _>(second.signature)
                .execute(connection)
                .await?;
            Ok(rows > 0)
        }
        .boxed()
    })
    .await
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Bool)]
    kept: bool,
}

async fn is_kept(connection: &mut AsyncPgConnection, first: &Digest, second: &Digest) -> QueryResult<bool> {
    let answer: Kept = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM public.eth_price_equivocations WHERE first_digest = $1 AND second_digest = $2) AS kept",
    )
    .bind::<Binary, _>(first.as_bytes().to_vec())
    .bind::<Binary, _>(second.as_bytes().to_vec())
    .get_result(connection)
    .await?;
    Ok(answer.kept)
}

/// A row of `eth_price_equivocations`, which has more columns than the DSL takes without a feature that lengthens its build.
#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    observer: Vec<u8>,
    #[diesel(sql_type = Text)]
    feed: String,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Binary)]
    previous: Vec<u8>,
    #[diesel(sql_type = Text)]
    network: String,
    #[diesel(sql_type = Binary)]
    first_digest: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    first_timestamp: DateTime<Utc>,
    #[diesel(sql_type = Numeric)]
    first_price: bigdecimal::BigDecimal,
    #[diesel(sql_type = Text)]
    first_evidence: String,
    #[diesel(sql_type = Binary)]
    first_signature: Vec<u8>,
    #[diesel(sql_type = Binary)]
    second_digest: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    second_timestamp: DateTime<Utc>,
    #[diesel(sql_type = Numeric)]
    second_price: bigdecimal::BigDecimal,
    #[diesel(sql_type = Text)]
    second_evidence: String,
    #[diesel(sql_type = Binary)]
    second_signature: Vec<u8>,
    #[diesel(sql_type = Interval)]
    moment: PgInterval,
    #[diesel(sql_type = Binary)]
    found_by: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    found_at: DateTime<Utc>,
}

pub(crate) async fn equivocations(
    pool: &Pool,
    query: EquivocationQuery,
) -> Result<Vec<Equivocation>, StoreError> {
    let rows = pool.run(|connection| load(connection, query).boxed()).await?;
    rows.into_iter().map(Row::read).collect()
}

/// Of everybody, or of one observer.
const LIST: &str = "
    SELECT * FROM public.eth_price_equivocations WHERE $1 IS NULL OR observer = $1
    ORDER BY found_at DESC, first_digest, second_digest LIMIT $2";

async fn load(connection: &mut AsyncPgConnection, query: EquivocationQuery) -> QueryResult<Vec<Row>> {
    diesel::sql_query(LIST)
        .bind::<Nullable<Binary>, _>(query.observer.map(|observer| observer.as_bytes().to_vec()))
        .bind::<BigInt, _>(i64::from(query.limit.min(MAX_EQUIVOCATIONS)))
        .load(connection)
        .await
}

impl Row {
    fn read(self) -> Result<Equivocation, StoreError> {
        let damaged = |reason: String| StoreError::Damaged {
            record: format!("equivocation 0x{}", const_hex::encode(&self.first_digest)),
            reason,
        };
        let statement =
            |digest: &[u8], at, price: &bigdecimal::BigDecimal, quotes: &str, signature: &[u8]| {
                Ok(Statement {
                    digest: record::digest(digest)?,
                    observed_at: unix_millis(at),
                    price: parse(&price.to_plain_string())?,
                    evidence: record::evidence(quotes)?,
                    signature: Signature::new(record::fixed(signature)?),
                })
            };
        let first = statement(
            &self.first_digest,
            self.first_timestamp,
            &self.first_price,
            &self.first_evidence,
            &self.first_signature,
        );
        let second = statement(
            &self.second_digest,
            self.second_timestamp,
            &self.second_price,
            &self.second_evidence,
            &self.second_signature,
        );
        Ok(Equivocation {
            observer: address(&self.observer).map_err(damaged)?,
            feed: parse(&self.feed).map_err(damaged)?,
            sequence: self
                .sequence
                .try_into()
                .map_err(|_| damaged("a number below 0".to_owned()))?,
            previous: record::digest(&self.previous).map_err(damaged)?,
            first: first.map_err(damaged)?,
            second: second.map_err(damaged)?,
            moment: Duration::from_micros(u64::try_from(self.moment.microseconds).unwrap_or(0)),
            found_by: address(&self.found_by).map_err(damaged)?,
            found_at: unix_millis(self.found_at),
            network: self.network,
        })
    }
}
