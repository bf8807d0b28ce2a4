//! What each actor is told at the start, out of the node's configuration.

use std::time::Duration;

use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::AggregatorMessage,
    db_writer::Terms,
    gossip_bridge::BridgeConfig,
    price_fetcher::{PriceFetcherSettings, SourceBoard, SourceMeasures, WaysOut},
};
use quorate_prices::{Agreement, FetchRules};
use quorate_protocol::{
    Instant,
    cosign::CosignPolicy,
    judge::JudgeConfig,
    rounds::{Settings, Timing},
};
use quorate_store::{History, Store, StoreConfig};
use quorate_supervisor::Mailbox;

use crate::{
    config::{members::MemberList, node::NodeConfig},
    http::Rules,
};

/// The way to the database, under a name by which its sessions are found in `pg_stat_activity`.
pub(super) fn store(config: &NodeConfig) -> Store {
    Store::new(StoreConfig {
        application_name: format!("quorate {}", config.key.key.address().short()),
        statement_timeout: statement_timeout(config.agreement.write_interval),
        ..StoreConfig::new(config.database_url.clone())
    })
}

/// The API's own way there, or to a replica, over so many connections: whoever asks it keeps no record from being written.
pub(super) fn history(config: &NodeConfig, pool_size: usize) -> History {
    let url = config.database_read_url.as_ref().unwrap_or(&config.database_url);
    History::new(StoreConfig {
        application_name: format!("quorate api {}", config.key.key.address().short()),
        pool_size,
        ..StoreConfig::new(url.clone())
    })
}

/// What the API tells of the feeds.
pub(super) fn rules(config: &NodeConfig) -> Rules {
    Rules {
        network: config.gossip.network.clone(),
        feeds: config.pricing.feeds.clone(),
        write_interval: config.agreement.write_interval,
        sources: config
            .pricing
            .sources
            .iter()
            .map(|source| source.kind().name())
            .collect(),
        min_sources: config.pricing.min_sources(),
    }
}

/// What the database's own settings must be.
pub(super) fn terms(config: &NodeConfig) -> Terms {
    Terms {
        write_interval: config.agreement.write_interval,
        min_signatures: config.agreement.rule.min_signatures,
    }
}

/// The network, and how to find and judge it.
pub(super) fn bridge(config: &NodeConfig, listed: Option<&MemberList>) -> BridgeConfig {
    let me = config.key.key.address();
    BridgeConfig {
        listen: config.gossip.listen.clone(),
        peers: config.gossip.peers.clone(),
        endpoints: listed.map(|list| list.endpoints(me)).unwrap_or_default(),
        dns_peers: config.gossip.dns_peers.clone(),
        mdns: config.gossip.mdns,
        judge: JudgeConfig::new(
            config.gossip.network.clone(),
            config.pricing.feeds.iter().cloned().collect(),
            me,
            config.agreement.committee(),
            config.agreement.write_interval,
        ),
        keyring: config.gossip.secret.as_ref().map(|secret| secret.keyring.clone()),
    }
}

/// The rules of each feed's rounds. A key that is older than this process may have signed right before it `began`.
pub(super) fn rounds(config: &NodeConfig, began: Instant) -> Vec<Settings> {
    let write_interval = config.agreement.write_interval;
    let of_feed = |feed: &quorate_protocol::Feed| Settings {
        feed: feed.clone(),
        me: config.key.key.address(),
        committee: config.agreement.committee(),
        write_interval,
        fetch_interval: config.pricing.fetch_interval,
        max_move_bps: config.agreement.max_move_bps,
        policy: CosignPolicy {
            max_deviation_bps: config.agreement.max_deviation_bps,
            max_age: Settings::max_age(write_interval),
            future_tolerance: JudgeConfig::FUTURE_TOLERANCE,
        },
        timing: Timing::for_interval(write_interval),
        quarantine: config.agreement.quarantine,
        predecessor_ended: (!config.key.is_new).then_some(began),
    };
    config.pricing.feeds.iter().map(of_feed).collect()
}

/// Whom to ask for prices, and when their answers agree.
pub(super) fn fetcher(
    config: &NodeConfig,
    clock: Clock,
    registry: &Registry,
    board: SourceBoard,
    aggregator: Mailbox<AggregatorMessage>,
) -> Result<PriceFetcherSettings, prometheus::Error> {
    let pricing = &config.pricing;
    Ok(PriceFetcherSettings {
        measures: SourceMeasures::new(registry, &pricing.sources)?,
        board,
        feeds: pricing.feeds.clone(),
        rules: FetchRules {
            sources: pricing.sources.clone(),
            agreement: Agreement {
                min_sources: pricing.min_sources(),
                max_spread_bps: pricing.max_source_spread_bps,
            },
            interval: pricing.fetch_interval,
            source_timeout: FetchRules::SOURCE_TIMEOUT,
            patience: FetchRules::PATIENCE,
            max_quote_age: FetchRules::MAX_QUOTE_AGE,
        },
        coingecko_key_file: pricing.coingecko_key_file.clone(),
        ways_out: WaysOut::new(|name| std::env::var(name).ok()),
        clock,
        aggregator,
    })
}

/// Well below the window, so that an aborted write can be tried again in it.
fn statement_timeout(write_interval: Duration) -> Duration {
    (write_interval / 3).clamp(Duration::from_secs(1), Duration::from_secs(5))
}
