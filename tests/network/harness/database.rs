//! A network's database: one of a server that all tests share, or a server of its own for outages.

use std::time::Duration;

use quorate_protocol::Record;
use quorate_store::{
    MAX_RECORDS, MigrateOptions, NODE_ROLE, Order, PrivatePostgres, RecordQuery, Store, StoreConfig,
    StoreError, migrate,
};
use quorate_testkit::postgres::{self, NODE_PASSWORD, connect, options, server, start_server};
use tokio::runtime::{Builder, Runtime};

use super::{SOON, WINDOW, wait::eventually};

pub(crate) struct Database {
    /// If the network has a server of its own.
    server: Option<PrivatePostgres>,
    pub(super) urls: postgres::Database,
    store: Store,
    runtime: Runtime,
}

impl Database {
    /// An empty database on the server that all networks share.
    pub(super) fn shared() -> Self {
        Self::on(server())
    }

    /// An empty database on a server of its own.
    pub(super) fn own() -> Self {
        let server = start_server();
        let mut database = Self::on(&server);
        database.server = Some(server);
        database
    }

    fn on(server: &PrivatePostgres) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let urls = runtime.block_on(postgres::Database::empty_on(server));
        let config = StoreConfig {
            pool_size: 1,
            connect_timeout: Duration::from_secs(1),
            ..StoreConfig::new(urls.owner.clone())
        };
        Self {
            server: None,
            urls,
            store: Store::new(config),
            runtime,
        }
    }

    /// Brings it to the schema and to these networks' settings.
    pub(crate) fn migrate(&self, min_signatures: usize) {
        let wanted = MigrateOptions {
            min_signatures: Some(min_signatures),
            ..options(WINDOW)
        };
        self.runtime
            .block_on(Box::pin(migrate(&self.urls.owner, wanted)))
            .unwrap();
    }

    /// What nobody may see: the nodes' password, and the URL that holds it.
    pub(crate) fn secrets(&self) -> [String; 2] {
        [NODE_PASSWORD.to_owned(), self.urls.node.reveal().to_owned()]
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
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_nodes}");
        self.runtime.block_on(async {
            let client = connect(&self.urls.owner).await;
            client.batch_execute(&end).await.unwrap();
        });
    }

    /// All records, feed by feed in the order in which they were written.
    pub(crate) fn records(&self) -> Result<Vec<Record>, StoreError> {
        let query = RecordQuery {
            order: Order::BySequence,
            limit: MAX_RECORDS,
            ..RecordQuery::default()
        };
        self.runtime.block_on(self.store.records(query))
    }
}
