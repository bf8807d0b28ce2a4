//! Who knows whom: the diagram of docs/architecture.md in code. Each actor gets the mailboxes of those it speaks to, and no more.

use std::error::Error;

use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::{self, Aggregator, AggregatorMeasures},
    db_writer::{self, DbWriter},
    gossip_bridge::{BridgeMetrics, GossipBridge},
    price_fetcher::{PriceFetcher, SourceBoard},
    signer::{self, Signer},
};
use quorate_protocol::one_window;
use quorate_supervisor::{ActorSpec, Supervisor, SupervisorConfig};
use tokio::sync::watch;

use super::{
    Node,
    members::{self, Concerned},
    settings,
};
use crate::config::node::NodeConfig;

/// Messages of a busy network that may wait while the Aggregator restarts: some hundred nodes in one window.
const AGGREGATOR_MAILBOX: usize = 1024;

/// Messages that may wait for each of the others: of each feed four, since all feeds may begin at once, and some besides.
fn mailbox(feeds: usize) -> usize {
    64 + 4 * feeds
}

/// For questions to the API about the past. Each may take seconds, and more of them would only be slower together.
const API_CONNECTIONS: usize = 3;

/// Reserves all mailboxes, then starts the actors, the last in a price's life first: whoever is told something already runs.
pub(super) fn wire(
    config: NodeConfig,
    misfit: watch::Sender<Option<String>>,
) -> Result<Node, Box<dyn Error>> {
    let supervisor = Supervisor::new(SupervisorConfig {
        fault_injection: config.api.fault_injection,
        ..SupervisorConfig::default()
    })?;
    let spec = |name| ActorSpec::new(name).mailbox(mailbox(config.pricing.feeds.len()));
    let reserved_fetcher = supervisor.reserve::<PriceFetcher>(spec("PriceFetcher"))?;
    let reserved_signer = supervisor.reserve::<Signer>(spec("Signer"))?;
    let reserved_bridge = supervisor.reserve::<GossipBridge>(spec("GossipBridge"))?;
    let reserved_aggregator =
        supervisor.reserve::<Aggregator>(ActorSpec::new("Aggregator").mailbox(AGGREGATOR_MAILBOX))?;
    let reserved_writer = supervisor.reserve::<DbWriter>(spec("DbWriter"))?;
    let price_fetcher = reserved_fetcher.mailbox();
    let signer = reserved_signer.mailbox();
    let gossip_bridge = reserved_bridge.mailbox();
    let aggregator = reserved_aggregator.mailbox();
    let db_writer = reserved_writer.mailbox();

    let is_sealed = config.gossip.secret.is_some();
    let (clock, registry) = (Clock::system(), Registry::new());
    let (me, network) = (config.key.key.address(), config.gossip.network.clone());
    let bridge_metrics = BridgeMetrics::new(&registry)?;
    let measures = AggregatorMeasures::new(&registry, &config.pricing.feeds)?;
    let listed = config.agreement.members.clone();
    let (names, known_names) =
        watch::channel(listed.as_ref().map(|(_, list)| list.names()).unwrap_or_default());

    let (rules, written) = (settings::rules(&config), measures.written());
    let history = settings::history(&config, API_CONNECTIONS);
    let news = settings::history(&config, 1);
    let standing_warnings = config.pricing.minority_warning().into_iter().collect();

    let (store, terms) = (settings::store(&config), settings::terms(&config));
    let (committee, writer_network) = (config.agreement.committee(), network.clone());
    let to = db_writer::Neighbours {
        aggregator: aggregator.clone(),
        misfit,
    };
    reserved_writer.run(move |_| DbWriter::new(store, me, writer_network, terms, committee, to))?;

    let bridge = settings::bridge(&config, listed.as_ref().map(|(_, list)| list));
    let bridge = GossipBridge::new(
        bridge,
        &config.key.key,
        clock,
        aggregator.clone(),
        bridge_metrics.clone(),
    )?;
    reserved_bridge.run(move |_| bridge)?;

    let to = signer::Neighbours {
        aggregator: aggregator.clone(),
        gossip_bridge: gossip_bridge.clone(),
    };
    let (key, signer_network) = (config.key.key.clone(), network.clone());
    let window = one_window(config.agreement.write_interval);
    reserved_signer.run(move |_| Signer::new(key, signer_network, window, clock, to))?;

    let feeds = settings::rounds(&config, clock.now());
    let to = aggregator::Neighbours {
        price_fetcher,
        signer,
        gossip_bridge: gossip_bridge.clone(),
        db_writer: db_writer.clone(),
    };
    reserved_aggregator.run(move |_| Aggregator::new(feeds, clock, to, measures))?;

    let sources = SourceBoard::new(&config.pricing.feeds, &config.pricing.sources);
    let settings = settings::fetcher(&config, clock, &registry, sources.clone(), aggregator.clone())?;
    reserved_fetcher.run(move |_| PriceFetcher::new(settings))?;

    if let Some((path, list)) = listed {
        let concerned = Concerned {
            me,
            gossip_bridge: gossip_bridge.clone(),
            aggregator: aggregator.clone(),
            db_writer,
            names,
        };
        members::follow(&path, list, config.agreement.rule, concerned);
    }
    Ok(Node {
        supervisor,
        address: me,
        network,
        aggregator,
        gossip_bridge,
        registry,
        clock,
        bridge: bridge_metrics,
        names: known_names,
        sources,
        is_sealed,
        standing_warnings,
        rules,
        history,
        news,
        written,
    })
}
