//! The real paths of five APIs on one port, and beside them the control of faults: for this machine only, whatever address the
//! exchange listens on.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::{BodyStream, SizedStream},
    http::header,
    web::{self, Bytes, Data, Path, Query, ServiceConfig},
};
use futures::stream;
use quorate_actors::Clock;
use quorate_prices::SourceKind;
use quorate_protocol::Feed;
use serde::Deserialize;

use super::{
    answer,
    fault::{self, Fault, Faults},
    market::Market,
};

/// The market and since when it is open.
pub(super) struct Floor {
    market: Mutex<Market>,
    opened: Instant,
}

impl Floor {
    pub(super) fn open(market: Market) -> Self {
        Self {
            market: Mutex::new(market),
            opened: Instant::now(),
        }
    }

    fn price(&self, feed: &Feed) -> u128 {
        // Whatever a thread died of with the market in hand, its numbers are whole.
        let mut market = self.market.lock().unwrap_or_else(PoisonError::into_inner);
        market.price(feed, self.opened.elapsed())
    }
}

pub(super) fn routes(app: &mut ServiceConfig) {
    app.route("/", web::get().to(index))
        .route("/v2/prices/{pair}/spot", web::get().to(coinbase))
        .route("/0/public/Ticker", web::get().to(kraken))
        .route("/api/v2/ticker/{pair}/", web::get().to(bitstamp))
        .route("/api/v2/ticker/{pair}", web::get().to(bitstamp))
        .route("/v1/pubticker/{pair}", web::get().to(gemini))
        .route("/api/v3/simple/price", web::get().to(coingecko))
        .route("/control", web::get().to(list))
        .route("/control/faults/{source}", web::put().to(set))
        .route("/control/faults/{source}", web::delete().to(clear));
}

async fn index(request: HttpRequest) -> String {
    let host = request.connection_info().host().to_owned();
    let eth: Option<Feed> = "ETH/USD".parse().ok();
    let mut text = "quorate's simulated exchange: five APIs, one random walk\n\n".to_owned();
    for kind in SourceKind::ALL {
        let path = eth.as_ref().map(|feed| kind.path(feed)).unwrap_or_default();
        text.push_str(&format!("{:<10} http://{host}{path}\n", kind.name()));
    }
    text.push_str(&format!(
        "\na node asks it with      --source kraken=http://{host}\n\
         what fails now           curl http://{host}/control\n\
         let one fail             curl -X PUT -d status:429:retry-after=5 http://{host}/control/faults/kraken\n\
         let it answer again      curl -X DELETE http://{host}/control/faults/kraken\n"
    ));
    text
}

async fn coinbase(pair: Path<String>, floor: Data<Floor>, faults: Data<Faults>) -> HttpResponse {
    respond(SourceKind::Coinbase, one(answer::dashed(&pair)), &floor, &faults).await
}

#[derive(Deserialize)]
struct KrakenQuery {
    pair: String,
}

async fn kraken(query: Query<KrakenQuery>, floor: Data<Floor>, faults: Data<Faults>) -> HttpResponse {
    respond(
        SourceKind::Kraken,
        answer::all_joined(&query.pair),
        &floor,
        &faults,
    )
    .await
}

async fn bitstamp(pair: Path<String>, floor: Data<Floor>, faults: Data<Faults>) -> HttpResponse {
    respond(SourceKind::Bitstamp, one(answer::joined(&pair)), &floor, &faults).await
}

async fn gemini(pair: Path<String>, floor: Data<Floor>, faults: Data<Faults>) -> HttpResponse {
    respond(SourceKind::Gemini, one(answer::joined(&pair)), &floor, &faults).await
}

#[derive(Deserialize)]
struct CoingeckoQuery {
    ids: String,
    vs_currencies: String,
}

async fn coingecko(query: Query<CoingeckoQuery>, floor: Data<Floor>, faults: Data<Faults>) -> HttpResponse {
    let feeds = answer::all_by_id(&query.ids, &query.vs_currencies);
    respond(SourceKind::Coingecko, Some(feeds), &floor, &faults).await
}

fn one(feed: Option<Feed>) -> Option<Vec<Feed>> {
    feed.map(|feed| vec![feed])
}

/// The answer about these feeds; `None`: the exchange does not list what was asked for.
async fn respond(kind: SourceKind, feeds: Option<Vec<Feed>>, floor: &Floor, faults: &Faults) -> HttpResponse {
    let fault = faults.of(kind);
    if let Some(Fault::Delay(delay)) = fault {
        actix_web::rt::time::sleep(delay).await;
    }
    let json = |status: u16, body: String| {
        let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
        HttpResponse::build(status)
            .content_type("application/json")
            .body(body)
    };
    let Some(feeds) = feeds else {
        let (status, body) = answer::unknown_pair(kind);
        return json(status, body.to_owned());
    };
    let markets: Vec<_> = feeds
        .into_iter()
        .map(|feed| {
            let price = floor.price(&feed);
            (feed, price)
        })
        .collect();
    let body = answer::body(kind, &markets, Clock::system().unix_now(), fault);
    match fault {
        Some(Fault::Status {
            code,
            retry_after_secs,
        }) => {
            let mut response =
                HttpResponse::build(actix_web::http::StatusCode::from_u16(code).unwrap_or_default());
            if let Some(secs) = retry_after_secs {
                response.insert_header((header::RETRY_AFTER, secs.to_string()));
            }
            response.finish()
        }
        Some(Fault::Redirect) => HttpResponse::Found()
            .insert_header((header::LOCATION, "http://127.0.0.1:9/"))
            .finish(),
        Some(Fault::Drop) => {
            // A length is promised, and the body breaks: the connection is closed without an answer.
            let broken = stream::iter([Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))]);
            HttpResponse::Ok().body(SizedStream::new(1000, broken))
        }
        Some(Fault::Html) => HttpResponse::Ok().content_type("text/html").body(body),
        // In pieces, without a length said before: a reader that trusts lengths only would swallow it all.
        Some(Fault::Huge) => {
            let pieces: Vec<_> = body
                .into_bytes()
                .chunks(16 * 1024)
                .map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)))
                .collect();
            HttpResponse::Ok()
                .content_type("application/json")
                .body(BodyStream::new(stream::iter(pieces)))
        }
        _ => json(200, body),
    }
}

fn is_from_here(request: &HttpRequest) -> bool {
    request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn not_from_here() -> HttpResponse {
    HttpResponse::Forbidden().body("faults are only controlled from the machine on which the exchange runs\n")
}

async fn list(request: HttpRequest, faults: Data<Faults>) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    HttpResponse::Ok().json(serde_json::json!({ "faults": faults.list() }))
}

async fn set(
    request: HttpRequest,
    source: Path<String>,
    text: String,
    faults: Data<Faults>,
) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    match (fault::sources(&source), text.parse()) {
        (Ok(sources), Ok(fault)) => {
            faults.set(&sources, fault);
            log::info!("fault set: source={source} fault={fault}");
            HttpResponse::Ok().json(serde_json::json!({ "faults": faults.list() }))
        }
        (Err(error), _) | (_, Err(error)) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}

async fn clear(request: HttpRequest, source: Path<String>, faults: Data<Faults>) -> impl Responder {
    if !is_from_here(&request) {
        return not_from_here();
    }
    match fault::sources(&source) {
        Ok(sources) => {
            faults.clear(&sources);
            log::info!("fault cleared: source={source}");
            HttpResponse::Ok().json(serde_json::json!({ "faults": faults.list() }))
        }
        Err(error) => HttpResponse::BadRequest().body(format!("{error}\n")),
    }
}
