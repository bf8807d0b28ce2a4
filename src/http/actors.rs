//! `/api/v1/actors`: the actors as the supervisor sees them, and faults on request.

use actix_web::{HttpResponse, get, post, web};
use quorate_actors::supervisor::{Fault, InjectError};
use serde_json::json;

use super::Views;

#[get("/api/v1/actors")]
pub(super) async fn actors(views: web::Data<Views>) -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({ "live": views.supervisor.is_live(), "actors": views.supervisor.statuses() }))
}

/// Makes an actor panic, stop, hang or block, if the node was started with `--fault-injection`.
#[post("/api/v1/actors/{name}/fault/{fault}")]
pub(super) async fn inject(views: web::Data<Views>, path: web::Path<(String, String)>) -> HttpResponse {
    let (name, fault) = path.into_inner();
    let fault: Fault = match fault.parse() {
        Ok(fault) => fault,
        Err(error) => return HttpResponse::BadRequest().json(json!({ "error": format!("{error}") })),
    };
    match views.supervisor.inject(&name, fault) {
        Ok(()) => HttpResponse::Accepted().json(json!({ "actor": name, "fault": format!("{fault:?}") })),
        Err(error) => {
            let remedy = match error {
                InjectError::Disabled => ": start the node with --fault-injection",
                InjectError::UnknownActor { .. } | InjectError::NotRunning { .. } => "",
            };
            let body = json!({ "error": format!("{error}{remedy}") });
            match error {
                InjectError::Disabled => HttpResponse::Forbidden().json(body),
                InjectError::UnknownActor { .. } => HttpResponse::NotFound().json(body),
                InjectError::NotRunning { .. } => HttpResponse::Conflict().json(body),
            }
        }
    }
}
