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
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::wait::eventually;

/// A window that no test outlives.
pub const LONG: Duration = Duration::from_secs(3600);

/// One for all tests: the role belongs to the whole server. It has all that must be quoted in a URL.
pub const NODE_PASSWORD: &str = "the nodes' pass/word: 100% \"safe\"";

/// The server that all tests of a process share. The first that needs it starts it; the end of the process stops it.
pub fn server() -> &'static PrivatePostgres {
    static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
    SERVER.get_or_init(start_server)
}

/// A server of a test's own, to be stopped and started.
pub fn start_server() -> PrivatePostgres {
    PrivatePostgres::start(&PrivateOptions::default()).unwrap()
}

/// A database, and how to log in.
pub struct Database {
    /// As who migrates it.
    pub owner: DatabaseUrl,
    /// As a node.
    pub node: DatabaseUrl,
}

impl Database {
    /// Without a schema, on the shared server.
    pub async fn empty() -> Self {
        Self::empty_on(server()).await
    }

    /// Without a schema.
    pub async fn empty_on(server: &PrivatePostgres) -> Self {
        Self::named(server, &new_name()).await
    }

    /// Without a schema, under this name.
    pub async fn named(server: &PrivatePostgres, name: &str) -> Self {
        Self::copied(server, name, "template0").await
    }

    /// With this window and a minimum of 3 signatures, on the shared server. Copied: faster than migrating anew for each test.
    pub async fn migrated(write_interval: Duration) -> Self {
        const MIGRATED: &str = "migrated";
        static TEMPLATE: OnceCell<()> = OnceCell::const_new();
        let make_template = Box::pin(async {
            let template = Self::named(server(), MIGRATED).await;
            template.migrate(LONG).await;
        });
        TEMPLATE.get_or_init(|| make_template).await;
        let database = Self::copied(server(), &new_name(), MIGRATED).await;
        if write_interval != LONG {
            database.migrate(write_interval).await;
        }
        database
    }

    /// The same on a server of the test's own.
    pub async fn migrated_on(server: &PrivatePostgres, write_interval: Duration) -> Self {
        let database = Self::empty_on(server).await;
        database.migrate(write_interval).await;
        database
    }

    async fn copied(server: &PrivatePostgres, name: &str, template: &str) -> Self {
        let owner = server.owner_url();
        let client = connect(&owner).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        eventually("the database is made", async || {
            // The session that made the template may not have ended yet.
            match client.batch_execute(&create).await {
                Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => None,
                made => made.map(Some).unwrap(),
            }
        })
        .await;
        let node = server.url_for(NODE_ROLE, &Secret::new(NODE_PASSWORD));
        Self {
            owner: owner.with_database(name),
            node: node.with_database(name),
        }
    }

    /// Brings it to the schema, this window and a minimum of 3 signatures.
    pub async fn migrate(&self, write_interval: Duration) {
        Box::pin(migrate(&self.owner, options(write_interval)))
            .await
            .unwrap();
    }
}

fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// This window, a minimum of 3 signatures, and [`NODE_PASSWORD`].
pub fn options(write_interval: Duration) -> MigrateOptions {
    MigrateOptions {
        write_interval: Some(write_interval),
        min_signatures: Some(3),
        node_password: Some(Secret::new(NODE_PASSWORD)),
        ..MigrateOptions::default()
    }
}

/// A connection for raw SQL.
pub async fn connect(url: &DatabaseUrl) -> Client {
    let (client, connection) = Box::pin(tokio_postgres::connect(&url.reveal(), NoTls))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}
