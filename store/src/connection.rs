//! One connection to the database.

use std::{
    error::Error,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{QueryResult, connection::CacheSize};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures::future::BoxFuture;
use tokio_postgres::{
    Client, Config, Connection, NoTls, SimpleQueryMessage, Socket, config, error::SqlState, tls::TlsStream,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    database_url::{DatabaseUrl, SslMode},
    pooler,
    tls::{self, TlsError},
};

/// A server that vanishes without a word (a cut cable, a lost node) is given up after this long.
const SILENCE: Duration = Duration::from_secs(10);

/// How sessions are set up, and what was found out about the way to the server.
#[derive(Debug)]
pub(crate) struct Session {
    /// Shown in `pg_stat_activity`.
    pub(crate) application_name: String,
    /// For TCP, TLS and the log-in together.
    pub(crate) connect_timeout: Duration,
    /// The server aborts a statement that runs longer.
    pub(crate) statement_timeout: Duration,
    /// Whether a connection pooler was met: then nothing may rest on a session.
    behind_pooler: AtomicBool,
    /// The URL that let us in last.
    kept: Mutex<Option<DatabaseUrl>>,
}

impl Session {
    pub(crate) fn new(
        application_name: String,
        connect_timeout: Duration,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            application_name,
            connect_timeout,
            statement_timeout,
            behind_pooler: AtomicBool::new(false),
            kept: Mutex::new(None),
        }
    }

    fn kept(&self) -> Option<DatabaseUrl> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, url: Option<DatabaseUrl>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// Whether every question must be a transaction of its own.
    pub(crate) fn is_behind_pooler(&self) -> bool {
        self.behind_pooler.load(Ordering::Relaxed)
    }

    /// What a transaction needs that may have met any session of the server.
    pub(crate) fn settings_of_transaction(&self) -> String {
        self.settings("SET LOCAL")
    }

    /// Nobody else's tables may stand in for ours. A dropped query goes on in the server: the timeouts end it.
    fn settings(&self, set: &str) -> String {
        // At least 1: 0 would mean no limit.
        let millis = self.statement_timeout.as_millis().max(1);
        format!(
            "{set} search_path = public, pg_temp; {set} statement_timeout = {millis}; \
             {set} idle_in_transaction_session_timeout = {millis}"
        )
    }
}

/// Why there is no connection. Contains no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file that holds the URL or the password cannot be used now.
    #[error("{0}")]
    Credentials(String),
    #[error("{servers}: no connection within {limit:?}")]
    Timeout { servers: String, limit: Duration },
    /// The server answered, and does not let this user into this database: asking again will not help.
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Refused(String),
    /// Its version lacks what the schema needs.
    #[error("{0}")]
    TooOld(String),
}

/// Connects, logs in and sets the session up. Certificates are read anew each time. What the URL has from files is read once
/// and kept while it lets us in, so that a new password can lie in its file before the server knows it; after any failure
/// the files are read again.
pub(crate) async fn connect(url: &DatabaseUrl, session: &Session) -> Result<AsyncPgConnection, ConnectError> {
    let url = match session.kept() {
        Some(url) => url,
        None => url.as_it_is_now().map_err(ConnectError::Credentials)?,
    };
    let limit = limit(&url, session);
    // Boxed: a TLS handshake's state is large, and it would be part of every caller's future.
    let connected = tokio::time::timeout(limit, Box::pin(connect_unbounded(&url, session)))
        .await
        .unwrap_or_else(|_| {
            let servers = servers(&url);
            Err(ConnectError::Timeout { servers, limit })
        });
    session.keep(connected.is_ok().then_some(url));
    connected
}

async fn connect_unbounded(url: &DatabaseUrl, session: &Session) -> Result<AsyncPgConnection, ConnectError> {
    let config = config(url, session);
    if config.get_ssl_mode() == config::SslMode::Disable {
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|error| not_in(url, &error))?;
        set_up(client, connection, session).await
    } else {
        let tls = MakeRustlsConnect::new(tls::client_config(url)?);
        let connected = config.connect(tls).await;
        let (client, connection) = connected.map_err(|error| not_in(url, &error))?;
        set_up(client, connection, session).await
    }
}

async fn set_up<S: TlsStream + Unpin + Send + 'static>(
    client: Client,
    mut connection: Connection<Socket, S>,
    session: &Session,
) -> Result<AsyncPgConnection, ConnectError> {
    // In one transaction, so that even behind a pooler all of this is said to one session of the server.
    let answer = tokio::select! {
        answer = client.simple_query("BEGIN; SELECT pg_backend_pid()") => answer,
        end = &mut connection => end.map(|()| Vec::new()),
    };
    let server = answer
        .map_err(|error| refused(&error))?
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
    if let Some(version) = connection.parameter("server_version") {
        check_version(version).map_err(ConnectError::TooOld)?;
    }
    let is_pooled = pooler::process_id(&client) != server;
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection)
        .await
        .map_err(|error| refused(&error))?;
    let end = if is_pooled {
        session.behind_pooler.store(true, Ordering::Relaxed);
        // A prepared statement belongs to one session of the server.
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        "COMMIT".to_owned()
    } else {
        // The database takes records at one isolation level only, whatever the server's default is.
        let settings = session.settings("SET");
        format!("COMMIT; SET default_transaction_isolation = 'read committed'; {settings}")
    };
    connection
        .batch_execute(&end)
        .await
        .map_err(|error| refused(&error))?;
    Ok(connection)
}

/// The first version with `xid8`, and with btree_gist as an extension that the owner of a database may create.
const OLDEST_VERSION: u32 = 13;

/// `server_version` as the server tells it, like `15.17 (Debian 15.17-0+deb12u1)` or `18beta1`. What is no number passes.
fn check_version(version: &str) -> Result<(), String> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(major) if major < OLDEST_VERSION => Err(format!(
            "the server is PostgreSQL {version}: quorate needs {OLDEST_VERSION} or later"
        )),
        _ => Ok(()),
    }
}

/// Does `work` in one transaction, with the session's settings: the way through a pooler, which keeps a transaction in one
/// session of the server. An error undoes it.
pub(crate) async fn in_one_transaction<T, F>(
    connection: &mut AsyncPgConnection,
    session: &Session,
    work: F,
) -> QueryResult<T>
where
    F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<T>> + Send,
{
    let settings = session.settings_of_transaction();
    let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings}");
    connection.batch_execute(&begin).await?;
    let done = work(connection).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.batch_execute(end).await;
    let value = done?;
    ended?;
    Ok(value)
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

/// Where the URL has us connect: `db-1:5432,db-2:5432`.
fn servers(url: &DatabaseUrl) -> String {
    let ports = url.config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let servers = url
        .config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| match host {
            config::Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", port(index)),
            config::Host::Tcp(host) => format!("{host}:{}", port(index)),
            config::Host::Unix(folder) => folder.display().to_string(),
        });
    servers.collect::<Vec<_>>().join(",")
}

/// Why there was no log-in.
fn not_in(url: &DatabaseUrl, error: &tokio_postgres::Error) -> ConnectError {
    /// SQLSTATE class 28: no such role, a wrong password, or no entry in `pg_hba.conf`.
    const INVALID_AUTHORIZATION: &str = "28";
    let is_denied = error.code().is_some_and(|code| {
        code.code().starts_with(INVALID_AUTHORIZATION) || *code == SqlState::INVALID_CATALOG_NAME
    });
    if is_denied {
        ConnectError::Denied(with_causes(error))
    } else if error.code().is_some() {
        refused(error)
    } else {
        // Not the server's words, so that nothing in them says who it is that cannot be reached.
        let text = with_causes(error);
        let cause = text.strip_prefix("error connecting to server: ").unwrap_or(&text);
        ConnectError::Refused(format!("{}: {cause}", servers(url)))
    }
}

fn refused(error: &(dyn Error + 'static)) -> ConnectError {
    ConnectError::Refused(with_causes(error))
}

/// An error and its causes in one line: the outermost alone says no more than "error connecting to server".
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner_error) = cause {
        let inner = inner_error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = inner_error.source();
    }
    let remedy = if text.contains("server does not support TLS") {
        Some("switch TLS on at the server; where the way to it is safe, sslmode=disable does without")
    } else {
        tls::remedy(error)
    };
    if let Some(remedy) = remedy {
        text = format!("{text}: {remedy}");
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_be_reached_is_named() {
        for (url, named) in [
            ("postgres://u:secret@db/x", "db:5432"),
            ("postgres://u:secret@a:1,[::1]:2/x", "a:1,[::1]:2"),
            ("postgres:///x?host=/run/pg", "/run/pg"),
        ] {
            assert_eq!(servers(&url.parse().unwrap()), named);
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_told_by_number() {
        for version in ["13.0", "15.17 (Debian 15.17-0+deb12u1)", "18beta1", "unheard of"] {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
        for version in ["12.22", "9.6.24", "10beta2"] {
            let error = check_version(version).unwrap_err();
            assert_eq!(
                error,
                format!("the server is PostgreSQL {version}: quorate needs 13 or later")
            );
        }
    }
}
