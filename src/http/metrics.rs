//! `/metrics` in the text format of Prometheus: what the registry keeps, and what follows from the state at this moment. Each
//! metric of the latter is declared here, once. Labels come from fixed sets, from the configuration, and from signatures that
//! were verified, within bounds. What each metric means for an operator stands in docs/metrics.md.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use prometheus::{
    CounterVec, Error, GaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
    proto::MetricFamily,
};
use quorate_actors::NAMESPACE;
use quorate_protocol::{
    Address, Feed, UnixMillis,
    readiness::{Condition, Readiness},
    rounds::FeedStatus,
    scorecard::{Counts, Heard, Miss},
};
use quorate_supervisor::{ActorStatus, Phase};

use super::{
    Reader, Views, scorecard,
    status::{self, Shared, statuses},
};
use crate::logging;

/// Nodes that have a sample of their own: more than the largest network has.
const MAX_NODES: usize = 256;

/// A metric with a value for each `T`.
struct Metric<T> {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> u64,
}

#[derive(Clone, Copy)]
enum Kind {
    /// It only grows; its name ends in `_total`.
    Counter,
    /// A number of this moment.
    Gauge,
}

const fn counter<T>(name: &'static str, help: &'static str, value: fn(&T) -> u64) -> Metric<T> {
    let kind = Kind::Counter;
    Metric {
        kind,
        name,
        help,
        value,
    }
}

const fn gauge<T>(name: &'static str, help: &'static str, value: fn(&T) -> u64) -> Metric<T> {
    let kind = Kind::Gauge;
    Metric {
        kind,
        name,
        help,
        value,
    }
}

const OF_CONDITIONS: [Metric<Condition>; 1] = [gauge(
    "condition",
    "Whether a condition of readiness holds",
    |condition| condition.ok.into(),
)];

const OF_ACTORS: [Metric<ActorStatus>; 5] = [
    gauge(
        "actor_blocked",
        "Whether an actor's thread stands still",
        |actor| actor.blocked.into(),
    ),
    counter("actor_restarts_total", "Restarts by the supervisor", |actor| {
        actor.restarts
    }),
    counter(
        "actor_messages_total",
        "Messages that were delivered to actors",
        |actor| actor.messages,
    ),
    gauge(
        "mailbox_messages",
        "Messages that wait in an actor's mailbox",
        |actor| actor.waiting,
    ),
    counter(
        "mailbox_dropped_total",
        "Messages that did not fit into an actor's mailbox",
        |actor| actor.dropped,
    ),
];

const OF_FEEDS: [Metric<FeedStatus>; 10] = [
    counter(
        "observations_total",
        "Prices that this node had of its own",
        |feed| feed.tally.observations,
    ),
    counter("records_total", "Records seen written, by whomever", |feed| {
        feed.tally.records
    }),
    counter("cosigned_total", "Reports of others vouched for", |feed| {
        feed.tally.cosigned
    }),
    counter("refused_total", "Reports of others refused", |feed| {
        feed.tally.refused
    }),
    counter(
        "abstained_total",
        "Reports of others that could not be judged for want of something",
        |feed| feed.tally.abstained,
    ),
    counter("superseded_total", "Certificates replaced unwritten", |feed| {
        feed.tally.superseded
    }),
    counter(
        "forks_total",
        "Records that stood in the database and are gone for good",
        |feed| feed.tally.forks,
    ),
    gauge("live_nodes", "Nodes known to be alive", |feed| feed.live as u64),
    gauge("required_signatures", "Signatures of a quorum", |feed| {
        feed.required as u64
    }),
    gauge("database_up", "Whether the database answers", |feed| {
        u64::from(feed.knows_window && feed.tally.database_lost_at.is_none())
    }),
];

/// A member of a feed, with what was counted of it.
type Card<'h> = (&'h Feed, &'h Address, &'h Counts);

/// Every metric, in the text format of Prometheus; docs/metrics.md says what each means.
#[utoipa::path(get, path = "/metrics", tag = "node", responses(
    (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
))]
pub(super) async fn metrics(
    views: web::Data<Views>,
    shared: Shared,
    reader: web::Data<Reader>,
) -> HttpResponse {
    let feeds = statuses(&views).await;
    let readiness = status::look(&views, feeds.as_deref(), &shared);
    let feeds = feeds.unwrap_or_default();
    let mut scorecards = vec![];
    for FeedStatus { feed, .. } in &feeds {
        if let Some(heard) = scorecard::heard(&views, feed, None).await {
            scorecards.push((feed, heard));
        }
    }
    let scorecards = scorecards.as_slice();
    match render(&views, &readiness, &feeds, scorecards, &reader) {
        Ok(text) => HttpResponse::Ok().content_type(TEXT_FORMAT).body(text),
        // A defect: two metrics of one name, or a name that is none.
        Err(error) => {
            log::error!("metrics cannot be shown: reason=\"{error}\"");
            HttpResponse::InternalServerError().finish()
        }
    }
}

fn render(
    views: &Views,
    readiness: &Readiness,
    feeds: &[FeedStatus],
    scorecards: &[(&Feed, Heard)],
    reader: &Reader,
) -> Result<String, Error> {
    let page = Page::new(&views.registry);
    of_the_process(&page, views, readiness)?;
    of_actors(&page, &views.supervisor.statuses())?;
    of_feeds(&page, feeds)?;
    of_members(&page, scorecards)?;
    of_records(&page, reader)?;
    page.text()
}

fn of_the_process(page: &Page, views: &Views, readiness: &Readiness) -> Result<(), Error> {
    let build = [
        env!("CARGO_PKG_VERSION").to_owned(),
        views.network.as_str().to_owned(),
        views.address.to_string(),
    ];
    page.gauges(
        "build_info",
        "Always 1; the labels say what runs where",
        ["version", "network", "node"],
        [(build, 1.0)],
    )?;
    let live = gauge(
        "live",
        "Whether the process can still help itself, as /healthz tells",
        |views: &Views| views.supervisor.is_live().into(),
    );
    page.each(&[live], [], [views], |_| [])?;
    let ready = gauge(
        "ready",
        "Whether the node can help to bring records about, as /readyz tells",
        |readiness: &Readiness| readiness.is_ready().into(),
    );
    page.each(&[ready], [], [readiness], |_| [])?;
    page.counters(
        "log_lines_dropped_total",
        "Lines of the log that were dropped, for nobody read it",
        [],
        [([], logging::dropped_lines() as f64)],
    )?;
    page.each(
        &OF_CONDITIONS,
        ["condition"],
        readiness.conditions(),
        |condition| [condition.name.to_owned()],
    )
}

fn of_actors(page: &Page, actors: &[ActorStatus]) -> Result<(), Error> {
    let states = actors.iter().flat_map(|actor| {
        let is = actor.phase.label();
        Phase::LABELS.map(|label| {
            let value = if label == is { 1.0 } else { 0.0 };
            ([actor.name.to_owned(), label.to_owned()], value)
        })
    });
    page.gauges(
        "actor_state",
        "1 for the state that an actor is in, 0 for the others",
        ["actor", "state"],
        states,
    )?;
    page.each(&OF_ACTORS, ["actor"], actors, |actor| [actor.name.to_owned()])
}

fn of_members<'h>(page: &Page, scorecards: &'h [(&'h Feed, Heard)]) -> Result<(), Error> {
    let metrics: [Metric<Card<'h>>; 2] = [
        counter(
            "member_windows_total",
            "Windows in which this node listened to a member",
            |(_, _, counts)| counts.windows,
        ),
        counter(
            "member_restarts_total",
            "Times that a member was seen to have started anew",
            |(_, _, counts)| counts.restarts,
        ),
    ];
    let cards = scorecards.iter().flat_map(|(feed, heard)| {
        let nodes = heard.nodes.iter().take(MAX_NODES);
        nodes.map(move |(node, counts)| (*feed, node, counts))
    });
    let cards: Vec<Card<'_>> = cards.collect();
    page.each(&metrics, ["feed", "node"], &cards, |(feed, node, _)| {
        [feed.to_string(), node.to_string()]
    })?;
    // All reasons from the first window on: a counter that begins at 1 has never risen.
    let misses = cards.iter().flat_map(|(feed, node, counts)| {
        Miss::ALL.map(|miss| {
            let labels = [feed.to_string(), node.to_string(), miss.label().to_owned()];
            (labels, counts.missed_for(miss) as f64)
        })
    });
    page.counters(
        "member_missed_total",
        "Windows in which a member had no part, by the reason",
        ["feed", "node", "reason"],
        misses,
    )
}

fn of_feeds(page: &Page, feeds: &[FeedStatus]) -> Result<(), Error> {
    page.each(&OF_FEEDS, ["feed"], feeds, |feed| [feed.feed.to_string()])?;
    let writes = feeds.iter().flat_map(|feed| {
        let outcomes = feed.tally.writes.iter();
        outcomes.map(|(outcome, count)| ([feed.feed.to_string(), (*outcome).to_owned()], *count as f64))
    });
    page.counters(
        "writes_total",
        "What came of this node's own writes",
        ["feed", "outcome"],
        writes,
    )?;
    let refusals = feeds.iter().flat_map(|feed| {
        feed.tally.refusals.iter().flat_map(move |(observer, reasons)| {
            reasons.iter().map(move |(reason, count)| {
                let labels = [feed.feed.to_string(), observer.to_string(), (*reason).to_owned()];
                (labels, *count as f64)
            })
        })
    });
    page.counters(
        "refusals_total",
        "Reports not vouched for, by whose they are and why",
        ["feed", "observer", "reason"],
        refusals,
    )?;
    // Of nodes, not of feeds: they are the same for all.
    let nodes = feeds
        .first()
        .map(|feed| feed.nodes.as_slice())
        .unwrap_or_default();
    let clocks = nodes.iter().filter_map(|node| {
        let offset_ms = node.clock_offset_ms?;
        let sign = if offset_ms < 0 { -1.0 } else { 1.0 };
        let ahead = Duration::from_millis(offset_ms.unsigned_abs())
            .as_secs_f64()
            .copysign(sign);
        Some(([node.address.to_string()], ahead))
    });
    page.gauges(
        "clock_offset_seconds",
        "How far a node's clock is ahead of this one's",
        ["node"],
        clocks.take(MAX_NODES),
    )?;
    let last = feeds.iter().filter_map(|feed| {
        let at = Duration::from_millis(feed.tally.last_record_at.map(UnixMillis::get)?);
        Some(([feed.feed.to_string()], at.as_secs_f64()))
    });
    page.gauges(
        "last_record_timestamp_seconds",
        "When a record was last seen written",
        ["feed"],
        last,
    )
}

/// As the API tells them, which has them from the database.
fn of_records(page: &Page, reader: &Reader) -> Result<(), Error> {
    let ages = reader.rules.feeds.iter().filter_map(|feed| {
        let newest = reader.live.newest(feed).record?;
        let age = reader.now().since(newest.record.observed_at);
        Some(([feed.to_string()], age.as_secs_f64()))
    });
    page.gauges(
        "record_age_seconds",
        "How long ago the price of the newest record was observed",
        ["feed"],
        ages,
    )
}

/// The values of a sample's labels, and its own.
type Sample<const N: usize> = ([String; N], f64);

/// Metric families in the making.
struct Page {
    kept: Vec<MetricFamily>,
    /// Of this moment. A registry, for it puts samples in order.
    made: Registry,
}

impl Page {
    /// Begins with what the registry keeps.
    fn new(registry: &Registry) -> Self {
        Self {
            kept: registry.gather(),
            made: Registry::new(),
        }
    }

    /// Each metric with a sample for each thing.
    fn each<'a, T: 'a, const N: usize>(
        &self,
        metrics: &[Metric<T>],
        names: [&str; N],
        things: impl IntoIterator<Item = &'a T> + Clone,
        labels: fn(&T) -> [String; N],
    ) -> Result<(), Error> {
        for metric in metrics {
            let samples = things
                .clone()
                .into_iter()
                .map(|thing| (labels(thing), (metric.value)(thing) as f64));
            match metric.kind {
                Kind::Counter => self.counters(metric.name, metric.help, names, samples),
                Kind::Gauge => self.gauges(metric.name, metric.help, names, samples),
            }?;
        }
        Ok(())
    }

    fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<N>>,
    ) -> Result<(), Error> {
        let family = CounterVec::new(options(name, help), &labels)?;
        self.add(family, samples, |counter, count| counter.inc_by(count))
    }

    fn gauges<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = Sample<N>>,
    ) -> Result<(), Error> {
        let family = GaugeVec::new(options(name, help), &labels)?;
        self.add(family, samples, |gauge, number| gauge.set(number))
    }

    fn add<B: MetricVecBuilder, const N: usize>(
        &self,
        family: MetricVec<B>,
        samples: impl IntoIterator<Item = Sample<N>>,
        set: fn(&B::M, f64),
    ) -> Result<(), Error>
    where
        MetricVec<B>: Collector + 'static,
    {
        for (values, value) in samples {
            set(&family.with_label_values(&values), value);
        }
        self.made.register(Box::new(family))
    }

    /// The text, in the order of names and labels. A family without samples is not in it.
    fn text(self) -> Result<String, Error> {
        let mut families = self.kept;
        families.extend(self.made.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_in_order_and_what_has_no_sample_is_left_out() {
        let page = Page::new(&Registry::new());
        let metrics = [
            gauge("up", "It is", |_: &(&str, u64)| 1),
            counter("things_total", "Things", |(_, count)| *count),
        ];
        page.each(&metrics, ["kind"], &[("b", 2), ("a", 1)], |(kind, _)| {
            [(*kind).to_owned()]
        })
        .unwrap();
        page.counters("nothing_total", "Nothing", ["kind"], []).unwrap();
        assert_eq!(
            page.text().unwrap(),
            "# HELP quorate_things_total Things\n# TYPE quorate_things_total counter\n\
             quorate_things_total{kind=\"a\"} 1\nquorate_things_total{kind=\"b\"} 2\n\
             # HELP quorate_up It is\n# TYPE quorate_up gauge\n\
             quorate_up{kind=\"a\"} 1\nquorate_up{kind=\"b\"} 1\n"
        );
    }
}
