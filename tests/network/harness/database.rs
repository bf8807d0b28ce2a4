//! A network's database: one of a server that all tests share, or a server of its own for outages.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quorate_protocol::Record;
use quorate_store::{
    DatabaseUrl, MAX_RECORDS, MigrateOptions, NODE_ROLE, Order, PrivateOptions, PrivatePostgres, RecordQuery,
    Secret, Store, StoreConfig, StoreError, migrate,
};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::NoTls;

use super::{SOON, WINDOW, wait::eventually};

/// One for all tests: the role belongs to the whole server.
const NODE_PASSWORD: &str = "the nodes' pass/word: 100% \"safe\"";

pub(crate) struct Database {
    /// If the network has a server of its own.
    server: Option<PrivatePostgres>,
    owner: DatabaseUrl,
    pub(super) node: DatabaseUrl,
    store: Store,
    runtime: Runtime,
}

impl Database {
    /// An empty database on the shared server.
    pub(super) fn shared() -> Self {
        static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // The end of this process stops it.
        let server = SERVER.get_or_init(start_server);
        let name = format!("network_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self::on(server, &name);
        database.execute_on(&server.owner_url(), &format!("CREATE DATABASE {name}"));
        database
    }

    /// An empty database on a server of its own.
    pub(super) fn own() -> Self {
        let server = start_server();
        let mut database = Self::on(&server, "postgres");
        database.server = Some(server);
        database
    }

    fn on(server: &PrivatePostgres, name: &str) -> Self {
        let owner = server.owner_url().with_database(name);
        let node = server
            .url_for(NODE_ROLE, &Secret::new(NODE_PASSWORD))
            .with_database(name);
        let config = StoreConfig {
            pool_size: 1,
            connect_timeout: Duration::from_secs(1),
            ..StoreConfig::new(owner.clone())
        };
        Self {
            server: None,
            owner,
            node,
            store: Store::new(config),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    /// Brings it to the schema and to these networks' settings.
    pub(crate) fn migrate(&self, min_signatures: usize) {
        let options = MigrateOptions {
            write_interval: Some(WINDOW),
            min_signatures: Some(min_signatures),
            node_password: Some(Secret::new(NODE_PASSWORD)),
            ..MigrateOptions::default()
        };
        self.runtime
            .block_on(Box::pin(migrate(&self.owner, options)))
            .unwrap();
    }

    /// What nobody may see: the nodes' password, and the URL that holds it.
    pub(crate) fn secrets(&self) -> [String; 2] {
        [NODE_PASSWORD.to_owned(), self.node.reveal().to_owned()]
    }

    /// An outage begins.
    pub(crate) fn stop(&mut self) {
        self.server.as_mut().unwrap().stop().unwrap();
    }

    /// An outage ends.
    pub(crate) fn start_again(&mut self) {
        let server = self.server.as_mut().unwrap();
        // Somebody's outgoing connection may have got its port for a moment.
        eventually("Postgres starts again", SOON, || server.start_again().ok());
    }

    /// Ends all of the nodes' sessions, as an administrator or a failover would.
    pub(crate) fn end_sessions(&self) {
        let of_nodes = format!("usename = '{NODE_ROLE}' AND datname = current_database()");
        self.execute_on(
            &self.owner,
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_nodes}"),
        );
    }

    fn execute_on(&self, url: &DatabaseUrl, sql: &str) {
        self.runtime.block_on(async {
            let url = url.reveal();
            let connecting = Box::pin(tokio_postgres::connect(&url, NoTls));
            let (client, connection) = connecting.await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(sql).await.unwrap();
        });
    }

    /// All records, in the order in which they were written.
    pub(crate) fn records(&self) -> Result<Vec<Record>, StoreError> {
        let query = RecordQuery {
            order: Order::AsWritten,
            limit: MAX_RECORDS,
            ..RecordQuery::default()
        };
        self.runtime.block_on(self.store.records(query))
    }
}

fn start_server() -> PrivatePostgres {
    PrivatePostgres::start(&PrivateOptions::default()).unwrap()
}
