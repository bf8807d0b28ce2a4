//! The node's HTTP API: for probes, metrics and people with curl. It shows, and decides nothing.

mod actors;
mod health;
mod metrics;
mod readiness;
mod ready;

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, web};
use prometheus::Registry;
use quorate_actors::{
    Clock, Sink, aggregator::AggregatorMessage, gossip_bridge::Counts, supervisor::Supervisor,
};
use quorate_protocol::{Address, Network};
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
    pub(crate) aggregator: Sink<AggregatorMessage>,
    /// How long things take.
    pub(crate) registry: Registry,
    /// The process's clock.
    pub(crate) clock: Clock,
    /// What came from the network.
    pub(crate) counts: Arc<Counts>,
    /// What members are called.
    pub(crate) names: watch::Receiver<Names>,
}

/// Serves until the server is stopped. One worker is plenty, and it is a thread of its own.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn serve(listen: SocketAddr, views: Views) -> io::Result<Server> {
    let readiness = ready::keep_looking(views.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(views.clone()))
            .app_data(readiness.clone())
            .service(health::healthz)
            .service(ready::readyz)
            .service(ready::status)
            .service(metrics::metrics)
            .service(actors::actors)
            .service(actors::inject)
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    Ok(server.run())
}
