//! `/healthz`: whether the process can still help itself.

use actix_web::{HttpResponse, get, web};

use super::Views;

#[get("/healthz")]
pub(super) async fn healthz(views: web::Data<Views>) -> HttpResponse {
    if views.supervisor.is_live() {
        HttpResponse::Ok().body("alive\n")
    } else {
        HttpResponse::ServiceUnavailable()
            .body("a thread is blocked or an actor was given up: see /api/v1/actors\n")
    }
}
