//! The HTTP client: asks all sources of a fetch at once, each request bounded in time and bytes.

use std::{sync::Once, time::Duration};

use awc::{
    Client, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::header,
};
use futures::{StreamExt, stream::FuturesUnordered};
use quorate_prices::{Fetch, FetchRules, HttpAnswer, MAX_BODY_BYTES, QuoteError};
use tokio::time::{sleep, timeout};

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
/// executable does that first thing): two are linked, so that rustls cannot choose by itself and panics.
pub(super) fn build(rules: &FetchRules) -> Client {
    let (timeout, fetch_interval) = (rules.source_timeout, rules.interval);
    let connector = Connector::new()
        .timeout(timeout)
        .handshake_timeout(timeout)
        .conn_keep_alive(
            fetch_interval
                .saturating_add(KEEP_ALIVE_MARGIN)
                .min(CONNECTION_LIFETIME),
        )
        .conn_lifetime(CONNECTION_LIFETIME);
    Client::builder()
        .connector(connector)
        .timeout(timeout)
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .add_default_header((header::ACCEPT, "application/json"))
        // An answer is half a kilobyte: nothing is gained by compressing it, and nothing here could read it.
        .add_default_header((header::ACCEPT_ENCODING, "identity"))
        .finish()
}

/// Asks all at once and ends when all have answered or failed; or `patience` after the answers at hand are firm
/// ([`Fetch::is_firm`]), so that one slow exchange does not make every price late.
pub(super) async fn ask_all(client: Client, mut fetch: Fetch, rules: FetchRules, clock: Clock) -> Fetch {
    let feed = fetch.feed.clone();
    let mut pending: FuturesUnordered<_> = fetch
        .asked
        .iter()
        .map(|spec| (spec.kind(), spec.url(&feed)))
        .map(|(kind, url)| {
            let (client, rules, feed) = (&client, &rules, &feed);
            async move {
                let answer = get(client, &url, rules.source_timeout).await;
                let (now, at) = (clock.now(), clock.unix_now());
                let quote = answer.and_then(|answer| kind.read(&answer, feed, at, rules.max_quote_age));
                (kind.source(), quote, now, at)
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

/// An answer, within `limit` altogether.
async fn get(client: &Client, url: &str, limit: Duration) -> Result<HttpAnswer, QuoteError> {
    timeout(limit, get_unbounded(client, url, limit))
        .await
        .unwrap_or(Err(QuoteError::Timeout { limit }))
}

async fn get_unbounded(client: &Client, url: &str, limit: Duration) -> Result<HttpAnswer, QuoteError> {
    let mut answer = match client.get(url).send().await {
        // The exchange closed the kept connection just as we used it: not its fault, and a new one settles it.
        Err(error) if is_broken_connection(&error) => client.get(url).send().await,
        answer => answer,
    }
    .map_err(|error| not_sent(&error, limit))?;

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
        Err(PayloadError::Overflow) => {
            return Err(QuoteError::TooLong {
                limit_bytes: MAX_BODY_BYTES,
            });
        }
        Err(error) => return Err(QuoteError::Unreachable(format!("the answer broke off: {error}"))),
    }
    Ok(told)
}

fn is_broken_connection(error: &SendRequestError) -> bool {
    matches!(
        error,
        SendRequestError::Send(_) | SendRequestError::Connect(ConnectError::Disconnected)
    )
}

fn not_sent(error: &SendRequestError, limit: Duration) -> QuoteError {
    match error {
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => {
            QuoteError::Timeout { limit }
        }
        SendRequestError::Connect(ConnectError::Disconnected) => {
            QuoteError::Unreachable("the connection was closed without an answer".to_owned())
        }
        other => QuoteError::Unreachable(other.to_string()),
    }
}
