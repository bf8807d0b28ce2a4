//! `quorate check`: what a node with this configuration would meet, measured at once and graded.
//!
//! `dial` and `machine` measure, like `quorate_actors::price_fetcher::probe` and `quorate_store::inspect`; `grade` makes verdicts of it,
//! `report` text of them. Here they are run side by side, each within a deadline, so that the whole ends within 15 s.

mod dial;
mod grade;
mod machine;
mod report;

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
    process::{self, ExitCode},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use quorate_actors::{
    Clock,
    gossip_bridge::identity,
    price_fetcher::{Probed, WaysOut, probe, spread},
};
use quorate_prices::{Agreement, FetchRules};
use quorate_protocol::Members;
use quorate_store::{Inspection, Unreached, inspect, newest_migration};
use tokio::time::timeout;

pub(crate) use self::grade::Grade;
use self::{
    dial::Dialler,
    grade::{
        Check, Verdict, clocks,
        database::{self, Wanted},
        files::{self, SecretFile},
        network::{self, Dialled, DialledAs, Neighbourhood, Port},
        prices::{self, Limits},
    },
};
use crate::{
    config::{
        check::{CheckConfig, CheckOutput},
        node::NodeParts,
    },
    keys, output,
};

/// For logging in to the database, and for each question to it.
const DATABASE: Duration = Duration::from_secs(4);
/// For each of the groups of measurements, which run side by side: some of their steps know no end by themselves.
const GROUP: Duration = Duration::from_secs(12);

/// Measures, grades and prints. Ends the process: a look-up that the system's resolver has not answered would keep it waiting.
pub(crate) async fn run(config: CheckConfig) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let clock = Clock::system();
    let began = clock.now();
    let verdicts = verdicts(&config, clock).await;
    let took = clock.now().since(began);
    let text = match config.output {
        CheckOutput::Table => report::table(&verdicts, took, wants_colours()),
        CheckOutput::Json => report::json(&verdicts, took),
    };
    output::print(&text)?;
    log::logger().flush();
    process::exit(i32::from(report::worst(&verdicts) >= config.fail_on));
}

fn wants_colours() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// All of them, in the order of [`Check`].
async fn verdicts(config: &CheckConfig, clock: Clock) -> Vec<Verdict> {
    let node = &config.node;
    let (probed, seen, around) = futures::join!(
        ask_sources(node, clock),
        look_at_database(node, clock),
        Box::pin(look_around(node)),
    );
    let mut verdicts = from_files(config);
    verdicts.extend(of_sources(node, &probed));
    verdicts.extend(of_database(config, seen.as_ref()));
    verdicts.extend(of_network(config, around));
    verdicts.extend(machine::checks());
    // Stable: within a check in the order of the options.
    verdicts.sort_by_key(|verdict| verdict.check);
    verdicts
}

fn from_files(config: &CheckConfig) -> Vec<Verdict> {
    let (node, problems) = (&config.node, &config.problems);
    let exposed = |(setting, path): &(&'static str, PathBuf)| -> SecretFile {
        let exposure = keys::exposure(path).map_err(|error| error.to_string());
        (*setting, path.clone(), exposure)
    };
    let secret_files: Vec<SecretFile> = config.secret_files.iter().map(exposed).collect();
    let mut verdicts = files::settings(problems, &config.warnings);
    if let Some(key) = &node.key {
        let own = secret_files.iter().find(|(setting, ..)| *setting == "key-file");
        verdicts.push(files::key(key, own.map(|(_, _, exposure)| exposure)));
    }
    verdicts.extend(files::secrets(&secret_files, problems));
    if verdicts.iter().all(|verdict| verdict.check != Check::Members) {
        verdicts.push(files::members(
            &node.agreement,
            node.gossip.secret.is_some(),
            node.key.as_ref(),
        ));
    }
    verdicts
}

/// A list is named, and nobody is known to be on it.
fn lacks_members(config: &CheckConfig) -> bool {
    let is_wrong = config.problems.iter().any(|(setting, _)| setting == "members");
    is_wrong && config.node.agreement.members.is_none()
}

async fn ask_sources(node: &NodeParts, clock: Clock) -> Vec<Probed> {
    let pricing = &node.pricing;
    let rules = FetchRules {
        sources: pricing.sources.clone(),
        agreement: agreement(node),
        interval: pricing.fetch_interval,
        source_timeout: FetchRules::SOURCE_TIMEOUT,
        patience: FetchRules::PATIENCE,
        max_quote_age: FetchRules::MAX_QUOTE_AGE,
    };
    let ways_out = WaysOut::new(|name| env::var(name).ok());
    let asking = probe(
        &rules,
        &pricing.feeds,
        &ways_out,
        pricing.coingecko_key_file.clone(),
        clock,
    );
    let limit = GROUP + spread(pricing.feeds.len());
    timeout(limit, asking).await.unwrap_or_default()
}

fn agreement(node: &NodeParts) -> Agreement {
    Agreement {
        min_sources: node.pricing.min_sources(),
        max_spread_bps: node.pricing.max_source_spread_bps,
    }
}

fn of_sources(node: &NodeParts, probed: &[Probed]) -> Vec<Verdict> {
    let limits = Limits {
        agreement: agreement(node),
        max_deviation_bps: node.agreement.max_deviation_bps,
    };
    let mut verdicts = prices::prices(&node.pricing.feeds, probed, limits);
    let answers = probed.iter().filter(|one| one.sent_at.is_some()).count();
    let whom = format!("{answers} answers");
    verdicts.push(clocks::clock(
        Check::ClockSources,
        &whom,
        prices::ahead_of_sources(probed),
    ));
    verdicts
}

/// `None`: nobody says where it is.
async fn look_at_database(node: &NodeParts, clock: Clock) -> Option<Result<Inspection, Unreached>> {
    let url = node.database_url.as_ref()?;
    let looking = inspect(url, DATABASE, move || clock.unix_now());
    let silent = |_| Err(Unreached::Away(format!("no answer within {GROUP:?}")));
    Some(timeout(GROUP, Box::pin(looking)).await.unwrap_or_else(silent))
}

fn of_database(config: &CheckConfig, seen: Option<&Result<Inspection, Unreached>>) -> Vec<Verdict> {
    let node = &config.node;
    let (Some(url), Some(seen)) = (&node.database_url, seen) else {
        return vec![Verdict::not_checked(
            Check::Database,
            "",
            "its URL or password cannot be read",
        )];
    };
    let kept = node.key.as_ref().filter(|key| !key.is_new);
    let wanted = Wanted {
        write_interval: node.agreement.write_interval,
        network: node.gossip.network.clone(),
        committee: node.agreement.committee(),
        lacks_members: lacks_members(config),
        me: kept.map(|key| key.key.address()),
        migration: newest_migration(),
    };
    let mut verdicts = database::database(&url.to_string(), seen, &wanted);
    let ahead = seen.as_ref().ok().map(database::ahead_of_database);
    verdicts.push(clocks::clock(Check::ClockDatabase, "", ahead));
    verdicts
}

/// What was seen of the network.
struct Around {
    ports: Vec<(Multiaddr, Port)>,
    api: Port,
    dialled: Vec<Dialled>,
    dialled_as: DialledAs,
    me: Option<PeerId>,
}

async fn look_around(node: &NodeParts) -> Option<Around> {
    timeout(GROUP, look_around_unbounded(node)).await.ok()
}

async fn look_around_unbounded(node: &NodeParts) -> Around {
    let gossip = &node.gossip;
    let me = node.key.as_ref().map(|key| keys::peer_id(&key.key));
    let stranger = Dialler {
        key: Keypair::generate_secp256k1(),
        network: gossip.network.clone(),
    };
    let ports = gossip.listen.iter().map(|address| async {
        let port = dial::listening(&stranger, address, me).await;
        (address.clone(), port)
    });
    let ports: Vec<(Multiaddr, Port)> = futures::future::join_all(ports).await;
    let is_running = ports.iter().any(|(_, port)| *port == Port::Ours);
    let api = match node.api.listen.map(dial::try_port) {
        None => Port::Off,
        Some(Port::Taken(_)) if is_running => Port::Ours,
        Some(port) => port,
    };

    // Only who is let in learns whether it is. Two with one key would be taken for a node that was copied.
    let committee = node.agreement.committee();
    let is_closed = matches!(committee.members, Members::Closed(_));
    let own = (node.key.as_ref())
        .filter(|key| is_closed && !is_running && !key.is_new && committee.members.admit(&key.key.address()))
        .and_then(|key| identity::keypair(&key.key).ok());
    let (dialler, dialled_as) = match own {
        Some(key) => (Dialler { key, ..stranger }, DialledAs::Ourselves),
        None => (stranger, DialledAs::Stranger),
    };
    let mut addresses = gossip.peers.clone();
    if let (Some((_, list)), Some(key)) = (&node.agreement.members, &node.key) {
        let endpoints = list.endpoints(key.key.address());
        addresses.extend(
            endpoints
                .into_iter()
                .filter(|endpoint| !gossip.peers.contains(endpoint)),
        );
    }
    let dialled = dialler.dial_all(&addresses, &gossip.dns_peers).await;
    Around {
        ports,
        api,
        dialled,
        dialled_as,
        me,
    }
}

fn of_network(config: &CheckConfig, around: Option<Around>) -> Vec<Verdict> {
    let node = &config.node;
    let reachable = Verdict::not_checked(Check::Reachable, "", "nobody dials back to tell")
        .advise(Check::Reachable.rule().remedy);
    let Some(around) = around else {
        let silent = format!("no answer within {GROUP:?}");
        return vec![Verdict::not_checked(Check::Peers, "", silent), reachable];
    };
    let we = Neighbourhood {
        me: around.me,
        network: node.gossip.network.clone(),
        committee: node.agreement.committee(),
        lacks_members: lacks_members(config),
        names: node
            .agreement
            .members
            .as_ref()
            .map(|(_, list)| list.names())
            .unwrap_or_default(),
        dialled_as: around.dialled_as,
        has_mdns: node.gossip.mdns,
    };
    let mut verdicts = network::peers(&around.dialled, &we);
    let listens = around.ports.iter();
    verdicts.extend(listens.map(|(address, port)| network::port(Check::Listen, &address.to_string(), port)));
    let api = node
        .api
        .listen
        .map_or(String::new(), |address| address.to_string());
    verdicts.push(network::port(Check::Api, &api, &around.api));
    verdicts.push(reachable);
    verdicts
}
