//! The devnet's database: on a server that is started for it, or of its own on one that is named.

use std::error::Error;

use quorate_store::{DatabaseUrl, NODE_ROLE, OwnDatabase, PrivateOptions, PrivatePostgres, Secret};

use crate::config::devnet::DevnetConfig;

pub(super) enum Database {
    /// With the password of the nodes' role.
    Private(Box<PrivatePostgres>, Secret),
    Own(Box<OwnDatabase>),
}

impl Database {
    /// Starts a server, or makes a database on the one that is named.
    pub(super) async fn make(
        config: &DevnetConfig,
        network: &str,
        node_password: &Secret,
    ) -> Result<Self, Box<dyn Error>> {
        if let Some(server) = config.database_url() {
            let name = format!("quorate_{}", network.replace('-', "_"));
            return Ok(Self::Own(Box::new(OwnDatabase::create(&server?, &name).await?)));
        }
        let options = PrivateOptions {
            postgres_bin: config.postgres_bin.clone(),
            offline: config.offline,
            ..PrivateOptions::default()
        };
        let server = PrivatePostgres::start(&options)?;
        Ok(Self::Private(Box::new(server), node_password.clone()))
    }

    /// Which server it is, in a line.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Private(server, _) => server.server(),
            Self::Own(database) => format!("{} (named by --database-url)", database.url()),
        }
    }

    /// For migrations, and for reading records.
    pub(super) fn owner_url(&self) -> DatabaseUrl {
        match self {
            Self::Private(server, _) => server.owner_url(),
            Self::Own(database) => database.url(),
        }
    }

    /// Whether the nodes may have a role with a password that we choose. A server's roles are shared by all its databases: on one
    /// that is named, a real network may be using the same.
    pub(super) fn has_roles_of_its_own(&self) -> bool {
        matches!(self, Self::Private(..))
    }

    /// For the nodes.
    pub(super) fn node_url(&self) -> DatabaseUrl {
        match self {
            Self::Private(server, password) => server.url_for(NODE_ROLE, password),
            Self::Own(database) => database.url(),
        }
    }

    /// Stops the server, or drops the database.
    pub(super) async fn remove(self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Private(server, _) => drop(server),
            Self::Own(database) => database.drop_it().await?,
        }
        Ok(())
    }
}
