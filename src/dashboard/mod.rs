//! The dashboard at `/`: one page, made here with every figure in it, so that it reads without JavaScript; `app.js` asks for it again
//! when something happens and puts the parts in place that have changed. Nothing is loaded from elsewhere, and nothing is decided.

mod figures;
mod members;
mod node;
mod page;
mod records;
mod rounds;
mod scorecard;

use std::{sync::LazyLock, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentType},
    middleware::from_fn,
    web,
};
use askama::Template;
use quorate_protocol::Feed;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use self::{
    page::{Facts, Page},
    scorecard::Scores,
};
use crate::http::{
    self, Reader, Views,
    scorecard::{Counted, Period},
    status,
};

/// What the page may do: show what this node serves. No script or style stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The cookie in which a browser keeps which of the two looks its reader chose.
const THEME_COOKIE: &str = "quorate-theme";

/// The page and what belongs to it.
pub(crate) fn routes(app: &mut web::ServiceConfig) {
    let page = web::resource("/")
        .route(web::get().to(show))
        .route(web::head().to(show));
    app.service(page.wrap(from_fn(http::limited)))
        .route("/dashboard/{asset}", web::get().to(asset))
        .route("/dashboard/{asset}", web::head().to(asset));
}

#[derive(Deserialize)]
struct Chosen {
    feed: Option<String>,
    period: Option<String>,
}

/// The page of one feed.
async fn show(
    request: HttpRequest,
    chosen: web::Query<Chosen>,
    views: web::Data<Views>,
    shared: status::Shared,
    reader: web::Data<Reader>,
) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    let all = &reader.rules.feeds;
    let wanted = match chosen.feed.as_deref() {
        Some(name) => all.iter().find(|feed| feed.as_str() == name),
        None => all.first(),
    };
    let Some(feed) = wanted else {
        return answer
            .status(actix_web::http::StatusCode::NOT_FOUND)
            .content_type(ContentType::plaintext())
            .body("this node has no such feed: see /\n");
    };
    let chosen = Period::CHOICES
        .iter()
        .find(|(label, _)| Some(*label) == chosen.period.as_deref());
    let period = chosen.map_or_else(Period::default, |(_, period)| *period);
    let (feeds, bridge, rounds, heard, counted) = futures::join!(
        status::statuses(&views),
        views.gossip_bridge.status(views.clock),
        http::rounds::traces(&views, feed),
        http::scorecard::heard(&views, feed, Some(period.length())),
        counted(&reader, feed, period),
    );
    let readiness = status::look(&views, feeds.as_deref(), &shared);
    let status = feeds
        .as_deref()
        .and_then(|all| all.iter().find(|of| of.feed == *feed));
    let facts = Facts {
        now: (views.clock.now(), views.clock.unix_now()),
        me: views.address,
        network: views.network.as_str(),
        names: &views.names.borrow(),
        feed,
        feeds: all,
        write_interval: reader.rules.write_interval,
        stale_after: reader.rules.stale_after(),
        status,
        warnings: status::warnings(&views, feeds.as_deref().unwrap_or_default()),
        readiness: &readiness,
        actors: &views.supervisor.statuses(),
        sources: &views.sources.of(feed),
        rounds: rounds.as_deref().unwrap_or_default(),
        scores: Scores {
            period,
            heard: heard.as_ref(),
            counted: counted.as_ref(),
        },
        recent: &reader.live.recent(feed),
        connected: bridge.as_ref().map(|bridge| bridge.peers.as_slice()),
        peers: views.bridge.peers.get(),
        mesh_peers: views.bridge.mesh_peers.get(),
        theme: chosen_theme(&request),
        version_of_assets: &VERSION,
    };
    match Page::of(&facts).render() {
        Ok(page) => answer.content_type(ContentType::html()).body(page),
        // A defect: what is shown are texts and numbers.
        Err(error) => {
            log::error!("the dashboard cannot be shown: reason=\"{error}\"");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// A page does not wait longer for a database that is away or slow: it comes with what is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the database counted for the scorecard; `None`: it has not answered yet. It is asked to the end, for the next page.
async fn counted(reader: &web::Data<Reader>, feed: &Feed, period: Period) -> Option<Counted> {
    if reader.is_counting(feed, period) {
        let answer = tokio::time::timeout(PATIENCE, reader.counted(feed, period)).await;
        return answer.ok()?.ok();
    }
    let (reader, feed) = (reader.clone(), feed.clone());
    let asked = actix_rt::spawn(async move { reader.counted(&feed, period).await });
    tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?.ok()
}

/// The look that this reader chose.
fn chosen_theme(request: &HttpRequest) -> Option<&str> {
    let cookies = request.headers().get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == THEME_COOKIE).then_some(value))
}

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "style.css",
        kind: "text/css; charset=utf-8",
        body: include_str!("style.css"),
    },
    Asset {
        name: "app.js",
        kind: "text/javascript; charset=utf-8",
        body: include_str!("app.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        body: include_str!("icon.svg"),
    },
];

/// Of all files: what names them for caches. Another executable has other names.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    ASSETS.iter().for_each(|asset| hash.update(asset.body));
    const_hex::encode(&hash.finalize()[..8])
});

/// A file, for a year where its version stands in the address, else to be asked for again.
async fn asset(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == *name) else {
        return HttpResponse::NotFound().finish();
    };
    let tag = header::EntityTag::new_strong(VERSION.clone());
    let is_known = match request.headers().get(header::IF_NONE_MATCH) {
        Some(known) => known.to_str().is_ok_and(|known| known.contains(VERSION.as_str())),
        None => false,
    };
    let is_named = request.query_string() == format!("v={}", *VERSION);
    let mut answer = match is_known {
        true => HttpResponse::NotModified(),
        false => HttpResponse::Ok(),
    };
    answer
        .insert_header(header::ETag(tag))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            header::CACHE_CONTROL,
            match is_named {
                true => "public, max-age=31536000, immutable",
                false => "no-cache",
            },
        ));
    match is_known {
        true => answer.finish(),
        false => answer.content_type(asset.kind).body(asset.body),
    }
}
