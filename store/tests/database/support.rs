//! A server, fresh databases, certificates, and raw SQL.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use quorate_protocol::{
    Attestation, Certificate, Evidence, Network, NodeKey, Observation, QuorumRule, Quote, UnixMillis,
    VerifiedReport,
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

async fn empty_database_named(server: &PrivatePostgres, name: &str, template: &str) -> Database {
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
    let rule = QuorumRule {
        min_signatures: signers.len(),
        fraction: None,
        validators: Default::default(),
    };
    report.certify(&rule, signers.len()).unwrap()
}

/// A record as a hostile client with the node's password would write it: every value its own choice.
#[derive(Clone)]
pub(crate) struct RawRecord {
    pub(crate) digest: String,
    pub(crate) feed: String,
    pub(crate) price: String,
    pub(crate) evidence: String,
    pub(crate) signers: Vec<String>,
}

pub(crate) fn signer(number: u8) -> String {
    key(number).address().to_string()
}

impl RawRecord {
    /// One that the database accepts.
    pub(crate) fn good(number: u8) -> Self {
        Self {
            digest: format!("0x{}", format!("{number:02x}").repeat(32)),
            feed: "ETH/USD".to_owned(),
            price: "3000.5".to_owned(),
            evidence: r#"[{"source":"coinbase","price":"3000.5","at":1700000000000}]"#.to_owned(),
            signers: [1, 2, 3].map(signer).to_vec(),
        }
    }

    pub(crate) fn insert(&self) -> String {
        format!(
            "INSERT INTO eth_prices (timestamp, feed, price, observer, written_by, digest, evidence, network)
             VALUES (now(), '{}', {}, '{}', '{}', '{}', '{}', 'test');",
            self.feed,
            self.price,
            signer(1),
            signer(2),
            self.digest,
            self.evidence
        )
    }

    pub(crate) fn insert_signatures(&self) -> String {
        self.signers
            .iter()
            .map(|signer| {
                format!(
                    "INSERT INTO eth_price_signatures (digest, signer, signature)
                     VALUES ('{}', '{signer}', '0x{}');",
                    self.digest,
                    "ab".repeat(65)
                )
            })
            .collect()
    }

    /// Everything in one transaction; the error's code and constraint if the database refuses.
    pub(crate) async fn write(&self, client: &Client) -> Result<(), (SqlState, String)> {
        attempt(client, &format!("{}{}", self.insert(), self.insert_signatures())).await
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
