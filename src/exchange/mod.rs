//! The simulated exchange: five APIs on one port that follow one random walk and fail on request.

mod answer;
mod fault;
mod market;
mod server;

use std::{io, net::SocketAddr};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    middleware::{DefaultHeaders, NormalizePath, TrailingSlash},
    web::Data,
};
use clap::{Args, FromArgMatches};
use quorate_actors::price_fetcher::SIMULATED_HEADER;
use quorate_protocol::Price;

use self::{
    fault::{FaultRule, Faults},
    market::Market,
    server::Floor,
};

/// Answers like five exchanges, with prices that it makes up: for trying quorate without the
/// internet, and for seeing what it does when exchanges fail.
///
/// All five APIs answer on one port with their real paths and shapes, for example
///
///     curl http://127.0.0.1:8100/v2/prices/ETH-USD/spot
///
/// A node asks it with `--source coinbase=http://127.0.0.1:8100`, the other sources likewise.
/// While it runs, faults are set and cleared from this machine:
///
///     curl -X PUT -d offset:2000 http://127.0.0.1:8100/control/faults/kraken
///     curl http://127.0.0.1:8100/control
///     curl -X DELETE http://127.0.0.1:8100/control/faults/all
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExchangeArgs {
    /// Where it listens. Port 0 takes a free one and says which.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8100")]
    pub(crate) listen: SocketAddr,

    /// Where the random walk starts from. The same seed walks the same way every time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// What one ETH costs at first. BTC costs twenty times, every other coin a twentieth of it.
    #[arg(long, value_name = "PRICE", default_value = "3000")]
    pub(crate) start_price: Price,

    /// How far a price moves in a second at most, in basis points (1 is 0.01 %); 0 stands still, 1000 is the most.
    #[arg(long, value_name = "BPS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) volatility_bps: u32,

    /// Lets a source fail from the start; repeatable, `all` is every source. FAULT is one of
    ///
    ///   status:CODE                      an HTTP status instead of a price
    ///   status:CODE:retry-after=SECONDS  the same, asking to be left alone
    ///   delay:MILLISECONDS               the right answer, late
    ///   drop                             the connection is closed without an answer
    ///   redirect                         sends the asker elsewhere
    ///   garbage, html, empty, huge       what is no answer
    ///   wrong-currency                   prices in euro what was asked in dollars
    ///   zero, negative, nan              what is no price
    ///   stale:SECONDS, future:SECONDS    a wrong date, where answers have one
    ///   offset:BPS                       a lie: 2000 is 20 % too much
    #[arg(long = "fault", value_name = "SOURCE=FAULT", verbatim_doc_comment)]
    pub(crate) faults: Vec<FaultRule>,
}

impl ExchangeArgs {
    /// Understands options as the command line gives them; the reason, in a line, why not.
    pub(crate) fn from_words(words: &[String]) -> Result<Self, String> {
        let command = Self::augment_args(clap::Command::new("exchange").no_binary_name(true));
        command
            .try_get_matches_from(words)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// Why there is no exchange.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The address is taken, or is not this machine's.
    #[error(
        "cannot listen on {listen}: {reason}; give another address with --listen (port 0 takes a free one)"
    )]
    Listen {
        /// What was asked for.
        listen: SocketAddr,
        /// What the system says.
        reason: io::Error,
    },
    /// It ended by itself.
    #[error("the exchange ended: {0}")]
    Ended(io::Error),
}

/// A running exchange. It runs on when this is dropped; [`Exchange::stop`] ends it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Where it answers, without a slash at the end: the base URL of every source.
    pub(crate) url: String,
    handle: ServerHandle,
}

impl Exchange {
    /// Ends it at once: nobody is owed an answer.
    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// Starts an exchange in the running actix system. It does not heed signals: whoever starts it stops it.
pub(crate) fn start(args: &ExchangeArgs) -> Result<Exchange, ExchangeError> {
    let (url, server) = open(args, false)?;
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(Exchange { url, handle })
}

/// Runs an exchange until a signal ends it.
pub(crate) async fn run(args: ExchangeArgs) -> Result<(), ExchangeError> {
    let (url, server) = open(&args, true)?;
    log::info!(
        "exchange is open: url={url} seed={} help=\"curl {url}\"",
        args.seed
    );
    for rule in &args.faults {
        for kind in &rule.sources {
            log::info!("fault set: source={kind} fault={}", rule.fault);
        }
    }
    server.await.map_err(ExchangeError::Ended)
}

fn open(args: &ExchangeArgs, heeds_signals: bool) -> Result<(String, Server), ExchangeError> {
    let floor = Data::new(Floor::open(Market::new(
        args.seed,
        args.start_price,
        args.volatility_bps,
    )));
    let faults = Data::new(Faults::new(&args.faults));
    let app = move || {
        App::new()
            .app_data(floor.clone())
            .app_data(faults.clone())
            .configure(server::routes)
            .wrap(NormalizePath::new(TrailingSlash::MergeOnly))
            .wrap(DefaultHeaders::new().add((SIMULATED_HEADER, "true")))
    };
    // One worker: it serves some requests a second.
    let server = HttpServer::new(app).workers(1).shutdown_timeout(1);
    let server = if heeds_signals {
        server
    } else {
        server.disable_signals()
    };
    let listen = args.listen;
    let server = server
        .bind(listen)
        .map_err(|reason| ExchangeError::Listen { listen, reason })?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    Ok((format!("http://{bound}"), server.run()))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        body::{MessageBody, to_bytes},
        http::{Method, StatusCode},
        test::{TestRequest, call_service, init_service},
    };
    use clap::Parser;
    use quorate_actors::Clock;
    use quorate_prices::{FetchRules, HttpAnswer, QuoteError, SourceKind};
    use quorate_protocol::{Feed, Quote};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        exchange: ExchangeArgs,
    }

    fn args(options: &[&str]) -> ExchangeArgs {
        Cli::parse_from([&["exchange", "--listen", "127.0.0.1:0"], options].concat()).exchange
    }

    /// One request to an exchange that is made for it.
    macro_rules! app {
        ($options:expr) => {{
            let args = args($options);
            let market = Market::new(args.seed, args.start_price, args.volatility_bps);
            let app = App::new()
                .app_data(Data::new(Floor::open(market)))
                .app_data(Data::new(Faults::new(&args.faults)))
                .configure(server::routes);
            init_service(app).await
        }};
    }

    macro_rules! ask {
        ($app:expr, $method:expr, $path:expr, $body:expr, $peer:expr) => {{
            let request = TestRequest::with_uri($path)
                .method($method)
                .peer_addr($peer.parse().unwrap())
                .set_payload($body)
                .to_request();
            let response = call_service(&$app, request).await;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = to_bytes(response.into_body().boxed()).await.unwrap_or_default();
            (status, headers, body)
        }};
    }

    /// What a node makes of a body with status 200.
    fn read(kind: SourceKind, body: &[u8], feed: &Feed) -> Result<Quote, QuoteError> {
        let (answer, now) = (HttpAnswer::ok(body), Clock::system().unix_now());
        kind.read(&answer, feed, now, FetchRules::MAX_QUOTE_AGE)
            .map(|answered| answered.quote)
    }

    const HERE: &str = "127.0.0.1:40000";
    const ELSEWHERE: &str = "192.0.2.1:40000";

    #[actix_rt::test]
    async fn every_source_answers_at_its_real_path_in_its_real_shape() {
        let app = app!(&["--volatility-bps", "0"]);
        for feed in ["ETH/USD", "BTC/EUR", "SOL/USD"] {
            let feed: Feed = feed.parse().unwrap();
            for kind in SourceKind::ALL {
                let (status, _, body) = ask!(app, Method::GET, &kind.path(&feed), "", ELSEWHERE);
                assert_eq!(status, StatusCode::OK, "{kind} {feed}");
                let quote = read(kind, &body, &feed).unwrap();
                if feed.as_str() == "ETH/USD" {
                    let off = quote.price.deviation_bps("3000".parse().unwrap());
                    assert!(off <= 5, "{kind}: {}", quote.price);
                }
            }
        }
    }

    #[actix_rt::test]
    async fn an_unknown_pair_is_refused_in_the_exchanges_own_way() {
        let app = app!(&[]);
        for (kind, path) in [
            (SourceKind::Coinbase, "/v2/prices/nonsense/spot"),
            (SourceKind::Kraken, "/0/public/Ticker?pair=nonsense"),
            (SourceKind::Bitstamp, "/api/v2/ticker/nonsense/"),
            (SourceKind::Gemini, "/v1/pubticker/nonsense"),
            (
                SourceKind::Coingecko,
                "/api/v3/simple/price?ids=nonsense&vs_currencies=usd",
            ),
        ] {
            let (status, _, body) = ask!(app, Method::GET, path, "", HERE);
            assert!(
                read(kind, &body, &"ETH/USD".parse().unwrap()).is_err(),
                "{kind}: {status}"
            );
        }
    }

    #[actix_rt::test]
    async fn faults_given_at_the_start_hold_until_they_are_cleared() {
        let app = app!(&[
            "--fault",
            "all=status:503",
            "--fault",
            "kraken=status:429:retry-after=5"
        ]);
        let path = "/0/public/Ticker?pair=ETHUSD";
        let (status, headers, _) = ask!(app, Method::GET, path, "", HERE);
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(headers.get("retry-after").unwrap(), "5");
        let (status, ..) = ask!(app, Method::GET, "/v1/pubticker/ethusd", "", HERE);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);

        let (status, _, body) = ask!(app, Method::DELETE, "/control/faults/kraken", "", HERE);
        assert_eq!(status, StatusCode::OK);
        assert!(!String::from_utf8_lossy(&body).contains("kraken"));
        let (status, ..) = ask!(app, Method::GET, path, "", HERE);
        assert_eq!(status, StatusCode::OK);
    }

    #[actix_rt::test]
    async fn faults_are_set_listed_and_refused_over_the_control_api() {
        let app = app!(&[]);
        let (status, ..) = ask!(app, Method::PUT, "/control/faults/all", "offset:2000", HERE);
        assert_eq!(status, StatusCode::OK);
        let (_, _, body) = ask!(app, Method::GET, "/control", "", HERE);
        let listed: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(listed["faults"]["gemini"], "offset:2000");
        assert_eq!(listed["faults"].as_object().unwrap().len(), 5);

        let (status, _, body) = ask!(app, Method::PUT, "/control/faults/kraken", "boom", HERE);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(String::from_utf8_lossy(&body).contains("\"boom\" is no fault; write status:CODE"));
        let (status, ..) = ask!(app, Method::PUT, "/control/faults/binance", "drop", HERE);
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }

    #[actix_rt::test]
    async fn only_this_machine_controls_faults() {
        let app = app!(&[]);
        for (method, path) in [
            (Method::GET, "/control"),
            (Method::PUT, "/control/faults/all"),
            (Method::DELETE, "/control/faults/all"),
        ] {
            let (status, ..) = ask!(app, method, path, "drop", ELSEWHERE);
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        }
    }

    async fn answer_to(url: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[actix_rt::test]
    async fn it_starts_on_a_free_port_and_stops() {
        let exchange = start(&args(&["--fault", "gemini=drop", "--fault", "kraken=delay:1"])).unwrap();
        let url = exchange.url.clone();
        assert!(answer_to(&url, "/").await.contains("--source kraken=http://"));
        assert!(
            answer_to(&url, "/v2/prices/ETH-USD/spot")
                .await
                .contains("\"currency\":\"USD\"")
        );
        assert!(
            answer_to(&url, "/0/public/Ticker?pair=ETHUSD")
                .await
                .contains("XETHZUSD")
        );
        let broken = answer_to(&url, "/v1/pubticker/ethusd").await;
        assert!(!broken.contains("volume"), "{broken}");

        let taken: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let error = start(&ExchangeArgs {
            listen: taken,
            ..args(&[])
        })
        .unwrap_err();
        assert!(error.to_string().contains(&taken.to_string()), "{error}");

        exchange.stop().await;
        assert!(TcpStream::connect(taken).await.is_err());
    }

    #[test]
    fn wrong_options_are_refused_with_the_remedy() {
        for wrong in [
            ["--fault", "kraken"],
            ["--start-price", "-1"],
            ["--volatility-bps", "1001"],
        ] {
            let options = [&["exchange"], wrong.as_slice()].concat();
            assert!(Cli::try_parse_from(options).is_err(), "{wrong:?}");
        }
    }
}
