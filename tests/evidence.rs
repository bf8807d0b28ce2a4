//! `quorate evidence` as a user meets it: on a database with a proof, and on one that somebody has tampered with.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use quorate_protocol::{
    Evidence, Link, Network, NodeKey, Observation, ProvenEquivocation, Quote, UnixMillis, VerifiedReport,
};
use quorate_store::{
    DatabaseUrl, MigrateOptions, PrivateOptions, PrivatePostgres, Store, StoreConfig, migrate,
};
use tokio_postgres::NoTls;

fn report(price: &str, observed_at: UnixMillis, network: &Network, key: &NodeKey) -> VerifiedReport {
    let quote = Quote {
        source: "kraken".parse().unwrap(),
        price: price.parse().unwrap(),
        at: observed_at,
    };
    let evidence = Evidence::new(vec![quote]).unwrap();
    let feed = "ETH/USD".parse().unwrap();
    let observation = Observation::new(feed, Link::FIRST, observed_at, key.address(), evidence);
    VerifiedReport::sign_own(observation, network, key).unwrap()
}

fn now() -> UnixMillis {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    UnixMillis::new(elapsed.as_millis().try_into().unwrap())
}

/// Code, standard output and standard error.
async fn evidence(url: &DatabaseUrl, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command
        .env_clear()
        .env("QUORATE_DATABASE_URL", url.reveal())
        .arg("evidence")
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn each_proof_is_verified_whatever_the_database_says() {
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let url = server.owner_url();
    migrate(&url, MigrateOptions::default()).await.unwrap();
    assert_eq!(
        evidence(&url, &[]).await,
        (Some(0), "no proof of equivocation\n".to_owned(), String::new())
    );

    let (network, key): (Network, _) = ("local".parse().unwrap(), NodeKey::generate());
    let at = now();
    let [first, second] = ["3000", "3001"].map(|price| report(price, at, &network, &key));
    let store = Store::new(StoreConfig::new(url.clone()));
    let proof = ProvenEquivocation::of(&first, &second, Duration::from_secs(15)).unwrap();
    store
        .keep_equivocation(&proof, &network, key.address())
        .await
        .unwrap();
    let observer = key.address().to_string();
    let (code, stdout, stderr) = evidence(&url, &["--observer", &observer]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.lines().nth(1).unwrap().ends_with("  verified"), "{stdout}");
    let stranger = NodeKey::generate().address().to_string();
    let (code, stdout, _) = evidence(&url, &["--observer", &stranger, "--output", "json"]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "[]\n"));

    // The owner can write what it likes. It does not get past the check.
    let (owner, connection) = tokio_postgres::connect(&url.reveal(), NoTls).await.unwrap();
    tokio::spawn(connection);
    owner
        .batch_execute(
            "UPDATE eth_price_equivocations SET second_timestamp = second_timestamp + interval '1 s'",
        )
        .await
        .unwrap();
    let (code, stdout, stderr) = evidence(&url, &["--output", "csv"]).await;
    assert_eq!(code, Some(1));
    assert!(stdout.contains("the statement hashes to"), "{stdout}");
    assert_eq!(
        stderr,
        "error: 1 of 1 proofs do not hold: somebody has changed the database\n"
    );
}
