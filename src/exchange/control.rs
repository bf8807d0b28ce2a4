//! The control API: faults while it runs. For this machine only, whatever address the exchange listens on.

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    web::{self, Data, Path, ServiceConfig},
};

use super::{board::Board, fault};

pub(super) fn routes(app: &mut ServiceConfig) {
    app.route("/control", web::get().to(list))
        .route("/control/faults/{source}", web::put().to(set))
        .route("/control/faults/{source}", web::delete().to(clear));
}

fn is_from_here(request: &HttpRequest) -> bool {
    request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn not_from_here() -> HttpResponse {
    HttpResponse::Forbidden().body("faults are only controlled from the machine on which the exchange runs\n")
}

async fn list(request: HttpRequest, board: Data<Board>) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    HttpResponse::Ok().json(serde_json::json!({ "faults": board.list() }))
}

async fn set(request: HttpRequest, source: Path<String>, text: String, board: Data<Board>) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    match (fault::sources(&source), text.parse()) {
        (Ok(sources), Ok(fault)) => {
            board.set(&sources, fault);
            log::info!("fault set: source={source} fault={fault}");
            HttpResponse::Ok().json(serde_json::json!({ "faults": board.list() }))
        }
        (Err(error), _) | (_, Err(error)) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}

async fn clear(request: HttpRequest, source: Path<String>, board: Data<Board>) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    match fault::sources(&source) {
        Ok(sources) => {
            board.clear(&sources);
            log::info!("fault cleared: source={source}");
            HttpResponse::Ok().json(serde_json::json!({ "faults": board.list() }))
        }
        Err(error) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}
