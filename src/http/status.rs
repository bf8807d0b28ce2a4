//! `/readyz`: whether this node can help to bring records about, and if not, why. `/api/v1/status`: the figures behind it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{HttpResponse, web};
use quorate_actors::aggregator::AggregatorMessage;
use quorate_protocol::{
    UnixMillis,
    readiness::{Condition, Readiness, problems},
    rounds::FeedStatus,
};
use serde_json::{Value, json};

use super::{Views, ask::ask};
use crate::{config::members::Names, names::Named, node::OPEN_AND_UNSEALED, show::rfc3339};

/// Between two looks when nobody asks: how exact the times are since which conditions are as they are. Each wakes three threads.
const LOOK: Duration = Duration::from_secs(10);

/// The readiness as it was last seen.
pub(crate) type Shared = web::Data<Mutex<Readiness>>;

/// Looks now and then, for as long as the process runs, so that it is known since when something has been wrong.
pub(super) fn keep_looking(views: Views) -> Shared {
    let shared = web::Data::new(Mutex::new(Readiness::at(views.clock.unix_now())));
    let looked_at = shared.clone();
    actix_rt::spawn(async move {
        loop {
            let feeds = statuses(&views).await;
            look(&views, feeds.as_deref(), &looked_at);
            actix_rt::time::sleep(LOOK).await;
        }
    });
    shared
}

/// Brings the readiness up to date.
pub(crate) fn look(views: &Views, feeds: Option<&[FeedStatus]>, shared: &Shared) -> Readiness {
    let problems = problems(views.bridge.listening_addresses.get(), feeds);
    let mut readiness: MutexGuard<'_, Readiness> = shared.lock().unwrap_or_else(PoisonError::into_inner);
    readiness.update(problems, views.clock.unix_now());
    readiness.clone()
}

/// Whether this node can help to bring records about, and if not, why.
#[utoipa::path(get, path = "/readyz", tag = "node", responses(
    (status = 200, description = "It can", body = Object),
    (status = 503, description = "It cannot; `conditions` and `reasons` say what is missing", body = Object),
))]
pub(super) async fn readyz(views: web::Data<Views>, shared: Shared) -> HttpResponse {
    let feeds = statuses(&views).await;
    let readiness = look(&views, feeds.as_deref(), &shared);
    let is_ready = readiness.is_ready();
    let names = Named::new(&views.names.borrow());
    let shown = |condition| shown(condition, &names);
    let reasons = readiness.reasons().into_iter();
    let body = json!({
        "ready": is_ready,
        "conditions": readiness.conditions().iter().map(shown).collect::<Vec<_>>(),
        "reasons": reasons.map(|reason| names.in_text(reason)).collect::<Vec<_>>(),
        "warnings": warnings(&views, feeds.as_deref().unwrap_or_default()),
    });
    if is_ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

fn shown(condition: &Condition, names: &Named) -> Value {
    json!({
        "name": condition.name,
        "ok": condition.ok,
        "since": rfc3339(condition.since),
        "reason": condition.reason.as_deref().map(|reason| names.in_text(reason)),
    })
}

/// The figures behind `/readyz`: each feed, its nodes, and what was counted.
#[utoipa::path(get, path = "/api/v1/status", tag = "node", responses(
    (status = 200, description = "How this node is", body = Object),
    (status = 503, description = "The Aggregator is being restarted", body = Object),
))]
pub(super) async fn status(views: web::Data<Views>) -> HttpResponse {
    let Some(feeds) = statuses(&views).await else {
        return HttpResponse::ServiceUnavailable().json(json!({ "error": "the Aggregator does not answer" }));
    };
    let warnings = warnings(&views, &feeds);
    let name = views.names.borrow().get(&views.address).cloned();
    let feeds: Vec<Value> = feeds
        .iter()
        .map(|feed| named(feed, &views.names.borrow()))
        .collect();
    HttpResponse::Ok().json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": views.address,
        "name": name,
        "network": views.network.as_str(),
        "warnings": warnings,
        "feeds": feeds,
    }))
}

/// The status of a feed, with the members' names in its nodes.
fn named(feed: &FeedStatus, names: &Names) -> Value {
    let mut shown = json!(feed);
    let nodes = shown
        .get_mut("nodes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    for (node, of) in nodes.zip(&feed.nodes) {
        if let Value::Object(node) = node {
            node.insert("name".to_owned(), json!(names.get(&of.address)));
        }
    }
    shown
}

/// What an operator should know, though the node works.
pub(crate) fn warnings(views: &Views, feeds: &[FeedStatus]) -> Vec<String> {
    let mut warnings = views.standing_warnings.clone();
    if feeds.iter().any(|feed| feed.open) {
        if views.is_sealed {
            warnings.push("open network: whoever has the network secret counts".to_owned());
        } else {
            warnings.push("open network: anybody who can connect counts".to_owned());
            warnings.push(format!("no network secret: {OPEN_AND_UNSEALED}"));
        }
    }
    let is_no_member =
        |feed: &FeedStatus| !feed.open && !feed.nodes.iter().any(|node| node.address == views.address);
    if feeds.iter().any(is_no_member) {
        warnings.push("this node is no member any more".to_owned());
    }
    // They are the same for all feeds.
    let faults = feeds.first().map(|feed| feed.clock_faults.as_slice());
    let names = Named::new(&views.names.borrow());
    let faults = faults.unwrap_or_default().iter().map(ToString::to_string);
    warnings.extend(faults.map(|fault| names.in_text(&fault).into_owned()));
    let now = views.clock.unix_now();
    warnings.extend(feeds.iter().filter_map(|feed| forked(feed, now)));
    for (label, warning) in WARNINGS {
        if views.bridge.messages.with_label_values(&[label]).get() > 0 {
            warnings.push(warning.to_owned());
        }
    }
    warnings
}

/// For how long a fork is a warning: until somebody who looks once a day has seen it.
const FORK_IS_NEWS: Duration = Duration::from_hours(24);

fn forked(feed: &FeedStatus, now: UnixMillis) -> Option<String> {
    let at = feed.tally.forked_at.filter(|at| now.since(*at) < FORK_IS_NEWS)?;
    Some(format!(
        "the history of {} was forked at {}: the database has lost a record for good (see table eth_prices_lost)",
        feed.feed,
        rfc3339(at)
    ))
}

/// Findings that are the operator's to put right, and what they mean.
const WARNINGS: [(&str, &str); 4] = [
    ("our_key", "another node uses this node's key"),
    (
        "unsealed",
        "messages that are not sealed were heard, though this node has a network secret",
    ),
    (
        "sealed",
        "sealed messages were heard, and this node has no network secret",
    ),
    (
        "unknown_key",
        "messages sealed with a network secret that this node does not have were heard",
    ),
];

pub(crate) async fn statuses(views: &Views) -> Option<Vec<FeedStatus>> {
    ask(&views.aggregator, AggregatorMessage::AskStatus).await
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_condition_is_shown_for_people() {
        let condition = Condition {
            name: "peers",
            ok: false,
            since: UnixMillis::new(1_700_000_000_000),
            reason: Some("alone".to_owned()),
        };
        assert_eq!(
            shown(&condition, &Named::none()),
            json!({"name": "peers", "ok": false, "since": "2023-11-14T22:13:20.000Z", "reason": "alone"})
        );
    }
}
