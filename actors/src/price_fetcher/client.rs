//! The HTTP client: asks all sources of a fetch at once, each request bounded in time and bytes.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Once},
    time::Duration,
};

use actix_tls::connect::rustls_0_23::webpki_roots_cert_store;
use awc::{
    Client, ClientRequest, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::header::{self, HeaderValue},
};
use futures::{StreamExt, stream::FuturesUnordered};
use quorate_prices::{Fetch, FetchRules, HttpAnswer, MAX_BODY_BYTES, QuoteError, SourceSpec};
use quorate_protocol::Feed;
use quorate_store::Secret;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::{sleep, timeout};

use super::{
    dial::{Dialler, NotConnected, Progress, Stage, Step},
    shelf::Shelf,
    ways_out::WaysOut,
};
use crate::Clock;

/// For how long an unused connection is kept beyond the fetch interval, so that the next fetch finds it open and needs no
/// second TLS handshake.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(15);
/// Connections are renewed after this, so that a changed DNS record is noticed.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// For how long the words of an error are waited for: they come with its status, or they are not worth it.
const COURTESY: Duration = Duration::from_millis(250);
/// Names us to the exchange, as their terms ask for.
const USER_AGENT: &str = concat!("quorate/", env!("CARGO_PKG_VERSION"));

/// What `quorate exchange` sends along, so that nobody takes invented prices for an exchange's.
pub const SIMULATED_HEADER: &str = "x-quorate-simulated";

/// A client without redirects. Must run on an arbiter, and needs the process's TLS provider to be installed (the
/// executable does that first thing).
fn build(rules: &FetchRules, ways_out: &WaysOut, progress: &Progress) -> Client {
    let limit = rules.source_timeout;
    let connector = Connector::new()
        .connector(Dialler::new(ways_out.clone(), progress.clone()))
        .timeout(limit)
        // Less than the limit altogether, so that a handshake that hangs is told as one.
        .handshake_timeout(limit * 3 / 4)
        .conn_keep_alive(
            rules
                .interval
                .saturating_add(KEEP_ALIVE_MARGIN)
                .min(CONNECTION_LIFETIME),
        )
        .conn_lifetime(CONNECTION_LIFETIME);
    // Reading them takes a moment that a node without an encrypted source need not wait.
    let is_encrypted = |source: &SourceSpec| source.base().starts_with("https://");
    let authorities = ways_out
        .authorities
        .as_ref()
        .filter(|_| rules.sources.iter().any(is_encrypted));
    let connector = match authorities {
        Some(path) => match tls(path) {
            Ok(tls) => connector.rustls_0_23(Arc::new(tls)),
            Err(error) => {
                log::warn!(
                    "SSL_CERT_FILE is not used: path={} reason=\"{error}\"",
                    path.display()
                );
                connector
            }
        },
        None => connector,
    };
    Client::builder()
        .connector(connector)
        .timeout(limit)
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .add_default_header((header::ACCEPT, "application/json"))
        // An answer is half a kilobyte: nothing is gained by compressing it, and nothing here could read it.
        .add_default_header((header::ACCEPT_ENCODING, "identity"))
        .finish()
}

/// TLS that believes the authorities in a PEM file besides the public ones.
fn tls(path: &Path) -> Result<ClientConfig, String> {
    let mut roots = webpki_roots_cert_store();
    let mut count = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        count += 1;
    }
    if count == 0 {
        return Err("it holds no certificate".to_owned());
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What a fetch is asked with.
#[derive(Clone)]
pub(super) struct ExchangeClient {
    http: Client,
    progress: Progress,
    /// Answers about several feeds.
    shelf: Rc<Shelf>,
    /// Where CoinGecko's API key stands.
    coingecko_key_file: Option<PathBuf>,
}

/// Asks all at once and ends when all have answered or failed; or `patience` after the answers at hand are firm
/// ([`Fetch::is_firm`]), so that one slow exchange does not make every price late.
pub(super) async fn ask_all(
    client: ExchangeClient,
    mut fetch: Fetch,
    rules: FetchRules,
    clock: Clock,
) -> Fetch {
    let (feed, asked, along) = (fetch.feed.clone(), fetch.asked.clone(), fetch.along.clone());
    let mut pending: FuturesUnordered<_> = asked
        .iter()
        .map(|spec| {
            let (client, rules, feed) = (&client, &rules, &feed);
            let along = along.get(&spec.kind()).map_or(&[][..], Vec::as_slice);
            async move {
                let (quote, now, at) = client.shelf.quote(client, spec, feed, along, rules, clock).await;
                (spec.kind().source(), quote, now, at)
            }
        })
        .collect();
    let mut waited_enough = None;
    loop {
        let answered = match &mut waited_enough {
            None => pending.next().await,
            Some(timer) => tokio::select! {
                biased;
                answered = pending.next() => answered,
                () = timer => break,
            },
        };
        let Some((source, quote, now, at)) = answered else {
            break;
        };
        fetch.take(&source, quote, now, at);
        if waited_enough.is_none() && fetch.is_firm() {
            waited_enough = Some(Box::pin(sleep(rules.patience)));
        }
    }
    fetch.leave_behind(rules.patience);
    fetch
}

impl ExchangeClient {
    /// A client with connections of its own.
    pub(super) fn new(rules: &FetchRules, ways_out: &WaysOut, coingecko_key_file: Option<PathBuf>) -> Self {
        for complaint in &ways_out.complaints {
            log::warn!("{complaint}");
        }
        if let Some(summary) = ways_out.summary() {
            log::info!("ways out: {summary}");
        }
        Self::silent(rules, ways_out, coingecko_key_file)
    }

    /// The same without a word in the log.
    pub(super) fn silent(
        rules: &FetchRules,
        ways_out: &WaysOut,
        coingecko_key_file: Option<PathBuf>,
    ) -> Self {
        let progress = Progress::default();
        Self {
            http: build(rules, ways_out, &progress),
            progress,
            shelf: Rc::default(),
            coingecko_key_file,
        }
    }

    /// An answer, within `limit` altogether; or how far it got, and why not farther.
    pub(super) async fn ask(
        &self,
        spec: &SourceSpec,
        feed: &Feed,
        limit: Duration,
    ) -> Result<HttpAnswer, (Step, QuoteError)> {
        self.ask_at(spec, spec.url(feed), limit).await
    }

    /// The same about whatever that URL of the source tells.
    pub(super) async fn ask_at(
        &self,
        spec: &SourceSpec,
        url: String,
        limit: Duration,
    ) -> Result<HttpAnswer, (Step, QuoteError)> {
        let key = match (spec.key_header(), &self.coingecko_key_file) {
            (Some(name), Some(path)) => {
                let key = read_key(path.clone()).await;
                Some((name, key.map_err(|error| (Step::Key, error))?))
            }
            _ => None,
        };
        let request = || {
            let request = self.http.get(&url);
            match &key {
                Some((name, key)) => request.insert_header((*name, key.clone())),
                None => request,
            }
        };
        let answer = timeout(limit, get(request, &url)).await;
        let answer = answer.unwrap_or(Err(Failure::Http(SendRequestError::Timeout)));
        let mut answer = answer.map_err(|failure| self.refusal(failure, &url, limit))?;
        if let Some((_, key)) = &key {
            strike_out(key.as_bytes(), &mut answer.body);
        }
        Ok(answer)
    }

    /// What a request failed of, with the step at which it did.
    fn refusal(&self, failure: Failure, url: &str, limit: Duration) -> (Step, QuoteError) {
        let stage = self.progress.of(url);
        let step = stage.as_ref().map_or(Step::Name, Stage::step);
        let timed_out = |stage: Option<String>| QuoteError::Timeout {
            limit,
            stage: stage.unwrap_or_default(),
        };
        let error = match failure {
            Failure::TooLong => {
                let limit_bytes = MAX_BODY_BYTES;
                return (Step::Answer, QuoteError::TooLong { limit_bytes });
            }
            Failure::BrokeOff(why) => {
                let error = QuoteError::Unreachable(format!("the answer broke off: {why}"));
                return (Step::Answer, error);
            }
            Failure::Http(error) => error,
        };
        match (error, stage) {
            (SendRequestError::Timeout, stage) => (step, timed_out(stage.map(|stage| stage.to_string()))),
            (SendRequestError::Connect(ConnectError::Timeout), Some(Stage::Connected(address))) => {
                let waiting = format!("waiting for {address} in the TLS handshake");
                (Step::Tls, timed_out(Some(waiting)))
            }
            (SendRequestError::Connect(ConnectError::Timeout), stage) => {
                (step, timed_out(stage.map(|stage| stage.to_string())))
            }
            (SendRequestError::Connect(ConnectError::Io(error)), stage) => {
                let is_ours = error.get_ref().is_some_and(|error| error.is::<NotConnected>());
                match stage {
                    Some(Stage::Connected(address)) if !is_ours => {
                        let error = QuoteError::Unreachable(format!("TLS with {address}: {error}"));
                        (Step::Tls, error)
                    }
                    _ => (step, QuoteError::Unreachable(error.to_string())),
                }
            }
            (error, Some(Stage::Connected(address))) if is_broken_connection(&error) => {
                let what = format!("{address} closed the connection without an answer");
                (step, QuoteError::Unreachable(what))
            }
            (error, Some(Stage::Connected(address))) => {
                let what = format!("no answer of HTTP from {address}: {error}");
                (step, QuoteError::Unreachable(what))
            }
            (error, _) => (step, QuoteError::Unreachable(error.to_string())),
        }
    }
}

/// Why a request came to nothing.
enum Failure {
    Http(SendRequestError),
    TooLong,
    BrokeOff(String),
}

/// The key in that file, read anew for each fetch, so that another one needs no restart.
async fn read_key(path: PathBuf) -> Result<HeaderValue, QuoteError> {
    let read = tokio::task::spawn_blocking(move || Secret::read(&path)).await;
    let key = match read {
        Ok(Ok(key)) => key,
        Ok(Err(error)) => return Err(QuoteError::NoKey(error.to_string())),
        Err(error) => return Err(QuoteError::NoKey(error.to_string())),
    };
    let mut value = HeaderValue::from_str(key.reveal().trim())
        .map_err(|_| QuoteError::NoKey("its file holds what no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Strikes a key out of an answer that repeats it: what an exchange says may end up in a log.
fn strike_out(key: &[u8], body: &mut [u8]) {
    let mut at = 0;
    while !key.is_empty() && at + key.len() <= body.len() {
        if body[at..].starts_with(key) {
            body[at..at + key.len()].fill(b'*');
        }
        at += 1;
    }
}

async fn get(request: impl Fn() -> ClientRequest, url: &str) -> Result<HttpAnswer, Failure> {
    let mut answer = match request().send().await {
        // The exchange closed the kept connection just as we used it: not its fault, and a new one settles it.
        Err(error) if is_broken_connection(&error) => request().send().await,
        answer => answer,
    }
    .map_err(Failure::Http)?;

    if answer.headers().contains_key(SIMULATED_HEADER) {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| log::info!("prices are invented, by a simulated exchange: url={url}"));
    }
    let header = |name| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut told = HttpAnswer {
        status: answer.status().as_u16(),
        retry_after: header(header::RETRY_AFTER),
        location: header(header::LOCATION),
        encoding: header(header::CONTENT_ENCODING),
        age: header(header::AGE),
        date: header(header::DATE),
        body: vec![],
    };
    if told.status != 200 {
        // What an error says besides its status is a courtesy, not to be waited for.
        if let Ok(Ok(body)) = timeout(COURTESY, answer.body().limit(MAX_BODY_BYTES)).await {
            told.body = body.to_vec();
        }
        return Ok(told);
    }
    match answer.body().limit(MAX_BODY_BYTES).await {
        Ok(body) => told.body = body.to_vec(),
        Err(PayloadError::Overflow) => return Err(Failure::TooLong),
        Err(error) => return Err(Failure::BrokeOff(error.to_string())),
    }
    Ok(told)
}

fn is_broken_connection(error: &SendRequestError) -> bool {
    matches!(
        error,
        SendRequestError::Send(_) | SendRequestError::Connect(ConnectError::Disconnected)
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use quorate_prices::{Agreement, SourceKind};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const ANSWER: &str = r#"{"data":{"amount":"3000.5","base":"ETH","currency":"USD"}}"#;

    #[test]
    fn a_key_that_an_answer_repeats_is_struck_out() {
        let mut body = br#"{"error":"CG-key is wrong: CG-key"}"#.to_vec();
        strike_out(b"CG-key", &mut body);
        assert_eq!(body, br#"{"error":"****** is wrong: ******"}"#);
        strike_out(b"", &mut body);
    }

    /// What comes of asking the exchange at that address, with the authorities in that file.
    async fn ask(exchange: SocketAddr, authorities: Option<&Path>) -> Result<String, QuoteError> {
        let _installed_before = ring::default_provider().install_default();
        let rules = FetchRules {
            sources: vec![format!("coinbase=https://{exchange}").parse().unwrap()],
            agreement: Agreement {
                min_sources: 1,
                max_spread_bps: 200,
            },
            interval: Duration::from_secs(30),
            source_timeout: Duration::from_secs(2),
            patience: FetchRules::PATIENCE,
            max_quote_age: FetchRules::MAX_QUOTE_AGE,
        };
        let file = authorities.map(|path| path.display().to_string());
        let ways_out = WaysOut::new(|name| file.clone().filter(|_| name == "SSL_CERT_FILE"));
        let client = ExchangeClient::new(&rules, &ways_out, None);
        let feed = "ETH/USD".parse().unwrap();
        let asked = client.ask(&rules.sources[0], &feed, rules.source_timeout).await;
        let answer = asked.map_err(|(step, error)| {
            assert_eq!(step, Step::Tls, "{error}");
            error
        })?;
        assert_eq!(rules.sources[0].kind(), SourceKind::Coinbase);
        Ok(String::from_utf8(answer.body).unwrap())
    }

    /// A server whose certificate comes from an authority of its own, which is written to that file.
    async fn private_exchange(authority_file: &Path) -> SocketAddr {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        std::fs::write(authority_file, authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority, &authority_key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let (listener, acceptor) = (listener().await, TlsAcceptor::from(Arc::new(config)));
        let address = listener.local_addr().unwrap();
        actix_rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let _asked = stream.read(&mut [0; 1000]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ANSWER.len());
                let _told = stream.write_all(format!("{head}{ANSWER}").as_bytes()).await;
            }
        });
        address
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    #[actix_rt::test]
    async fn a_private_authority_is_believed_when_ssl_cert_file_names_it_and_else_the_failure_is_tlss() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let exchange = private_exchange(&file).await;
        assert_eq!(ask(exchange, Some(&file)).await.unwrap(), ANSWER);
        let refused = ask(exchange, None).await.unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("TLS with {exchange}: ")) && refused.contains("UnknownIssuer"),
            "{refused}"
        );
    }

    #[actix_rt::test]
    async fn who_speaks_no_tls_or_says_nothing_fails_at_that_stage_with_the_address() {
        let plain = listener().await;
        let address = plain.local_addr().unwrap();
        actix_rt::spawn(async move {
            while let Ok((mut stream, _)) = plain.accept().await {
                let _told = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let told = ask(address, None).await.unwrap_err().to_string();
        assert!(told.starts_with(&format!("TLS with {address}: ")), "{told}");
        // The kernel takes the connection; nobody ever answers on it.
        let silent = listener().await;
        let address = silent.local_addr().unwrap();
        let told = ask(address, None).await.unwrap_err();
        assert_eq!(
            told.to_string(),
            format!("no answer within 2000 ms, waiting for {address} in the TLS handshake")
        );
    }
}
