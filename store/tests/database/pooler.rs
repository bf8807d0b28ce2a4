//! Behind PgBouncer in transaction mode, which gives each transaction another session of the server.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use futures::{TryStreamExt, future::join_all};
use quorate_protocol::{Link, WriteOutcome};
use quorate_store::{
    DatabaseUrl, MigrateOptions, PrivateOptions, PrivatePostgres, RecordQuery, Store, StoreConfig, migrate,
};
use quorate_testkit::{
    port,
    wait::{DEADLINE, eventually_within},
};
use tempfile::TempDir;

use crate::support::{
    LONG, NODE_PASSWORD, after, certificate, certificate_at, connect, database_of, key, network, now,
    options, write,
};

/// A server, PgBouncer before it, and how to get to a database through it.
struct Pooled {
    server: PrivatePostgres,
    pooler: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.pooler.kill();
        let _ = self.pooler.wait();
    }
}

impl Pooled {
    fn start(mode: &str) -> Self {
        let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = |name: &str| folder.path().join(name);
        let port = port::free();
        let owner_password = server.owner_url().password().unwrap().reveal().to_owned();
        let users = format!(
            "\"postgres\" \"{owner_password}\"\n\"quorate_node\" \"{}\"\n",
            NODE_PASSWORD.replace('"', "\"\"")
        );
        fs::write(path("users"), users).unwrap();
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n\
             server_round_robin = 1\n",
            server.port(),
            path("users").display()
        );
        fs::write(path("pgbouncer.ini"), config).unwrap();
        let mut command = Command::new(program());
        command.arg("-q").arg(path("pgbouncer.ini"));
        // It refuses to run as root, as the server does.
        let log = fs::metadata(server.log_file()).unwrap();
        let (uid, gid) = {
            use std::os::unix::fs::MetadataExt;
            (log.uid(), log.gid())
        };
        for name in ["", "users", "pgbouncer.ini"] {
            std::os::unix::fs::chown(path(name), Some(uid), Some(gid)).unwrap();
        }
        let pooler = command.uid(uid).gid(gid).spawn().unwrap();
        eventually_within("PgBouncer listens", DEADLINE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            server,
            pooler,
            port,
            _folder: folder,
        }
    }

    fn through(&self, url: &DatabaseUrl) -> DatabaseUrl {
        let direct = format!(":{}/", self.server.port());
        url.reveal()
            .replace(&direct, &format!(":{}/", self.port))
            .parse()
            .unwrap()
    }
}

/// Debian puts it beside the server's daemons, where `PATH` may not lead.
fn program() -> PathBuf {
    let packaged = PathBuf::from("/usr/sbin/pgbouncer");
    if packaged.exists() {
        packaged
    } else {
        "pgbouncer".into()
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p quorate-store pooler -- --ignored"]
async fn nodes_read_and_write_through_a_transaction_pooler_that_gives_each_question_another_session() {
    let pooled = Pooled::start("transaction");
    let database = database_of(&pooled.server, Duration::from_millis(100)).await;
    let stores: Vec<Store> = (0..4)
        .map(|_| Store::new(StoreConfig::new(pooled.through(&database.node))))
        .collect();
    // All at once, so that the pooler has several sessions to deal out.
    let mut link = Link::FIRST;
    for round in 0..5 {
        let answers = stores
            .iter()
            .flat_map(|store| [store.settings(), store.settings()]);
        for answer in join_all(answers).await {
            answer.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        let certificate = certificate_at(link, "ETH/USD", "3012.45", now(), &[1, 2, 3]);
        link = after(&certificate);
        let outcomes = join_all(stores.iter().map(|store| write(store, &certificate))).await;
        let written = |outcome: &&WriteOutcome| matches!(outcome, WriteOutcome::Written { .. });
        let duplicate = |outcome: &&WriteOutcome| matches!(outcome, WriteOutcome::Duplicate { .. });
        assert_eq!(outcomes.iter().filter(written).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(duplicate).count(), 3, "{outcomes:?}");
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    // A refusal is told as one.
    let too_few = certificate_at(link, "ETH/USD", "3012.45", now(), &[1, 2]);
    let refused = write(&stores[0], &too_few).await;
    assert!(
        matches!(&refused, WriteOutcome::Refused { reason } if reason.contains("eth_prices_min_signatures")),
        "{refused:?}"
    );
    let records = stores[0].records(RecordQuery::default()).await.unwrap();
    assert_eq!(records.len(), 5);
    let streamed: Vec<_> = stores[0]
        .stream(RecordQuery::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(streamed.len(), 5);
    let lost = stores[0]
        .keep_lost(
            &certificate("3013", now(), &[1, 2, 3]),
            network(),
            key(1).address(),
            &BTreeSet::new(),
        )
        .await;
    assert_eq!(lost, Ok(true));
    let sessions = connect(&database.owner)
        .await
        .query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'quorate_node'",
            &[],
        )
        .await
        .unwrap();
    assert!(
        sessions.get::<_, i64>(0) > 1,
        "one session would have proved nothing"
    );
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p quorate-store pooler -- --ignored"]
async fn a_migration_through_a_transaction_pooler_leaves_neither_lock_nor_statement_behind() {
    let pooled = Pooled::start("transaction");
    let direct = pooled.server.owner_url();
    let through = pooled.through(&direct);
    let first = migrate(&through, options(LONG)).await.unwrap();
    assert!(!first.applied.is_empty());
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let owner = connect(&direct).await;
    assert_eq!(owner.query_one(locks, &[]).await.unwrap().get::<_, i64>(0), 0);
    for url in [&through, &direct, &through] {
        let again = migrate(url, MigrateOptions::default()).await.unwrap();
        assert!(again.applied.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo test -p quorate-store pooler -- --ignored"]
async fn a_pooler_in_session_mode_works_too() {
    let pooled = Pooled::start("session");
    let database = database_of(&pooled.server, LONG).await;
    let store = Store::new(StoreConfig::new(pooled.through(&database.node)));
    let outcome = write(&store, &certificate("3012.45", now(), &[1, 2, 3])).await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
    assert!(store.settings().await.is_ok());
}
