//! Postgres for quorate: the schema and its migrations, the pool, TLS, the few queries, and a private server for
//! devnets and tests.
//!
//! The database is the last judge: it refuses a second record within the write window, one that does not follow the last, a record
//! that its signatures do not sign, and one without enough of them, whatever a client does. This crate carries
//! certificates to it and names what came of them ([`quorate_protocol::WriteOutcome`]).

mod archive;
mod connection;
mod database_url;
mod equivocation;
mod error;
mod history;
mod inspect;
mod member;
mod migrate;
mod own_database;
mod pool;
mod pooler;
mod private_postgres;
mod read;
mod record;
// As the diesel CLI prints it: public items without docs.
#[allow(missing_docs, unreachable_pub)]
mod schema;
mod secret;
mod settings;
mod store;
mod tls;
mod write;

pub use archive::Archived;
pub use database_url::{DatabaseUrl, ParseDatabaseUrlError, SslMode};
pub use equivocation::{Equivocation, EquivocationFault, EquivocationQuery, MAX_EQUIVOCATIONS, Statement};
pub use error::StoreError;
pub use history::{Average, Candle, History, Part, Position, Range, Work};
pub use inspect::{Inspection, Unreached, inspect, newest_migration};
pub use member::{Member, Membership};
pub use migrate::{Decided, MigrateError, MigrateOptions, Migrated, NODE_ROLE, migrate};
pub use own_database::{OwnDatabase, OwnDatabaseError};
pub use private_postgres::{OWNER, PrivateOptions, PrivatePostgres, PrivatePostgresError, ServerTls};
pub use read::{FeedSpan, MAX_RECORDS, Order, RecordQuery};
pub use secret::{Secret, SecretFileError};
pub use settings::{Settings, SettingsMismatch};
pub use store::{Store, StoreConfig};
