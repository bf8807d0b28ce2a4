//! The database as the rest of quorate sees it.

use std::{collections::BTreeSet, fmt, time::Duration};

use futures::Stream;
use quorate_protocol::{
    Address, Certificate, Digest, Feed, LastRecord, Network, ProvenEquivocation, Record, WriteOutcome,
};

use crate::{
    archive::{self, Archived},
    connection::Session,
    database_url::DatabaseUrl,
    equivocation::{self, Equivocation, EquivocationQuery},
    error::StoreError,
    member::{self, Member, Membership},
    pool::Pool,
    read::{self, FeedSpan, RecordQuery},
    record::CertificateRow,
    settings::Settings,
    write,
};

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The server aborts a statement that runs longer. Must stay well below the write interval, so that an aborted
    /// write can be tried again within its window; default 5 s.
    pub statement_timeout: Duration,
    /// For making a connection, and for waiting until one is free; default 5 s.
    pub connect_timeout: Duration,
    /// Most connections at a time; default 4: one for the writer, the others for the HTTP API.
    pub pool_size: usize,
    /// What the database's administrator sees in `pg_stat_activity`; default `quorate`.
    pub application_name: String,
}

impl StoreConfig {
    /// The defaults for a database.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            statement_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            pool_size: 4,
            application_name: "quorate".to_owned(),
        }
    }
}

/// A pool of connections and what can be asked of it. Clones share the pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    url: DatabaseUrl,
}

impl Store {
    /// Makes the pool. Connects to nothing: a database that is down does not keep a node from starting.
    pub fn new(config: StoreConfig) -> Self {
        let session = Session::new(
            config.application_name,
            config.connect_timeout,
            config.statement_timeout,
        );
        Self {
            pool: Pool::new(config.url.clone(), session, config.pool_size),
            url: config.url,
        }
    }

    /// The settings, after checking that the schema is the one that this program was made for.
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        read::settings(&self.pool).await
    }

    /// The feed's last record; `None` before the first.
    pub async fn last_record(&self, feed: &Feed) -> Result<Option<LastRecord>, StoreError> {
        read::last_record(&self.pool, feed).await
    }

    /// The members that the owner has listed, in ascending order of addresses; none in an open network. Those that were
    /// removed a short while ago, and still count for what was observed before, are not among them.
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        member::members(&self.pool).await
    }

    /// Writes the certificate with its signatures, all or nothing, in the name of `writer`. `network` must be the one
    /// that the certificate was verified for. The signers that are among `validators` are marked as such, unless the
    /// owner has listed members: then the database knows better.
    pub async fn write(
        &self,
        certificate: &Certificate,
        writer: Address,
        network: &Network,
        validators: &BTreeSet<Address>,
    ) -> WriteOutcome {
        let row = CertificateRow::new(certificate, writer, network, validators);
        write::write(&self.pool, row).await
    }

    /// Keeps a record that the database has lost for good, as evidence that its history was forked, in the name of `found_by`;
    /// `false` if it is known already. `network` must be the one that the certificate was verified for.
    ///
    /// What stands in the database, or is older than all that does, is not lost: [`StoreError::Refused`], like what the
    /// database finds no certificate by its own settings, or too much for a day.
    pub async fn keep_lost(
        &self,
        certificate: &Certificate,
        network: &Network,
        found_by: Address,
        validators: &BTreeSet<Address>,
    ) -> Result<bool, StoreError> {
        let row = CertificateRow::new(certificate, found_by, network, validators);
        write::keep_lost(&self.pool, row).await
    }

    /// Keeps the proof that an observer has signed two statements for one place in the history, in the name of `found_by`; `false` if it
    /// is known already. `network` must be the one that the proof was verified for.
    ///
    /// What the database finds no proof by its own settings (and what is too much for a day: 16 of an observer) is
    /// [`StoreError::Refused`].
    pub async fn keep_equivocation(
        &self,
        proof: &ProvenEquivocation,
        network: &Network,
        found_by: Address,
    ) -> Result<bool, StoreError> {
        equivocation::keep(&self.pool, proof, network, found_by).await
    }

    /// The proofs that match, the newest first.
    pub async fn equivocations(&self, query: EquivocationQuery) -> Result<Vec<Equivocation>, StoreError> {
        equivocation::equivocations(&self.pool, query).await
    }

    /// What a failed read most likely means: if the database answers, and what is wrong is its schema or our role, then that.
    pub async fn explain(&self, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Unavailable { .. }) {
            return error;
        }
        match self.settings().await {
            Err(
                cause @ (StoreError::NotMigrated { .. }
                | StoreError::SchemaNewer { .. }
                | StoreError::Refused { .. }),
            ) => cause,
            _ => error,
        }
    }

    /// The records that match.
    pub async fn records(&self, query: RecordQuery) -> Result<Vec<Record>, StoreError> {
        read::records(&self.pool, query).await
    }

    /// All records that match, by feed and number, however many: a page at a time is held in memory. The query's order and
    /// limit have no part in it.
    pub fn stream(
        &self,
        query: RecordQuery,
    ) -> impl Stream<Item = Result<Record, StoreError>> + Send + 'static {
        read::stream(self.pool.clone(), query)
    }

    /// The feeds that have records, and from which to which number.
    pub async fn feeds(&self) -> Result<Vec<FeedSpan>, StoreError> {
        read::feeds(&self.pool).await
    }

    /// The network whose records stand here: the first record has set it. `None` before that.
    pub async fn network(&self) -> Result<Option<String>, StoreError> {
        read::network(&self.pool).await
    }

    /// All who are or were members, and from when to when; none in an open network.
    pub async fn memberships(&self) -> Result<Vec<Membership>, StoreError> {
        member::memberships(&self.pool).await
    }

    /// The last record of each feed that was archived and removed, with all before it: what the first one here follows.
    pub async fn archived(&self) -> Result<Vec<Archived>, StoreError> {
        archive::archived(&self.pool).await
    }

    /// Removes this record and all before it, and remembers it as what the next one follows; returns how many were removed.
    /// None, if it does not stand here, or is the last of its feed: that always stays. For the owner.
    pub async fn remove_archived(&self, end: &Archived) -> Result<u64, StoreError> {
        archive::remove(&self.pool, end).await
    }

    /// Whether this role may remove records.
    ///
    /// # Errors
    /// [`StoreError::Refused`] names the role, which is not the owner.
    pub async fn check_may_remove(&self) -> Result<(), StoreError> {
        archive::check_may_remove(&self.pool).await
    }

    /// One record by its feed and number.
    pub async fn record_at(&self, feed: &Feed, sequence: u64) -> Result<Option<Record>, StoreError> {
        read::record_at(&self.pool, feed, sequence).await
    }

    /// One record by its digest.
    pub async fn record(&self, digest: &Digest) -> Result<Option<Record>, StoreError> {
        read::record(&self.pool, digest).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url)
    }
}
