//! `/api/v1/feeds`: what is priced here, by which rules, and how fresh each price is.

use actix_web::{HttpRequest, HttpResponse, web};
use quorate_protocol::Price;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    problem::Problem,
    query::{Asked, Given, Query},
    reader::Reader,
    records::{FOR_A_MOMENT, Verdict, whole_ms},
    reply::Reply,
};

/// Every feed of this node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedsAnswer {
    /// The network that the signatures are for.
    network: String,
    feeds: Vec<FeedBody>,
}

/// One feed.
#[derive(Debug, Serialize, ToSchema)]
struct FeedBody {
    /// Its name.
    #[schema(example = "ETH/USD")]
    feed: String,
    /// How many decimals of a price are signed: it is scaled by ten to this power.
    decimals: u32,
    /// The least time between two records.
    write_interval_ms: u64,
    /// The freshness rule: from this age on a price is stale.
    stale_after_ms: u64,
    /// The exchanges that this node asks.
    sources: Vec<&'static str>,
    /// How many of them must agree before it states a price.
    min_sources: usize,
    /// About the newest record; `null` before the first.
    verdict: Option<Verdict>,
}

/// Nothing to choose.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NoQuery {}

impl Query for NoQuery {
    fn read(_: &mut Given<'_>) -> Result<Self, Problem> {
        Ok(Self {})
    }
}

/// The feeds, their rules, and how fresh their prices are.
#[utoipa::path(get, path = "/api/v1/feeds", tag = "records", responses(
    (status = 200, description = "Every feed", body = FeedsAnswer),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn feeds(
    request: HttpRequest,
    reader: web::Data<Reader>,
    _: Asked<NoQuery>,
) -> HttpResponse {
    let names = reader.names();
    let mut version = vec![];
    let feeds = reader.rules.feeds.iter().map(|feed| {
        let newest = reader.live.newest(feed).record;
        let verdict = newest
            .as_ref()
            .map(|record| Verdict::new(&record.record, reader.now(), reader.rules.stale_after(), &names));
        version.push((
            newest.map(|record| record.record.digest),
            verdict.as_ref().map(|verdict| verdict.state),
        ));
        FeedBody {
            feed: feed.to_string(),
            decimals: Price::DECIMALS,
            write_interval_ms: whole_ms(reader.rules.write_interval),
            stale_after_ms: whole_ms(reader.rules.stale_after()),
            sources: reader.rules.sources.clone(),
            min_sources: reader.rules.min_sources,
            verdict,
        }
    });
    let answer = FeedsAnswer {
        network: reader.rules.network.to_string(),
        feeds: feeds.collect(),
    };
    Reply::new(&request, &version, FOR_A_MOMENT).json(&answer)
}
