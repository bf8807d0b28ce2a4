//! `/healthz` for orchestrators, and faults for tests.

use actix_web::{HttpResponse, web};
use quorate_supervisor::{Fault, InjectError};
use serde_json::json;

use super::Views;

/// Whether the process can still help itself.
#[utoipa::path(get, path = "/healthz", tag = "node", responses(
    (status = 200, description = "It can", body = String, content_type = "text/plain"),
    (status = 503, description = "A thread is blocked, or an actor was given up", body = String, content_type = "text/plain"),
))]
pub(super) async fn healthz(views: web::Data<Views>) -> HttpResponse {
    if views.supervisor.is_live() {
        HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body("alive\n")
    } else {
        HttpResponse::ServiceUnavailable()
            .content_type("text/plain; charset=utf-8")
            .body("a thread is blocked or an actor was given up: see /api/v1/actors\n")
    }
}

/// Makes an actor panic, stop, hang or block, if the node was started with `--fault-injection`.
#[utoipa::path(post, path = "/api/v1/actors/{name}/fault/{fault}", tag = "node", params(
    ("name" = String, Path, description = "The actor, like `Signer`"),
    ("fault" = String, Path, description = "`panic`, `stop`, `hang` or `block`"),
), responses(
    (status = 202, description = "It fails", body = Object),
    (status = 400, description = "There is no such fault", body = Object),
    (status = 403, description = "The node was started without `--fault-injection`", body = Object),
    (status = 404, description = "There is no such actor", body = Object),
    (status = 409, description = "The actor does not run", body = Object),
))]
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
