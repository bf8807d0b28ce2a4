//! `quorate node`: the five actors of one node, wired once, under one supervisor, until the end.

mod members;
mod sealing;
mod settings;
mod wiring;

use std::{collections::BTreeMap, error::Error, io, process::ExitCode, thread, time::Duration};

use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::AggregatorMessage,
    gossip_bridge::{BridgeMessage, BridgeMetrics},
    price_fetcher::SourceBoard,
};
use quorate_protocol::{Address, Feed, Network};
use quorate_store::History;
use quorate_supervisor::{Mailbox, SHUTDOWN_GRACE, Supervisor};
use tokio::sync::{oneshot, watch};

use crate::{
    config::{members::Names, node::NodeConfig},
    http::{self, Bridge, Limiter, Live, Reader, Rules, Views},
    logging,
};

/// The exit code when the database's settings are not the node's: `EX_CONFIG`, waiting does not help.
const EXIT_MISFIT: u8 = 78;

/// The order of the end: producers first, the database last, so that what was agreed on is still written.
const SHUTDOWN_ORDER: [&str; 5] = ["PriceFetcher", "Aggregator", "Signer", "GossipBridge", "DbWriter"];

/// What a node without members and without a secret is told at its start, and says of itself for as long as it runs.
pub(crate) const OPEN_AND_UNSEALED: &str =
    "anybody who reaches this node's port for peers is a node: three strangers are a quorum of three";

/// How long a node whose settings do not fit goes on: it says what else is wrong, as what its exchanges answer, so that an
/// operator mends all of it at once.
const MISFIT_GRACE: Duration = Duration::from_secs(1);

/// How long the API may take to answer what it was asked before the end.
const API_GRACE: Duration = Duration::from_secs(1);

/// A running node: its supervisor, and what its API shows.
struct Node {
    supervisor: Supervisor,
    address: Address,
    network: Network,
    aggregator: Mailbox<AggregatorMessage>,
    gossip_bridge: Mailbox<BridgeMessage>,
    registry: Registry,
    clock: Clock,
    bridge: BridgeMetrics,
    names: watch::Receiver<Names>,
    sources: SourceBoard,
    is_sealed: bool,
    standing_warnings: Vec<String>,
    rules: Rules,
    history: History,
    /// A connection for what is new: it never waits behind questions.
    news: History,
    written: BTreeMap<Feed, watch::Receiver<u64>>,
}

impl Node {
    fn views(&self) -> Views {
        Views {
            address: self.address,
            network: self.network.clone(),
            supervisor: self.supervisor.clone(),
            aggregator: self.aggregator.clone(),
            gossip_bridge: Bridge::new(self.gossip_bridge.clone()),
            registry: self.registry.clone(),
            clock: self.clock,
            bridge: self.bridge.clone(),
            names: self.names.clone(),
            sources: self.sources.clone(),
            is_sealed: self.is_sealed,
            standing_warnings: self.standing_warnings.clone(),
        }
    }

    /// What the API answers from; it keeps up with the database from now on.
    fn reader(&self) -> Reader {
        let live = Live::new(&self.rules.feeds);
        for (feed, written) in self.written.clone() {
            let (live, news, interval) = (live.clone(), self.news.clone(), self.rules.write_interval);
            actix_rt::spawn(live.keep_up(feed, news, self.clock, interval, written));
        }
        Reader::new(
            self.rules.clone(),
            self.history.clone(),
            live,
            self.names.clone(),
            self.clock,
        )
    }
}

/// Runs a node until a signal, the end of its standard input (if it was told so) or a failure ends it.
pub(crate) async fn run(config: NodeConfig) -> Result<ExitCode, Box<dyn Error>> {
    let (api, stop_with_stdin) = (config.api, config.stop_with_stdin);
    let (misfit, mut told_misfit) = watch::channel(None);
    let (network, secret) = (config.gossip.network.clone(), config.gossip.secret.clone());
    log_start(&config);
    let node = wiring::wire(config, misfit)?;
    if let Some(secret) = secret {
        sealing::watch_secret(secret, network, node.gossip_bridge.clone());
    }
    let server = match api.listen {
        Some(listen) => {
            let limiter = Limiter::new(api.rate_limit);
            let server = http::serve(listen, node.views(), node.reader(), limiter).map_err(|error| {
                format!("--api-listen: {listen} cannot be listened on ({error}): use another port")
            })?;
            let handle = server.handle();
            actix_rt::spawn(server);
            log::info!("api listening: url=http://{listen}");
            Some(handle)
        }
        None => None,
    };
    let ending = tokio::select! {
        ending = node.supervisor.run_until_end(&SHUTDOWN_ORDER, SHUTDOWN_GRACE) => {
            ExitCode::from(ending?.exit_code())
        }
        reason = misfit_of(&mut told_misfit) => {
            tokio::time::sleep(MISFIT_GRACE).await;
            log::error!("shutdown begins: reason=\"{reason}\"");
            node.supervisor.shutdown(&SHUTDOWN_ORDER, SHUTDOWN_GRACE).await;
            log::error!("fatal: {reason}; exit code {EXIT_MISFIT}");
            ExitCode::from(EXIT_MISFIT)
        }
        () = end_of_stdin(stop_with_stdin) => {
            log::info!("shutdown begins: reason=\"standard input was closed\" grace={SHUTDOWN_GRACE:?}");
            node.supervisor.shutdown(&SHUTDOWN_ORDER, SHUTDOWN_GRACE).await;
            log::info!("shutdown done: exit code 0");
            ExitCode::SUCCESS
        }
    };
    if let Some(server) = server {
        let _late = tokio::time::timeout(API_GRACE, server.stop(true)).await;
    }
    Ok(ending)
}

fn log_start(config: &NodeConfig) {
    if let Some((_, list)) = &config.agreement.members {
        logging::call_members(&list.names());
    }
    let feeds: Vec<String> = config.pricing.feeds.iter().map(ToString::to_string).collect();
    let sources: Vec<String> = config.pricing.sources.iter().map(ToString::to_string).collect();
    log::info!(
        "node starting: version={} address={} network={} feeds={}",
        env!("CARGO_PKG_VERSION"),
        config.key.key.address(),
        config.gossip.network,
        feeds.join(","),
    );
    log::info!("records go to: database={}", config.database_url);
    if let Some(url) = &config.database_read_url {
        log::info!("the API reads from: database={url}");
    }
    match (&config.agreement.members, &config.gossip.secret) {
        (Some(_), _) => {}
        (None, Some(_)) => log::info!("open network: whoever has the network secret counts"),
        (None, None) => log::warn!(
            "open network: anybody who can connect counts: reason=\"{OPEN_AND_UNSEALED}\" \
             remedy=\"--members, or --network-secret-file\""
        ),
    }
    log::info!(
        "prices: min_sources={} sources=\"{}\"",
        config.pricing.min_sources(),
        sources.join(" ")
    );
}

async fn misfit_of(told: &mut watch::Receiver<Option<String>>) -> String {
    match told.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}

/// Ends when standard input does: whoever started this node is gone, however it went.
///
/// On a thread of its own, which nobody waits for: tokio's own standard input would keep the process from ending for as
/// long as it is open.
async fn end_of_stdin(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (sender, ended) = oneshot::channel();
    let read = move || {
        // An error is an end too.
        let _read = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _nobody_waits = sender.send(());
    };
    if let Err(error) = thread::Builder::new().name("stdin".to_owned()).spawn(read) {
        log::error!("standard input is not watched: reason=\"{error}\"");
        return std::future::pending().await;
    }
    let _sent = ended.await;
}
