//! `sslmode`, against a server with a certificate for 127.0.0.1 from an authority of its own.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, OnceLock},
};

use quorate_store::{
    DatabaseUrl, MigrateOptions, PrivateOptions, PrivatePostgres, PrivatePostgresError, Secret, ServerTls,
    SslMode, Store, StoreConfig, migrate,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// Only TLS is let in. `None`: the server of this machine was built without TLS, as fetched ones are; then its part goes unchecked
/// here, which is said, and fails where everything must be checked.
fn tls() -> Option<&'static Tls> {
    static TLS: OnceLock<Option<Tls>> = OnceLock::new();
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
        let server = match PrivatePostgres::start(&options) {
            Err(PrivatePostgresError::Failed { log, .. }) if log.contains(WITHOUT_TLS) => {
                assert!(std::env::var_os("CI").is_none(), "{log}");
                let line = format!("not checked: connections with TLS, for {WITHOUT_TLS}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                return None;
            }
            started => started.unwrap(),
        };
        Some(Tls {
            server,
            authority: file(&issuer.pem()),
            other_authority: file(&authority().0.pem()),
        })
    })
    .as_ref()
}

/// What such a server says.
const WITHOUT_TLS: &str = "SSL is not supported by this build";

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
        &tls().unwrap().server
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

async fn with(tls: &Tls, mode: SslMode, root: Option<&Path>) -> Result<bool, String> {
    session(tls.server.owner_url().with_ssl(mode, root)).await
}

#[tokio::test]
async fn disable_is_turned_away_by_a_server_that_wants_tls() {
    let Some(tls) = tls() else { return };
    let error = with(tls, SslMode::Disable, None).await.unwrap_err();
    // Before Postgres 14 "SSL off", since then "no encryption".
    assert!(error.contains("no pg_hba.conf entry for host"), "{error}");
}

#[tokio::test]
async fn prefer_encrypts_when_it_can() {
    let Some(tls) = tls() else { return };
    assert_eq!(with(tls, SslMode::Prefer, None).await, Ok(true));
}

#[tokio::test]
async fn prefer_goes_without_when_it_must() {
    let url = plain_server().owner_url().with_ssl(SslMode::Prefer, None);
    assert_eq!(session(url).await, Ok(false));
}

#[tokio::test]
async fn require_encrypts_with_any_certificate() {
    let Some(tls) = tls() else { return };
    assert_eq!(with(tls, SslMode::Require, None).await, Ok(true));
}

#[tokio::test]
async fn require_does_not_go_without() {
    let url = plain_server().owner_url().with_ssl(SslMode::Require, None);
    let error = session(url).await.unwrap_err();
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test]
async fn require_with_an_authority_checks_the_chain_and_not_the_host() {
    let Some(tls) = tls() else { return };
    let root = Some(tls.authority.path());
    let url = tls.server.owner_url().with_ssl(SslMode::Require, root);
    assert_eq!(session(by_another_name(&url)).await, Ok(true));
    let error = with(tls, SslMode::Require, Some(tls.other_authority.path()))
        .await
        .unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn verify_full_works_with_the_right_authority() {
    let Some(tls) = tls() else { return };
    assert_eq!(
        with(tls, SslMode::VerifyFull, Some(tls.authority.path())).await,
        Ok(true)
    );
}

#[tokio::test]
async fn verify_full_refuses_another_host() {
    let Some(tls) = tls() else { return };
    let root = Some(tls.authority.path());
    let url = tls.server.owner_url().with_ssl(SslMode::VerifyFull, root);
    let error = session(by_another_name(&url)).await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn verify_full_refuses_an_unknown_authority() {
    let Some(tls) = tls() else { return };
    for root in [None, Some(tls.other_authority.path())] {
        let error = with(tls, SslMode::VerifyFull, root).await.unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_or_empty_authority_file_is_named() {
    let Some(tls) = tls() else { return };
    let missing = Path::new("/nowhere/ca.pem");
    let error = with(tls, SslMode::VerifyFull, Some(missing)).await.unwrap_err();
    assert!(error.contains("sslrootcert /nowhere/ca.pem"), "{error}");
    let empty = file("no certificate\n");
    let error = with(tls, SslMode::Require, Some(empty.path())).await.unwrap_err();
    assert!(error.contains("holds no certificate"), "{error}");
}

#[tokio::test]
async fn migrations_use_tls_too() {
    let Some(tls) = tls() else { return };
    let url = tls.server.owner_url();
    let client = connect_socket(&tls.server).await;
    client
        .batch_execute("CREATE DATABASE migrated_over_tls")
        .await
        .unwrap();
    let url = url
        .with_database("migrated_over_tls")
        .with_ssl(SslMode::VerifyFull, Some(tls.authority.path()));
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

/// A certificate of X.509 version 1 for CN=localhost, made by `openssl req -new` and `openssl x509 -req -signkey` without an
/// extension file, valid until 2126. The key protects nothing.
const VERSION_1: &str = include_str!("testdata/v1.crt");
const KEY_OF_VERSION_1: &str = include_str!("testdata/v1.key");

fn server_with(certificate: &str, key: &str) -> PrivatePostgres {
    let options = PrivateOptions {
        tls: Some(ServerTls {
            certificate: certificate.to_owned(),
            key: Secret::new(key),
            required: true,
        }),
        ..PrivateOptions::default()
    };
    PrivatePostgres::start(&options).unwrap()
}

/// Whether there is a connection over TLS (the server lets nobody in without), or why not.
async fn connects(url: &DatabaseUrl) -> Result<(), String> {
    match Store::new(StoreConfig::new(url.clone())).settings().await {
        Err(quorate_store::StoreError::NotMigrated { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => panic!("not a database of these tests"),
    }
}

#[tokio::test]
async fn a_certificate_of_version_1_is_taken_where_any_is_and_where_it_is_the_one_that_is_trusted() {
    let Some(tls) = tls() else { return };
    let server = server_with(VERSION_1, KEY_OF_VERSION_1);
    let url = server.owner_url();
    let itself = file(VERSION_1);
    for version in ["TLSv1.3", "TLSv1.2"] {
        // Each version has its own proof that the server holds the key.
        let client = connect_socket(&server).await;
        let limit = format!("ALTER SYSTEM SET ssl_max_protocol_version = '{version}'");
        client.batch_execute(&limit).await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        for mode in [SslMode::Prefer, SslMode::Require] {
            assert_eq!(connects(&url.with_ssl(mode, None)).await, Ok(()), "{version}");
        }
        for mode in [SslMode::Require, SslMode::VerifyCa] {
            let trusting = url.with_ssl(mode, Some(itself.path()));
            assert_eq!(connects(&trusting).await, Ok(()), "{version}");
        }
    }
    // Its only name is a common name, and that is looked at as libpq does.
    let whole = url.with_ssl(SslMode::VerifyFull, Some(itself.path()));
    assert_eq!(connects(&by_another_name(&whole)).await, Ok(()));
    let error = connects(&whole).await.unwrap_err();
    assert!(error.contains("sslmode=verify-ca"), "{error}");

    let other = url.with_ssl(SslMode::Require, Some(tls.authority.path()));
    let error = connects(&other).await.unwrap_err();
    assert!(error.contains("X.509 version 1: make it anew"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_taken_where_it_is_the_one_that_is_trusted() {
    let Some(tls) = tls() else { return };
    // As `openssl req -x509` makes it: an authority's, which nobody may use for a server otherwise.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let server = server_with(&certificate, &key.serialize_pem());
    let itself = file(&certificate);
    let url = server.owner_url();
    let whole = url.with_ssl(SslMode::VerifyFull, Some(itself.path()));
    assert_eq!(connects(&whole).await, Ok(()));
    assert!(connects(&by_another_name(&whole)).await.is_err());
    assert_eq!(connects(&url.with_ssl(SslMode::Require, None)).await, Ok(()));
    let other = url.with_ssl(SslMode::Require, Some(tls.authority.path()));
    let error = connects(&other).await.unwrap_err();
    assert!(
        error.contains("put it itself into the file of sslrootcert"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_comes_with_what_to_do_about_it() {
    let Some(tls) = tls() else { return };
    for (mode, root, remedy) in [
        (SslMode::VerifyFull, None, "sslrootcert=FILE"),
        (SslMode::VerifyCa, None, "sslrootcert=FILE"),
        (
            SslMode::Require,
            Some(tls.other_authority.path()),
            "sslrootcert=FILE",
        ),
    ] {
        let error = with(tls, mode, root).await.unwrap_err();
        assert!(error.contains(remedy), "{error}");
    }
    let whole = tls
        .server
        .owner_url()
        .with_ssl(SslMode::VerifyFull, Some(tls.authority.path()));
    let error = session(by_another_name(&whole)).await.unwrap_err();
    assert!(error.contains("sslmode=verify-ca"), "{error}");
}

#[tokio::test]
async fn verify_ca_checks_the_authority_and_not_the_host() {
    let Some(tls) = tls() else { return };
    let url = tls
        .server
        .owner_url()
        .with_ssl(SslMode::VerifyCa, Some(tls.authority.path()));
    assert_eq!(session(by_another_name(&url)).await, Ok(true));
}

#[tokio::test]
async fn an_authority_that_is_replaced_is_read_again() {
    let Some(tls) = tls() else { return };
    let mut root = file(&std::fs::read_to_string(tls.other_authority.path()).unwrap());
    let url = tls
        .server
        .owner_url()
        .with_ssl(SslMode::VerifyFull, Some(root.path()));
    let store = Store::new(StoreConfig::new(url));
    let error = store.settings().await.unwrap_err();
    assert!(
        matches!(error, quorate_store::StoreError::Unavailable { .. }),
        "{error}"
    );
    root.as_file_mut().set_len(0).unwrap();
    let right = std::fs::read_to_string(tls.authority.path()).unwrap();
    std::fs::write(root.path(), right).unwrap();
    let error = store.settings().await.unwrap_err();
    assert!(
        matches!(error, quorate_store::StoreError::NotMigrated { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_certificate_logs_in_without_a_password_and_is_read_anew() {
    if tls().is_none() {
        return;
    }
    let (issuer, issuer_key) = authority();
    let server = server_with(VERSION_1, KEY_OF_VERSION_1);
    let data = server.log_file().parent().unwrap().join("data");
    std::fs::write(data.join("clients.crt"), issuer.pem()).unwrap();
    std::fs::set_permissions(
        data.join("clients.crt"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let access = std::fs::read_to_string(data.join("pg_hba.conf")).unwrap();
    let access = access.replace("127.0.0.1/32 scram-sha-256", "127.0.0.1/32 cert");
    std::fs::write(data.join("pg_hba.conf"), access).unwrap();
    let client = connect_socket(&server).await;
    client
        .batch_execute("ALTER SYSTEM SET ssl_ca_file = 'clients.crt'")
        .await
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();

    let for_user = |user: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, user);
        let certificate = params.signed_by(&key, &issuer, &issuer_key).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    };
    // One file for both, which is replaced.
    let ours = file(&for_user("somebody_else"));
    let (_, place) = server
        .owner_url()
        .reveal()
        .rsplit_once('@')
        .map(|(login, place)| (login.to_owned(), place.to_owned()))
        .unwrap();
    let path = ours.path().display();
    let url: DatabaseUrl = format!("postgres://postgres@{place}?sslmode=require&sslcert={path}")
        .parse()
        .unwrap();
    let store = Store::new(StoreConfig::new(url));
    let error = store.settings().await.unwrap_err().to_string();
    assert!(error.contains("certificate authentication failed"), "{error}");
    std::fs::write(ours.path(), for_user("postgres")).unwrap();
    let error = store.settings().await.unwrap_err();
    assert!(
        matches!(error, quorate_store::StoreError::NotMigrated { .. }),
        "{error}"
    );

    std::fs::write(ours.path(), "no certificate").unwrap();
    let error = connects(&server.owner_url().reveal().parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.contains("client certificate"), "{error}");
}

/// Shows a certificate whose key it does not hold. Nobody who checks gets further than that.
async fn impostor(version: &'static rustls::SupportedProtocolVersion) -> DatabaseUrl {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let another_key = KeyPair::generate().unwrap().serialize_pem();
    let another_key = PrivateKeyDer::from_pem_slice(another_key.as_bytes()).unwrap();
    let another_key = provider.key_provider.load_private_key(another_key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
            vec![certificate],
            another_key,
        ))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked_for_tls = [0; 8];
        stream.read_exact(&mut asked_for_tls).await.unwrap();
        stream.write_all(b"S").await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        acceptor.accept(stream).await.map(drop)
    });
    format!("postgres://u:p@localhost:{port}/d").parse().unwrap()
}

#[tokio::test]
async fn a_server_that_does_not_hold_the_key_of_its_certificate_is_refused_in_every_mode() {
    let itself = file(VERSION_1);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for (mode, root) in [
            (SslMode::Prefer, None),
            (SslMode::Require, None),
            (SslMode::VerifyFull, Some(itself.path())),
        ] {
            let url = impostor(version).await.with_ssl(mode, root);
            let error = connects(&url).await.unwrap_err();
            assert!(error.contains("BadSignature"), "{mode:?} {version:?}: {error}");
        }
    }
}
