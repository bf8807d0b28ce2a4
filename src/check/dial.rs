//! One connection to a peer, as a node makes it, for long enough to learn who it is; and whether our own ports are free.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping,
    swarm::{DialError, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use quorate_actors::gossip_bridge::{DnsPeers, protocol_version};
use quorate_protocol::Network;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::grade::network::{Answer, Dialled, Port};

/// For the name, and again for the connection: a node waits as long for a handshake.
const STEP: Duration = Duration::from_secs(2);
/// For all that follows a connection.
const TALK: Duration = Duration::from_secs(3);
/// Addresses that are tried of one name, and nodes of one name of `--dns-peers`.
const MOST_ADDRESSES: usize = 16;

/// What a node answers to.
#[derive(NetworkBehaviour)]
struct Protocols {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Dials with this key, in this network.
pub(super) struct Dialler {
    pub(super) key: Keypair,
    pub(super) network: Network,
}

impl Dialler {
    /// Every address at once. Each takes no longer than some seconds.
    pub(super) async fn dial_all(&self, addresses: &[Multiaddr], names: &[DnsPeers]) -> Vec<Dialled> {
        let known = join_all(addresses.iter().map(|address| self.dial(address)));
        let found = join_all(names.iter().map(|name| self.dial_behind(name)));
        let (known, found) = futures::future::join(known, found).await;
        known.into_iter().chain(found.into_iter().flatten()).collect()
    }

    /// A multiaddress as `--peer` takes it.
    async fn dial(&self, address: &Multiaddr) -> Dialled {
        let expected = address.iter().find_map(|part| match part {
            Protocol::P2p(peer) => Some(peer),
            _ => None,
        });
        let answer = match resolve(address).await {
            Ok(found) => self.try_in_turn(&found).await,
            Err(reason) => Answer::NoName(reason),
        };
        let address = address.to_string();
        Dialled {
            address,
            expected,
            answer,
        }
    }

    /// Every node behind a name.
    async fn dial_behind(&self, name: &DnsPeers) -> Vec<Dialled> {
        let dialled = |address: String, answer| Dialled {
            address,
            expected: None,
            answer,
        };
        match look_up(name.host_and_port()).await {
            Err(reason) => vec![dialled(name.to_string(), Answer::NoName(reason))],
            Ok(found) => {
                let found = found.iter().take(MOST_ADDRESSES);
                let all = found.map(|address| async move {
                    let answer = self.try_in_turn(&[*address]).await;
                    dialled(format!("{name} {address}"), answer)
                });
                join_all(all).await
            }
        }
    }

    /// The first address that takes a connection is asked who it is.
    async fn try_in_turn(&self, addresses: &[SocketAddr]) -> Answer {
        let deadline = Instant::now() + STEP;
        let mut reason = format!("no answer within {STEP:?}");
        for address in addresses.iter().take(MOST_ADDRESSES) {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Box::pin(self.talk(*address)).await,
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => break,
            }
        }
        Answer::NoConnection(reason)
    }

    async fn talk(&self, address: SocketAddr) -> Answer {
        let began = Instant::now();
        let mut swarm = match self.swarm() {
            Ok(swarm) => swarm,
            Err(reason) => return Answer::NoHandshake(reason),
        };
        let target = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
        let options = DialOpts::unknown_peer_id().address(target).allocate_new_port();
        if let Err(error) = swarm.dial(options.build()) {
            return Answer::NoHandshake(innermost(&error));
        }
        let mut heard = Heard::default();
        let deadline = began + TALK;
        while heard.introduction.is_none() || heard.round_trip.is_none() {
            let Ok(event) = timeout_at(deadline, swarm.select_next_some()).await else {
                break;
            };
            match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    heard.peer = Some((peer_id, began.elapsed()));
                }
                SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                    info, ..
                })) => {
                    heard.introduction = Some((info.protocol_version, info.agent_version));
                }
                SwarmEvent::Behaviour(ProtocolsEvent::Ping(ping::Event { result: Ok(took), .. })) => {
                    heard.round_trip = Some(took);
                }
                SwarmEvent::ConnectionClosed { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return match (&error, swarm.local_peer_id()) {
                        // Whoever answers with the key that we dial with is this node.
                        (DialError::LocalPeerId { .. }, me) => Answer::Dropped {
                            peer: *me,
                            took: began.elapsed(),
                        },
                        (error, _) => Answer::NoHandshake(innermost(error)),
                    };
                }
                _ => {}
            }
        }
        heard.answer()
    }

    fn swarm(&self) -> Result<Swarm<Protocols>, String> {
        let identify = identify::Config::new(protocol_version(&self.network), self.key.public())
            .with_agent_version(concat!("quorate-check/", env!("CARGO_PKG_VERSION")).to_owned());
        let protocols = Protocols {
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
        };
        let builder = SwarmBuilder::with_existing_identity(self.key.clone())
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .map_err(|error| error.to_string())?;
        let builder = builder
            .with_behaviour(|_| protocols)
            .map_err(|error| error.to_string())?;
        Ok(builder
            .with_swarm_config(|config| config.with_idle_connection_timeout(TALK))
            .build())
    }
}

/// What a peer has said so far.
#[derive(Default)]
struct Heard {
    peer: Option<(PeerId, Duration)>,
    /// Protocol and version.
    introduction: Option<(String, String)>,
    round_trip: Option<Duration>,
}

impl Heard {
    fn answer(self) -> Answer {
        match (self.peer, self.introduction) {
            (None, _) => Answer::NoHandshake(format!("no handshake within {TALK:?}")),
            (Some((peer, took)), None) => Answer::Dropped { peer, took },
            (Some((peer, took)), Some((protocol, agent))) => Answer::Spoke {
                peer,
                round_trip: self.round_trip.unwrap_or(took),
                protocol,
                agent,
            },
        }
    }
}

/// The transports' errors hold each other, and the innermost says it all.
fn innermost(error: &DialError) -> String {
    let mut inner: &dyn std::error::Error = error;
    if let DialError::Transport(failed) = error
        && let Some((_, first)) = failed.first()
    {
        inner = first;
    }
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

async fn resolve(address: &Multiaddr) -> Result<Vec<SocketAddr>, String> {
    let mut parts = address.iter();
    let (host, port) = (parts.next(), parts.next());
    let Some(Protocol::Tcp(port)) = port else {
        return Err("no TCP port".to_owned());
    };
    let is_wanted = |found: &SocketAddr| match host {
        Some(Protocol::Dns4(_)) => found.is_ipv4(),
        Some(Protocol::Dns6(_)) => found.is_ipv6(),
        _ => true,
    };
    match &host {
        Some(Protocol::Ip4(ip)) => Ok(vec![(*ip, port).into()]),
        Some(Protocol::Ip6(ip)) => Ok(vec![(*ip, port).into()]),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            let mut found = look_up((name.as_ref(), port)).await?;
            found.retain(is_wanted);
            if found.is_empty() {
                return Err("it has no address of that kind".to_owned());
            }
            Ok(found)
        }
        _ => Err("neither a name nor an IP address".to_owned()),
    }
}

async fn look_up(host: (&str, u16)) -> Result<Vec<SocketAddr>, String> {
    match timeout(STEP, lookup_host(host)).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the resolver is silent for {STEP:?}")),
    }
}

/// Whether a node could listen there; `me`: this node, which may run already.
pub(super) async fn listening(dialler: &Dialler, address: &Multiaddr, me: Option<PeerId>) -> Port {
    let listen = match resolve(address).await.map(|found| found.first().copied()) {
        Ok(Some(address)) => address,
        Ok(None) => return Port::Refused("no address".to_owned()),
        Err(reason) => return Port::Refused(reason),
    };
    match try_port(listen) {
        Port::Taken(who) => match dialler.try_in_turn(&[reach(listen)]).await {
            Answer::Dropped { peer, .. } | Answer::Spoke { peer, .. } if Some(peer) == me => Port::Ours,
            Answer::Dropped { peer, .. } | Answer::Spoke { peer, .. } => {
                Port::Taken(format!("the node {peer}"))
            }
            Answer::NoName(_) | Answer::NoConnection(_) | Answer::NoHandshake(_) => Port::Taken(who),
        },
        tried => tried,
    }
}

/// Opens the port and closes it again.
pub(super) fn try_port(listen: SocketAddr) -> Port {
    match TcpListener::bind(listen) {
        Ok(_) if listen.port() == 0 => Port::Any,
        Ok(_) => Port::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Port::Taken("another process".to_owned()),
        Err(error) => Port::Refused(error.to_string()),
    }
}

/// Where who listens on all addresses can be met.
fn reach(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_become_addresses_of_the_kind_that_is_asked_for() {
        let resolved = |text: &'static str| async move { resolve(&text.parse().unwrap()).await };
        assert_eq!(
            resolved("/ip4/10.0.0.7/tcp/5000").await.unwrap(),
            ["10.0.0.7:5000".parse().unwrap()]
        );
        // A name that needs no list of names: a bare machine has none, not even for localhost.
        assert_eq!(
            resolved("/dns4/127.0.0.1/tcp/1").await.unwrap(),
            ["127.0.0.1:1".parse().unwrap()]
        );
        assert!(resolved("/dns4/nobody.invalid/tcp/1").await.is_err());
    }

    #[tokio::test]
    async fn who_is_no_node_and_who_is_not_there_are_told_apart() {
        let dialler = Dialler {
            key: Keypair::generate_secp256k1(),
            network: "local".parse().unwrap(),
        };
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        assert!(matches!(
            dialler.try_in_turn(&[address]).await,
            Answer::NoHandshake(_)
        ));
        assert!(matches!(try_port(address), Port::Taken(_)));
        drop(silent);
        assert!(matches!(
            dialler.try_in_turn(&[address]).await,
            Answer::NoConnection(_)
        ));
        assert_eq!(try_port(address), Port::Free);
        assert_eq!(try_port("127.0.0.1:0".parse().unwrap()), Port::Any);
        assert!(matches!(
            try_port("192.0.2.1:5000".parse().unwrap()),
            Port::Refused(_)
        ));
    }
}
