//! The API against a real database: what it answers, and what it says to those who ask wrongly.

use std::{num::NonZeroU32, time::Duration};

use actix_http::Request;
use actix_web::{
    App, Error, ResponseError,
    body::{MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::header,
    test::{TestRequest, call_service, init_service},
    web,
};
use futures::StreamExt;
use quorate_actors::Clock;
use quorate_protocol::{Digest, Link, Record, UnixMillis, WriteOutcome};
use quorate_store::{DatabaseUrl, History, PrivatePostgres, Store, StoreConfig};
use quorate_testkit::{
    builders::{certify, feed, key, network, report_for, unix_now},
    postgres::{Database, start_server},
    wait::eventually,
};
use serde_json::Value;
use tokio::sync::watch;

use super::{Limiter, Live, Places, Reader, Rules, live::KEPT, routes, scorecard::Period};
use crate::config::members::Names;

/// The shortest that there is.
const WINDOW: Duration = Duration::from_millis(100);

/// A database and what is served of it.
struct Served {
    database: Database,
    store: Store,
    reader: web::Data<Reader>,
    live: Live,
    written: watch::Sender<u64>,
}

impl Served {
    async fn new() -> Self {
        Self::of(Database::migrated(WINDOW).await)
    }

    fn of(database: Database) -> Self {
        let (live, written) = (Live::new(&[feed()]), watch::Sender::new(0));
        let history = history(&database.node);
        let (news, clock) = (history.clone(), Clock::system());
        let keep_up = live
            .clone()
            .keep_up(feed(), news, clock, WINDOW, written.subscribe());
        actix_rt::spawn(keep_up);
        let rules = Rules {
            network: network(),
            feeds: vec![feed()],
            // Not the database's: what is written in a test is fresh until its end.
            write_interval: Duration::from_secs(30),
            sources: vec!["coinbase"],
            min_sources: 1,
        };
        let names = Names::from([(key(1).address(), "node-1".to_owned())]);
        let (_, names) = watch::channel(names);
        let reader = Reader::new(rules, history, live.clone(), names, Clock::system());
        let store = Store::new(StoreConfig::new(database.node.clone()));
        Self {
            database,
            store,
            reader: web::Data::new(reader),
            live,
            written,
        }
    }

    /// Writes a record of a price that was observed at this time, and says so.
    async fn write(&self, price: &str, at: UnixMillis) -> Record {
        let last = self.live.newest(&feed()).record;
        let link = last.map_or(Link::FIRST, |last| {
            Link::after(last.record.sequence, last.record.digest)
        });
        let certificate = certify(&report_for(link, &[1, 2, 3], price, at));
        let digest = certificate.digest();
        eventually("the record is written", async || {
            let written = self
                .store
                .write(&certificate, key(1).address(), &network(), &[].into())
                .await;
            matches!(written, WriteOutcome::Written { .. }).then_some(())
        })
        .await;
        self.written.send_modify(|count| *count += 1);
        let record = self.store.record(&digest).await.unwrap().unwrap();
        eventually("it is known", async || {
            let newest = self.live.newest(&feed()).record?;
            (newest.record.digest == digest).then_some(())
        })
        .await;
        record
    }

    async fn app(
        &self,
    ) -> impl Service<Request, Response = ServiceResponse<impl MessageBody + use<>>, Error = Error> + use<>
    {
        self.limited(None).await
    }

    async fn limited(
        &self,
        rate: Option<u32>,
    ) -> impl Service<Request, Response = ServiceResponse<impl MessageBody + use<>>, Error = Error> + use<>
    {
        let limiter = web::Data::new(Limiter::new(rate.and_then(NonZeroU32::new)));
        init_service(
            App::new()
                .app_data(self.reader.clone())
                .app_data(limiter)
                .app_data(web::Data::new(Places::new(true)))
                .configure(routes),
        )
        .await
    }

    /// What is answered, as JSON, and its status.
    async fn ask(&self, path: &str) -> (u16, Value) {
        let answer = call_service(&self.app().await, TestRequest::with_uri(path).to_request()).await;
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body()).await.unwrap_or_default();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn answer(&self, path: &str) -> Value {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

fn history(url: &DatabaseUrl) -> History {
    History::new(StoreConfig {
        connect_timeout: Duration::from_secs(1),
        ..StoreConfig::new(url.clone())
    })
}

fn ago(seconds: u64) -> UnixMillis {
    UnixMillis::new(unix_now().get() - seconds * 1000)
}

#[actix_rt::test]
async fn the_newest_record_comes_with_its_proof_and_a_verdict() {
    let served = Served::new().await;
    eventually("it is known that there is none yet", async || {
        (served.ask("/api/v1/records/latest").await.0 == 404).then_some(())
    })
    .await;
    let record = served.write("3000.5", ago(10)).await;
    let latest = served.answer("/api/v1/records/latest").await;
    let shown = &latest["record"];
    assert_eq!(shown["price"], "3000.5");
    let told = crate::record_json::read(shown.to_string().as_bytes()).unwrap();
    assert_eq!(told, record, "all of it, so that it can be verified");
    assert_eq!(told.verify().map(|signers| signers.len()), Ok(3));
    assert_eq!(shown["digest"], record.digest.to_string());
    assert_eq!(shown["sequence"], record.sequence);
    assert_eq!(shown["observed_at_ms"], record.observed_at.get());
    assert_eq!(shown["evidence"][0]["price"], "3000.5");
    assert_eq!(shown["signatures"].as_array().unwrap().len(), 3);
    let verdict = &latest["verdict"];
    assert_eq!(
        (&verdict["state"], &verdict["stale_since"]),
        (&"fresh".into(), &Value::Null)
    );
    assert!(
        (10_000..60_000).contains(&verdict["age_ms"].as_u64().unwrap()),
        "{verdict}"
    );
    assert_eq!(
        (&verdict["lowest"], &verdict["highest"]),
        (&"3000.5".into(), &"3000.5".into())
    );
    let signers = verdict["signers"].as_array().unwrap();
    assert!(signers.contains(&"node-1".into()) && signers.contains(&key(2).address().to_string().into()));
    assert_eq!(latest["database"]["answers"], true);
    let feeds = served.answer("/api/v1/feeds").await;
    assert_eq!(feeds["network"], "test");
    assert_eq!(feeds["feeds"][0]["decimals"], 18);
    assert_eq!(feeds["feeds"][0]["verdict"]["state"], "fresh");
}

#[actix_rt::test]
async fn a_price_is_stale_after_two_windows() {
    let served = Served::new().await;
    let record = served.write("3000", ago(61)).await;
    let latest = served.answer("/api/v1/records/latest").await;
    assert_eq!(latest["verdict"]["state"], "stale");
    let since = UnixMillis::new(record.observed_at.get() + 60_000);
    assert_eq!(latest["verdict"]["stale_since"], crate::show::rfc3339(since));
}

#[actix_rt::test]
async fn pages_follow_each_other_while_records_come() {
    let served = Served::new().await;
    for seconds in (1..=5).rev() {
        served.write(&format!("300{seconds}"), ago(seconds * 10)).await;
    }
    let mut pages = vec![];
    let mut path = "/api/v1/records?limit=2".to_owned();
    loop {
        let page = served.answer(&path).await;
        pages.push(
            page["records"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["price"].clone())
                .collect::<Vec<_>>(),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/records?limit=2&cursor={next}");
        served.write(&format!("400{}", pages.len()), unix_now()).await;
    }
    assert_eq!(pages, [vec!["3001", "3002"], vec!["3003", "3004"], vec!["3005"]]);
}

#[actix_rt::test]
async fn a_record_is_found_by_range_digest_number_and_moment() {
    let served = Served::new().await;
    let (first, second) = (
        served.write("3001", ago(40)).await,
        served.write("3002", ago(20)).await,
    );
    let prices = async |path: &str| {
        let page = served.answer(path).await;
        page["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["price"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(prices("/api/v1/records?from=30s").await, ["3002"]);
    assert_eq!(prices("/api/v1/records?to=30s").await, ["3001"]);
    let (from, to) = (first.observed_at.get(), second.observed_at.get());
    let range = format!("/api/v1/records?from={from}&to={to}");
    assert_eq!(prices(&range).await, ["3001"], "from is in it, to is not");
    for (path, price) in [
        (first.digest.to_string(), "3001"),
        (second.sequence.to_string(), "3002"),
        (format!("at?time={to}"), "3002"),
        (format!("at?time={}", to - 1), "3001"),
    ] {
        let found = served.answer(&format!("/api/v1/records/{path}")).await;
        assert_eq!(found["record"]["price"], price, "{path}");
    }
    let missing = format!("/api/v1/records/{}", second.sequence + 1);
    assert_eq!(served.ask(&missing).await.0, 404);
    assert_eq!(
        served
            .ask(&format!("/api/v1/records/at?time={}", from - 1))
            .await
            .0,
        404
    );
}

#[actix_rt::test]
async fn who_asks_wrongly_is_told_what_to_write() {
    let served = Served::new().await;
    for (path, status, parameter, remedy) in [
        (
            "records?feeds=ETH/USD",
            400,
            "feeds",
            "the parameters are feed, from, to, limit, cursor, format",
        ),
        ("records?feed=eth", 400, "feed", ""),
        (
            "records?feed=BTC/USD",
            404,
            "",
            "the feeds of this node are ETH/USD",
        ),
        ("records?limit=0", 400, "limit", "write a number from 1 to 1000"),
        (
            "records?limit=1000000000000000000000000",
            400,
            "limit",
            "write a number from 1 to 1000",
        ),
        ("records?limit=1&limit=2", 400, "limit", "give it once"),
        (
            "records?cursor=abc",
            400,
            "cursor",
            "take the whole `next` of the page before, or leave it out for the first page",
        ),
        (
            "records?from=1h&to=2h",
            400,
            "from",
            "swap them, or leave one out",
        ),
        ("records?from=soon", 400, "from", ""),
        ("records?format=xml", 400, "format", "write json or csv"),
        ("records/at", 400, "time", "write time=2026-01-31T12:00:00Z"),
        (
            "records/0x12",
            400,
            "id",
            "write 0x and 64 hex digits, or a number from 1",
        ),
        (
            "records/0",
            400,
            "id",
            "write 0x and 64 hex digits, or a number from 1",
        ),
        (
            "candles?step=1ms",
            400,
            "step",
            "write a duration from 1s to 7days",
        ),
        ("candles?from=2020-01-01&step=1s", 400, "from", ""),
        (
            "twap?from=2020-01-01",
            400,
            "from",
            "ask for at most 1666 hours at a time",
        ),
        (
            "twap?from=2999-01-01&to=2999-01-02",
            400,
            "from",
            "ask for a range that has begun",
        ),
        (
            "stream?after=x",
            400,
            "after",
            "write one like ETH/USD:1042, or a number",
        ),
        ("stream?after=BTC/USD:1", 400, "after", "give the same feed"),
        ("scorecard?period=2d", 400, "period", "write 1h, 24h, 7d"),
        ("nothing", 404, "", "see /openapi.json"),
    ] {
        let (found, problem) = served.ask(&format!("/api/v1/{path}")).await;
        assert_eq!(found, status, "{path}: {problem}");
        assert_eq!(
            problem["parameter"].as_str().unwrap_or_default(),
            parameter,
            "{path}: {problem}"
        );
        assert!(
            problem["remedy"].as_str().unwrap().contains(remedy),
            "{path}: {problem}"
        );
    }
}

#[actix_rt::test]
async fn without_the_database_the_newest_record_is_told_from_memory_and_the_rest_later() {
    let server = start_server();
    let served = Served::of(Database::migrated_on(&server, WINDOW).await);
    served.write("3000", ago(1)).await;
    let mut server: PrivatePostgres = server;
    server.stop().unwrap();
    served.written.send_modify(|count| *count += 1);
    let latest = eventually("it is known that the database is away", async || {
        let latest = served.answer("/api/v1/records/latest").await;
        (latest["database"]["answers"] == false).then_some(latest)
    })
    .await;
    assert_eq!(latest["record"]["price"], "3000");
    assert!(latest["database"]["away_since"].is_string());
    for path in [
        "records",
        "records/1",
        "records/at?time=1s",
        "candles",
        "twap",
        "stream?after=0",
    ] {
        let request = TestRequest::with_uri(&format!("/api/v1/{path}")).to_request();
        let answer = call_service(&served.app().await, request).await;
        if path.starts_with("stream") {
            assert_eq!(answer.status(), 200, "what is in memory is streamed");
            continue;
        }
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "5");
        assert_eq!(
            answer.headers().get(header::CONTENT_TYPE).unwrap(),
            "application/problem+json"
        );
    }
}

#[actix_rt::test]
async fn candles_and_the_average_are_as_the_documentation_defines_them() {
    let served = Served::new().await;
    // Within one step of a minute, whenever this test runs.
    let start = UnixMillis::new((unix_now().get() / 60_000 - 2) * 60_000);
    let at = |seconds: u64| UnixMillis::new(start.get() + seconds * 1000);
    for (price, seconds) in [("100", 10), ("130", 20), ("90", 40), ("110", 50)] {
        served.write(price, at(seconds)).await;
    }
    let (from, to) = (start.get(), at(60).get());
    let candles = served
        .answer(&format!("/api/v1/candles?step=1m&from={from}&to={to}"))
        .await;
    let [candle] = candles["candles"].as_array().unwrap().as_slice() else {
        panic!("{candles}")
    };
    let field = |name: &str| candle[name].as_str().unwrap().to_owned();
    assert_eq!(
        ["open", "high", "low", "close"].map(field),
        ["100", "130", "90", "110"]
    );
    assert_eq!((&candle["records"], &candle["closed"]), (&4.into(), &true.into()));
    // 100 for 10 s, 130 for 20 s, 90 for 10 s, 110 for 10 s; the first 10 s have no price.
    let twap = served.answer(&format!("/api/v1/twap?from={from}&to={to}")).await;
    assert_eq!(twap["price"], "112");
    assert_eq!(
        (&twap["covered_ms"], &twap["range_ms"], &twap["records"]),
        (&50_000.into(), &60_000.into(), &4.into())
    );
    // A price counts for two windows; what is before the range counts in it.
    let later = served
        .answer(&format!(
            "/api/v1/twap?from={}&to={}",
            at(55).get(),
            at(120).get()
        ))
        .await;
    assert_eq!(
        (&later["price"], &later["covered_ms"]),
        (&"110".into(), &55_000.into())
    );
}

#[actix_rt::test]
async fn whose_work_the_records_are_is_counted_once_for_all_who_ask_and_a_database_that_is_away_is_a_problem()
{
    let server = start_server();
    let served = Served::of(Database::migrated_on(&server, WINDOW).await);
    served.write("3000", ago(300)).await;
    served.write("3001", ago(10)).await;
    let records = async |period| {
        let counted = served.reader.counted(&feed(), period).await;
        counted.map(|counted| (counted.work.records, counted.work.nodes[&key(1).address()]))
    };
    let part = |count| quorate_store::Part {
        signed: count,
        observed: count,
        wrote: count,
    };
    assert_eq!(records(Period::Hour).await.unwrap(), (2, part(2)));
    served.write("3002", unix_now()).await;
    assert_eq!(
        records(Period::Hour).await.unwrap(),
        (2, part(2)),
        "for half a minute"
    );
    assert_eq!(records(Period::Day).await.unwrap(), (3, part(3)));
    let mut server: PrivatePostgres = server;
    server.stop().unwrap();
    assert_eq!(records(Period::Day).await.unwrap().0, 3, "for five minutes");
    let away = records(Period::Week).await.unwrap_err().error_response();
    assert_eq!(away.status(), 503);
    assert_eq!(away.headers().get(header::RETRY_AFTER).unwrap(), "5");
}

#[actix_rt::test]
async fn caches_and_pages_of_other_origins_know_what_to_do_with_an_answer() {
    let served = Served::new().await;
    served.write("3000", ago(1)).await;
    let app = served.app().await;
    let ask = async |path: &str, more: &[(&str, &str)]| {
        let request = more.iter().fold(TestRequest::with_uri(path), |request, header| {
            request.insert_header(*header)
        });
        call_service(&app, request.to_request()).await
    };
    let old = ask("/api/v1/records?from=2020-01-01&to=2020-01-02", &[]).await;
    assert_eq!(
        old.headers().get("cache-control").unwrap(),
        "public, max-age=31536000, immutable"
    );
    let first = ask("/api/v1/records", &[]).await;
    assert_eq!(first.headers().get("cache-control").unwrap(), "public, max-age=1");
    assert_eq!(first.headers().get("access-control-allow-origin").unwrap(), "*");
    let tag = first.headers().get("etag").unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        ask("/api/v1/records", &[("if-none-match", &tag)]).await.status(),
        304
    );
    served.write("3001", unix_now()).await;
    assert_eq!(
        ask("/api/v1/records", &[("if-none-match", &tag)]).await.status(),
        200
    );
    let csv = ask("/api/v1/records", &[("accept", "text/csv")]).await;
    assert_eq!(
        csv.headers().get("content-type").unwrap(),
        "text/csv; charset=utf-8; header=present"
    );
    let text = to_bytes(csv.into_body()).await.unwrap_or_default();
    assert_eq!(
        text.split(|byte| *byte == b'\n').count(),
        4,
        "names, two records, the end"
    );
    let preflight = TestRequest::with_uri("/api/v1/stream")
        .method(actix_web::http::Method::OPTIONS)
        .to_request();
    let allowed = call_service(&app, preflight).await;
    assert_eq!(allowed.status(), 204);
    assert!(
        allowed
            .headers()
            .get("access-control-allow-headers")
            .unwrap()
            .to_str()
            .unwrap()
            .contains("Last-Event-ID")
    );
}

#[actix_rt::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let served = Served::new().await;
    let app = served.limited(Some(2)).await;
    let mut statuses = vec![];
    for _ in 0..3 {
        let answer = call_service(&app, TestRequest::with_uri("/api/v1/feeds").to_request()).await;
        assert_eq!(answer.headers().get("ratelimit-limit").unwrap(), "2");
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

/// The events of a stream, one a call; without its opening.
struct Events(std::pin::Pin<Box<dyn futures::Stream<Item = String>>>);

impl Events {
    async fn of(served: &Served, after: Option<&str>) -> Self {
        let mut request = TestRequest::with_uri("/api/v1/stream");
        if let Some(id) = after {
            request = request.insert_header(("Last-Event-ID", id));
        }
        let answer = call_service(&served.app().await, request.to_request()).await;
        assert_eq!(answer.status(), 200);
        let mut body = Box::pin(answer.into_body());
        let chunks = futures::stream::poll_fn(move |context| {
            let polled = body.as_mut().poll_next(context);
            polled.map(|chunk| {
                chunk.map(|chunk| String::from_utf8(chunk.unwrap_or_default().to_vec()).unwrap())
            })
        });
        let mut events = Self(Box::pin(chunks));
        assert_eq!(events.next().await.unwrap(), "retry: 1000\n\n");
        events
    }

    async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(Duration::from_secs(30), self.0.next())
            .await
            .unwrap()
    }

    /// The ids of the next events.
    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = vec![];
        while ids.len() < count {
            let event = self.next().await.unwrap();
            ids.extend(
                event
                    .lines()
                    .find_map(|line| line.strip_prefix("id: "))
                    .map(str::to_owned),
            );
        }
        ids
    }
}

fn id(record: &Record) -> String {
    format!("{}:{}", record.feed, record.sequence)
}

#[actix_rt::test]
async fn a_stream_goes_on_where_its_client_stopped_on_whichever_node() {
    let served = Served::new().await;
    let mut ids = vec![id(&served.write("3000", ago(50)).await)];
    let mut events = Events::of(&served, None).await;
    assert_eq!(events.ids(1).await, ids, "the newest first");
    ids.push(id(&served.write("3001", ago(40)).await));
    assert_eq!(events.ids(1).await, ids[1..], "then as they come");
    drop(events);
    ids.push(id(&served.write("3002", ago(30)).await));
    let mut events = Events::of(&served, Some(&ids[1])).await;
    assert_eq!(events.ids(1).await, ids[2..]);
    // Another node: it knows what the database knows.
    let other = Served::of(Database {
        owner: served.database.owner.clone(),
        node: served.database.node.clone(),
    });
    let mut elsewhere = Events::of(&other, Some(&ids[0])).await;
    assert_eq!(elsewhere.ids(2).await, ids[1..]);
    let mut all = Events::of(&other, Some("0")).await;
    assert_eq!(all.ids(3).await, ids);
}

/// Records as a database could have them, without one; from number `first` on. Those of another `history` have other digests.
async fn made_up(served: &Served, first: u64, count: usize, history: u8) -> Vec<Record> {
    let sample = served
        .store
        .records(quorate_store::RecordQuery::default())
        .await
        .unwrap()
        .remove(0);
    let numbered = |index: usize| {
        let sequence = first + index as u64;
        let mut digest = [history; 32];
        digest[..8].copy_from_slice(&sequence.to_be_bytes());
        Record {
            sequence,
            digest: Digest::new(digest),
            ..sample.clone()
        }
    };
    (0..count).map(numbered).collect()
}

#[actix_rt::test]
async fn who_takes_events_too_slowly_is_cut_off_with_the_reason() {
    let served = Served::new().await;
    served.write("3000", ago(1)).await;
    let live = Live::new(&[feed()]);
    let reader = Reader::new(
        served.reader.rules.clone(),
        history(&served.database.node),
        live.clone(),
        served.reader.names.clone(),
        Clock::system(),
    );
    let followed = Served {
        live: live.clone(),
        reader: web::Data::new(reader),
        ..served
    };
    live.told(&feed(), made_up(&followed, 1, 3, 0).await);
    let mut events = Events::of(&followed, None).await;
    assert_eq!(events.ids(1).await, ["ETH/USD:3"]);
    live.told(&feed(), made_up(&followed, 4, KEPT, 0).await);
    assert_eq!(
        events.ids(1).await,
        ["ETH/USD:4"],
        "what is in memory it can still have"
    );
    live.told(&feed(), made_up(&followed, 4, 2 * KEPT, 0).await);
    let end = events.next().await.unwrap();
    assert!(
        end.starts_with("event: end\ndata: {\"reason\":\"this client takes events more slowly"),
        "{end}"
    );
    assert_eq!(events.next().await, None);
}

#[actix_rt::test]
async fn records_that_take_the_place_of_lost_ones_are_told_too() {
    let served = Served::new().await;
    served.write("3000", ago(1)).await;
    let live = Live::new(&[feed()]);
    let reader = Reader::new(
        served.reader.rules.clone(),
        history(&served.database.node),
        live.clone(),
        served.reader.names.clone(),
        Clock::system(),
    );
    let followed = Served {
        live: live.clone(),
        reader: web::Data::new(reader),
        ..served
    };
    live.told(&feed(), made_up(&followed, 1, 5, 0).await);
    let mut events = Events::of(&followed, Some("ETH/USD:3")).await;
    assert_eq!(events.ids(2).await, ["ETH/USD:4", "ETH/USD:5"]);
    let kept = made_up(&followed, 1, 3, 0).await;
    live.told(&feed(), [kept, made_up(&followed, 4, 3, 1).await].concat());
    assert_eq!(events.ids(3).await, ["ETH/USD:4", "ETH/USD:5", "ETH/USD:6"]);
    assert_eq!(live.newest(&feed()).record.unwrap().record.sequence, 6);
}
