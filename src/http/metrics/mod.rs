//! `/metrics` in the text format of Prometheus. Labels come from fixed sets, from the configuration, and from signatures that
//! were verified, within bounds. What each metric means for an operator stands in docs/metrics.md.

mod page;

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use page::{Page, Sample, single};
use prometheus::{Error, TEXT_FORMAT};
use quorate_actors::{
    aggregator::FeedStatus,
    gossip_bridge::CountsSnapshot,
    supervisor::{ActorStatus, Phase},
};
use quorate_protocol::UnixMillis;

use super::{
    Views,
    readiness::Readiness,
    ready::{self, Shared, statuses},
};

#[get("/metrics")]
pub(super) async fn metrics(views: web::Data<Views>, shared: Shared) -> HttpResponse {
    let feeds = statuses(&views).await;
    let readiness = ready::look(&views, feeds.as_deref(), &shared);
    match render(&views, &readiness, &feeds.unwrap_or_default()) {
        Ok(text) => HttpResponse::Ok().content_type(TEXT_FORMAT).body(text),
        // A defect: two metrics of one name, or a name that is none.
        Err(error) => {
            log::error!("metrics cannot be shown: reason=\"{error}\"");
            HttpResponse::InternalServerError().finish()
        }
    }
}

fn render(views: &Views, readiness: &Readiness, feeds: &[FeedStatus]) -> Result<String, Error> {
    let page = Page::new(&views.registry);
    of_the_process(&page, views, readiness)?;
    of_messages(&page, &views.counts.snapshot())?;
    of_actors(&page, &views.supervisor.statuses())?;
    of_feeds(&page, feeds)?;
    page.text()
}

fn of_the_process(page: &Page, views: &Views, readiness: &Readiness) -> Result<(), Error> {
    let labels = [
        env!("CARGO_PKG_VERSION").to_owned(),
        views.network.as_str().to_owned(),
        views.address.to_string(),
    ];
    page.gauge(
        "build_info",
        "Always 1; the labels say what runs where",
        ["version", "network", "node"],
        [(labels, 1)],
    )?;
    page.gauge(
        "live",
        "Whether the process can still help itself, as /healthz tells",
        [],
        single(views.supervisor.is_live().into()),
    )?;
    page.gauge(
        "ready",
        "Whether the node can help to bring records about, as /readyz tells",
        [],
        single(readiness.is_ready().into()),
    )?;
    let conditions = readiness
        .0
        .iter()
        .map(|condition| ([condition.name.to_owned()], condition.ok.into()));
    page.gauge(
        "condition",
        "Whether a condition of readiness holds",
        ["condition"],
        conditions,
    )
}

fn of_messages(page: &Page, counts: &CountsSnapshot) -> Result<(), Error> {
    page.counter(
        "messages_total",
        "Gossip messages by what was found in them",
        ["finding"],
        labelled(&counts.findings),
    )?;
    page.counter(
        "verdicts_total",
        "Gossip messages by what gossipsub was told about them",
        ["verdict"],
        labelled(&counts.verdicts),
    )?;
    page.counter(
        "turned_away_total",
        "Connections refused at the gate, by the reason",
        ["reason"],
        labelled(&counts.turned_away),
    )?;
    let bytes = [("in", counts.wire_in), ("out", counts.wire_out)];
    page.counter(
        "network_bytes_total",
        "Bytes of all connections to peers, without what encryption, TCP and IP add",
        ["direction"],
        labelled(&bytes),
    )?;
    for (name, help, count) in [
        (
            "signatures_verified_total",
            "Signatures in messages that were recovered, true or not",
            counts.recovered,
        ),
        (
            "published_total",
            "Messages of this node that went out",
            counts.published,
        ),
        (
            "published_bytes_total",
            "Bytes of these messages, once each",
            counts.published_bytes,
        ),
        (
            "publish_failures_total",
            "Messages that went to nobody",
            counts.publish_failures,
        ),
        (
            "received_bytes_total",
            "Bytes of the messages that were judged",
            counts.received_bytes,
        ),
        (
            "message_copies_total",
            "Copies of messages that came in, known ones included",
            counts.copies,
        ),
        (
            "bans_total",
            "Peers banned for breaking the protocol",
            counts.bans,
        ),
    ] {
        page.counter(name, help, [], single(count))?;
    }
    for (name, help, number) in [
        ("peers", "Peers that are connected and listen", counts.peers),
        (
            "mesh_peers",
            "Those of them that messages go to directly",
            counts.mesh,
        ),
        (
            "listening_addresses",
            "Addresses that the node listens on for peers",
            counts.listening,
        ),
    ] {
        page.gauge(name, help, [], single(number))?;
    }
    Ok(())
}

fn labelled(samples: &[(&'static str, u64)]) -> impl Iterator<Item = Sample<u64, 1>> {
    samples
        .iter()
        .map(|(label, count)| ([(*label).to_owned()], *count))
}

fn of_actors(page: &Page, actors: &[ActorStatus]) -> Result<(), Error> {
    let states = actors.iter().flat_map(|actor| {
        let is = actor.phase.label();
        let sample = move |label: &str| ([actor.name.to_owned(), label.to_owned()], (label == is).into());
        Phase::LABELS.map(sample)
    });
    page.gauge(
        "actor_state",
        "1 for the state that an actor is in, 0 for the others",
        ["actor", "state"],
        states,
    )?;
    let of = |value: fn(&ActorStatus) -> u64| {
        actors
            .iter()
            .map(move |actor| ([actor.name.to_owned()], value(actor)))
    };
    page.gauge(
        "actor_blocked",
        "Whether an actor's thread stands still",
        ["actor"],
        of(|actor| actor.blocked.into()),
    )?;
    page.counter(
        "actor_restarts_total",
        "Restarts by the supervisor",
        ["actor"],
        of(|actor| actor.restarts),
    )?;
    page.counter(
        "actor_messages_total",
        "Messages that were delivered to actors",
        ["actor"],
        of(|actor| actor.messages),
    )?;
    page.gauge(
        "mailbox_messages",
        "Messages that wait in an actor's mailbox",
        ["actor"],
        of(|actor| actor.waiting),
    )?;
    page.counter(
        "mailbox_dropped_total",
        "Messages that did not fit into an actor's mailbox",
        ["actor"],
        of(|actor| actor.dropped),
    )
}

fn of_feeds(page: &Page, feeds: &[FeedStatus]) -> Result<(), Error> {
    let of = |value: fn(&FeedStatus) -> u64| {
        feeds
            .iter()
            .map(move |feed| ([feed.feed.to_string()], value(feed)))
    };
    page.counter(
        "observations_total",
        "Prices that this node had of its own",
        ["feed"],
        of(|feed| feed.observations),
    )?;
    page.counter(
        "records_total",
        "Records seen written, by whomever",
        ["feed"],
        of(|feed| feed.records),
    )?;
    let writes = feeds.iter().flat_map(|feed| {
        let outcomes = feed.writes.iter();
        outcomes.map(|(outcome, count)| ([feed.feed.to_string(), (*outcome).to_owned()], *count))
    });
    page.counter(
        "writes_total",
        "What came of this node's own writes",
        ["feed", "outcome"],
        writes,
    )?;
    page.counter(
        "cosigned_total",
        "Reports of others vouched for",
        ["feed"],
        of(|feed| feed.cosigned),
    )?;
    page.counter(
        "refused_total",
        "Reports of others not vouched for",
        ["feed"],
        of(|feed| feed.refused),
    )?;
    let refusals = feeds.iter().flat_map(|feed| {
        let of_observer = feed.refusals.iter().flat_map(|(observer, reasons)| {
            reasons
                .iter()
                .map(move |(reason, count)| (observer, reason, count))
        });
        of_observer.map(|(observer, reason, count)| {
            let labels = [feed.feed.to_string(), observer.to_string(), (*reason).to_owned()];
            (labels, *count)
        })
    });
    page.counter(
        "refusals_total",
        "Reports not vouched for, by whose they are and why",
        ["feed", "observer", "reason"],
        refusals,
    )?;
    page.counter(
        "superseded_total",
        "Certificates replaced unwritten",
        ["feed"],
        of(|feed| feed.superseded),
    )?;
    page.gauge(
        "live_nodes",
        "Nodes known to be alive",
        ["feed"],
        of(|feed| feed.live as u64),
    )?;
    page.gauge(
        "required_signatures",
        "Signatures of a quorum",
        ["feed"],
        of(|feed| feed.required as u64),
    )?;
    page.gauge(
        "database_up",
        "Whether the database answers",
        ["feed"],
        of(|feed| u64::from(feed.knows_window && feed.database_lost_at.is_none())),
    )?;
    let last = feeds.iter().filter_map(|feed| {
        let at = Duration::from_millis(feed.last_record_at.map(UnixMillis::get)?);
        Some(([feed.feed.to_string()], at.as_secs_f64()))
    });
    page.seconds(
        "last_record_timestamp_seconds",
        "When a record was last seen written",
        ["feed"],
        last,
    )
}
