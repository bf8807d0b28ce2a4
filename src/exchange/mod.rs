//! The simulated exchange: five APIs on one port that follow one random walk and fail on request.

mod answer;
mod args;
mod board;
mod control;
mod fault;
mod market;
mod pair;
mod server;

use std::{io, net::SocketAddr};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    middleware::{NormalizePath, TrailingSlash},
    web::{self, Data},
};

pub(crate) use args::ExchangeArgs;

use self::{board::Board, market::Market, server::Floor};

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
    let board = Data::new(Board::new(&args.faults));
    let app = move || {
        App::new()
            .app_data(floor.clone())
            .app_data(board.clone())
            .configure(routes)
            .wrap(NormalizePath::new(TrailingSlash::MergeOnly))
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

fn routes(app: &mut web::ServiceConfig) {
    server::routes(app);
    control::routes(app);
}

#[cfg(test)]
mod tests {
    use actix_web::{
        body::{MessageBody, to_bytes},
        http::{Method, StatusCode},
        test::{TestRequest, call_service, init_service},
    };
    use clap::Parser;
    use quorate_actors::price_fetcher::SourceKind;
    use quorate_protocol::Feed;
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
                .app_data(Data::new(Board::new(&args.faults)))
                .configure(routes);
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

    const HERE: &str = "127.0.0.1:40000";
    const ELSEWHERE: &str = "192.0.2.1:40000";

    #[actix_web::test]
    async fn every_source_answers_at_its_real_path_in_its_real_shape() {
        let app = app!(&["--volatility-bps", "0"]);
        for feed in ["ETH/USD", "BTC/EUR", "SOL/USD"] {
            let feed: Feed = feed.parse().unwrap();
            for kind in SourceKind::ALL {
                let (status, _, body) = ask!(app, Method::GET, &kind.path(&feed), "", ELSEWHERE);
                assert_eq!(status, StatusCode::OK, "{kind} {feed}");
                let quoted = kind.parse(&body, &feed).unwrap();
                if feed.as_str() == "ETH/USD" {
                    let off = quoted.price.deviation_bps("3000".parse().unwrap());
                    assert!(off <= 5, "{kind}: {}", quoted.price);
                }
            }
        }
    }

    #[actix_web::test]
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
                kind.parse(&body, &"ETH/USD".parse().unwrap()).is_err(),
                "{kind}: {status}"
            );
        }
    }

    #[actix_web::test]
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

    #[actix_web::test]
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

    #[actix_web::test]
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

    #[actix_web::test]
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
