//! The node's HTTP API: for probes, metrics and people with curl. It shows, and decides nothing.

mod metrics;
mod status;

use std::{io, net::SocketAddr};

use actix_web::{App, FromRequest, Handler, HttpResponse, HttpServer, Resource, Responder, dev::Server, web};
use prometheus::Registry;
use quorate_actors::{Clock, aggregator::AggregatorMessage, gossip_bridge::BridgeMetrics};
use quorate_protocol::{Address, Network};
use quorate_supervisor::{Fault, InjectError, Mailbox, Supervisor};
use serde_json::json;
use tokio::sync::watch;

use crate::config::members::Names;

/// What the handlers look at.
#[derive(Clone)]
pub(crate) struct Views {
    /// Who this node is.
    pub(crate) address: Address,
    /// Where it belongs.
    pub(crate) network: Network,
    /// The actors' states.
    pub(crate) supervisor: Supervisor,
    /// Tells the feeds' states.
    pub(crate) aggregator: Mailbox<AggregatorMessage>,
    /// How long things take.
    pub(crate) registry: Registry,
    /// The process's clock.
    pub(crate) clock: Clock,
    /// What came from the network.
    pub(crate) bridge: BridgeMetrics,
    /// What members are called.
    pub(crate) names: watch::Receiver<Names>,
    /// Whether what nodes say to each other is sealed.
    pub(crate) is_sealed: bool,
    /// What its settings allow and an operator should know for as long as they do.
    pub(crate) standing_warnings: Vec<String>,
}

/// Serves until the server is stopped. One worker is plenty, and it is a thread of its own.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn serve(listen: SocketAddr, views: Views) -> io::Result<Server> {
    let readiness = status::keep_looking(views.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(views.clone()))
            .app_data(readiness.clone())
            .configure(routes)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    Ok(server.run())
}

fn routes(app: &mut web::ServiceConfig) {
    app.service(shown("/healthz", healthz))
        .service(shown("/readyz", status::readyz))
        .service(shown("/metrics", metrics::metrics))
        .service(shown("/api/v1/status", status::status))
        .service(shown("/api/v1/actors", actors))
        .route("/api/v1/actors/{name}/fault/{fault}", web::post().to(inject));
}

/// What is read: by GET, and by HEAD, which is GET without a body (RFC 9110, 9.3.2) and what uptime monitors ask with.
fn shown<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Clone,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
}

/// Whether the process can still help itself.
async fn healthz(views: web::Data<Views>) -> HttpResponse {
    if views.supervisor.is_live() {
        HttpResponse::Ok().body("alive\n")
    } else {
        HttpResponse::ServiceUnavailable()
            .body("a thread is blocked or an actor was given up: see /api/v1/actors\n")
    }
}

/// The actors as the supervisor sees them.
async fn actors(views: web::Data<Views>) -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({ "live": views.supervisor.is_live(), "actors": views.supervisor.statuses() }))
}

/// Makes an actor panic, stop, hang or block, if the node was started with `--fault-injection`.
async fn inject(views: web::Data<Views>, path: web::Path<(String, String)>) -> HttpResponse {
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
