//! The fetcher against exchanges over HTTP: what its timers, its client and its restarts do. What an answer means and
//! who rests for how long is shown in `quorate-prices`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, ActorContext, Addr, Context, Handler, Message, Supervisor};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::AggregatorMessage,
    price_fetcher::{
        FetcherMessage, PriceFetcher, PriceFetcherSettings, SourceBoard, SourceMeasures, WaysOut, probe,
    },
};
use quorate_prices::{Agreement, FetchRules, LONGEST_LEAD, MIN_GAP, SourceKind};
use quorate_protocol::{AgreedPrice, Feed, Instant, rounds::FetchRequest};
use tokio::time::{sleep, timeout};

/// What a source does when asked. Where an answer is refused its price would fit, so that nothing but the refusal keeps it out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Price(&'static str),
    /// Kraken's market of every pair that it is asked for; none of them if it does not list one, `NOPEUSD`.
    Markets,
    Status(u16),
    RateLimits(&'static str),
    Html,
    Huge,
    Redirects,
    Hangs,
}

/// Five exchanges on one port.
#[derive(Clone, Default)]
struct Exchanges {
    does: Arc<Mutex<HashMap<SourceKind, Does>>>,
    asked: Arc<Mutex<HashMap<SourceKind, usize>>>,
    /// API keys in the headers of requests, as `name: value`.
    keys: Arc<Mutex<Vec<String>>>,
    /// Kraken's questions: `pair=ETHUSD`.
    queries: Arc<Mutex<Vec<String>>>,
}

impl Exchanges {
    fn set(&self, kind: SourceKind, does: Does) {
        self.does.lock().unwrap().insert(kind, does);
    }

    fn set_all(&self, does: Does) {
        SourceKind::ALL.into_iter().for_each(|kind| self.set(kind, does));
    }

    /// How often a source was asked.
    fn asked(&self, kind: SourceKind) -> usize {
        self.asked.lock().unwrap().get(&kind).copied().unwrap_or_default()
    }

    fn asked_altogether(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }

    /// The pairs of each question to Kraken.
    fn pairs(&self) -> Vec<String> {
        let queries = self.queries.lock().unwrap();
        queries
            .iter()
            .map(|query| query.trim_start_matches("pair=").to_owned())
            .collect()
    }

    async fn answer(&self, kind: SourceKind, query: &str) -> HttpResponse {
        *self.asked.lock().unwrap().entry(kind).or_default() += 1;
        let does = self.does.lock().unwrap()[&kind];
        let ok = |body: String| HttpResponse::Ok().content_type("application/json").body(body);
        let now = Clock::system().unix_now().get();
        match does {
            Does::Price(price) => ok(body(kind, price, now)),
            Does::Markets => {
                self.queries.lock().unwrap().push(query.to_owned());
                let pairs = query.trim_start_matches("pair=").split(',');
                let markets: Vec<String> = pairs
                    .map(|pair| format!(r#""{pair}":{{"c":["3000","1"]}}"#))
                    .collect();
                if query.contains("NOPE") {
                    return ok(r#"{"error":["EQuery:Unknown asset pair"]}"#.to_owned());
                }
                ok(format!(r#"{{"error":[],"result":{{{}}}}}"#, markets.join(",")))
            }
            Does::Status(status) => HttpResponse::build(status.try_into().unwrap()).finish(),
            Does::RateLimits(wait) => HttpResponse::TooManyRequests()
                .insert_header(("retry-after", wait))
                .finish(),
            Does::Html => HttpResponse::Ok().body("<!doctype html><title>Just a moment...</title>"),
            Does::Huge => ok(body(kind, "3000", now) + &" ".repeat(70_000)),
            Does::Redirects => HttpResponse::Found()
                .insert_header(("location", "/elsewhere"))
                .finish(),
            Does::Hangs => {
                sleep(Duration::from_secs(3600)).await;
                HttpResponse::Ok().finish()
            }
        }
    }

    /// Serves on a free port of this machine.
    fn serve(&self) -> (String, ServerHandle) {
        let exchanges = self.clone();
        let route = |kind: SourceKind| {
            web::get().to(
                move |exchanges: web::Data<Exchanges>, request: HttpRequest| async move {
                    let keys = request
                        .headers()
                        .iter()
                        .filter(|(name, _)| name.as_str().contains("key"));
                    let keys = keys.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                    exchanges.keys.lock().unwrap().extend(keys);
                    exchanges.answer(kind, request.query_string()).await
                },
            )
        };
        let elsewhere = || web::get().to(|| async { body(SourceKind::Coinbase, "3000", 0) });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(exchanges.clone()))
                .route("/v2/prices/ETH-USD/spot", route(SourceKind::Coinbase))
                .route("/0/public/Ticker", route(SourceKind::Kraken))
                .route("/api/v2/ticker/ethusd/", route(SourceKind::Bitstamp))
                .route("/v1/pubticker/ethusd", route(SourceKind::Gemini))
                .route("/api/v3/simple/price", route(SourceKind::Coingecko))
                .route("/elsewhere", elsewhere())
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix::spawn(server);
        (url, handle)
    }
}

/// A documented answer.
fn body(kind: SourceKind, price: &str, now: u64) -> String {
    let seconds = now / 1000;
    match kind {
        SourceKind::Coinbase => {
            format!(r#"{{"data":{{"amount":"{price}","base":"ETH","currency":"USD"}}}}"#)
        }
        SourceKind::Kraken => {
            format!(r#"{{"error":[],"result":{{"XETHZUSD":{{"c":["{price}","0.1"]}}}}}}"#)
        }
        SourceKind::Bitstamp => {
            format!(r#"{{"timestamp":"{seconds}","last":"{price}","pair":"ETH/USD"}}"#)
        }
        SourceKind::Gemini => {
            format!(r#"{{"last":"{price}","volume":{{"ETH":"1.5","USD":"4500","timestamp":{now}}}}}"#)
        }
        SourceKind::Coingecko => {
            format!(r#"{{"ethereum":{{"usd":{price},"last_updated_at":{seconds}}}}}"#)
        }
    }
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Observer(Arc<Mutex<Vec<AgreedPrice>>>);

impl Actor for Observer {
    type Context = Context<Self>;
}

impl Handler<AggregatorMessage> for Observer {
    type Result = ();
    fn handle(&mut self, message: AggregatorMessage, _: &mut Self::Context) {
        match message {
            AggregatorMessage::Price(price) => self.0.lock().unwrap().push(price),
            other => panic!("the fetcher does not say this: {other:?}"),
        }
    }
}

/// Ends an actor's context. Under a supervisor that means: restart.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Observer {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Stop> for PriceFetcher {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Observer {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> AgreedPrice {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// So short that many fetches pass in a test: the minimal gap between fetches shrinks to it.
const SHORT: Duration = Duration::from_millis(50);
/// So long that nothing is fetched but what a test asks for.
const LONG: Duration = Duration::from_secs(3600);
const THREE: &[SourceKind] = &[SourceKind::Coinbase, SourceKind::Kraken, SourceKind::Gemini];
const TWO: &[SourceKind] = &[SourceKind::Coinbase, SourceKind::Kraken];

/// What the operator of a scene has set.
struct Rules {
    sources: &'static [SourceKind],
    interval: Duration,
    source_timeout: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            sources: THREE,
            interval: SHORT,
            source_timeout: Duration::from_secs(20),
        }
    }
}

fn feed() -> Feed {
    "ETH/USD".parse().unwrap()
}

fn settings(rules: &Rules, url: &str, observer: &Observer) -> PriceFetcherSettings {
    // Refused where another test of this process did it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    PriceFetcherSettings {
        feeds: vec![feed()],
        rules: FetchRules {
            sources: rules
                .sources
                .iter()
                .map(|kind| format!("{kind}={url}").parse().unwrap())
                .collect(),
            agreement: Agreement {
                min_sources: 1,
                max_spread_bps: 200,
            },
            interval: rules.interval,
            source_timeout: rules.source_timeout,
            patience: Duration::from_secs(1),
            max_quote_age: FetchRules::MAX_QUOTE_AGE,
        },
        coingecko_key_file: None,
        ways_out: WaysOut::default(),
        clock: Clock::system(),
        aggregator: observer.clone().start().recipient().into(),
        measures: SourceMeasures::new(&Registry::new(), &[]).unwrap(),
        board: SourceBoard::new(&[], &[]),
    }
}

/// A fetcher, the exchanges that it asks and who listens.
struct Scene {
    exchanges: Exchanges,
    observer: Observer,
    clock: Clock,
    fetcher: Addr<PriceFetcher>,
    server: ServerHandle,
}

impl Scene {
    fn start(rules: Rules, does: &[(SourceKind, Does)]) -> Self {
        Self::start_with(rules, does, |settings, _| settings)
    }

    fn start_with(
        rules: Rules,
        does: &[(SourceKind, Does)],
        change: impl FnOnce(PriceFetcherSettings, &str) -> PriceFetcherSettings,
    ) -> Self {
        let exchanges = Exchanges::default();
        exchanges.set_all(Does::Price("3000"));
        does.iter().for_each(|(kind, does)| exchanges.set(*kind, *does));
        let (url, server) = exchanges.serve();
        let observer = Observer::default();
        let settings = change(settings(&rules, &url, &observer), &url);
        let clock = settings.clock;
        let fetcher = Supervisor::start(|_| PriceFetcher::new(settings));
        Self {
            exchanges,
            observer,
            clock,
            fetcher,
            server,
        }
    }

    /// Waits for a condition; a test fails when it does not come true.
    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(15), waiting)
            .await
            .unwrap_or_else(|_| panic!("still waiting for {what}"));
    }

    /// Waits until a source was asked that many times more: as many rounds began, and all but the last have ended.
    async fn rounds(&self, kind: SourceKind, count: usize) {
        let until = self.exchanges.asked(kind) + count;
        self.until("further rounds", |scene| scene.exchanges.asked(kind) >= until)
            .await;
    }

    /// The latest price and who stands behind it, as soon as there is one.
    async fn price(&self) -> (String, Vec<String>) {
        self.until("a price", |scene| scene.observer.count() > 0).await;
        let evidence = self.observer.last().evidence;
        let sources = evidence
            .quotes()
            .iter()
            .map(|quote| quote.source.to_string())
            .collect();
        (evidence.median().to_string(), sources)
    }

    async fn stop(self) {
        // The supervisor ends with the last address.
        drop(self.fetcher);
        self.server.stop(false).await;
    }
}

#[actix_web::test]
async fn the_price_is_the_median_of_what_all_exchanges_say() {
    let rules = Rules {
        sources: &SourceKind::ALL,
        interval: LONG,
        ..Rules::default()
    };
    let scene = Scene::start(
        rules,
        &[
            (SourceKind::Coinbase, Does::Price("3001")),
            (SourceKind::Kraken, Does::Price("3002.50000")),
            (SourceKind::Bitstamp, Does::Price("3003")),
            (SourceKind::Gemini, Does::Price("3002")),
            (SourceKind::Coingecko, Does::Price("3002.4999999999999")),
        ],
    );
    let (price, sources) = scene.price().await;
    assert_eq!(price, "3002.4999999999999");
    assert_eq!(sources, ["bitstamp", "coinbase", "coingecko", "gemini", "kraken"]);
    let observed = scene.observer.last();
    let now = scene.clock.unix_now();
    assert!(observed.observed_at <= now && now.since(observed.observed_at) < Duration::from_secs(15));
    assert!(observed.observed <= scene.clock.now());
    for quote in observed.evidence.quotes() {
        let distance = now.since(quote.at).max(quote.at.since(now));
        assert!(distance < Duration::from_secs(17), "{quote:?}");
    }
    assert_eq!(scene.exchanges.asked_altogether(), 5, "each was asked once");
    scene.stop().await;
}

#[actix_web::test]
async fn what_is_no_price_is_left_out_and_the_others_make_it() {
    let faults = [
        Does::Status(500),
        Does::Status(404),
        Does::Status(204),
        Does::RateLimits("60"),
        Does::Html,
        Does::Huge,
        Does::Redirects,
        Does::Price("NaN"),
    ];
    for fault in faults {
        let rules = Rules {
            interval: LONG,
            ..Rules::default()
        };
        let scene = Scene::start(rules, &[(SourceKind::Coinbase, fault)]);
        let (price, sources) = scene.price().await;
        assert_eq!(price, "3000", "{fault:?}");
        assert_eq!(sources, ["gemini", "kraken"], "{fault:?}");
        scene.stop().await;
    }
}

#[actix_web::test]
async fn an_exchange_that_cannot_be_reached_is_left_out() {
    let rules = Rules {
        interval: LONG,
        ..Rules::default()
    };
    let scene = Scene::start_with(rules, &[], |mut settings, url| {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let no_tls_there = url.replace("http:", "https:");
        let sources = [
            format!("coinbase={url}"),
            format!("kraken=http://{nobody}"),
            format!("gemini={no_tls_there}"),
        ];
        settings.rules.sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        settings
    });
    assert_eq!(
        scene.price().await,
        ("3000".to_owned(), vec!["coinbase".to_owned()])
    );
    scene.stop().await;
}

#[actix_web::test]
async fn one_that_hangs_does_not_make_the_price_late() {
    let rules = Rules {
        interval: LONG,
        source_timeout: LONG,
        ..Rules::default()
    };
    let scene = Scene::start(rules, &[(SourceKind::Gemini, Does::Hangs)]);
    let (price, sources) = scene.price().await;
    assert_eq!(price, "3000");
    assert_eq!(sources, ["coinbase", "kraken"]);
    scene.stop().await;
}

#[actix_web::test]
async fn of_two_the_slower_one_is_waited_for_until_its_time_is_up() {
    let limit = Duration::from_millis(400);
    let rules = Rules {
        sources: TWO,
        interval: LONG,
        source_timeout: limit,
    };
    let scene = Scene::start(rules, &[(SourceKind::Kraken, Does::Hangs)]);
    assert_eq!(
        scene.price().await,
        ("3000".to_owned(), vec!["coinbase".to_owned()])
    );
    assert!(scene.clock.now() >= Instant::after_start(limit));
    scene.stop().await;
}

#[actix_web::test]
async fn answers_are_in_about_when_the_aggregator_wants_them() {
    let rules = Rules {
        interval: LONG,
        ..Rules::default()
    };
    let scene = Scene::start(rules, &[]);
    scene.price().await;
    let wanted = scene.clock.now() + LONGEST_LEAD + Duration::from_millis(500);
    scene.fetcher.do_send(FetcherMessage(FetchRequest::By {
        feed: feed(),
        at: wanted,
    }));
    scene
        .until("the second price", |scene| scene.observer.count() == 2)
        .await;
    let observed = scene.observer.last().observed;
    assert!(
        observed >= wanted.before(LONGEST_LEAD),
        "{observed:?} is too early for {wanted:?}"
    );
    assert_eq!(
        scene.exchanges.asked(SourceKind::Kraken),
        2,
        "exactly one fetch for it"
    );
    scene.stop().await;
}

#[actix_web::test]
async fn for_a_time_that_has_passed_it_fetches_at_once() {
    let rules = Rules {
        interval: LONG,
        ..Rules::default()
    };
    let scene = Scene::start(rules, &[]);
    scene.price().await;
    let soonest = scene.clock.now() + MIN_GAP * 2;
    scene
        .until("a wish that the first fetch does not serve", |scene| {
            scene.clock.now() >= soonest
        })
        .await;
    let other_feed = "BTC/USD".parse().unwrap();
    scene.fetcher.do_send(FetcherMessage(FetchRequest::By {
        feed: other_feed,
        at: soonest,
    }));
    scene.fetcher.do_send(FetcherMessage(FetchRequest::By {
        feed: feed(),
        at: soonest,
    }));
    scene
        .until("the second price", |scene| scene.observer.count() == 2)
        .await;
    assert_eq!(scene.exchanges.asked(SourceKind::Kraken), 2);
    scene.stop().await;
}

#[actix_web::test]
async fn a_restart_fetches_at_once_and_remembers_what_exchanges_demanded() {
    let rules = Rules {
        interval: LONG,
        ..Rules::default()
    };
    let scene = Scene::start(rules, &[(SourceKind::Coinbase, Does::RateLimits("120"))]);
    scene.price().await;
    scene.fetcher.do_send(Stop);
    scene
        .until("a price after the restart", |scene| scene.observer.count() == 2)
        .await;
    assert_eq!(scene.exchanges.asked(SourceKind::Coinbase), 1);
    assert_eq!(scene.exchanges.asked(SourceKind::Kraken), 2);
    scene.stop().await;
}

#[actix_web::test]
async fn a_restart_in_the_middle_of_a_fetch_leaves_one_timer_not_two() {
    let scene = Scene::start(Rules::default(), &[]);
    scene.price().await;
    for _ in 0..5 {
        scene.fetcher.do_send(Stop);
        scene.rounds(SourceKind::Kraken, 1).await;
    }
    let began = scene.clock.now();
    scene.rounds(SourceKind::Kraken, 10).await;
    let took = scene.clock.now().since(began);
    assert!(
        took >= SHORT * 4,
        "ten rounds in {took:?}: six timers need two intervals for them, one needs nine"
    );
    scene.stop().await;
}

#[actix_web::test]
async fn coingeckos_key_goes_in_its_header_to_nobody_else_and_another_one_needs_no_restart() {
    let file = std::env::temp_dir().join(format!("quorate-test-key-{}", std::process::id()));
    std::fs::write(&file, "CG-one\n").unwrap();
    let rules = Rules {
        sources: &SourceKind::ALL,
        ..Rules::default()
    };
    let scene = Scene::start_with(rules, &[], |mut settings, _| {
        settings.coingecko_key_file = Some(file.clone());
        settings
    });
    let has_sent = |scene: &Scene, key: &str| {
        let keys = scene.exchanges.keys.lock().unwrap();
        assert!(keys.iter().all(|sent| sent.starts_with("x-cg-demo-api-key: CG-")));
        keys.last().is_some_and(|sent| sent.ends_with(key))
    };
    scene.until("the key", |scene| has_sent(scene, "CG-one")).await;
    std::fs::write(&file, "CG-two\n").unwrap();
    scene
        .until("the new key", |scene| has_sent(scene, "CG-two"))
        .await;
    std::fs::remove_file(&file).unwrap();
    assert!(scene.exchanges.keys.lock().unwrap().len() <= scene.exchanges.asked(SourceKind::Coingecko));
    scene.stop().await;
}

#[actix::test]
async fn several_feeds_are_asked_for_at_once_and_one_that_is_refused_spoils_no_other() {
    let rules = Rules {
        sources: &[SourceKind::Kraken],
        interval: Duration::from_millis(400),
        ..Rules::default()
    };
    let names = ["ETH/USD", "SOL/USD", "LTC/USD", "NOPE/USD"];
    let scene = Scene::start_with(rules, &[(SourceKind::Kraken, Does::Markets)], |settings, _| {
        PriceFetcherSettings {
            feeds: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..settings
        }
    });
    scene
        .until("a price of each feed that is listed", |scene| {
            let prices = scene.observer.0.lock().unwrap();
            names[..3]
                .iter()
                .all(|name| prices.iter().any(|price| price.feed.as_str() == *name))
        })
        .await;
    scene
        .until("several asked for at once, without the refused one", |scene| {
            let is_good = |pairs: &String| pairs.contains(',') && !pairs.contains("NOPE");
            scene.exchanges.pairs().iter().any(is_good)
        })
        .await;
    let pairs = scene.exchanges.pairs();
    assert_eq!(pairs[0].split(',').count(), 4, "{pairs:?}");
    let refused = pairs
        .iter()
        .filter(|pairs| pairs.contains("NOPE") && pairs.contains(','));
    assert!(refused.count() <= 2, "{pairs:?}");
    assert!(pairs.iter().any(|pairs| pairs == "NOPEUSD"), "{pairs:?}");
    scene.server.stop(true).await;
}

#[actix::test]
async fn a_probe_asks_for_several_feeds_at_once_and_for_those_that_were_refused_one_by_one() {
    let exchanges = Exchanges::default();
    exchanges.set(SourceKind::Kraken, Does::Markets);
    let (url, server) = exchanges.serve();
    let rules = Rules {
        sources: &[SourceKind::Kraken],
        ..Rules::default()
    };
    let rules = settings(&rules, &url, &Observer::default()).rules;
    let ask = async |names: &[&str]| {
        let feeds: Vec<Feed> = names.iter().map(|name| name.parse().unwrap()).collect();
        let probed = probe(&rules, &feeds, &WaysOut::default(), None, Clock::system()).await;
        let answered = probed.iter().filter(|one| one.outcome.is_ok());
        assert!(probed.iter().map(|one| &one.feed).eq(&feeds), "in their order");
        (
            answered.count(),
            std::mem::take(&mut *exchanges.queries.lock().unwrap()),
        )
    };
    let listed = ["ETH/USD", "SOL/USD", "LTC/USD"];
    let (answered, questions) = ask(&listed).await;
    assert_eq!((answered, questions.len()), (3, 1), "{questions:?}");
    let (answered, questions) = ask(&["ETH/USD", "NOPE/USD", "SOL/USD"]).await;
    assert_eq!((answered, questions.len()), (2, 4), "{questions:?}");
    server.stop(true).await;
}
