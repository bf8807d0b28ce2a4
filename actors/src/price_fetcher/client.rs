//! The HTTP client: one request, bounded in time and bytes.

use std::time::Duration;

use awc::{
    Client, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::{StatusCode, header},
};

use super::{quote_error::QuoteError, retry_after::retry_after};
use crate::Clock;

/// More than any of the documented answers needs (about 1 KiB), and nothing that would hurt if all sources sent it.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// For how long an unused connection is kept beyond the fetch interval, so that the next fetch finds it open and needs no
/// second TLS handshake.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(15);
/// Connections are renewed after this, so that a changed DNS record is noticed.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// Names us to the exchange, as their terms ask for.
const USER_AGENT: &str = concat!("quorate/", env!("CARGO_PKG_VERSION"));

/// A client without redirects. Must run on an arbiter, and needs the process's TLS provider to be installed (the
/// executable does that first thing): two are linked, so that rustls cannot choose by itself and panics.
pub(super) fn build(timeout: Duration, fetch_interval: Duration) -> Client {
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
        .finish()
}

/// The body of an answer with status 200, within `limit` altogether.
pub(super) async fn get(
    client: &Client,
    url: &str,
    limit: Duration,
    clock: Clock,
) -> Result<Vec<u8>, QuoteError> {
    tokio::time::timeout(limit, get_unbounded(client, url, limit, clock))
        .await
        .unwrap_or(Err(QuoteError::Timeout { limit }))
}

async fn get_unbounded(
    client: &Client,
    url: &str,
    limit: Duration,
    clock: Clock,
) -> Result<Vec<u8>, QuoteError> {
    let mut answer = match client.get(url).send().await {
        // The exchange closed the kept connection just as we used it: not its fault, and a new one settles it.
        Err(error) if is_broken_connection(&error) => client.get(url).send().await,
        answer => answer,
    }
    .map_err(|error| not_sent(&error, limit))?;

    let status = answer.status();
    if status != StatusCode::OK {
        let wait = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after(text, clock.unix_now()));
        return Err(refused(status, wait));
    }
    match answer.body().limit(MAX_BODY_BYTES).await {
        Ok(body) => Ok(body.to_vec()),
        Err(PayloadError::Overflow) => Err(QuoteError::TooLong {
            limit_bytes: MAX_BODY_BYTES,
        }),
        Err(error) => Err(QuoteError::Unreachable(format!("the answer broke off: {error}"))),
    }
}

fn refused(status: StatusCode, retry_after: Option<Duration>) -> QuoteError {
    match status {
        StatusCode::TOO_MANY_REQUESTS => QuoteError::RateLimited { retry_after },
        _ if status.is_redirection() => QuoteError::Redirect {
            status: status.as_u16(),
        },
        // Elsewhere than with 503 the header means something else, or nothing.
        StatusCode::SERVICE_UNAVAILABLE => QuoteError::Status {
            status: status.as_u16(),
            retry_after,
        },
        _ => QuoteError::Status {
            status: status.as_u16(),
            retry_after: None,
        },
    }
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
