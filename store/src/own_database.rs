//! A database of one's own on somebody's server: made for a while, and dropped.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;

use crate::{
    connection::{Session, connect},
    database_url::DatabaseUrl,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A new database is a copy of a small one: seconds on a slow disk.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A database that was made here. It is dropped by [`OwnDatabase::drop_it`] alone.
#[derive(Debug, Clone)]
pub struct OwnDatabase {
    server: DatabaseUrl,
    name: String,
}

impl OwnDatabase {
    /// Makes a database on the server of this URL, whose role must be allowed to. `name` is of letters, digits and underscores.
    ///
    /// # Errors
    /// The server cannot be reached or refuses; its words.
    pub async fn create(server: &DatabaseUrl, name: &str) -> Result<Self, OwnDatabaseError> {
        debug_assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "{name}"
        );
        run(server, &format!("CREATE DATABASE {name}")).await?;
        Ok(Self {
            server: server.clone(),
            name: name.to_owned(),
        })
    }

    /// Its URL, with the role of the server's.
    pub fn url(&self) -> DatabaseUrl {
        self.server.with_database(&self.name)
    }

    /// Drops it, whoever is still connected.
    ///
    /// # Errors
    /// The server cannot be reached or refuses; its words.
    pub async fn drop_it(self) -> Result<(), OwnDatabaseError> {
        run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

/// Why a server did not do it. Contains no password.
#[derive(Debug, thiserror::Error)]
#[error("{what} at {server}: {reason}")]
pub struct OwnDatabaseError {
    what: String,
    server: String,
    reason: String,
}

async fn run(server: &DatabaseUrl, statement: &str) -> Result<(), OwnDatabaseError> {
    let failed = |reason: String| OwnDatabaseError {
        what: statement.to_owned(),
        server: server.to_string(),
        reason,
    };
    let session = Session::new("quorate devnet".to_owned(), CONNECT_TIMEOUT, STATEMENT_TIMEOUT);
    let mut connection = connect(server, &session)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let done = connection.batch_execute(statement).await;
    done.map_err(|error| failed(error.to_string()))
}
