//! The whole network: planned, started, watched by its records.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use quorate_protocol::Record;
use quorate_protocol::{Address, NodeKey, UnixMillis};
use quorate_testkit::port;
use tempfile::TempDir;
use toml::{Table, Value};

use super::{
    WINDOW,
    database::{Database, Replication},
    exchange::Exchange,
    node::Node,
    process::read_log,
    turn::Turn,
    wait::{eventually, unix_now},
};

/// The name of all of these networks; they do not know each other's addresses.
pub(crate) const NAME: &str = "e2e";

/// What is out of the ordinary about a network.
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) window: Duration,
    /// How many of them run from the start.
    pub(crate) running: usize,
    pub(crate) fault_injection: bool,
    /// Members besides the nodes: keys that the test holds.
    pub(crate) other_members: Vec<NodeKey>,
    /// How many of the nodes, from the first, are members at the start.
    pub(crate) members: usize,
    /// How many of the nodes, from the last, are validators.
    pub(crate) validators: usize,
    /// Nobody is listed: whoever can connect counts.
    pub(crate) open: bool,
    /// Nodes find each other by the members file alone.
    pub(crate) endpoints: bool,
    /// What all nodes seal their messages with.
    pub(crate) secret: Option<&'static str>,
    /// Settings of all nodes besides the usual ones.
    pub(crate) settings: Vec<(&'static str, Value)>,
    /// Faults of the exchange from the start.
    pub(crate) faults: &'static [&'static str],
    /// The number of a node that asks an exchange of its own, and the faults of that.
    pub(crate) own_exchange: Option<(usize, &'static [&'static str])>,
    /// Its database has a server of its own, to be stopped and started.
    pub(crate) own_server: bool,
    /// That server is away, and empty, when the nodes start.
    pub(crate) server_absent: bool,
    /// Its database has a server of its own with a replica, to fail over to.
    pub(crate) replication: Option<Replication>,
}

impl Plan {
    /// All of `nodes` nodes run, three signatures make a record, three sources agree.
    pub(crate) fn of(nodes: usize) -> Self {
        Self {
            nodes,
            window: WINDOW,
            running: nodes,
            fault_injection: false,
            other_members: vec![],
            members: nodes,
            validators: 0,
            open: false,
            endpoints: false,
            secret: None,
            settings: vec![],
            faults: &[],
            own_exchange: None,
            own_server: false,
            server_absent: false,
            replication: None,
        }
    }
}

/// The file of the members of a network.
const MEMBERS: &str = "members.toml";
/// The file of the nodes' way to the database.
const DATABASE_URL: &str = "database-url";
const MIN_SIGNATURES: usize = 3;
const SOURCES: [&str; 3] = ["coinbase", "kraken", "bitstamp"];

pub(crate) struct Network {
    other_members: Vec<NodeKey>,
    // In the order of their end.
    pub(crate) nodes: Vec<Node>,
    pub(crate) exchange: Exchange,
    own_exchange: Option<Exchange>,
    pub(crate) database: Database,
    folder: TempDir,
    _turn: Turn,
}

impl Network {
    pub(crate) fn start(plan: Plan) -> Self {
        let turn = Turn::take();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut database = match plan.replication {
            Some(replication) => Database::replicated(replication),
            None if plan.own_server => Database::own(),
            None => Database::shared(),
        };
        if plan.server_absent {
            database.stop();
        } else {
            database.migrate(MIN_SIGNATURES, plan.window);
        }
        let exchange = Exchange::start(&path.join("exchange.log"), plan.faults);
        let own_exchange = plan
            .own_exchange
            .map(|(_, faults)| Exchange::start(&path.join("own-exchange.log"), faults));

        let nodes: Vec<Node> = (1..=plan.nodes).map(|number| node(path, number)).collect();
        let keys = nodes[..plan.members]
            .iter()
            .map(|node| &node.key)
            .chain(&plan.other_members);
        let members: Vec<Address> = keys.map(NodeKey::address).collect();
        let validators: Vec<Address> = nodes
            .iter()
            .rev()
            .take(plan.validators)
            .map(Node::address)
            .collect();
        let list = path.join(MEMBERS);
        write_members(&list, &members, &validators);
        if plan.endpoints {
            append_endpoints(&list, &nodes);
        }
        fs::write(path.join(DATABASE_URL), database.urls.node.reveal()).unwrap();
        let secret_file = path.join("network-secret");
        if let Some(secret) = plan.secret {
            write_private(&secret_file, secret);
        }
        let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
        for (index, node) in nodes.iter().enumerate() {
            let asked = match (&plan.own_exchange, &own_exchange) {
                (Some((number, _)), Some(own)) if *number == node.number => own,
                _ => &exchange,
            };
            // Each dials those before it.
            let mut config = config(path, node, &ports[..index], asked.port, &plan);
            if plan.open {
                config.remove("members");
            }
            if plan.endpoints {
                config.remove("peer");
            }
            if plan.secret.is_some() {
                let file = secret_file.display().to_string();
                config.insert("network-secret-file".to_owned(), file.into());
            }
            let further = plan
                .settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            config.extend(further);
            fs::write(&node.config, config.to_string()).unwrap();
        }
        let mut network = Self {
            other_members: plan.other_members,
            nodes,
            exchange,
            own_exchange,
            database,
            folder,
            _turn: turn,
        };
        network.nodes[..plan.running].iter_mut().for_each(Node::start);
        network
    }

    /// Waits until all nodes that were started are up, and says when that was.
    pub(crate) fn is_up(&self) -> UnixMillis {
        let started = self.nodes.iter().filter(|node| node.process.is_some());
        started.for_each(Node::is_up);
        unix_now()
    }

    /// From now on, these nodes (by their index) are the members.
    pub(crate) fn change_members(&self, indices: std::ops::Range<usize>) {
        let members: Vec<Address> = self.nodes[indices].iter().map(Node::address).collect();
        write_members(&self.folder.path().join(MEMBERS), &members, &[]);
    }

    /// What `quorate evidence` shows.
    pub(crate) fn evidence(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        let url = self.folder.path().join(DATABASE_URL);
        command
            .args(["evidence", "--full", "--database-url-file"])
            .arg(url)
            .env_clear();
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The folder of the nodes' files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether no node has ended.
    pub(crate) fn all_run(&mut self) -> bool {
        self.nodes.iter_mut().all(Node::is_running)
    }

    pub(crate) fn addresses(&self) -> BTreeSet<Address> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// All records, after checking each: digest, signatures, that its signers are at least three nodes of this network, and
    /// that it was written no less than a window after the one before.
    pub(crate) fn records(&self) -> Vec<Record> {
        let records = self.database.records().unwrap();
        let mut nodes = self.addresses();
        nodes.extend(self.other_members.iter().map(NodeKey::address));
        for record in &records {
            let signers = record
                .verify()
                .unwrap_or_else(|fault| panic!("{}: {fault}", record.digest));
            assert!(signers.len() >= MIN_SIGNATURES, "{record:?}");
            assert!(signers.is_subset(&nodes), "signed by a stranger: {record:?}");
            assert!(nodes.contains(&record.written_by), "{record:?}");
            assert_eq!(record.network, NAME);
        }
        for gap in gaps(&records) {
            assert!(gap >= WINDOW, "two records within {gap:?}");
        }
        records
    }

    /// Waits until there are so many records; all of them.
    pub(crate) fn has_records(&self, count: usize, within: Duration) -> Vec<Record> {
        eventually(&format!("{count} records"), within, || {
            // An outage may be what the test is about.
            let written = self.database.records().unwrap_or_default().len();
            (written >= count).then(|| self.records())
        })
    }

    /// Waits for a record written after `since`.
    pub(crate) fn has_record_after(&self, since: UnixMillis, within: Duration) -> Record {
        eventually("a new record", within, || {
            let records = self.database.records().unwrap_or_default();
            records.into_iter().find(|record| record.written_at > since)
        })
    }

    /// Waits for `count` records more than there are.
    pub(crate) fn has_further_records(&self, count: usize, within: Duration) -> Vec<Record> {
        self.has_records(self.records().len() + count, within)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if thread::panicking() {
            for node in &self.nodes {
                eprintln!(
                    "\n--- node {} {}\n{}",
                    node.number,
                    node.address(),
                    node.log_tail()
                );
            }
            let exchanges = [Some(&self.exchange), self.own_exchange.as_ref()];
            for exchange in exchanges.into_iter().flatten() {
                eprintln!("\n--- exchange\n{}", read_log(&exchange.log));
            }
        }
    }
}

/// From each record to the next, by the database's clock.
pub(crate) fn gaps(records: &[Record]) -> Vec<Duration> {
    let pairs = records.windows(2);
    pairs
        .map(|pair| pair[1].written_at.since(pair[0].written_at))
        .collect()
}

fn node(folder: &Path, number: usize) -> Node {
    let key = NodeKey::generate();
    let hex = const_hex::encode(key.secret_bytes().as_slice());
    write_private(&folder.join(key_name(number)), &hex);
    Node {
        number,
        key,
        port: port::free(),
        api_port: port::free(),
        config: folder.join(format!("node-{number}.toml")),
        log: folder.join(format!("node-{number}.log")),
        process: None,
    }
}

/// Only its owner may read it, or the node refuses it.
fn write_private(path: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Writes the members file, in one move as operators should: the nodes are reading it.
fn write_members(path: &Path, members: &[Address], validators: &[Address]) {
    let listed = |(index, address): (usize, &Address)| {
        let (name, validator) = (index + 1, validators.contains(address));
        format!("[[member]]\nname = \"node-{name}\"\naddress = \"{address}\"\nvalidator = {validator}\n")
    };
    let text: String = members.iter().enumerate().map(listed).collect();
    let draft = path.with_extension("new");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

/// Adds where each node listens to its entry.
fn append_endpoints(path: &Path, nodes: &[Node]) {
    let text = fs::read_to_string(path).unwrap();
    let entries = text.split("[[member]]").skip(1).zip(nodes);
    let with = entries.map(|(entry, node)| {
        format!(
            "[[member]]{entry}endpoint = \"/ip4/127.0.0.1/tcp/{}\"\n",
            node.port
        )
    });
    fs::write(path, with.collect::<String>()).unwrap();
}

fn key_name(number: usize) -> String {
    format!("node-{number}.key")
}

fn config(folder: &Path, node: &Node, peers: &[u16], exchange: u16, plan: &Plan) -> Table {
    let (window, fault_injection) = (plan.window, plan.fault_injection);
    let file = |name: &str| folder.join(name).display().to_string();
    let listens = |port: &u16| format!("/ip4/127.0.0.1/tcp/{port}");
    let peers: Vec<String> = peers.iter().map(listens).collect();
    let sources = SOURCES.map(|source| format!("{source}=http://127.0.0.1:{exchange}"));
    let window = format!("{}s", window.as_secs());
    let settings: [(&str, Value); 14] = [
        ("network", NAME.into()),
        ("listen", vec![listens(&node.port)].into()),
        ("peer", peers.into()),
        ("mdns", false.into()),
        ("key-file", file(&key_name(node.number)).into()),
        ("members", file(MEMBERS).into()),
        ("database-url-file", file(DATABASE_URL).into()),
        ("source", sources.to_vec().into()),
        ("fetch-interval", window.clone().into()),
        ("write-interval", window.into()),
        ("min-signatures", MIN_SIGNATURES.to_string().into()),
        ("api-listen", format!("127.0.0.1:{}", node.api_port).into()),
        ("fault-injection", fault_injection.into()),
        ("stop-with-stdin", true.into()),
    ];
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
