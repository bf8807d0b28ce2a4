//! Who knows whom. The one place where actors get each other's addresses, and each only those that it needs.

use std::{error::Error, sync::Arc, time::Duration};

use prometheus::Registry;
use quorate_actors::{
    Clock, Sink,
    aggregator::{Aggregator, AggregatorMeasures, AggregatorSinks, AskStatus},
    db_writer::{DbWriter, DbWriterSinks, Terms},
    gossip_bridge::{BridgeConfig, Counts, GossipBridge, Listeners, UpdateKeyring},
    price_fetcher::{
        Agreement, DEFAULT_MAX_QUOTE_AGE, DEFAULT_PATIENCE, DEFAULT_SOURCE_TIMEOUT, PriceFetcher,
        PriceFetcherSettings, SourceMeasures,
    },
    signer::{Signer, SignerSinks},
    supervisor::{ActorSpec, Supervisor, SupervisorConfig},
};
use quorate_protocol::{
    Address, Network,
    cosign::CosignPolicy,
    judge::JudgeConfig,
    one_window,
    rounds::{Settings, Timing},
};
use quorate_store::{Store, StoreConfig};
use tokio::sync::watch;

use super::members::{self, Concerned};
use crate::{
    config::{
        members::{MemberList, Names},
        node::NodeConfig,
    },
    http::Views,
};

/// Messages of a busy network that may wait while the Aggregator restarts: some hundred nodes in one window.
const AGGREGATOR_MAILBOX: usize = 1024;

/// A running node.
pub(super) struct Node {
    pub(super) supervisor: Supervisor,
    address: Address,
    network: Network,
    ask_status: Sink<AskStatus>,
    pub(super) update_keyring: Sink<UpdateKeyring>,
    registry: Registry,
    clock: Clock,
    counts: Arc<Counts>,
    names: watch::Receiver<Names>,
}

impl Node {
    pub(super) fn views(&self) -> Views {
        Views {
            address: self.address,
            network: self.network.clone(),
            supervisor: self.supervisor.clone(),
            ask_status: self.ask_status.clone(),
            registry: self.registry.clone(),
            clock: self.clock,
            counts: Arc::clone(&self.counts),
            names: self.names.clone(),
        }
    }
}

/// Reserves all addresses, then starts the actors, sinks first.
pub(super) fn wire(
    config: NodeConfig,
    misfit: watch::Sender<Option<String>>,
) -> Result<Node, Box<dyn Error>> {
    let clock = Clock::system();
    let key = config.key.key;
    let me = key.address();
    let network = config.gossip.network.clone();
    let url = config.database_url.clone();
    log::info!(
        "node starting: version={} address={me} network={network} feeds={} database={url}",
        env!("CARGO_PKG_VERSION"),
        config
            .pricing
            .feeds
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    );

    let supervisor = Supervisor::new(SupervisorConfig {
        fault_injection: config.api.fault_injection,
        ..SupervisorConfig::default()
    })?;
    let db_writer = supervisor.reserve::<DbWriter>(ActorSpec::new("DbWriter"))?;
    let gossip_bridge = supervisor.reserve::<GossipBridge>(ActorSpec::new("GossipBridge"))?;
    let signer = supervisor.reserve::<Signer>(ActorSpec::new("Signer"))?;
    let aggregator =
        supervisor.reserve::<Aggregator>(ActorSpec::new("Aggregator").mailbox(AGGREGATOR_MAILBOX))?;
    let price_fetcher = supervisor.reserve::<PriceFetcher>(ActorSpec::new("PriceFetcher"))?;
    let to_db_writer = db_writer.mailbox();
    let to_gossip_bridge = gossip_bridge.mailbox();
    let to_signer = signer.mailbox();
    let to_aggregator = aggregator.mailbox();
    let to_price_fetcher = price_fetcher.mailbox();
    let registry = Registry::new();

    let write_interval = config.agreement.write_interval;
    let committee = config.agreement.committee();
    let listed = config.agreement.members.as_ref().map(|(_, list)| list);
    let (names, told_names) = watch::channel(listed.map(MemberList::names).unwrap_or_default());
    let store = Store::new(StoreConfig {
        application_name: format!("quorate {}", me.short()),
        statement_timeout: statement_timeout(write_interval),
        ..StoreConfig::new(url)
    });
    let terms = Terms {
        write_interval,
        min_signatures: config.agreement.rule.min_signatures,
    };
    let sinks = DbWriterSinks {
        wrote: to_aggregator.sink(),
        last_record_is: to_aggregator.sink(),
        misfit,
    };
    let (writer_network, writer_committee) = (network.clone(), committee.clone());
    db_writer.run(move |_| DbWriter::new(store, me, writer_network, terms, writer_committee, sinks))?;

    let judge = JudgeConfig::new(
        network.clone(),
        config.pricing.feeds.iter().cloned().collect(),
        me,
        committee.clone(),
        write_interval,
    );
    let bridge = BridgeConfig {
        listen: config.gossip.listen.clone(),
        peers: config.gossip.peers.clone(),
        endpoints: listed.map(|list| list.endpoints(me)).unwrap_or_default(),
        dns_peers: config.gossip.dns_peers.clone(),
        mdns: config.gossip.mdns,
        judge,
        keyring: config.gossip.secret.as_ref().map(|secret| secret.keyring.clone()),
    };
    let listeners = Listeners {
        heard: to_aggregator.sink(),
        contradicted: to_aggregator.sink(),
        peer_up: to_aggregator.sink(),
        peer_down: to_aggregator.sink(),
    };
    let counts = Arc::new(Counts::default());
    let bridge = GossipBridge::new(bridge, &key, clock, listeners, Arc::clone(&counts))?;
    gossip_bridge.run(move |_| bridge)?;

    let sinks = SignerSinks {
        own_report: to_aggregator.sink(),
        cosigned: to_aggregator.sink(),
        publish: to_gossip_bridge.sink(),
    };
    let signer_network = network.clone();
    let one_window = one_window(write_interval);
    signer.run(move |_| Signer::new(key, signer_network, one_window, clock, sinks))?;

    let sinks = AggregatorSinks {
        fetch_for: to_price_fetcher.sink(),
        fetch_anew: to_price_fetcher.sink(),
        state: to_signer.sink(),
        object: to_signer.sink(),
        cosign: to_signer.sink(),
        announce: to_signer.sink(),
        beat: to_signer.sink(),
        publish: to_gossip_bridge.sink(),
        write: to_db_writer.sink(),
        keep_evidence: to_db_writer.sink(),
        ask_last_record: to_db_writer.sink(),
    };
    let feeds: Vec<Settings> = config
        .pricing
        .feeds
        .iter()
        .map(|feed| Settings {
            feed: feed.clone(),
            me,
            committee: committee.clone(),
            write_interval,
            fetch_interval: config.pricing.fetch_interval,
            policy: CosignPolicy {
                max_deviation_bps: config.agreement.max_deviation_bps,
                max_age: Settings::max_age(write_interval),
                future_tolerance: JudgeConfig::FUTURE_TOLERANCE,
            },
            timing: Timing::for_interval(write_interval),
            quarantine: config.agreement.quarantine,
            predecessor_ended: (!config.key.is_new).then(|| clock.now()),
        })
        .collect();
    let measures = AggregatorMeasures::new(&registry, &config.pricing.feeds)?;
    aggregator.run(move |_| Aggregator::new(feeds, clock, sinks, measures))?;

    let settings = PriceFetcherSettings {
        measures: SourceMeasures::new(&registry, &config.pricing.sources)?,
        feeds: config.pricing.feeds,
        sources: config.pricing.sources,
        agreement: Agreement {
            min_sources: config.pricing.min_sources,
            max_spread_bps: config.pricing.max_source_spread_bps,
        },
        source_timeout: DEFAULT_SOURCE_TIMEOUT,
        patience: DEFAULT_PATIENCE,
        max_quote_age: DEFAULT_MAX_QUOTE_AGE,
        fetch_interval: config.pricing.fetch_interval,
        clock,
        observers: vec![to_aggregator.sink()],
    };
    price_fetcher.run(move |_| PriceFetcher::new(settings))?;

    if let Some((path, list)) = config.agreement.members {
        let concerned = Concerned {
            me,
            committee: [to_gossip_bridge.sink(), to_aggregator.sink(), to_db_writer.sink()],
            endpoints: to_gossip_bridge.sink(),
            names,
        };
        members::follow(&path, list, config.agreement.rule, concerned);
    }

    Ok(Node {
        supervisor,
        address: me,
        network,
        ask_status: to_aggregator.sink(),
        update_keyring: to_gossip_bridge.sink(),
        registry,
        clock,
        counts,
        names: told_names,
    })
}

/// Well below the window, so that an aborted write can be tried again in it.
fn statement_timeout(write_interval: Duration) -> Duration {
    (write_interval / 3).clamp(Duration::from_secs(1), Duration::from_secs(5))
}
