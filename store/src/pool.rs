//! The connections that are kept open.

use std::{sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{Object, PoolError, TimeoutType},
};
use diesel::{ConnectionError, QueryResult};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool::Pool as DieselPool,
    },
};
use futures::{FutureExt, future::BoxFuture};

use crate::{
    connection::{Session, connect, in_one_transaction},
    database_url::DatabaseUrl,
    error::{Failure, StoreError, classify},
    read::settings_on,
};

/// The client waits this much longer than the server is allowed to work: for the way there and back.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

type Connection = Object<AsyncDieselConnectionManager<AsyncPgConnection>>;

/// A bounded number of connections, opened when needed, checked before each use.
#[derive(Clone)]
pub(crate) struct Pool {
    connections: DieselPool<AsyncPgConnection>,
    session: Arc<Session>,
    size: usize,
}

impl Pool {
    /// Makes an empty pool; touches no network.
    pub(crate) fn new(url: DatabaseUrl, session: Session, size: usize) -> Self {
        let session = Arc::new(session);
        let for_setup = Arc::clone(&session);
        let mut config = ManagerConfig::default();
        // One round trip more, and in exchange a connection that died unseen (a restart, a failover) costs nothing. Not a
        // prepared statement, as diesel's own check is: that would not get through a pooler.
        config.recycling_method =
            RecyclingMethod::CustomFunction(Box::new(|connection: &mut AsyncPgConnection| {
                connection.batch_execute("SELECT 1").boxed()
            }));
        config.custom_setup = Box::new(move |_| {
            let (url, session) = (url.clone(), Arc::clone(&for_setup));
            async move {
                connect(&url, &session)
                    .await
                    .map_err(|error| ConnectionError::BadConnection(error.to_string()))
            }
            .boxed()
        });
        // The URL holds the password and is used by nobody but `custom_setup`: the manager gets none.
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        #[expect(
            clippy::expect_used,
            reason = "build fails only if timeouts lack a runtime, and one is given"
        )]
        let connections = DieselPool::builder(manager)
            .max_size(size.max(1))
            .wait_timeout(Some(session.connect_timeout))
            .recycle_timeout(Some(session.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given");
        Self {
            connections,
            session,
            size: size.max(1),
        }
    }

    /// Runs `work` on a connection, for no longer than its statements may take.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<T>> + Send,
    {
        let error = match self.attempt(work).await? {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        Err(match classify(&error) {
            Failure::Refusal(reason) => StoreError::Refused { reason },
            Failure::Conflict => unavailable(error.to_string()),
            Failure::Passing(reason) => unavailable(reason),
            // A table that is missing or not to be read is among these. Asked only now, so that the usual way costs nothing.
            Failure::Unclear(reason) => {
                let schema = self.attempt(|connection| settings_on(connection).boxed()).await;
                match schema {
                    Ok(Ok(Err(cause))) => cause,
                    _ => unavailable(reason),
                }
            }
        })
    }

    /// The same for who judges the database's errors itself. Behind a pooler `work` is a transaction of its own: after an
    /// error it can ask no more.
    pub(crate) async fn attempt<T, F>(&self, work: F) -> Result<QueryResult<T>, StoreError>
    where
        F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<T>> + Send,
    {
        let limit = self.session.statement_timeout + ANSWER_MARGIN;
        let mut lease = Lease(Some(self.get().await?));
        let Some(connection) = lease.0.as_mut() else {
            return Err(unavailable("no connection"));
        };
        let work = async {
            if self.session.is_behind_pooler() {
                in_one_transaction(connection, &self.session, work).await
            } else {
                work(connection).await
            }
        };
        let result = tokio::time::timeout(limit, work)
            .await
            .map_err(|_| unavailable(format!("no answer within {limit:?}")))?;
        lease.give_back();
        Ok(result)
    }

    async fn get(&self) -> Result<Connection, StoreError> {
        self.connections.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => unavailable(format!(
                "all {} connections were busy for {:?}",
                self.size, self.session.connect_timeout
            )),
            PoolError::Backend(error) => unavailable(error.to_string()),
            other => unavailable(other.to_string()),
        })
    }
}

fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable {
        reason: reason.into(),
    }
}

/// A connection in use. Dropped in the middle of a query (a time-out, a restarted actor) it is closed instead of going
/// back to the pool, where the next user would wait for that query to end.
struct Lease(Option<Connection>);

impl Lease {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
