//! `/readyz`: whether this node can help to bring records about, and if not, why. `/api/v1/status`: the figures behind it.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use quorate_actors::aggregator::{AskStatus, FeedStatus};
use serde_json::json;

use super::Views;

/// The Aggregator answers within milliseconds, or it is being restarted.
const PATIENCE: Duration = Duration::from_secs(1);

#[get("/readyz")]
pub(super) async fn readyz(views: web::Data<Views>) -> HttpResponse {
    let reasons = match statuses(&views).await {
        Some(statuses) => statuses.iter().flat_map(reasons).collect(),
        None => vec!["the Aggregator does not answer".to_owned()],
    };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

#[get("/api/v1/status")]
pub(super) async fn status(views: web::Data<Views>) -> HttpResponse {
    match statuses(&views).await {
        Some(feeds) => HttpResponse::Ok().json(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "node": views.address,
            "network": views.network.as_str(),
            "feeds": feeds,
        })),
        None => HttpResponse::ServiceUnavailable().json(json!({ "error": "the Aggregator does not answer" })),
    }
}

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
