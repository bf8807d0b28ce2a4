//! The devnet's folder: a key, a configuration and a log for each node, the members, and what psql needs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use humantime::format_duration;
use quorate_protocol::NodeKey;
use quorate_store::{DatabaseUrl, Member, Secret};
use toml::{Table, Value};

use crate::{
    config::devnet::DevnetConfig,
    keys::{self, Format},
};

/// What the nodes have in common, and their ports.
pub(super) struct Plan {
    pub(super) network: String,
    /// `--source` values.
    pub(super) sources: Vec<String>,
    pub(super) ports: Vec<u16>,
    pub(super) api_ports: Vec<u16>,
    pub(super) database_url: Secret,
}

/// Removed when dropped, but for logs that were asked for elsewhere.
pub(super) struct Folder {
    folder: tempfile::TempDir,
    logs: PathBuf,
    nodes: usize,
    psql: String,
}

impl Folder {
    pub(super) fn make(
        config: &DevnetConfig,
        plan: &Plan,
        keys: &[NodeKey],
        owner_url: &DatabaseUrl,
    ) -> io::Result<Self> {
        // Only its owner can enter: it holds keys and passwords.
        let folder = tempfile::Builder::new().prefix("quorate-devnet-").tempdir()?;
        let path = folder.path();
        let logs = config.log_dir.clone().unwrap_or_else(|| path.join("logs"));
        fs::create_dir_all(&logs)?;
        fs::write(
            path.join("members.toml"),
            keys.iter().enumerate().map(listed).collect::<String>(),
        )?;
        fs::write(path.join("database-url"), plan.database_url.reveal())?;
        for (index, key) in keys.iter().enumerate() {
            keys::save(key, &key_file(path, index), &Format::Hex).map_err(io::Error::other)?;
            fs::write(
                config_file(path, index),
                node_config(config, plan, path, index).to_string(),
            )?;
        }
        let psql = write_pgpass(path, owner_url)?;
        Ok(Self {
            logs,
            nodes: keys.len(),
            psql,
            folder,
        })
    }

    /// Each node's configuration file.
    pub(super) fn node_configs(&self) -> Vec<PathBuf> {
        (0..self.nodes)
            .map(|index| config_file(self.folder.path(), index))
            .collect()
    }

    /// Where the logs are.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The command that opens the database.
    pub(super) fn psql(&self) -> &str {
        &self.psql
    }
}

/// A node as the database and the other nodes know it.
pub(super) fn member((index, key): (usize, &NodeKey)) -> Member {
    Member {
        address: key.address(),
        name: format!("node-{}", index + 1),
        validator: false,
    }
}

fn listed(node: (usize, &NodeKey)) -> String {
    let Member { address, name, .. } = member(node);
    format!("[[member]]\nname = \"{name}\"\naddress = \"{address}\"\n\n")
}

fn key_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("node-{}.key", index + 1))
}

fn config_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("node-{}.toml", index + 1))
}

fn node_config(config: &DevnetConfig, plan: &Plan, folder: &Path, index: usize) -> Table {
    let text = |value: &dyn ToString| Value::String(value.to_string());
    let list = |values: Vec<String>| Value::Array(values.into_iter().map(Value::String).collect());
    let path = |name: &str| Value::String(folder.join(name).display().to_string());
    // Each dials those before it; a machine with multicast does not need it.
    let peers = plan.ports[..index]
        .iter()
        .map(|port| format!("/ip4/127.0.0.1/tcp/{port}"))
        .collect();
    let mut table = Table::from_iter([
        ("network".to_owned(), text(&plan.network)),
        (
            "listen".to_owned(),
            list(vec![format!("/ip4/0.0.0.0/tcp/{}", plan.ports[index])]),
        ),
        ("peer".to_owned(), list(peers)),
        ("mdns".to_owned(), Value::Boolean(config.mdns)),
        (
            "key-file".to_owned(),
            Value::String(key_file(folder, index).display().to_string()),
        ),
        ("members".to_owned(), path("members.toml")),
        ("source".to_owned(), list(plan.sources.clone())),
        (
            "fetch-interval".to_owned(),
            text(&format_duration(config.fetch_interval)),
        ),
        (
            "write-interval".to_owned(),
            text(&format_duration(config.write_interval)),
        ),
        (
            "min-signatures".to_owned(),
            Value::String(config.min_signatures.to_string()),
        ),
        ("database-url-file".to_owned(), path("database-url")),
        (
            "api-listen".to_owned(),
            Value::String(format!("127.0.0.1:{}", plan.api_ports[index])),
        ),
        (
            "fault-injection".to_owned(),
            Value::Boolean(config.fault_injection),
        ),
        ("stop-with-stdin".to_owned(), Value::Boolean(true)),
    ]);
    let mut add = |name: &str, value: Value| table.insert(name.to_owned(), value);
    add("max-move-bps", text(&config.max_move_bps));
    if let Some(fraction) = config.quorum_fraction {
        add("quorum-fraction", text(&fraction));
    }
    if let Some(key) = &config.coingecko_key_file {
        add("coingecko-key-file", text(&key.display()));
    }
    table
}

/// psql reads the password from a file that only its owner may read.
fn write_pgpass(folder: &Path, owner_url: &DatabaseUrl) -> io::Result<String> {
    let file = folder.join("pgpass");
    let (user, password) = (owner_url.user().unwrap_or("*"), owner_url.password());
    let escaped = password
        .map_or("", Secret::reveal)
        .replace('\\', r"\\")
        .replace(':', r"\:");
    keys::create_private(&file, &format!("*:*:*:{user}:{escaped}\n"))?;
    let without_password = owner_url.to_string().replace(":***@", "@");
    Ok(format!(
        "PGPASSFILE={} psql -d '{without_password}'",
        file.display()
    ))
}
