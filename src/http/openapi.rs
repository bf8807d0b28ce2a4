//! `/openapi.json`: the API for machines, derived from the handlers and their types.

use actix_web::HttpResponse;
use utoipa::{IntoResponses, OpenApi};

use super::{candles, feeds, nodes, probes, problem::Problem, records, rounds, scorecard, status, stream};

/// What every question can be answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described, not made")]
pub(super) enum Problems {
    /// A parameter is unknown, given twice, or breaks its rule: the answer names it, its value and what to write
    #[response(status = 400, content_type = "application/problem+json")]
    Wrong(Problem),
    /// There is no such feed or record
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// This client asks too often; Retry-After says when to come again
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// The database is away, too many ask it, or an actor is being restarted; Retry-After says when to come again
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The whole API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "quorate",
        description = "Prices that a quorum of nodes agreed on, each with the signatures that prove it. docs/api.md is the walkthrough."
    ),
    paths(
        feeds::feeds,
        records::list,
        records::latest,
        records::at,
        records::one_of,
        candles::candles,
        candles::twap,
        stream::stream,
        nodes::members,
        nodes::peers,
        rounds::rounds,
        scorecard::scorecard,
        nodes::actors,
        status::status,
        probes::healthz,
        status::readyz,
        super::metrics::metrics,
        probes::inject,
        openapi,
    ),
    components(schemas(Problem, records::RecordBody, stream::EndBody)),
    tags(
        (name = "records", description = "Prices and their proofs"),
        (name = "summaries", description = "What the prices of a while come to"),
        (name = "network", description = "Who makes the records, as this node sees it"),
        (name = "node", description = "How this node is: for probes, metrics and tests"),
    )
)]
struct Description;

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(Description::openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::ROUTES;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: BTreeSet<String> = Description::openapi().paths.paths.into_keys().collect();
        let served: BTreeSet<String> = ROUTES.iter().map(|route| route.path.to_owned()).collect();
        assert_eq!(described, served);
    }
}
