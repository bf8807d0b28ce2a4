//! `sslmode`, against a server with a certificate for 127.0.0.1 from an authority of its own.

use std::{io::Write, path::Path, sync::OnceLock};

use quorate_store::{
    DatabaseUrl, MigrateOptions, PrivateOptions, PrivatePostgres, Secret, ServerTls, SslMode, Store,
    StoreConfig, migrate,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::NamedTempFile;

use crate::support::{connect, server as plain_server};

struct Tls {
    server: PrivatePostgres,
    authority: NamedTempFile,
    other_authority: NamedTempFile,
}

fn authority() -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), key)
}

fn file(contents: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(contents.as_bytes()).unwrap();
    file
}

/// Only TLS is let in.
fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let (issuer, issuer_key) = authority();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer, &issuer_key).unwrap();
        let options = PrivateOptions {
            tls: Some(ServerTls {
                certificate: certificate.pem(),
                key: Secret::new(key.serialize_pem()),
                required: true,
            }),
            ..PrivateOptions::default()
        };
        Tls {
            server: PrivatePostgres::start(&options).unwrap(),
            authority: file(&issuer.pem()),
            other_authority: file(&authority().0.pem()),
        }
    })
}

/// The same server by a name that is not in its certificate.
fn by_another_name(url: &DatabaseUrl) -> DatabaseUrl {
    url.reveal().replace("127.0.0.1", "localhost").parse().unwrap()
}

/// Whether the session is encrypted, or why there is none.
async fn session(url: DatabaseUrl) -> Result<bool, String> {
    let name = format!("tls test {url}")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect::<String>();
    // Postgres cuts the name.
    let name = name[name.len().saturating_sub(60)..].to_owned();
    let store = Store::new(StoreConfig {
        application_name: name.clone(),
        ..StoreConfig::new(url.clone())
    });
    // That there is no schema is answer enough: there is a connection.
    match store.settings().await {
        Err(quorate_store::StoreError::NotMigrated { .. }) => {}
        Err(error) => return Err(error.to_string()),
        Ok(_) => panic!("not a database of these tests"),
    }
    // Asked by its side, over the socket, where TLS is never used.
    let server = if url.reveal().contains(&plain_server().port().to_string()) {
        plain_server()
    } else {
        &tls().server
    };
    let socket = server.socket_folder().unwrap();
    let owner = server.owner_url().reveal();
    let encoded = socket.to_str().unwrap().replace('/', "%2F");
    let client = connect(&owner.replace("127.0.0.1", &encoded).parse().unwrap()).await;
    let row = client
        .query_one(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1",
            &[&name],
        )
        .await
        .unwrap();
    Ok(row.get::<_, Option<bool>>(0).expect("the session is there"))
}

async fn with(mode: SslMode, root: Option<&Path>) -> Result<bool, String> {
    session(tls().server.owner_url().with_ssl(mode, root)).await
}

#[tokio::test]
async fn disable_is_turned_away_by_a_server_that_wants_tls() {
    let error = with(SslMode::Disable, None).await.unwrap_err();
    assert!(error.contains("no encryption"), "{error}");
}

#[tokio::test]
async fn prefer_encrypts_when_it_can() {
    assert_eq!(with(SslMode::Prefer, None).await, Ok(true));
}

#[tokio::test]
async fn prefer_goes_without_when_it_must() {
    let url = plain_server().owner_url().with_ssl(SslMode::Prefer, None);
    assert_eq!(session(url).await, Ok(false));
}

#[tokio::test]
async fn require_encrypts_with_any_certificate() {
    assert_eq!(with(SslMode::Require, None).await, Ok(true));
}

#[tokio::test]
async fn require_does_not_go_without() {
    let url = plain_server().owner_url().with_ssl(SslMode::Require, None);
    let error = session(url).await.unwrap_err();
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test]
async fn require_with_an_authority_checks_the_chain_and_not_the_host() {
    let root = Some(tls().authority.path());
    let url = tls().server.owner_url().with_ssl(SslMode::Require, root);
    assert_eq!(session(by_another_name(&url)).await, Ok(true));
    let error = with(SslMode::Require, Some(tls().other_authority.path()))
        .await
        .unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn verify_full_works_with_the_right_authority() {
    assert_eq!(
        with(SslMode::VerifyFull, Some(tls().authority.path())).await,
        Ok(true)
    );
}

#[tokio::test]
async fn verify_full_refuses_another_host() {
    let root = Some(tls().authority.path());
    let url = tls().server.owner_url().with_ssl(SslMode::VerifyFull, root);
    let error = session(by_another_name(&url)).await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn verify_full_refuses_an_unknown_authority() {
    for root in [None, Some(tls().other_authority.path())] {
        let error = with(SslMode::VerifyFull, root).await.unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_or_empty_authority_file_is_named() {
    let missing = Path::new("/nowhere/ca.pem");
    let error = with(SslMode::VerifyFull, Some(missing)).await.unwrap_err();
    assert!(error.contains("sslrootcert /nowhere/ca.pem"), "{error}");
    let empty = file("no certificate\n");
    let error = with(SslMode::Require, Some(empty.path())).await.unwrap_err();
    assert!(error.contains("holds no certificate"), "{error}");
}

#[tokio::test]
async fn migrations_use_tls_too() {
    let url = tls().server.owner_url();
    let client = connect_socket(&tls().server).await;
    client
        .batch_execute("CREATE DATABASE migrated_over_tls")
        .await
        .unwrap();
    let url = url
        .with_database("migrated_over_tls")
        .with_ssl(SslMode::VerifyFull, Some(tls().authority.path()));
    migrate(&url, MigrateOptions::default()).await.unwrap();
}

async fn connect_socket(server: &PrivatePostgres) -> tokio_postgres::Client {
    let folder = server.socket_folder().unwrap();
    let encoded = folder.to_str().unwrap().replace('/', "%2F");
    connect(
        &server
            .owner_url()
            .reveal()
            .replace("127.0.0.1", &encoded)
            .parse()
            .unwrap(),
    )
    .await
}
