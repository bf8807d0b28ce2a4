//! `quorate devnet`: a private Postgres, perhaps the simulated exchange, and a whole network of node processes.

mod database;
mod folder;
mod processes;

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use database::Database;
use folder::{Folder, Plan};
use processes::Processes;
use quorate_prices::SourceSpec;
use quorate_protocol::{Address, NodeKey, Record, UnixMillis};
use quorate_store::{DatabaseUrl, MigrateOptions, Order, RecordQuery, Secret, Store, StoreConfig};
use quorate_supervisor::termination;

use crate::{
    config::devnet::DevnetConfig,
    exchange::{self, Exchange},
    output,
};

/// How often processes and records are looked at.
const POLL: Duration = Duration::from_millis(200);

/// Runs until a signal; leaves nothing behind but logs that were asked for.
pub(crate) async fn run(config: DevnetConfig) -> Result<(), Box<dyn Error>> {
    let nodes = config.nodes;
    let api_ports = Ports::choose(config.api_base_port, nodes)?;
    output::print(&format!(
        "dashboard http://127.0.0.1:{}/\nstarting Postgres and {nodes} nodes …\n",
        api_ports.numbers[0]
    ))?;
    let exchange = match config.simulate {
        true => Some(exchange::start(&config.exchange()?)?),
        false => None,
    };
    let network = random_network();
    let node_password = Secret::new(random_password());
    let database = Database::make(&config, &network, &node_password).await?;
    output::print(&format!("postgres  {}\n", database.in_words()))?;
    let owner_url = database.owner_url();
    let keys: Vec<NodeKey> = (0..nodes).map(|_| NodeKey::generate()).collect();
    let options = MigrateOptions {
        write_interval: Some(config.write_interval),
        min_signatures: Some(config.min_signatures),
        node_password: database.has_roles_of_its_own().then_some(node_password),
        members: Some(keys.iter().enumerate().map(folder::member).collect()),
        ..MigrateOptions::default()
    };
    quorate_store::migrate(&owner_url, options).await?;

    let plan = Plan {
        network,
        sources: sources(&config.sources, exchange.as_ref()),
        ports: Ports::choose(config.base_port, nodes)?.numbers,
        api_ports: api_ports.numbers.clone(),
        database_url: Secret::new(database.node_url().reveal()),
    };
    let folder = Folder::make(&config, &plan, &keys, &owner_url)?;
    drop(api_ports);
    let mut processes = Processes::start(folder.node_configs(), folder.logs())?;
    output::print(&banner(&plan, &folder, exchange.as_ref()))?;

    let mut follower = Follower::new(&owner_url, keys.iter().map(NodeKey::address).collect());
    let mut stop = std::pin::pin!(termination());
    let mut poll = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            signal = &mut stop => {
                let signal = signal?;
                output::print(&format!("{signal}: stopping {nodes} nodes and Postgres …\n"))?;
                break;
            }
            _ = poll.tick() => {
                for line in processes.revive()? {
                    output::print(&line)?;
                }
                for line in follower.news().await {
                    output::print(&line)?;
                }
            }
        }
    }
    for line in processes.stop().await {
        output::print(&line)?;
    }
    if let Some(exchange) = exchange {
        exchange.stop().await;
    }
    database.remove().await?;
    Ok(output::print("stopped; nothing is left behind\n")?)
}

fn sources(choices: &[SourceSpec], exchange: Option<&Exchange>) -> Vec<String> {
    choices
        .iter()
        .map(|source| {
            format!(
                "{}={}",
                source.kind(),
                exchange.map_or(source.base(), |exchange| &exchange.url)
            )
        })
        .collect()
}

/// Ports that nobody else gets as long as this lives, unless they were chosen by the user. A free port could be taken between that and
/// its node's start; then the node says so and is started again.
struct Ports {
    numbers: Vec<u16>,
    /// All at once, so that none is chosen twice.
    _held: Vec<TcpListener>,
}

impl Ports {
    /// `count` ports from `base` on, or free ones.
    fn choose(base: Option<u16>, count: usize) -> io::Result<Self> {
        if let Some(base) = base {
            return Ok(Self {
                numbers: (base..).take(count).collect(),
                _held: vec![],
            });
        }
        let held: Vec<TcpListener> = (0..count)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<io::Result<_>>()?;
        let number = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        Ok(Self {
            numbers: held.iter().map(number).collect::<io::Result<_>>()?,
            _held: held,
        })
    }
}

/// A name of its own for each devnet: two on one network segment leave each other alone.
fn random_network() -> String {
    format!(
        "devnet-{}",
        &NodeKey::generate().address().to_string()[2..10].to_lowercase()
    )
}

fn random_password() -> String {
    const_hex::encode(NodeKey::generate().secret_bytes())
}

fn banner(plan: &Plan, folder: &Folder, exchange: Option<&Exchange>) -> String {
    let mut text = format!("network   {}\n", plan.network);
    for (index, port) in plan.api_ports.iter().enumerate() {
        text += &format!("node {:<4} http://127.0.0.1:{port}/api/v1/status\n", index + 1);
    }
    if let Some(Exchange { url, .. }) = exchange {
        text += &format!("exchange  {url} (simulated: its prices are invented; faults: {url}/control)\n");
    }
    text += &format!("logs      {}\n", folder.logs().display());
    text += &format!("psql      {}\n", folder.psql());
    text += "          then: SELECT * FROM eth_prices_readable;\n";
    text + "Ctrl-C stops it all. A line for each record follows.\n\n"
}

/// Tells of new records in the database, a line each.
struct Follower {
    store: Store,
    nodes: Vec<Address>,
    /// Number and time of the last record; a devnet has one feed.
    last: Option<(u64, UnixMillis)>,
}

impl Follower {
    fn new(url: &DatabaseUrl, nodes: Vec<Address>) -> Self {
        let config = StoreConfig {
            application_name: "quorate devnet".to_owned(),
            pool_size: 1,
            connect_timeout: Duration::from_secs(1),
            ..StoreConfig::new(url.clone())
        };
        Self {
            store: Store::new(config),
            nodes,
            last: None,
        }
    }

    /// What was written since the last call; nothing while the database is away.
    async fn news(&mut self) -> Vec<String> {
        let after = self.last.map(|(sequence, _)| sequence);
        let query = RecordQuery {
            after,
            order: Order::BySequence,
            ..RecordQuery::default()
        };
        let records = self.store.records(query).await.unwrap_or_default();
        records.iter().map(|record| self.tell(record)).collect()
    }

    fn tell(&mut self, record: &Record) -> String {
        let spacing = match self.last {
            Some((_, last)) => format!("{:.3} s after the last", seconds(record.written_at.since(last))),
            None => "the first".to_owned(),
        };
        self.last = Some((record.sequence, record.written_at));
        let writer = self.nodes.iter().position(|node| *node == record.written_by);
        format!(
            "record {} {}  {} {}  {} signatures  written by {}  price {:.2} s old  {spacing}\n",
            record.sequence,
            record.digest.short(),
            record.feed,
            record.price,
            record.signatures.len(),
            writer.map_or(record.written_by.to_string(), |index| format!(
                "node {}",
                index + 1
            )),
            seconds(record.written_at.since(record.observed_at)),
        )
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
