//! Whom the bridge dials, where it finds them, and what it says when they do not answer.

use std::hash::BuildHasher;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use libp2p::{
    Multiaddr, PeerId, mdns,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{
    GossipBridge,
    config::DnsPeers,
    dns,
    gate::Refusal,
    peers::Via,
    redial::{self, Dial},
};

impl GossipBridge {
    pub(super) fn dial_due(&mut self) {
        let now = self.clock.now();
        let Some(swarm) = &mut self.swarm else {
            return;
        };
        let gate = &swarm.behaviour().gate;
        let due = self.redial.due(
            now,
            |peer| self.peers.is_connected(peer) || gate.is_banned(peer),
            |peer| gate.admits(peer),
        );
        for dial in due {
            let options = dial_options(&dial);
            let connection = options.connection_id();
            match swarm.dial(options) {
                Ok(()) => self.redial.dialling(dial.address, connection),
                Err(DialError::DialPeerConditionFalse(_)) => self.redial.not_dialled(&dial.address, now),
                Err(error) => {
                    let jitter = self.jitter.hash_one(connection);
                    if let Some(failure) = self.redial.refused(&dial.address, now, jitter) {
                        log_failure(&failure, &error);
                    }
                }
            }
        }
    }

    pub(super) fn on_dial_failed(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) {
        let now = self.clock.now();
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.mirror.outgoing(now);
            self.redial.is_ourselves(connection, now);
        } else if let (Some(peer), DialError::Denied { cause }) = (peer, error)
            && cause.downcast_ref() == Some(&Refusal::NotMember)
        {
            if let Some(address) = self.redial.is_stranger(connection, peer, now) {
                self.log_stranger(peer, &address);
            }
        } else if let Some(failure) = self
            .redial
            .failed(connection, now, self.jitter.hash_one(connection))
        {
            log_failure(&failure, error);
        }
    }

    pub(super) fn on_mdns(&mut self, event: mdns::Event) {
        let now = self.clock.now();
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    let address = address.with_p2p(peer).unwrap_or_else(|address| address);
                    self.redial.add(address, Via::Mdns, now);
                }
                self.dial_due();
            }
            mdns::Event::Expired(gone) => {
                for (_, address) in gone {
                    self.redial.expired(address);
                }
            }
        }
    }

    /// Looks a name up now and, when that is done, again and again.
    pub(super) fn resolve(&mut self, name: DnsPeers, failures: u32, ctx: &mut Context<Self>) {
        let looked_up = {
            let name = name.clone();
            async move { dns::resolve(&name).await }
        };
        let done = looked_up.into_actor(self).map(move |found, bridge, ctx| {
            let failures = match found {
                Ok(addresses) => {
                    log::debug!("name resolved: name={name} addresses={}", addresses.len());
                    bridge.redial.resolved(&name, &addresses, bridge.clock.now());
                    bridge.dial_due();
                    0
                }
                // What it resolved to before stays: the resolver may be away for a moment.
                Err(error) => {
                    let failures = failures.saturating_add(1);
                    let level = if dns::is_news(failures) {
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
            };
            let pause = dns::pause(!bridge.peers.up().is_empty());
            ctx.run_later(pause, move |bridge, ctx| bridge.resolve(name, failures, ctx));
        });
        ctx.spawn(done);
    }
}

impl GossipBridge {
    pub(super) fn dial_members_at(&mut self, endpoints: Vec<Multiaddr>) {
        self.redial.listed(&endpoints, self.clock.now());
        // For a later restart too.
        self.config.endpoints = endpoints;
        self.dial_due();
    }
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

/// The first failure of what the operator named is worth a warning; that it goes on failing is not.
fn log_failure(failure: &redial::Failure, error: &DialError) {
    let redial::Failure {
        address,
        via,
        failures,
        pause,
    } = failure;
    let level = match (via, failures) {
        (Via::Static | Via::Members, 1) => log::Level::Warn,
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
