//! Bringing a database to the schema, the settings and the node role: what its owner does before nodes start.

use std::time::Duration;

use diesel::{
    QueryResult,
    migration::MigrationVersion,
    pg::{Pg, data_types::PgInterval},
    prelude::*,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
    async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures::FutureExt;
use tokio::time::{Instant, sleep};

use crate::{
    connection::{ConnectError, Session, connect, in_one_transaction},
    database_url::DatabaseUrl,
    error::{StoreError, one_line},
    member::{self, Member},
    read::check_version,
    schema::quorate_settings,
    secret::Secret,
    settings::{Settings, SettingsRow},
};

pub(crate) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// The role that nodes log in as.
pub const NODE_ROLE: &str = "quorate_node";

/// Of all migrating processes of one database only one works at a time. The number is "quorate" in ASCII.
const LOCK: i64 = 0x71_75_6f_72_61_74_65;
/// Longest wait for the others; a migration of this small schema takes well below a second.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
const LOCK_RETRY: Duration = Duration::from_millis(50);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a statement of a migration, which may have to wait for the nodes' queries to end.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Roles belong to the whole server, our lock to one database: two databases' migrations can collide on the role.
const ROLE_ATTEMPTS: u32 = 10;

/// What to set; what is `None` stays as it is (30 s, 3 signatures, 1 validator and an open network in a new database).
#[derive(Debug, Clone, Default)]
pub struct MigrateOptions {
    /// The write window.
    pub write_interval: Option<Duration>,
    /// The least number of distinct signatures of a record.
    pub min_signatures: Option<usize>,
    /// The least number of validators' signatures of a record, where members are listed.
    pub min_validators: Option<usize>,
    /// Who the members are from now on; an empty list opens the network. One that is removed by this still counts for
    /// what was observed before, for one write interval.
    pub members: Option<Vec<Member>>,
    /// Lets [`NODE_ROLE`] log in with this password, and ends its sessions in this database; nodes connect anew. Only the
    /// password's SCRAM verifier is sent to the server.
    pub node_password: Option<Secret>,
}

/// What a migration has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that were applied now, in order; none if the schema was up to date.
    pub applied: Vec<String>,
    /// What held before; nothing in a new database.
    pub before: Option<Decided>,
    /// What holds now.
    pub now: Decided,
    /// Whether [`NODE_ROLE`] may log in: not before it was given a password once.
    pub can_log_in: bool,
    /// How many sessions of [`NODE_ROLE`] in this database were ended after its password was set, so that nobody goes on
    /// with an old one; `None` if no password was given, or if this role may not end them.
    pub sessions_ended: Option<usize>,
}

/// What the owner has decided for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The rules.
    pub settings: Settings,
    /// The members that are listed; none in an open network.
    pub members: Vec<Member>,
}

/// Why a database could not be migrated. Nothing is left half done: all of it is one transaction (the password is not part
/// of it, and comes last).
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The server cannot be reached. Passes, or an operator must act; nothing was done, and it can be tried again.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The server does not let this user into this database: another password, role or database is needed.
    #[error("the database does not let us in: {0}")]
    Denied(String),
    /// The server is of a version that lacks what the schema needs.
    #[error("{0}")]
    TooOld(String),
    /// Others have been migrating all the time.
    #[error(
        "another migration of this database has been running for {LOCK_PATIENCE:?}: wait for it, or end its session \
         (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
    )]
    Locked,
    /// The window is outside of what the database accepts.
    #[error(
        "write interval {0:?}: must be from {min:?} to {max:?}, in whole microseconds",
        min = Settings::MIN_WRITE_INTERVAL,
        max = Settings::MAX_WRITE_INTERVAL
    )]
    WriteInterval(Duration),
    /// The minimum is outside of what the database accepts.
    #[error("minimum of signatures {0}: must be from 1 to {max}", max = quorate_protocol::MAX_ATTESTATIONS)]
    MinSignatures(usize),
    /// The minimum is outside of what the database accepts.
    #[error("minimum of validators {0}: must be from 0 to {max}", max = quorate_protocol::MAX_ATTESTATIONS)]
    MinValidators(usize),
    /// No record could ever be written. Nothing was changed.
    #[error("a record would need the signatures of {required} {who}, and the list has {listed}")]
    TooFew {
        /// Members or validators.
        who: &'static str,
        /// How many there would be.
        listed: usize,
        /// The minimum of the settings.
        required: usize,
    },
    /// The database has migrations that this program does not know.
    #[error(transparent)]
    Schema(StoreError),
    /// The database refused a step; most likely the role is not the owner's.
    #[error("{step}: {reason}{}", owners(reason))]
    Refused {
        /// What was to be done.
        step: String,
        /// The database's words.
        reason: String,
    },
}

/// What to do if those words say that the role may not. In a language of the server's that we do not know it remains unsaid.
fn owners(reason: &str) -> &'static str {
    let is_for_owners = ["permission denied", "must be owner", "must have"];
    if is_for_owners.iter().any(|words| reason.contains(words)) {
        ": migrate as the role that owns the database and may make roles"
    } else {
        ""
    }
}

/// Brings the database at `url` to this program's schema and to the options. Its role must own the database and may
/// create roles (or find [`NODE_ROLE`] there already). Safe to run any number of times, also at the same time.
pub async fn migrate(url: &DatabaseUrl, options: MigrateOptions) -> Result<Migrated, MigrateError> {
    let interval = options.write_interval.map(to_interval).transpose()?;
    let min_signatures = options
        .min_signatures
        .map(|number| to_minimum(number, 1).ok_or(MigrateError::MinSignatures(number)))
        .transpose()?;
    let min_validators = options
        .min_validators
        .map(|number| to_minimum(number, 0).ok_or(MigrateError::MinValidators(number)))
        .transpose()?;
    let session = Session::new("quorate migrate".to_owned(), CONNECT_TIMEOUT, STATEMENT_TIMEOUT);
    let mut connection = connect(url, &session).await.map_err(|error| match error {
        ConnectError::Denied(reason) => MigrateError::Denied(reason),
        ConnectError::TooOld(reason) => MigrateError::TooOld(reason),
        other => MigrateError::Unavailable(other.to_string()),
    })?;
    // From here on all is one transaction. Who returns early drops the connection, and with it what was done.
    begin_and_lock(&mut connection, &session).await?;
    // Diesel's harness blocks its thread, and panics on a runtime of one thread.
    let (mut connection, was_new, applied) = tokio::task::spawn_blocking(move || run_migrations(connection))
        .await
        .map_err(|error| refused("migrations", error))??;
    let before = if was_new {
        None
    } else {
        Some(decided(&mut connection).await?)
    };
    let changes = (interval, min_signatures, min_validators);
    let now = decide(&mut connection, changes, options.members.as_deref()).await?;
    let can_log_in = mend_node_role(&mut connection).await?;
    Transactions::commit_transaction(&mut connection)
        .await
        .map_err(|error| refused("commit", one_line(&error)))?;
    let mut migrated = Migrated {
        applied,
        before,
        now,
        can_log_in,
        sessions_ended: None,
    };
    if let Some(password) = options.node_password {
        let_node_role_log_in(&mut connection, &password).await?;
        migrated.can_log_in = true;
        migrated.sessions_ended = end_sessions_of_nodes(&mut connection, &session).await;
    }
    Ok(migrated)
}

fn to_interval(interval: Duration) -> Result<PgInterval, MigrateError> {
    let range = Settings::MIN_WRITE_INTERVAL..=Settings::MAX_WRITE_INTERVAL;
    let whole = interval.subsec_nanos().is_multiple_of(1000);
    match i64::try_from(interval.as_micros()) {
        Ok(micros) if whole && range.contains(&interval) => Ok(PgInterval::from_microseconds(micros)),
        _ => Err(MigrateError::WriteInterval(interval)),
    }
}

fn to_minimum(minimum: usize, least: usize) -> Option<i32> {
    let fits = (least..=quorate_protocol::MAX_ATTESTATIONS).contains(&minimum);
    i32::try_from(minimum).ok().filter(|_| fits)
}

fn refused(step: &str, reason: impl ToString) -> MigrateError {
    MigrateError::Refused {
        step: step.to_owned(),
        reason: reason.to_string().replace('\n', " "),
    }
}

type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// The lock is the transaction's and ends with it, however that ends, also behind a pooler. Asks again and again instead of
/// waiting in the server: so the end of our patience is no error to be told from others.
async fn begin_and_lock(connection: &mut AsyncPgConnection, session: &Session) -> Result<(), MigrateError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if try_to_lock(connection, session)
            .await
            .map_err(|error| refused("advisory lock", one_line(&error)))?
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MigrateError::Locked);
        }
        sleep(LOCK_RETRY).await;
    }
}

/// With the lock, the transaction goes on.
async fn try_to_lock(connection: &mut AsyncPgConnection, session: &Session) -> QueryResult<bool> {
    Transactions::begin_transaction(connection).await?;
    connection
        .batch_execute(&session.settings_of_transaction())
        .await?;
    let lock: Lock = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS taken")
        .bind::<BigInt, _>(LOCK)
        .get_result(connection)
        .await?;
    if !lock.taken {
        Transactions::rollback_transaction(connection).await?;
    }
    Ok(lock.taken)
}

/// The connection, whether the database was a new one, and what was applied.
type Migrating = (AsyncPgConnection, bool, Vec<String>);

fn run_migrations(connection: AsyncPgConnection) -> Result<Migrating, MigrateError> {
    let mut harness: AsyncConnectionWrapper<AsyncPgConnection> = AsyncConnectionWrapper::from(connection);
    let before = versions(&mut harness).map_err(|error| refused("migrations", error))?;
    if let Err(error @ StoreError::SchemaNewer { .. }) = check_version(&before) {
        return Err(MigrateError::Schema(error));
    }
    let pending = MigrationHarness::<Pg>::pending_migrations(&mut harness, MIGRATIONS)
        .map_err(|error| refused("migrations", error))?;
    let mut applied = Vec::new();
    for migration in &pending {
        let name = migration.name().to_string();
        harness
            .run_migration(migration)
            .map_err(|error| refused(&format!("migration {name}"), error))?;
        applied.push(name);
    }
    Ok((harness.into_inner(), before.is_empty(), applied))
}

fn versions(
    harness: &mut AsyncConnectionWrapper<AsyncPgConnection>,
) -> diesel::migration::Result<Vec<String>> {
    let applied: Vec<MigrationVersion<'static>> = harness.applied_migrations()?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

type Changes = (Option<PgInterval>, Option<i32>, Option<i32>);

async fn decide(
    connection: &mut AsyncPgConnection,
    changes: Changes,
    members: Option<&[Member]>,
) -> Result<Decided, MigrateError> {
    change_settings(connection, changes)
        .await
        .map_err(|error| refused("settings", one_line(&error)))?;
    if let Some(members) = members {
        member::replace(connection, members)
            .await
            .map_err(|error| refused("members", one_line(&error)))?;
    }
    let decided = decided(connection).await?;
    let validators = decided.members.iter().filter(|member| member.validator).count();
    for (who, count, required) in [
        ("members", decided.members.len(), decided.settings.min_signatures),
        ("validators", validators, decided.settings.min_validators),
    ] {
        if (1..required).contains(&count) {
            return Err(MigrateError::TooFew {
                who,
                listed: count,
                required,
            });
        }
    }
    Ok(decided)
}

async fn change_settings(connection: &mut AsyncPgConnection, changes: Changes) -> QueryResult<()> {
    use quorate_settings::{min_signatures, min_validators, table, write_interval};

    if changes != (None, None, None) {
        let (interval, signatures, validators) = changes;
        diesel::update(table)
            .set((
                interval.map(|to| write_interval.eq(to)),
                signatures.map(|to| min_signatures.eq(to)),
                validators.map(|to| min_validators.eq(to)),
            ))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn decided(connection: &mut AsyncPgConnection) -> Result<Decided, MigrateError> {
    use quorate_settings::{min_signatures, min_validators, table, write_interval};

    let row: SettingsRow = table
        .select((write_interval, min_signatures, min_validators))
        .first(connection)
        .await
        .map_err(|error| refused("settings", one_line(&error)))?;
    let members = member::listed(connection)
        .await
        .map_err(|error| refused("members", one_line(&error)))?
        .map_err(|error| refused("members", error))?;
    Ok(Decided {
        settings: Settings::from_row(row),
        members,
    })
}

#[derive(QueryableByName)]
struct Login {
    #[diesel(sql_type = Bool)]
    allowed: bool,
}

/// Makes the role, its privileges and its limits again, as far as they are missing: nothing of them is part of a dump.
async fn mend_node_role(connection: &mut AsyncPgConnection) -> Result<bool, MigrateError> {
    connection
        .batch_execute("SELECT public.quorate_grant_node_role(); SELECT public.quorate_limit_node_role()")
        .await
        .map_err(|error| {
            let remedy = format!(
                "(this role needs CREATEROLE, or somebody who has it says CREATE ROLE {NODE_ROLE} first)"
            );
            refused("role of the nodes", format!("{} {remedy}", one_line(&error)))
        })?;
    let login: Login = diesel::sql_query("SELECT rolcanlogin AS allowed FROM pg_roles WHERE rolname = $1")
        .bind::<Text, _>(NODE_ROLE)
        .get_result(connection)
        .await
        .map_err(|error| refused("role of the nodes", one_line(&error)))?;
    Ok(login.allowed)
}

async fn let_node_role_log_in(
    connection: &mut AsyncPgConnection,
    password: &Secret,
) -> Result<(), MigrateError> {
    let verifier = postgres_protocol::password::scram_sha_256(password.reveal().as_bytes());
    // A verifier is base64 and punctuation without quotes or backslashes; ALTER ROLE takes no parameters.
    let statement = format!("ALTER ROLE {NODE_ROLE} LOGIN PASSWORD '{verifier}'");
    let mut attempt = 1;
    loop {
        match connection.batch_execute(&statement).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt == ROLE_ATTEMPTS => {
                return Err(refused("password of the node role", one_line(&error)));
            }
            Err(_) => {
                sleep(LOCK_RETRY * attempt).await;
                attempt += 1;
            }
        }
    }
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = BigInt)]
    sessions: i64,
}

/// PostgreSQL asks for a password when a session begins, and never again.
async fn end_sessions_of_nodes(connection: &mut AsyncPgConnection, session: &Session) -> Option<usize> {
    let ended: QueryResult<Ended> = in_one_transaction(connection, session, |connection| {
        diesel::sql_query(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) AS sessions FROM pg_stat_activity
             WHERE usename = $1 AND datname = current_database() AND pid <> pg_backend_pid()",
        )
        .bind::<Text, _>(NODE_ROLE)
        .get_result(connection)
        .boxed()
    })
    .await;
    ended.ok().and_then(|ended| usize::try_from(ended.sessions).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_before_anything_is_touched() {
        assert!(to_interval(Duration::from_secs(30)).is_ok());
        for wrong in [
            Duration::ZERO,
            Duration::from_millis(99),
            Duration::from_secs(168 * 3600 + 1),
            Duration::from_nanos(1_000_000_001),
            Duration::MAX,
        ] {
            assert!(
                matches!(to_interval(wrong), Err(MigrateError::WriteInterval(_))),
                "{wrong:?}"
            );
        }
        assert_eq!((to_minimum(1, 1), to_minimum(128, 1)), (Some(1), Some(128)));
        assert_eq!((to_minimum(0, 1), to_minimum(129, 1)), (None, None));
        assert_eq!(to_minimum(0, 0), Some(0));
    }

    #[test]
    fn options_do_not_show_the_password() {
        let options = MigrateOptions {
            node_password: Some(Secret::new("hunter2")),
            ..MigrateOptions::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
