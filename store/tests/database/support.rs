//! A server, fresh databases, certificates, and raw SQL.

use std::{
    collections::BTreeSet,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use quorate_protocol::{
    Attestation, Certificate, Committee, Evidence, Members, Network, NodeKey, Observation, QuorumRule, Quote,
    UnixMillis, VerifiedReport, WriteOutcome,
};
use quorate_store::{
    DatabaseUrl, MigrateOptions, NODE_ROLE, PrivateOptions, PrivatePostgres, Secret, Store, StoreConfig,
    migrate,
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, NoTls, error::SqlState};

/// One for all tests: the role belongs to the whole server.
pub(crate) const NODE_PASSWORD: &str = "the nodes' pass/word: 100% \"safe\"";

/// Started by the first test that needs it; the end of this process stops it.
pub(crate) fn server() -> &'static PrivatePostgres {
    static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
    SERVER.get_or_init(|| PrivatePostgres::start(&PrivateOptions::default()).unwrap())
}

/// A database and how to log in.
pub(crate) struct Database {
    pub(crate) owner: DatabaseUrl,
    pub(crate) node: DatabaseUrl,
}

const TEMPLATE_NAME: &str = "migrated";

fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// An empty database.
pub(crate) async fn empty_database() -> Database {
    empty_database_named(server(), &new_name(), "template1").await
}

pub(crate) async fn empty_database_named(server: &PrivatePostgres, name: &str, template: &str) -> Database {
    let owner = server.owner_url();
    let client = connect(&owner).await;
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    // The session that made the template may not have ended yet.
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = client.batch_execute(&create).await {
        assert!(
            error.code() == Some(&SqlState::OBJECT_IN_USE) && Instant::now() < deadline,
            "{error:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
    Database {
        owner: owner.with_database(name),
        node: server
            .url_for(NODE_ROLE, &Secret::new(NODE_PASSWORD))
            .with_database(name),
    }
}

/// A migrated database with this window and a minimum of 3. Copied: faster than migrating anew for each test.
pub(crate) async fn database(write_interval: Duration) -> Database {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    let template = Box::pin(async {
        let template = empty_database_named(server(), TEMPLATE_NAME, "template1").await;
        migrate(&template.owner, options(LONG)).await.unwrap();
    });
    TEMPLATE.get_or_init(|| template).await;
    let database = empty_database_named(server(), &new_name(), TEMPLATE_NAME).await;
    if write_interval != LONG {
        migrate(&database.owner, options(write_interval)).await.unwrap();
    }
    database
}

/// The same, on a server of the test's own.
pub(crate) async fn database_of(server: &PrivatePostgres, write_interval: Duration) -> Database {
    let database = empty_database_named(server, &new_name(), "template1").await;
    migrate(&database.owner, options(write_interval)).await.unwrap();
    database
}

pub(crate) fn options(write_interval: Duration) -> MigrateOptions {
    MigrateOptions {
        write_interval: Some(write_interval),
        min_signatures: Some(3),
        node_password: Some(Secret::new(NODE_PASSWORD)),
        ..MigrateOptions::default()
    }
}

/// A window that no test outlives.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn store(url: &DatabaseUrl) -> Store {
    Store::new(StoreConfig::new(url.clone()))
}

/// A connection for raw SQL.
pub(crate) async fn connect(url: &DatabaseUrl) -> Client {
    let (client, connection) = Box::pin(tokio_postgres::connect(&url.reveal(), NoTls))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn network() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| "test".parse().unwrap())
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn now() -> UnixMillis {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixMillis::new(u64::try_from(elapsed.as_millis()).unwrap())
}

pub(crate) fn evidence(price: &str) -> Evidence {
    let quote = |source: &str| Quote {
        source: source.parse().unwrap(),
        price: price.parse().unwrap(),
        at: UnixMillis::new(1_700_000_000_123),
    };
    Evidence::sorted(vec![quote("coinbase"), quote("kraken")]).unwrap()
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
    let mut report = VerifiedReport::sign_own(observation, network(), &observer).unwrap();
    for number in &signers[1..] {
        let key = key(*number);
        let signature = key.sign(report.digest());
        let signer = key.address();
        report.add(Attestation { signer, signature }).unwrap();
    }
    let committee = Committee {
        members: Members::Open,
        rule: QuorumRule::at_least(1),
    };
    report.certify(&committee, signers.len()).unwrap()
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
