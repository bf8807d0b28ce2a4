//! A look at a database before a node uses it: what an operator should know that no query of a node would tell.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    QueryResult,
    prelude::*,
    sql_types::{BigInt, Bool, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures::FutureExt;
use quorate_protocol::UnixMillis;
use tokio::time::Instant;
use tokio_postgres::config::Host;

use crate::{
    connection::{ConnectError, Session, connect, in_one_transaction},
    database_url::{DatabaseUrl, SslMode},
    error::{StoreError, one_line},
    member::{self, Member},
    read::{known_versions, settings_on},
    record::unix_millis,
    schema::quorate_settings,
    settings::Settings,
};

/// A few, for the first may meet a cold cache.
const ROUND_TRIPS: usize = 3;

/// What a look at the database shows.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// As the server says it, like `15.17 (Debian 15.17-0+deb12u1)`.
    pub server_version: String,
    /// Who is logged in.
    pub role: String,
    /// Whether this role may do what an owner may: change the schema and whatever was recorded.
    pub is_owner: bool,
    /// Whether this role may add records.
    pub can_write: bool,
    /// Whether a pooler stands in the way.
    pub is_pooled: bool,
    /// The protocol of the connection, like `TLSv1.3`; `None`: in clear. Behind a pooler it is the pooler's connection.
    pub tls: Option<String>,
    /// Whether the server's certificate is held against an authority and the host's name.
    pub is_verified: bool,
    /// Whether the server is on this machine, by its address: nobody is on the way.
    pub is_local: bool,
    /// Whether the server only repeats what another one does: nothing can be written to it.
    pub in_recovery: bool,
    /// Its `synchronous_commit`.
    pub synchronous_commit: String,
    /// Its `synchronous_standby_names`: for whom a commit waits.
    pub synchronous_standbys: String,
    /// How many others follow it now.
    pub standbys: u64,
    /// For the connection, TLS and the log-in together.
    pub log_in: Duration,
    /// A question and its answer.
    pub round_trip: Duration,
    /// By how many milliseconds the database's clock is ahead of ours, to half a round trip.
    pub clock_ahead_ms: i64,
    /// What the owner has decided, or what is wrong with the schema.
    pub settings: Result<Settings, StoreError>,
    /// The members that the owner has listed; none in an open network, or without a schema.
    pub members: Vec<Member>,
    /// The network whose records it holds; `None` before the first.
    pub network: Option<String>,
}

/// Why there is nothing to look at. Contains no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// The server answers and does not let this user into this database.
    #[error("{0}")]
    Denied(String),
    /// Its version lacks what the schema needs.
    #[error("{0}")]
    TooOld(String),
    /// A file of a certificate, a URL or a password cannot be used.
    #[error("{0}")]
    File(String),
    /// There is no connection, or it broke.
    #[error("{0}")]
    Away(String),
}

/// The last migration that this program carries, by its version.
pub fn newest_migration() -> String {
    known_versions().into_iter().next_back().unwrap_or_default()
}

/// Logs in as a node would, looks, and leaves; changes nothing. `now` is asked for the time before and after a round trip.
///
/// # Errors
/// There is no way in.
pub async fn inspect(
    url: &DatabaseUrl,
    patience: Duration,
    now: impl Fn() -> UnixMillis + Send + 'static,
) -> Result<Inspection, Unreached> {
    let session = Session::new("quorate check".to_owned(), patience, patience);
    let began = Instant::now();
    let mut connection = connect(url, &session).await.map_err(|error| match error {
        ConnectError::Denied(reason) => Unreached::Denied(reason),
        ConnectError::TooOld(reason) => Unreached::TooOld(reason),
        ConnectError::Tls(error) => Unreached::File(error.to_string()),
        ConnectError::Credentials(reason) => Unreached::File(reason),
        other @ (ConnectError::Timeout { .. } | ConnectError::Refused(_)) => {
            Unreached::Away(other.to_string())
        }
    })?;
    let log_in = began.elapsed();
    let broken = |error: diesel::result::Error| Unreached::Away(one_line(&error));
    let round_trip = round_trip(&mut connection).await.map_err(broken)?;
    let seen = in_one_transaction(&mut connection, &session, |connection| {
        look(connection, now).boxed()
    });
    let Seen {
        server,
        clock_ahead_ms,
        settings,
        members,
        network,
    } = seen.await.map_err(broken)?;
    Ok(Inspection {
        is_pooled: session.is_behind_pooler(),
        is_verified: url.ssl_mode == SslMode::VerifyFull,
        is_local: is_local(url),
        server_version: server.server_version,
        role: server.role,
        is_owner: server.is_owner,
        can_write: server.can_write,
        tls: server.tls,
        in_recovery: server.in_recovery,
        synchronous_commit: server.synchronous_commit,
        synchronous_standbys: server.synchronous_standbys,
        standbys: u64::try_from(server.standbys).unwrap_or_default(),
        log_in,
        round_trip,
        clock_ahead_ms,
        settings,
        members,
        network,
    })
}

/// All hosts are sockets or loopback addresses.
fn is_local(url: &DatabaseUrl) -> bool {
    url.config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let name = name.trim_matches(['[', ']']);
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    })
}

/// The quickest of some: the others met something else on their way.
async fn round_trip(connection: &mut AsyncPgConnection) -> QueryResult<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        connection.batch_execute("SELECT 1").await?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Text)]
    server_version: String,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Bool)]
    is_owner: bool,
    #[diesel(sql_type = Bool)]
    can_write: bool,
    #[diesel(sql_type = Nullable<Text>)]
    tls: Option<String>,
    #[diesel(sql_type = Bool)]
    in_recovery: bool,
    #[diesel(sql_type = Text)]
    synchronous_commit: String,
    #[diesel(sql_type = Text)]
    synchronous_standbys: String,
    #[diesel(sql_type = BigInt)]
    standbys: i64,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Works on a database without a schema too. Who owns the database, or the table, can change what was recorded.
const SERVER: &str = "
    SELECT current_setting('server_version') AS server_version,
        current_user::text AS role,
        pg_has_role(current_user, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER')
            OR coalesce((SELECT pg_has_role(current_user, relowner, 'MEMBER') FROM pg_class
                WHERE oid = to_regclass('public.eth_prices')), false) AS is_owner,
        coalesce(has_any_column_privilege(to_regclass('public.eth_prices')::oid, 'INSERT'), false) AS can_write,
        (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls,
        pg_is_in_recovery() AS in_recovery,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS synchronous_standbys,
        (SELECT count(*) FROM pg_stat_replication) AS standbys,
        clock_timestamp() AS now";

struct Seen {
    server: Server,
    clock_ahead_ms: i64,
    settings: Result<Settings, StoreError>,
    members: Vec<Member>,
    network: Option<String>,
}

async fn look(connection: &mut AsyncPgConnection, now: impl Fn() -> UnixMillis + Send) -> QueryResult<Seen> {
    let before = now();
    let server: Server = diesel::sql_query(SERVER).get_result(connection).await?;
    let middle = UnixMillis::new(before.get().midpoint(now().get()));
    let mut settings = settings_on(connection).await?;
    let (mut members, mut network) = (Vec::new(), None);
    if settings.is_ok() {
        match member::listed(connection).await? {
            Ok(listed) => members = listed,
            Err(damaged) => settings = Err(damaged),
        }
        network = quorate_settings::table
            .select(quorate_settings::network)
            .first(connection)
            .await?;
    }
    Ok(Seen {
        clock_ahead_ms: unix_millis(server.now).ahead_of(middle),
        server,
        settings,
        members,
        network,
    })
}
