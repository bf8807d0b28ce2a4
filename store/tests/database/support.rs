//! A server, fresh databases, certificates, and raw SQL.

use std::{collections::BTreeSet, sync::OnceLock, time::Duration};

use quorate_protocol::{
    Certificate, Evidence, Link, Network, NodeKey, Observation, UnixMillis, WriteOutcome,
};
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

/// A certificate for the first record of `ETH/USD`, observed by the first signer.
pub(crate) fn certificate(price: &str, observed_at: UnixMillis, signers: &[u8]) -> Certificate {
    certificate_for("ETH/USD", price, observed_at, signers)
}

/// The same for another feed.
pub(crate) fn certificate_for(
    feed: &str,
    price: &str,
    observed_at: UnixMillis,
    signers: &[u8],
) -> Certificate {
    certificate_at(Link::FIRST, feed, price, observed_at, signers)
}

/// The place behind this certificate.
pub(crate) fn after(certificate: &Certificate) -> Link {
    let link = certificate.report().observation().link();
    Link::after(link.sequence(), certificate.digest())
}

/// The same for another place in the feed's history.
pub(crate) fn certificate_at(
    link: Link,
    feed: &str,
    price: &str,
    observed_at: UnixMillis,
    signers: &[u8],
) -> Certificate {
    let observer = key(signers[0]);
    let observation = Observation::new(
        feed.parse().unwrap(),
        link,
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

/// A record as a client with the node's password would write it: every value its own choice, in SQL.
#[derive(Clone)]
pub(crate) struct RawRecord {
    pub(crate) sequence: i64,
    pub(crate) previous: String,
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

/// `0x…` text, as the views show it.
pub(crate) fn signer(number: u8) -> String {
    hex(key(number).address().as_bytes())
}

/// The signer's text, and its signature over the digest.
pub(crate) fn signature(number: u8, digest: &str) -> (String, String) {
    let signature = key(number).sign(digest.parse().unwrap());
    (signer(number), signature.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const_hex::encode_prefixed(bytes)
}

/// `0x…` text as a literal of the database.
pub(crate) fn bytea(text: &str) -> String {
    format!("decode('{}', 'hex')", text.trim_start_matches("0x"))
}

fn array(texts: impl Iterator<Item = String>, kind: &str) -> String {
    let texts: Vec<String> = texts.collect();
    format!("ARRAY[{}]::{kind}[]", texts.join(", "))
}

impl RawRecord {
    /// One that the database accepts as the first of `ETH/USD`: observed and signed by key 1, signed by keys 2 and 3. The same
    /// number is the same record.
    pub(crate) fn good(number: u8) -> Self {
        Self::of("ETH/USD", evidence("3000.5"), number)
    }

    /// The same of another feed or with other evidence.
    pub(crate) fn of(feed: &str, evidence: Evidence, number: u8) -> Self {
        Self::at(Link::FIRST, feed, evidence, number)
    }

    /// The same for another place in the history.
    pub(crate) fn at(link: Link, feed: &str, evidence: Evidence, number: u8) -> Self {
        static START: OnceLock<UnixMillis> = OnceLock::new();
        let observed_at = UnixMillis::new(START.get_or_init(now).get() - u64::from(number));
        let observation = Observation::new(
            feed.parse().unwrap(),
            link,
            observed_at,
            key(1).address(),
            evidence,
        );
        let digest = observation.digest(network()).to_string();
        let record = Self {
            sequence: link.sequence().try_into().unwrap(),
            previous: link.previous().to_string(),
            timestamp: format!(
                "to_timestamp({}.{:03})",
                observed_at.get() / 1000,
                observed_at.get() % 1000
            ),
            feed: feed.to_owned(),
            price: observation.price().to_string(),
            observer: signer(1),
            evidence: observation.evidence().canonical(),
            network: network().to_string(),
            signatures: vec![],
            digest,
        };
        record.signed_by(&[1, 2, 3])
    }

    /// The place behind this record.
    pub(crate) fn next(&self) -> Link {
        Link::after(self.sequence.try_into().unwrap(), self.digest.parse().unwrap())
    }

    /// With the genuine signatures of these.
    pub(crate) fn signed_by(mut self, numbers: &[u8]) -> Self {
        self.signatures = numbers
            .iter()
            .map(|&number| signature(number, &self.digest))
            .collect();
        self.signatures.sort();
        self
    }

    /// The columns that a node fills in; `by` is its own name.
    pub(crate) fn columns(by: &str) -> String {
        format!(
            "sequence, timestamp, feed, price, observer, {by}, previous, digest, network, evidence, signers, signatures, \
             validators"
        )
    }

    pub(crate) fn values(&self) -> String {
        let (signers, signatures) = (
            self.signatures.iter().map(|(signer, _)| bytea(signer)),
            self.signatures.iter().map(|(_, signature)| bytea(signature)),
        );
        format!(
            "{}, {}, '{}', {}, {}, {}, {}, {}, '{}', E'{}', {}, {}, {}",
            self.sequence,
            self.timestamp,
            self.feed,
            self.price,
            bytea(&self.observer),
            bytea(&signer(9)),
            bytea(&self.previous),
            bytea(&self.digest),
            self.network,
            self.evidence.replace('\n', "\\n"),
            array(signers, "bytea"),
            array(signatures, "bytea"),
            array(self.signatures.iter().map(|_| "false".to_owned()), "boolean"),
        )
    }

    pub(crate) fn insert(&self) -> String {
        format!(
            "INSERT INTO eth_prices ({}) VALUES ({});",
            Self::columns("written_by"),
            self.values()
        )
    }

    /// As a record that was lost.
    pub(crate) fn insert_lost(&self) -> String {
        format!(
            "INSERT INTO eth_prices_lost ({}) VALUES ({});",
            Self::columns("found_by"),
            self.values()
        )
    }

    /// Everything in one transaction; the error's code and constraint if the database refuses.
    pub(crate) async fn write(&self, client: &Client) -> Result<(), (SqlState, String)> {
        attempt(client, &self.insert()).await
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
