//! A server, fresh databases, certificates, and raw SQL.

use std::{collections::BTreeSet, sync::OnceLock, time::Duration};

use quorate_protocol::{Certificate, Evidence, Network, NodeKey, Observation, UnixMillis, WriteOutcome};
use quorate_store::{DatabaseUrl, PrivatePostgres, Store, StoreConfig};
use quorate_testkit::builders::{self, certify, quote, sign};
pub(crate) use quorate_testkit::{
    builders::{key, unix_now as now},
    postgres::{Database, LONG, NODE_PASSWORD, connect, options, server},
};
use tokio_postgres::{Client, error::SqlState};

/// An empty database.
pub(crate) async fn empty_database() -> Database {
    Database::empty().await
}

/// A migrated database with this window and a minimum of 3.
pub(crate) async fn database(write_interval: Duration) -> Database {
    Database::migrated(write_interval).await
}

/// The same, on a server of the test's own.
pub(crate) async fn database_of(server: &PrivatePostgres, write_interval: Duration) -> Database {
    Database::migrated_on(server, write_interval).await
}

pub(crate) fn store(url: &DatabaseUrl) -> Store {
    Store::new(StoreConfig::new(url.clone()))
}

pub(crate) fn network() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(builders::network)
}

/// Two sources say the same.
pub(crate) fn evidence(price: &str) -> Evidence {
    let at = UnixMillis::new(1_700_000_000_123);
    Evidence::sorted(
        ["coinbase", "kraken"]
            .map(|source| quote(source, price, at))
            .to_vec(),
    )
    .unwrap()
}

/// A certificate for `ETH/USD`, observed by the first signer.
pub(crate) fn certificate(price: &str, observed_at: UnixMillis, signers: &[u8]) -> Certificate {
    certificate_for("ETH/USD", price, observed_at, signers)
}

pub(crate) fn certificate_for(
    feed: &str,
    price: &str,
    observed_at: UnixMillis,
    signers: &[u8],
) -> Certificate {
    let observer = key(signers[0]);
    let observation = Observation::new(
        feed.parse().unwrap(),
        observed_at,
        observer.address(),
        evidence(price),
    );
    let others: Vec<NodeKey> = signers[1..].iter().map(|number| key(*number)).collect();
    let others: Vec<&NodeKey> = others.iter().collect();
    certify(&sign(observation, &observer, &others))
}

/// Writes it in the name of the first key, with nobody marked as a validator.
pub(crate) async fn write(store: &Store, certificate: &Certificate) -> WriteOutcome {
    store
        .write(certificate, key(1).address(), network(), &BTreeSet::new())
        .await
}

/// A record as a client with the node's password would write it: every value its own choice.
#[derive(Clone)]
pub(crate) struct RawRecord {
    pub(crate) digest: String,
    /// An SQL expression.
    pub(crate) timestamp: String,
    pub(crate) feed: String,
    pub(crate) price: String,
    pub(crate) observer: String,
    pub(crate) evidence: String,
    pub(crate) network: String,
    /// Signers and their signatures.
    pub(crate) signatures: Vec<(String, String)>,
}

pub(crate) fn signer(number: u8) -> String {
    key(number).address().to_string()
}

/// The signer's text, and its signature over the digest.
pub(crate) fn signature(number: u8, digest: &str) -> (String, String) {
    let signature = key(number).sign(digest.parse().unwrap());
    (signer(number), signature.to_string())
}

impl RawRecord {
    /// One that the database accepts: observed and signed by key 1, signed by keys 2 and 3. The same number is the same
    /// record.
    pub(crate) fn good(number: u8) -> Self {
        Self::of("ETH/USD", evidence("3000.5"), number)
    }

    /// The same of another feed or with other evidence.
    pub(crate) fn of(feed: &str, evidence: Evidence, number: u8) -> Self {
        static START: OnceLock<UnixMillis> = OnceLock::new();
        let observed_at = UnixMillis::new(START.get_or_init(now).get() - u64::from(number));
        let observation = Observation::new(feed.parse().unwrap(), observed_at, key(1).address(), evidence);
        let digest = observation.digest(network()).to_string();
        let quotes: Vec<String> = observation
            .evidence()
            .quotes()
            .iter()
            .map(|quote| {
                format!(
                    r#"{{"source":"{}","price":"{}","at":{}}}"#,
                    quote.source, quote.price, quote.at
                )
            })
            .collect();
        Self {
            timestamp: format!(
                "to_timestamp({}.{:03})",
                observed_at.get() / 1000,
                observed_at.get() % 1000
            ),
            feed: feed.to_owned(),
            price: observation.price().to_string(),
            observer: signer(1),
            evidence: format!("[{}]", quotes.join(",")),
            network: network().to_string(),
            signatures: [1, 2, 3].map(|number| signature(number, &digest)).to_vec(),
            digest,
        }
    }

    /// With the genuine signatures of these.
    pub(crate) fn signed_by(mut self, numbers: &[u8]) -> Self {
        self.signatures = numbers
            .iter()
            .map(|&number| signature(number, &self.digest))
            .collect();
        self
    }

    pub(crate) fn insert(&self) -> String {
        format!(
            "INSERT INTO eth_prices (timestamp, feed, price, observer, written_by, digest, evidence, network)
             VALUES ({}, '{}', {}, '{}', '{}', '{}', '{}', '{}');",
            self.timestamp,
            self.feed,
            self.price,
            self.observer,
            signer(9),
            self.digest,
            self.evidence,
            self.network,
        )
    }

    pub(crate) fn insert_signatures(&self) -> String {
        self.signatures
            .iter()
            .map(|(signer, signature)| {
                format!(
                    "INSERT INTO eth_price_signatures (digest, signer, signature)
                     VALUES ('{}', '{signer}', '{signature}');",
                    self.digest
                )
            })
            .collect()
    }

    pub(crate) fn statements(&self) -> String {
        format!("{}{}", self.insert(), self.insert_signatures())
    }

    /// Everything in one transaction; the error's code and constraint if the database refuses.
    pub(crate) async fn write(&self, client: &Client) -> Result<(), (SqlState, String)> {
        attempt(client, &self.statements()).await
    }

    /// The constraint that refuses it.
    pub(crate) async fn refusal(&self, client: &Client) -> String {
        self.write(client).await.unwrap_err().1
    }
}

/// Runs statements in one transaction; the error's code and constraint (or message) if the database refuses.
pub(crate) async fn attempt(client: &Client, statements: &str) -> Result<(), (SqlState, String)> {
    let result = client.batch_execute(&format!("BEGIN; {statements} COMMIT")).await;
    let Err(error) = result else { return Ok(()) };
    client.batch_execute("ROLLBACK").await.unwrap();
    let error = error.as_db_error().expect("the connection broke").clone();
    let said = error.constraint().unwrap_or(error.message()).to_owned();
    Err((error.code().clone(), said))
}

pub(crate) async fn count(client: &Client, table: &str) -> i64 {
    let rows = client
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await;
    rows.unwrap().get(0)
}
