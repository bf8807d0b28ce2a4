//! The node's HTTP API: for people with curl, programs that use the prices, probes and metrics. It shows, and decides nothing. A file is
//! a resource: its parameters, its answer and its handler; [`ROUTES`] has them all.

mod ask;
mod candles;
mod feeds;
mod limit;
mod live;
mod metrics;
mod nodes;
mod openapi;
mod places;
mod probes;
mod problem;
mod query;
mod reader;
mod records;
mod reply;
pub(crate) mod rounds;
pub(crate) mod scorecard;
mod server;
pub(crate) mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr};

use actix_web::{
    App, Error, FromRequest, Handler, HttpResponse, Resource, Responder, ResponseError,
    body::MessageBody,
    dev::{Server, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::{Compress, Next, from_fn},
    web,
};
use prometheus::Registry;
use quorate_actors::{
    Clock, aggregator::AggregatorMessage, gossip_bridge::BridgeMetrics, price_fetcher::SourceBoard,
};
use quorate_protocol::{Address, Network};
use quorate_supervisor::{Mailbox, Supervisor};
use tokio::sync::watch;

pub(crate) use self::{
    ask::Bridge,
    limit::{Limiter, limited},
    live::{Live, Recent},
    places::Places,
    reader::{Reader, Rules},
};
use crate::{config::members::Names, dashboard};

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
    /// Tells who is connected.
    pub(crate) gossip_bridge: Bridge,
    /// How long things take.
    pub(crate) registry: Registry,
    /// The process's clock.
    pub(crate) clock: Clock,
    /// What came from the network.
    pub(crate) bridge: BridgeMetrics,
    /// What members are called.
    pub(crate) names: watch::Receiver<Names>,
    /// What sources said last.
    pub(crate) sources: SourceBoard,
    /// Whether what nodes say to each other is sealed.
    pub(crate) is_sealed: bool,
    /// What its settings allow and an operator should know for as long as they do.
    pub(crate) standing_warnings: Vec<String>,
}

/// Serves until the server is stopped.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn serve(
    listen: SocketAddr,
    views: Views,
    reader: Reader,
    limiter: Limiter,
) -> io::Result<Server> {
    let readiness = status::keep_looking(views.clone());
    let places = web::Data::new(Places::new(limiter.is_on()));
    let (reader, limiter) = (web::Data::new(reader), web::Data::new(limiter));
    server::serve(listen, move || {
        App::new()
            .app_data(web::Data::new(views.clone()))
            .app_data(readiness.clone())
            .app_data(reader.clone())
            .app_data(limiter.clone())
            .app_data(places.clone())
            .wrap(Compress::default())
            .configure(routes)
            .configure(dashboard::routes)
    })
}

/// One path.
struct Route {
    path: &'static str,
    resource: fn(&str) -> Resource,
    access: Access,
}

/// Who may ask, and how often.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Records, which are everybody's: pages of other origins may show them. As often as the limit allows.
    Public,
    /// The node itself. As often as the limit allows.
    Limited,
    /// Probes, which must be answered when everybody else is told to wait.
    Probe,
}

/// Every path that is served.
const ROUTES: &[Route] = &[
    route("/api/v1/feeds", |path| shown(path, feeds::feeds), Access::Public),
    route(
        "/api/v1/records",
        |path| shown(path, records::list),
        Access::Public,
    ),
    route(
        "/api/v1/records/latest",
        |path| shown(path, records::latest),
        Access::Public,
    ),
    route(
        "/api/v1/records/at",
        |path| shown(path, records::at),
        Access::Public,
    ),
    route(
        "/api/v1/records/{id}",
        |path| shown(path, records::one_of),
        Access::Public,
    ),
    route(
        "/api/v1/candles",
        |path| shown(path, candles::candles),
        Access::Public,
    ),
    route("/api/v1/twap", |path| shown(path, candles::twap), Access::Public),
    route(
        "/api/v1/stream",
        |path| web::resource(path).get(stream::stream),
        Access::Public,
    ),
    route(
        "/openapi.json",
        |path| shown(path, openapi::openapi),
        Access::Public,
    ),
    route(
        "/api/v1/members",
        |path| shown(path, nodes::members),
        Access::Limited,
    ),
    route(
        "/api/v1/rounds",
        |path| shown(path, rounds::rounds),
        Access::Limited,
    ),
    route(
        "/api/v1/scorecard",
        |path| shown(path, scorecard::scorecard),
        Access::Limited,
    ),
    route("/api/v1/peers", |path| shown(path, nodes::peers), Access::Limited),
    route(
        "/api/v1/actors",
        |path| shown(path, nodes::actors),
        Access::Limited,
    ),
    route(
        "/api/v1/status",
        |path| shown(path, status::status),
        Access::Limited,
    ),
    route(
        "/api/v1/actors/{name}/fault/{fault}",
        |path| web::resource(path).post(probes::inject),
        Access::Limited,
    ),
    route("/healthz", |path| shown(path, probes::healthz), Access::Probe),
    route("/readyz", |path| shown(path, status::readyz), Access::Probe),
    route("/metrics", |path| shown(path, metrics::metrics), Access::Probe),
];

const fn route(path: &'static str, resource: fn(&str) -> Resource, access: Access) -> Route {
    Route {
        path,
        resource,
        access,
    }
}

fn routes(app: &mut web::ServiceConfig) {
    for Route {
        path,
        resource,
        access,
    } in ROUTES
    {
        let resource = resource(path);
        match access {
            Access::Public => {
                let preflight = web::route().method(Method::OPTIONS).to(preflight);
                app.service(
                    resource
                        .route(preflight)
                        .wrap(from_fn(limited))
                        .wrap(from_fn(for_all_origins)),
                )
            }
            Access::Limited => app.service(resource.wrap(from_fn(limited))),
            Access::Probe => app.service(resource),
        };
    }
    app.default_service(web::to(unknown));
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

async fn unknown() -> HttpResponse {
    problem::Problem::not_found("there is nothing here", "see /openapi.json").error_response()
}

/// What a browser asks before a page of another origin may send more than the usual headers.
async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, If-None-Match, Last-Event-ID",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

/// Lets pages of every origin read an answer: there is nothing in it that is not everybody's, and no cookie that says who asks.
async fn for_all_origins<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    const EXPOSED: &str = "ETag, Link, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset";
    let mut response = next.call(request).await?;
    let headers: [(HeaderName, &'static str); 2] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
