//! A network's database: one of a server that all tests share, or a server of its own for outages.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{Digest, Record};
use quorate_store::{
    DatabaseUrl, MAX_RECORDS, MigrateOptions, NODE_ROLE, Order, PrivatePostgres, RecordQuery, Store,
    StoreConfig, StoreError, migrate,
};
use quorate_testkit::{
    postgres::{self, NODE_PASSWORD, connect, options, server, start_server},
    wait,
};
use tokio::runtime::{Builder, Runtime};

use super::{SOON, wait::eventually};

/// Whether a server waits for its replica before it says that something is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replication {
    Synchronous,
    Asynchronous,
}

pub(crate) struct Database {
    /// If the network has a server of its own.
    server: Option<PrivatePostgres>,
    /// If that has a replica.
    replica: Option<PrivatePostgres>,
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

    /// An empty database on a server of its own with a replica. The nodes are told both hosts, and write to whichever takes writes.
    pub(super) fn replicated(replication: Replication) -> Self {
        let mut server = start_server();
        let replica = server.standby().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        if replication == Replication::Synchronous {
            runtime.block_on(async {
                let owner = connect(&server.owner_url()).await;
                for set in [
                    "ALTER SYSTEM SET synchronous_commit = on",
                    "ALTER SYSTEM SET synchronous_standby_names = '*'",
                    "SELECT pg_reload_conf()",
                ] {
                    owner.batch_execute(set).await.unwrap();
                }
            });
        }
        let mut urls = runtime.block_on(postgres::Database::empty_on(&server));
        for url in [&mut urls.owner, &mut urls.node] {
            *url = with_both(url, server.port(), replica.port());
        }
        Self {
            server: Some(server),
            replica: Some(replica),
            ..Self::at(urls, runtime)
        }
    }

    fn on(server: &PrivatePostgres) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let urls = runtime.block_on(postgres::Database::empty_on(server));
        Self::at(urls, runtime)
    }

    fn at(urls: postgres::Database, runtime: Runtime) -> Self {
        let config = StoreConfig {
            pool_size: 1,
            connect_timeout: Duration::from_secs(1),
            ..StoreConfig::new(urls.owner.clone())
        };
        Self {
            server: None,
            replica: None,
            urls,
            store: Store::new(config),
            runtime,
        }
    }

    /// Brings it to the schema and to these networks' settings.
    pub(crate) fn migrate(&self, min_signatures: usize, window: Duration) {
        let wanted = MigrateOptions {
            min_signatures: Some(min_signatures),
            ..options(window)
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

    /// The replica has all that there is, and from now on nothing reaches it.
    pub(crate) fn cut_replica_off(&self) {
        let (server, replica) = (self.server.as_ref().unwrap(), self.replica.as_ref().unwrap());
        self.runtime.block_on(async {
            let primary = connect(&server.owner_url()).await;
            let written = "SELECT pg_current_wal_insert_lsn()::text";
            let written: String = primary.query_one(written, &[]).await.unwrap().get(0);
            let owner = connect(&replica.owner_url()).await;
            let has_it = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
            wait::eventually("the replica has it", async || {
                let has_it = owner.query_one(&has_it, &[]).await.unwrap();
                has_it.get::<_, bool>(0).then_some(())
            })
            .await;
            for stop in [
                "ALTER SYSTEM SET primary_conninfo = ''",
                "SELECT pg_reload_conf()",
            ] {
                owner.batch_execute(stop).await.unwrap();
            }
            wait::eventually("nothing is received", async || {
                let receiving = owner.query("SELECT 1 FROM pg_stat_wal_receiver", &[]);
                receiving.await.unwrap().is_empty().then_some(())
            })
            .await;
        });
    }

    /// The server dies, as its machine would.
    pub(crate) fn kill(&mut self) {
        self.server.as_mut().unwrap().kill().unwrap();
    }

    /// The replica takes its place.
    pub(crate) fn promote(&self) {
        let replica = self.replica.as_ref().unwrap();
        self.runtime.block_on(async {
            let owner = connect(&replica.owner_url()).await;
            owner.batch_execute("SELECT pg_promote()").await.unwrap();
        });
    }

    /// The digests of the records that the replica has.
    pub(crate) fn on_the_replica(&self) -> BTreeSet<Digest> {
        self.digests_in("eth_prices")
    }

    /// The digests of the records that are kept as lost, once the replica has taken the server's place.
    pub(crate) fn lost_records(&self) -> BTreeSet<Digest> {
        self.digests_in("eth_prices_lost")
    }

    fn digests_in(&self, table: &str) -> BTreeSet<Digest> {
        let (replica, database) = (
            self.replica.as_ref().unwrap(),
            self.urls.owner.database().unwrap(),
        );
        let rows = self.runtime.block_on(async {
            let owner = connect(&replica.owner_url().with_database(database)).await;
            let digests = format!("SELECT digest FROM {table}");
            owner.query(&digests, &[]).await.unwrap()
        });
        let digest = |bytes: Vec<u8>| Digest::new(bytes.try_into().unwrap());
        rows.iter().map(|row| digest(row.get(0))).collect()
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

/// The same database at either of these ports, whichever takes writes.
fn with_both(url: &DatabaseUrl, one: u16, other: u16) -> DatabaseUrl {
    let (host, url) = (format!("127.0.0.1:{one}"), url.reveal());
    let hosts = url.replace(&host, &format!("{host},127.0.0.1:{other}"));
    assert!(
        hosts != *url && !hosts.contains('?'),
        "it has one host and no options"
    );
    format!("{hosts}?target_session_attrs=read-write")
        .parse()
        .unwrap()
}
