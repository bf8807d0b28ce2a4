//! Whom the bridge dials, where it finds them, and what it logs when they do not answer.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    io,
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId, Swarm, mdns,
    multiaddr::Protocol,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use quorate_protocol::Instant;

use super::{
    config::{BridgeConfig, DnsPeers},
    dial_queue::{Dial, DialQueue, Failure},
    gate::Refusal,
    peers::{Peers, Via},
    swarm::Behaviour,
};

/// Between two look-ups of a name; as long as a cluster's resolver usually keeps an answer.
const RESOLVE_EVERY: Duration = Duration::from_secs(10);
/// The same while a node is alone: nodes that start together get their names one by one.
const RESOLVE_ALONE: Duration = Duration::from_secs(1);
/// From this failure in a row on it is told: a name that is being made exists by then.
const TOLD_AFTER: u32 = 5;
/// And then at every so many.
const TOLD_EVERY: u32 = 60;
/// Addresses taken from one answer.
const MAX_ADDRESSES: usize = 256;

/// What the failure of a dial shows about who answered.
pub(super) enum Answered {
    /// Nobody whom it would be worth to know.
    Nobody,
    /// This node, or another one with its key.
    OwnKey,
    /// Somebody who is no member.
    Stranger(PeerId, Multiaddr),
}

/// The queue of addresses, and the hand that dials them.
pub(super) struct Dialler {
    pub(super) queue: DialQueue,
    jitter: RandomState,
}

impl Dialler {
    /// Knows the addresses of the configuration; those behind names follow by [`Dialler::resolved`].
    pub(super) fn new(local: PeerId, config: &BridgeConfig, now: Instant) -> Self {
        let mut queue = DialQueue::new(local);
        for address in &config.peers {
            queue.add(address.clone(), Via::Static, now);
        }
        queue.listed(&config.endpoints, now);
        Self {
            queue,
            jitter: RandomState::new(),
        }
    }

    /// When it is somebody's turn.
    pub(super) fn next_due(&self, swarm: &Swarm<Behaviour>, peers: &Peers) -> Option<Instant> {
        let gate = &swarm.behaviour().gate;
        self.queue.next_due(
            |peer| peers.is_connected(peer) || gate.is_banned(peer),
            |peer| gate.admits(peer),
        )
    }

    /// Dials whose turn it is.
    pub(super) fn dial_due(&mut self, swarm: &mut Swarm<Behaviour>, peers: &Peers, now: Instant) {
        let gate = &swarm.behaviour().gate;
        let due = self.queue.due(
            now,
            |peer| peers.is_connected(peer) || gate.is_banned(peer),
            |peer| gate.admits(peer),
        );
        for dial in due {
            let options = dial_options(&dial);
            let connection = options.connection_id();
            match swarm.dial(options) {
                Ok(()) => self.queue.dialling(dial.address, connection),
                Err(DialError::DialPeerConditionFalse(_)) => self.queue.skipped(&dial.address, now),
                Err(error) => {
                    let jitter = self.jitter.hash_one(connection);
                    if let Some(failure) = self.queue.refused(&dial.address, now, jitter) {
                        log_failure(&failure, &error);
                    }
                }
            }
        }
    }

    /// A dial came to nothing.
    pub(super) fn failed(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
        now: Instant,
    ) -> Answered {
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.queue.answered_by_ourselves(connection, now);
            return Answered::OwnKey;
        }
        if let (Some(peer), DialError::Denied { cause }) = (peer, error)
            && cause.downcast_ref() == Some(&Refusal::NotMember)
        {
            let address = self.queue.answered_by_stranger(connection, peer, now);
            return address.map_or(Answered::Nobody, |address| Answered::Stranger(peer, address));
        }
        let jitter = self.jitter.hash_one(connection);
        if let Some(failure) = self.queue.failed(connection, now, jitter) {
            log_failure(&failure, error);
        }
        Answered::Nobody
    }

    /// The last connection to a peer closed.
    pub(super) fn lost(&mut self, peer: &PeerId, connection: ConnectionId, now: Instant) {
        self.queue.lost(peer, now, self.jitter.hash_one(connection));
    }

    /// Multicast answers came, or were not renewed.
    pub(super) fn on_mdns(&mut self, event: mdns::Event, now: Instant) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    let address = address.with_p2p(peer).unwrap_or_else(|address| address);
                    self.queue.add(address, Via::Mdns, now);
                }
            }
            mdns::Event::Expired(gone) => {
                for (_, address) in gone {
                    self.queue.expired(address);
                }
            }
        }
    }

    /// A look-up of a name is done, after so many failures in a row; how many it is now.
    pub(super) fn resolved(
        &mut self,
        name: &DnsPeers,
        found: io::Result<Vec<Multiaddr>>,
        failures: u32,
        now: Instant,
    ) -> u32 {
        let error = match found {
            Ok(addresses) => {
                log::debug!("name resolved: name={name} addresses={}", addresses.len());
                self.queue.resolved(name, &addresses, now);
                return 0;
            }
            Err(error) => error,
        };
        // What it resolved to before stays: the resolver may be away for a moment.
        let failures = failures.saturating_add(1);
        let level = if is_news(failures) {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(
            level,
            "name not resolved: name={name} failures={failures} reason=\"{error}\" remedy=\"check --dns-peers, and \
             that the name exists\""
        );
        failures
    }
}

/// How long until the next look-up.
pub(super) fn pause(has_peers: bool) -> Duration {
    if has_peers { RESOLVE_EVERY } else { RESOLVE_ALONE }
}

/// Whether an operator should hear of so many failures in a row.
pub(super) fn is_news(failures: u32) -> bool {
    failures >= TOLD_AFTER && (failures - TOLD_AFTER).is_multiple_of(TOLD_EVERY)
}

/// Looks a name up. Ends when the system's resolver does: one look-up of a name runs at a time, so they do not pile up.
pub(super) async fn look_up(name: &DnsPeers) -> io::Result<Vec<Multiaddr>> {
    let addresses: BTreeSet<Multiaddr> = tokio::net::lookup_host(name.host_and_port())
        .await?
        .take(MAX_ADDRESSES)
        .map(|address| Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port())))
        .collect();
    Ok(addresses.into_iter().collect())
}

/// A new port each, since a port in use for listening cannot be used again towards the same peer right after a restart.
fn dial_options(dial: &Dial) -> DialOpts {
    match dial.expected {
        Some(peer) => DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![dial.address.clone()])
            .allocate_new_port()
            .build(),
        None => DialOpts::unknown_peer_id()
            .address(dial.address.clone())
            .allocate_new_port()
            .build(),
    }
}

/// Failures after which a peer that the operator named is worth a warning, once: nodes that start together are some seconds apart.
const WARN_AT: u32 = 4;

fn log_failure(failure: &Failure, error: &DialError) {
    let Failure {
        address,
        via,
        failures,
        pause,
    } = failure;
    let level = match (via, failures) {
        (Via::Static | Via::Members, 1) => log::Level::Info,
        (Via::Static | Via::Members, failures) if *failures == WARN_AT => log::Level::Warn,
        _ => log::Level::Debug,
    };
    log::log!(
        level,
        "peer unreachable: addr={address} via={via} failures={failures} retry_in={pause:?} reason=\"{}\"",
        why(error)
    );
}

/// The transports' errors hold each other, and each tells the whole chain: the innermost says it all.
fn why(error: &DialError) -> String {
    let DialError::Transport(failed) = error else {
        return with_causes(error);
    };
    let Some((_, first)) = failed.first() else {
        return with_causes(error);
    };
    let mut innermost: &dyn std::error::Error = first;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    with_causes(innermost)
}

/// libp2p's errors keep the interesting half in their source.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_told_of_now_and_then() {
        let told: Vec<u32> = (1..=130).filter(|failures| is_news(*failures)).collect();
        assert_eq!(told, [5, 65, 125]);
    }

    #[tokio::test]
    async fn a_name_becomes_the_addresses_behind_it() {
        let addresses = look_up(&"localhost:5000".parse().unwrap()).await.unwrap();
        assert!(
            addresses.contains(&"/ip4/127.0.0.1/tcp/5000".parse().unwrap()),
            "{addresses:?}"
        );
    }
}
