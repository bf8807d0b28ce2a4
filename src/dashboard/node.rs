//! This node: its sources, whether it is ready, its actors, and what it has counted.

use std::time::Duration;

use quorate_actors::price_fetcher::SourceStatus;
use quorate_protocol::{Price, readiness::Condition};
use quorate_supervisor::{ActorStatus, Phase};

use super::{
    figures::{Moment, ago, bps, centi_bps, duration, grouped, price, short_time},
    page::Facts,
};

/// Where a source stands on its axis: the middle, and the furthest that a dot goes from it, for this many hundredths of a basis point.
const AXIS: (i64, i64, i64) = (60, 52, 1000);

pub(super) struct ShownSource {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) state: String,
    pub(super) price: String,
    pub(super) price_class: &'static str,
    pub(super) deviation: Option<Deviation>,
    pub(super) took: String,
    pub(super) error: Option<ShownError>,
}

pub(super) struct Deviation {
    pub(super) x: i64,
    pub(super) text: String,
}

pub(super) struct ShownError {
    pub(super) words: String,
    pub(super) at: Moment,
    pub(super) count: String,
}

pub(super) struct ShownCondition {
    pub(super) title: &'static str,
    pub(super) words: String,
    pub(super) class: &'static str,
}

pub(super) struct ShownActor {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) state: String,
    pub(super) figures: String,
    pub(super) failure: Option<String>,
}

pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) value: String,
}

impl Facts<'_> {
    pub(super) fn source(&self, source: &SourceStatus) -> ShownSource {
        let (instant, now) = self.now;
        let rest_of = |source: &SourceStatus| source.rests_until.filter(|until| instant < *until);
        let asked = self.sources.iter().filter(|source| rest_of(source).is_none());
        let middle = median(asked.filter_map(|source| source.price).collect());
        let rests = rest_of(source);
        let (class, state) = match (rests, source.answered_at) {
            (Some(until), _) => ("warn", format!("rests for {}", duration(until.since(instant)))),
            (None, Some(at)) => ("good", format!("answered {}", ago(now.since(at)))),
            (None, None) => ("off", "not asked yet".to_owned()),
        };
        ShownSource {
            name: source.source.to_string(),
            class,
            state,
            price: source.price.map_or_else(|| "—".to_owned(), price),
            // What it said before it was sent to rest.
            price_class: if rests.is_some() { "quiet" } else { "strong" },
            deviation: source.price.zip(middle).map(|(price, middle)| {
                let centi = centi_bps(price, middle);
                let (centre, reach, full) = AXIS;
                Deviation {
                    x: centre + centi.clamp(-full, full) * reach / full,
                    text: bps(centi),
                }
            }),
            took: source.took.map_or_else(|| "—".to_owned(), short_time),
            error: source.last_error.as_ref().map(|error| ShownError {
                words: error.reason.clone(),
                at: Moment::of(error.at, now),
                count: match source.errors {
                    1 => "the only one".to_owned(),
                    many => format!("{many} so far"),
                },
            }),
        }
    }

    pub(super) fn condition(&self, condition: &Condition) -> ShownCondition {
        let (_, now) = self.now;
        let (title, detail) = match condition.name {
            "listening" => ("Listens for peers", None),
            "database" => ("Database answers", None),
            "price" => {
                let age = self.status.and_then(|status| status.own_price_age_ms);
                let words = age.map(|age| format!("own price {}", ago(Duration::from_millis(age))));
                ("Has a price", words)
            }
            "peers" => {
                let words = format!("{} connected, {} in the mesh", self.peers, self.mesh_peers);
                ("Has its peers", Some(words))
            }
            other => (other, None),
        };
        let held = || format!("for {}", duration(now.since(condition.since)));
        ShownCondition {
            title,
            words: match (&condition.reason, detail) {
                (Some(reason), _) if !condition.ok => reason.clone(),
                (_, Some(detail)) => detail,
                (_, None) => held(),
            },
            class: if condition.ok { "good" } else { "bad" },
        }
    }

    pub(super) fn tally(&self) -> Vec<Figure> {
        let Some(status) = self.status else { return vec![] };
        let tally = &status.tally;
        let writes = |outcome| tally.writes.get(outcome).copied().unwrap_or_default();
        [
            ("Prices observed", tally.observations),
            ("Co-signed", tally.cosigned),
            ("Refused", tally.refused),
            ("Abstained", tally.abstained),
            ("Records seen", tally.records),
            ("Written here", writes("written")),
            (
                "Written elsewhere first",
                writes("duplicate") + writes("too_soon"),
            ),
        ]
        .map(|(title, value)| Figure {
            title,
            value: grouped(&value.to_string()),
        })
        .into()
    }
}

fn median(mut prices: Vec<Price>) -> Option<Price> {
    prices.sort_unstable();
    prices.get(prices.len() / 2).copied()
}

pub(super) fn actor(actor: &ActorStatus) -> ShownActor {
    let (class, state) = match actor.phase {
        _ if actor.blocked => ("bad", "blocked".to_owned()),
        Phase::Running => ("good", "running".to_owned()),
        Phase::BackingOff {
            attempt,
            remaining_ms,
        } => (
            "warn",
            format!(
                "restart {attempt} in {}",
                short_time(Duration::from_millis(remaining_ms))
            ),
        ),
        Phase::GaveUp => ("bad", "gave up".to_owned()),
        phase => ("off", phase.label().replace('_', " ")),
    };
    let plural = |count: u64, one: &str| match count {
        1 => format!("1 {one}"),
        many => format!("{} {one}s", grouped(&many.to_string())),
    };
    let mut figures = format!(
        "{}, {}",
        plural(actor.restarts, "restart"),
        plural(actor.messages, "message")
    );
    if actor.waiting > 0 {
        figures += &format!(", {} waiting", actor.waiting);
    }
    if actor.dropped > 0 {
        figures += &format!(", {} dropped", actor.dropped);
    }
    ShownActor {
        name: actor.name,
        class,
        state,
        figures,
        failure: actor.last_failure.as_ref().map(|failure| {
            let age = ago(Duration::from_millis(failure.age_ms));
            format!("{}: {} ({age})", failure.kind.replace('_', " "), failure.cause)
        }),
    }
}
