//! Connections to exchanges: the name is looked up, both address families are raced (RFC 8305), and where a proxy is set it is
//! asked for a tunnel. What fails, fails with the stage and the address.

use std::{
    cell::RefCell, collections::BTreeMap, error::Error, fmt, io, net::SocketAddr, rc::Rc, time::Duration,
};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::sleep,
};

use super::ways_out::{Proxy, WaysOut};

/// An address that has not answered for this long gets a rival (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// More addresses of one name than this are not tried: the last would begin 2 s after the first.
const MOST_ADDRESSES: usize = 8;
/// What a proxy may say before the tunnel stands.
const MOST_HEAD_BYTES: usize = 8 * 1024;

/// Opens connections for the HTTP client.
#[derive(Clone)]
pub(super) struct Dialler {
    ways_out: Rc<WaysOut>,
    progress: Progress,
}

/// How far the last connection to each host has come: what a timeout does not say by itself.
#[derive(Clone, Default)]
pub(super) struct Progress(Rc<RefCell<BTreeMap<String, Stage>>>);

/// A stage on the way to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// The name is being looked up.
    Name(String),
    /// These addresses have been tried.
    Connecting(Vec<SocketAddr>),
    /// The proxy there is asked for a tunnel.
    Tunnel(SocketAddr),
    /// There is a connection to this address; TLS and the answer are left.
    Connected(SocketAddr),
}

/// At which step a source was lost on the way to its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// Its API key cannot be read.
    Key,
    /// Its name was not found.
    Name,
    /// Nobody took the connection.
    Connection,
    /// The proxy made no tunnel.
    Proxy,
    /// The certificate was not taken, or there was no handshake.
    Tls,
    /// Nothing came back, or not all of it.
    Answer,
    /// The answer holds no price.
    Price,
}

impl Stage {
    /// The step that this stage is on the way to.
    pub(super) fn step(&self) -> Step {
        match self {
            Self::Name(_) => Step::Name,
            Self::Connecting(_) => Step::Connection,
            Self::Tunnel(_) => Step::Proxy,
            Self::Connected(_) => Step::Answer,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(host) => write!(f, "looking up the name {host}"),
            Self::Connecting(addresses) => write!(f, "connecting to {}", listed(addresses)),
            Self::Tunnel(address) => write!(f, "waiting for the proxy {address}"),
            Self::Connected(address) => write!(f, "waiting for the answer of {address}"),
        }
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" and ")
}

impl Progress {
    fn set(&self, host: &str, stage: Stage) {
        self.0.borrow_mut().insert(host.to_owned(), stage);
    }

    /// How far the last connection to the host of this URL has come.
    pub(super) fn of(&self, url: &str) -> Option<Stage> {
        let uri: Uri = url.parse().ok()?;
        self.0.borrow().get(uri.host()?).cloned()
    }
}

/// Why there is no connection, told apart from what TLS says later.
#[derive(Debug)]
pub(super) struct NotConnected(String);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NotConnected {}

fn not_connected(why: String) -> io::Error {
    io::Error::other(NotConnected(why))
}

impl Dialler {
    pub(super) fn new(ways_out: WaysOut, progress: Progress) -> Self {
        Self {
            ways_out: Rc::new(ways_out),
            progress,
        }
    }

    async fn dial(&self, uri: &Uri, port: u16) -> io::Result<TcpStream> {
        let host = uri.host().unwrap_or_default();
        let is_https = uri.scheme_str() == Some("https");
        let Some(proxy) = self.ways_out.proxy_for(is_https, host) else {
            return self.connect(host, host, port).await;
        };
        let mut stream = self.connect(host, &proxy.host, proxy.port).await?;
        let address = stream.peer_addr()?;
        self.progress.set(host, Stage::Tunnel(address));
        tunnel(&mut stream, host, port, proxy)
            .await
            .map_err(|error| not_connected(format!("the proxy {address}: {error}")))?;
        self.progress.set(host, Stage::Connected(address));
        Ok(stream)
    }

    /// `wanted`: the host that is asked in the end, perhaps through `host`.
    async fn connect(&self, wanted: &str, host: &str, port: u16) -> io::Result<TcpStream> {
        let host = host.trim_matches(['[', ']']);
        self.progress.set(wanted, Stage::Name(host.to_owned()));
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| not_connected(format!("the name {host} is not found: {error}")))?;
        let tried = |addresses: &[SocketAddr]| {
            self.progress.set(wanted, Stage::Connecting(addresses.to_vec()));
        };
        let stream = race(alternating(found.collect()), tried).await?;
        self.progress.set(wanted, Stage::Connected(stream.peer_addr()?));
        Ok(stream)
    }
}

impl Service<ConnectInfo<Uri>> for Dialler {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move {
            let uri = info.request().clone();
            let stream = dialler.dial(&uri, info.port()).await.map_err(ConnectError::Io)?;
            // A request is one small segment: it need not wait for another.
            stream.set_nodelay(true).map_err(ConnectError::Io)?;
            Ok(Connection::new(uri, stream))
        })
    }
}

/// The addresses with the families taking turns, in the order of the resolver within each (RFC 8305, section 4).
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = vec![];
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            break;
        }
        mixed.extend(pair.into_iter().flatten());
    }
    mixed.truncate(MOST_ADDRESSES);
    mixed
}

/// The first connection that stands. The next address is tried when one has failed, or has not answered for a while; the
/// earlier ones go on. `tried` hears of all that have begun.
async fn race(addresses: Vec<SocketAddr>, tried: impl Fn(&[SocketAddr])) -> io::Result<TcpStream> {
    if addresses.is_empty() {
        return Err(not_connected("the name has no address".to_owned()));
    }
    let mut attempts = FuturesUnordered::new();
    let mut failures = vec![];
    let mut begun = 0;
    loop {
        if let Some(address) = addresses.get(begun).copied() {
            begun += 1;
            tried(&addresses[..begun]);
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        }
        tokio::select! {
            ended = attempts.next(), if !attempts.is_empty() => match ended {
                Some((_, Ok(stream))) => return Ok(stream),
                Some((address, Err(error))) => failures.push(format!("{address}: {error}")),
                None => {}
            },
            () = sleep(ATTEMPT_DELAY), if begun < addresses.len() => {}
        }
        if attempts.is_empty() && begun == addresses.len() {
            return Err(not_connected(format!("no connection to {}", failures.join("; "))));
        }
    }
}

/// Has the proxy connect to that host (RFC 9110, 9.3.6). The client speaks first in TLS: what follows the proxy's answer at
/// once is not the exchange's.
async fn tunnel(stream: &mut TcpStream, host: &str, port: u16, proxy: &Proxy) -> Result<(), String> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    let broken = |error: io::Error| format!("the connection broke: {error}");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = vec![];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.map_err(broken)?;
        if length == 0 {
            return Err("it closed the connection without an answer to CONNECT".to_owned());
        }
        head.extend_from_slice(&piece[..length]);
        if head.len() > MOST_HEAD_BYTES {
            return Err("its answer to CONNECT does not end".to_owned());
        }
    }
    let first_line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let first_line = String::from_utf8_lossy(first_line);
    let status = first_line.split(' ').nth(1).unwrap_or_default();
    if first_line.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else {
        let shown: String = first_line.chars().take(60).collect();
        Err(format!("it answers {shown:?} to CONNECT"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let found = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternating(found), expected);
        assert_eq!(alternating(vec![]), []);
    }

    /// An address of this machine where nobody listens.
    async fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_never_answers_keeps_nobody_from_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        // A test network of RFC 5737: routed nowhere, so that it refuses or falls silent.
        let nowhere = "192.0.2.1:9".parse().unwrap();
        let raced = race(vec![closed().await, nowhere, there], |_| {});
        let stream = timeout(DEADLINE, raced).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
    }

    #[tokio::test]
    async fn when_all_refuse_each_is_named() {
        let (one, other) = (closed().await, closed().await);
        let error = race(vec![one, other], |_| {}).await.unwrap_err().to_string();
        assert!(
            error.contains(&one.to_string()) && error.contains(&other.to_string()),
            "{error}"
        );
    }

    /// Asks a proxy that answers so for a tunnel; returns what came of it and what the proxy was asked.
    async fn through(answer: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1000];
            let length = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            drop(stream);
            String::from_utf8(asked[..length].to_vec()).unwrap()
        };
        let proxy = Proxy {
            host: address.ip().to_string(),
            port: address.port(),
            authorization: Some("Basic eDp5".to_owned()),
        };
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            tunnel(&mut stream, "api.kraken.com", 443, &proxy).await
        };
        let both = futures::future::join(asking, serving);
        timeout(DEADLINE, both).await.unwrap()
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_and_its_refusal_is_told() {
        let (made, asked) = through("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await;
        assert_eq!(made, Ok(()));
        assert_eq!(
            asked,
            "CONNECT api.kraken.com:443 HTTP/1.1\r\nHost: api.kraken.com:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
        );
        let (refused, _) = through("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(refused.unwrap_err().contains("407 Proxy Authentication Required"));
        let (closed, _) = through("").await;
        assert!(closed.unwrap_err().contains("closed the connection"));
        let (nonsense, _) = through("SSH-2.0-x 200\r\n\r\n").await;
        assert!(nonsense.is_err());
    }
}
