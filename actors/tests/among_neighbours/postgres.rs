//! A server for this process, a fresh database for each test, and raw SQL.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quorate_store::{
    DatabaseUrl, MigrateOptions, NODE_ROLE, PrivateOptions, PrivatePostgres, Secret, migrate,
};
use tokio_postgres::{Client, NoTls};

/// A window that no test outlives.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
const NODE_PASSWORD: &str = "node";

/// A database and how to log in.
pub(crate) struct Database {
    pub(crate) owner: DatabaseUrl,
    pub(crate) node: DatabaseUrl,
}

impl Database {
    /// Without a schema, on the server that all tests share. Started by the first test that needs it; the end of this process
    /// stops it.
    pub(crate) async fn empty() -> Self {
        static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
        Self::empty_on(SERVER.get_or_init(start_server)).await
    }

    pub(crate) async fn empty_on(server: &PrivatePostgres) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let owner = server.owner_url();
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        connect(&owner).await.batch_execute(&create).await.unwrap();
        let node = server.url_for(NODE_ROLE, &Secret::new(NODE_PASSWORD));
        Self {
            owner: owner.with_database(&name),
            node: node.with_database(&name),
        }
    }

    /// With this window and a minimum of 3 signatures.
    pub(crate) async fn migrated(write_interval: Duration) -> Self {
        let database = Self::empty().await;
        database.migrate(write_interval).await;
        database
    }

    pub(crate) async fn migrate(&self, write_interval: Duration) {
        let options = MigrateOptions {
            write_interval: Some(write_interval),
            min_signatures: Some(3),
            node_password: Some(Secret::new(NODE_PASSWORD)),
            ..MigrateOptions::default()
        };
        migrate(&self.owner, options).await.unwrap();
    }

    /// How many records there are, and how many signatures.
    pub(crate) async fn rows(&self) -> (i64, i64) {
        let counts = "SELECT (SELECT count(*) FROM eth_prices), (SELECT count(*) FROM eth_price_signatures)";
        let row = connect(&self.owner).await.query_one(counts, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Holds every write back until the returned session ends its transaction.
    pub(crate) async fn hold_writes(&self) -> Client {
        let client = connect(&self.owner).await;
        client
            .batch_execute("BEGIN; LOCK TABLE eth_prices IN SHARE MODE")
            .await
            .unwrap();
        client
    }

    /// Waits until a node's write waits for [`Database::hold_writes`].
    pub(crate) async fn has_a_write_waiting(&self) {
        let client = connect(&self.owner).await;
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usename = $1
            AND wait_event_type = 'Lock'";
        for _ in 0..500 {
            if !client.query(waiting, &[&NODE_ROLE]).await.unwrap().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no write ever waited");
    }
}

pub(crate) fn start_server() -> PrivatePostgres {
    PrivatePostgres::start(&PrivateOptions::default()).unwrap()
}

async fn connect(url: &DatabaseUrl) -> Client {
    let (client, connection) = Box::pin(tokio_postgres::connect(&url.reveal(), NoTls))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}
