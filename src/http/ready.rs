//! `/readyz`: whether this node can help to bring records about, and if not, why. `/api/v1/status`: the figures behind it.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use quorate_actors::aggregator::{AskStatus, FeedStatus};
use serde_json::{Value, json};

use super::Views;
use crate::config::members::Names;

/// The Aggregator answers within milliseconds, or it is being restarted.
const PATIENCE: Duration = Duration::from_secs(1);

#[get("/readyz")]
pub(super) async fn readyz(views: web::Data<Views>) -> HttpResponse {
    let statuses = statuses(&views).await;
    let reasons: Vec<String> = match &statuses {
        Some(statuses) => statuses.iter().flat_map(reasons).collect(),
        None => vec!["the Aggregator does not answer".to_owned()],
    };
    let warnings = warnings(&views, statuses.as_deref().unwrap_or_default());
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons, "warnings": warnings });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

#[get("/api/v1/status")]
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
fn warnings(views: &Views, feeds: &[FeedStatus]) -> Vec<String> {
    let mut warnings = vec![];
    if feeds.iter().any(|feed| feed.open) {
        warnings.push("open network: anybody who can connect counts".to_owned());
    }
    let is_no_member =
        |feed: &FeedStatus| !feed.open && !feed.nodes.iter().any(|node| node.address == views.address);
    if feeds.iter().any(is_no_member) {
        warnings.push("this node is no member any more".to_owned());
    }
    let counts = views.counts.snapshot();
    let heard = |label| {
        counts
            .findings
            .iter()
            .any(|(finding, count)| *finding == label && *count > 0)
    };
    for (label, warning) in WARNINGS {
        if heard(label) {
            warnings.push(warning.to_owned());
        }
    }
    warnings
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

pub(super) async fn statuses(views: &Views) -> Option<Vec<FeedStatus>> {
    views.aggregator.send(AskStatus).timeout(PATIENCE).await.ok()
}

/// What keeps a feed from records.
fn reasons(of: &FeedStatus) -> Vec<String> {
    let feed = &of.feed;
    let mut reasons = vec![];
    if of.database_lost_at.is_some() {
        reasons.push(format!("{feed}: the database does not answer"));
    }
    if of.last_observation.is_none() {
        reasons.push(format!("{feed}: no price yet"));
    }
    if of.live < of.required {
        reasons.push(format!(
            "{feed}: {} of {} nodes for a quorum",
            of.live, of.required
        ));
    }
    reasons
}
