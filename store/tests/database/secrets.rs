//! Passwords stay where they belong.

use quorate_store::{
    MigrateError, MigrateOptions, PrivateOptions, PrivatePostgres, Secret, Store, StoreConfig, migrate,
};

use crate::support::{LONG, NODE_PASSWORD, connect, database, database_of, options, server, store};

#[tokio::test]
async fn a_wrong_password_is_reported_without_it() {
    let database = database(LONG).await;
    let wrong = server()
        .url_for("quorate_node", &Secret::new("hunter2"))
        .with_database(database.owner.database().unwrap());
    let store = store(&wrong);
    let error = store.settings().await.unwrap_err();
    assert!(
        error.to_string().contains("password authentication failed"),
        "{error}"
    );
    let refused = migrate(&wrong, MigrateOptions::default()).await.unwrap_err();
    let config = StoreConfig::new(wrong.clone());
    let shown = format!(
        "{error} {error:?} {refused} {refused:?} {store:?} {wrong} {wrong:?} {config:?} {:?}",
        Store::new(config.clone())
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn the_nodes_password_never_reaches_the_servers_log() {
    let database = database(LONG).await;
    let owner = connect(&database.owner).await;
    let name = database.owner.database().unwrap();
    owner
        .batch_execute(&format!("ALTER DATABASE {name} SET log_statement = 'all'"))
        .await
        .unwrap();
    migrate(&database.owner, options(LONG)).await.unwrap();
    let log = std::fs::read_to_string(server().log_file()).unwrap();
    assert!(log.contains("ALTER ROLE quorate_node LOGIN PASSWORD 'SCRAM-SHA-256$"));
    assert!(!log.contains(NODE_PASSWORD));
}

#[tokio::test]
async fn passwords_that_are_changed_are_read_again_from_their_files() {
    // A server of its own: the roles belong to all of it.
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let database = database_of(&server, LONG).await;
    let folder = tempfile::tempdir().unwrap();
    let (node_file, owner_file) = (folder.path().join("node"), folder.path().join("owner"));
    std::fs::write(&node_file, NODE_PASSWORD).unwrap();
    std::fs::write(&owner_file, database.owner.reveal()).unwrap();
    // The node has a file for its password, the owner one for its whole URL.
    let node = database.node.clone().from_files(None, Some(&node_file));
    let owner = database.owner.clone().from_files(Some(&owner_file), None);
    let store = store(&node);
    assert!(store.settings().await.is_ok());

    // The owner's, by itself; then the nodes', by the owner.
    let client = connect(&database.owner).await;
    client
        .batch_execute("ALTER ROLE postgres PASSWORD 'the owner''s new one'")
        .await
        .unwrap();
    let with_new_password = MigrateOptions {
        node_password: Some(Secret::new("the nodes' new one")),
        ..MigrateOptions::default()
    };
    let refused = migrate(&owner, with_new_password.clone()).await;
    assert!(matches!(refused, Err(MigrateError::Denied(_))), "{refused:?}");
    let new_url = database.owner.with_password(Secret::new("the owner's new one"));
    std::fs::write(&owner_file, new_url.reveal()).unwrap();
    let migrated = migrate(&owner, with_new_password).await.unwrap();
    assert!(migrated.sessions_ended.unwrap() > 0);

    let error = store.settings().await.unwrap_err().to_string();
    assert!(error.contains("password authentication failed"), "{error}");
    std::fs::write(&node_file, "the nodes' new one\n").unwrap();
    assert!(store.settings().await.is_ok());

    // The other order: the file first. What lets us in is kept until it does not.
    std::fs::write(&node_file, "the nodes' third").unwrap();
    let end_sessions =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quorate_node'";
    client.batch_execute(end_sessions).await.unwrap();
    assert!(store.settings().await.is_ok());
    let with_third = MigrateOptions {
        node_password: Some(Secret::new("the nodes' third")),
        ..MigrateOptions::default()
    };
    migrate(&owner, with_third).await.unwrap();
    assert!(store.settings().await.is_err());
    assert!(store.settings().await.is_ok());
}

#[test]
fn every_procedure_in_the_docs_is_run_in_a_test() {
    let sources = [
        include_str!("secrets.rs"),
        include_str!("members.rs"),
        include_str!("tls.rs"),
        include_str!("../../../tests/network/sealed.rs"),
        include_str!("../../../actors/tests/price_fetcher.rs"),
    ];
    let procedures = include_str!("../../../docs/rotation.md")
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| secret"));
    let mut named = 0;
    for row in procedures {
        let test = row.trim_end_matches(" |").rsplit('|').next().unwrap().trim();
        if test == "the same" {
            continue;
        }
        named += 1;
        let function = format!("fn {}(", test.trim_matches('`'));
        assert!(
            sources.iter().any(|source| source.contains(&function)),
            "{test} is no test"
        );
    }
    assert!(named >= 5, "the table has gone");
}
