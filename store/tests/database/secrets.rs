//! Passwords stay where they belong.

use quorate_store::{MigrateOptions, Secret, Store, StoreConfig, migrate};

use crate::support::{LONG, NODE_PASSWORD, connect, database, options, server, store};

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
