//! One connection to the database.

use std::{error::Error, time::Duration};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::{Config, NoTls, config, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    database_url::{DatabaseUrl, SslMode},
    tls::{self, TlsError},
};

/// A server that vanishes without a word (a cut cable, a lost node) is given up after this long.
const SILENCE: Duration = Duration::from_secs(10);

/// How sessions are set up.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Shown in `pg_stat_activity`.
    pub(crate) application_name: String,
    /// For TCP, TLS and the log-in together.
    pub(crate) connect_timeout: Duration,
    /// The server aborts a statement that runs longer.
    pub(crate) statement_timeout: Duration,
}

/// Why there is no connection. Contains no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The server answered, and does not let this user into this database: asking again will not help.
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Refused(String),
}

/// Connects, logs in and sets the session up.
pub(crate) async fn connect(url: &DatabaseUrl, session: &Session) -> Result<AsyncPgConnection, ConnectError> {
    let limit = limit(url, session);
    // Boxed: a TLS handshake's state is large, and it would be part of every caller's future.
    tokio::time::timeout(limit, Box::pin(connect_unbounded(url, session)))
        .await
        .map_err(|_| ConnectError::Timeout(limit))?
}

async fn connect_unbounded(url: &DatabaseUrl, session: &Session) -> Result<AsyncPgConnection, ConnectError> {
    let config = config(url, session);
    let mut connection = if config.get_ssl_mode() == config::SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(|error| not_in(&error))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    } else {
        let tls = tls::client_config(url)?;
        let tls = MakeRustlsConnect::new(tls);
        let (client, connection) = config.connect(tls).await.map_err(|error| not_in(&error))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
    .map_err(|error| refused(&error))?;
    // Nobody else's tables may stand in for ours. The database takes records at one isolation level only, whatever the
    // server's default is. A dropped query goes on in the server: the timeouts end it.
    // At least 1: 0 would mean no limit.
    let millis = session.statement_timeout.as_millis().max(1);
    let setup = format!(
        "SET search_path = public, pg_temp; SET default_transaction_isolation = 'read committed'; \
         SET statement_timeout = {millis}; \
         SET idle_in_transaction_session_timeout = {millis}"
    );
    connection
        .batch_execute(&setup)
        .await
        .map_err(|error| refused(&error))?;
    Ok(connection)
}

fn config(url: &DatabaseUrl, session: &Session) -> Config {
    let mut config = url.config.clone();
    if let Some(password) = url.password() {
        config.password(password.reveal());
    }
    // As libpq: there is no TLS on a Unix socket.
    let is_local = url
        .config
        .get_hosts()
        .iter()
        .all(|host| matches!(host, config::Host::Unix(_)));
    config.ssl_mode(match url.ssl_mode {
        _ if is_local && url.config.get_hostaddrs().is_empty() => config::SslMode::Disable,
        SslMode::Disable => config::SslMode::Disable,
        SslMode::Prefer => config::SslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
    });
    if config.get_application_name().is_none() {
        config.application_name(&session.application_name);
    }
    config
        // For each of several addresses, so that the second still gets its turn.
        .connect_timeout(limit(url, session) / 2)
        .tcp_user_timeout(SILENCE)
        .keepalives_idle(SILENCE)
        .keepalives_interval(SILENCE / 5)
        .keepalives_retries(3);
    config
}

/// For TCP, TLS and the log-in together: what the URL says, else what the program is set to.
fn limit(url: &DatabaseUrl, session: &Session) -> Duration {
    let given = url.config.get_connect_timeout().copied();
    given.unwrap_or(session.connect_timeout)
}

/// Why there was no log-in.
fn not_in(error: &tokio_postgres::Error) -> ConnectError {
    /// SQLSTATE class 28: no such role, a wrong password, or no entry in `pg_hba.conf`.
    const INVALID_AUTHORIZATION: &str = "28";
    let is_denied = error.code().is_some_and(|code| {
        code.code().starts_with(INVALID_AUTHORIZATION) || *code == SqlState::INVALID_CATALOG_NAME
    });
    if is_denied {
        ConnectError::Denied(with_causes(error))
    } else {
        refused(error)
    }
}

fn refused(error: &(dyn Error + 'static)) -> ConnectError {
    ConnectError::Refused(with_causes(error))
}

/// An error and its causes in one line: the outermost alone says no more than "error connecting to server".
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
