//! Who is connected, by which connections, and which of these should be closed. Knows no socket: it is told, and it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use quorate_protocol::{ALIVE_FOR, Address, Instant};

use super::swarm::{PING_INTERVAL, PING_TIMEOUT};

/// Why a connection is closed on which nobody speaks.
pub(super) const SILENT: &str = "it fell silent";

/// A node introduces itself and subscribes as soon as it is connected. One that has not after this is no node, or believes that we know already
/// since it holds a dead connection of ours; closing heals the second.
const UP_WITHIN: Duration = Duration::from_secs(10);
/// A message may overtake the subscription on another connection, by no more than this.
const OVERTAKE: Duration = Duration::from_secs(2);
/// Before a spare connection is closed: what was sent on it first has arrived by then.
const SETTLE: Duration = Duration::from_secs(2);
/// Connections made within this of each other were dialled by both sides at once.
const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// A peer that keeps two connections for so long has forgotten the first.
const FORGOTTEN: Duration = Duration::from_secs(6);
/// Without an answer to a ping for so long, a peer hangs, or its host is gone: one ping was due, and its time is over. One that has spoken is
/// missed earlier, after [`ALIVE_FOR`]: a node says something more often than that.
const UNANSWERED: Duration = PING_INTERVAL
    .saturating_add(PING_TIMEOUT)
    .saturating_add(Duration::from_secs(1));

/// How a peer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The operator named it.
    Static,
    /// A name resolved to it.
    Dns,
    /// The members file says where it listens.
    Members,
    /// It answered on the local network.
    Mdns,
    /// It came by itself.
    Inbound,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Dns => "dns",
            Self::Members => "members",
            Self::Mdns => "mdns",
            Self::Inbound => "inbound",
        })
    }
}

#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) via: Via,
    pub(super) remote: Multiaddr,
    pub(super) since: Instant,
    /// When it last answered a ping, or was made; `None` if it cannot.
    answered_at: Option<Instant>,
    /// When a message last came by it.
    spoke_at: Option<Instant>,
    /// Whether the peer told on it what it subscribes to, as on a connection that is the first for it.
    is_first_for_peer: bool,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, via: Via, remote: Multiaddr, since: Instant) -> Self {
        Self {
            id,
            via,
            remote,
            since,
            answered_at: Some(since),
            spoke_at: None,
            is_first_for_peer: false,
        }
    }

    fn dialled(&self) -> bool {
        self.via != Via::Inbound
    }

    fn is_silent(&self, now: Instant) -> bool {
        let patience = if self.spoke_at.is_some() {
            ALIVE_FOR
        } else {
            UNANSWERED
        };
        self.answered_at.is_some_and(|answered| {
            now.since(self.spoke_at.map_or(answered, |spoke| spoke.max(answered))) > patience
        })
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: Address,
    /// Oldest first; never empty.
    pub(super) connections: Vec<Connection>,
    pub(super) subscribed: bool,
    /// Whether identify has shown that it is of our network, or failed to show the contrary.
    pub(super) introduced: bool,
    pub(super) agent: Option<String>,
    pub(super) ping: Option<Duration>,
    /// When we last dialled it ourselves.
    pub(super) last_dialled: Option<Instant>,
    /// Why we are closing it.
    close_reason: Option<&'static str>,
}

impl Peer {
    /// Whether it counts as one of us.
    pub(super) fn is_up(&self) -> bool {
        self.subscribed && self.introduced
    }

    fn since(&self) -> Option<Instant> {
        self.connections.first().map(|connection| connection.since)
    }
}

/// What should be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// One connection; the peer stays.
    Spare(ConnectionId),
    /// All connections of a peer.
    Peer(PeerId),
}

/// Bounded by the gate, which bounds connections.
#[derive(Debug)]
pub(super) struct Peers {
    local: PeerId,
    peers: BTreeMap<PeerId, Peer>,
}

impl Peers {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            peers: BTreeMap::new(),
        }
    }

    pub(super) fn connected(&mut self, peer: PeerId, address: Address, connection: Connection) {
        let dialled = connection.dialled().then_some(connection.since);
        let known = self.peers.entry(peer).or_insert_with(|| Peer {
            address,
            connections: Vec::with_capacity(1),
            subscribed: false,
            introduced: false,
            agent: None,
            ping: None,
            last_dialled: None,
            close_reason: None,
        });
        known.last_dialled = dialled.or(known.last_dialled);
        known.connections.push(connection);
    }

    /// A connection closed. If it was the peer's last: the peer as it was, and why we closed it, if we did.
    pub(super) fn closed(&mut self, peer: &PeerId, id: ConnectionId) -> Option<(Peer, Option<&'static str>)> {
        let known = self.peers.get_mut(peer)?;
        known.connections.retain(|connection| connection.id != id);
        if !known.connections.is_empty() {
            return None;
        }
        let gone = self.peers.remove(peer)?;
        let reason = gone.close_reason;
        Some((gone, reason))
    }

    /// Notes why we are about to close all connections of a peer; the first reason stands. `false` if it is not connected.
    pub(super) fn closing(&mut self, peer: &PeerId, reason: &'static str) -> bool {
        match self.peers.get_mut(peer) {
            Some(peer) => {
                peer.close_reason.get_or_insert(reason);
                true
            }
            None => false,
        }
    }

    /// The peer listens to the topic from now on, or no more; whether that took it up or down.
    pub(super) fn subscribed(&mut self, peer: &PeerId, subscribed: bool) -> bool {
        self.peers.get_mut(peer).is_some_and(|peer| {
            let was_up = peer.is_up();
            peer.subscribed = subscribed;
            peer.is_up() != was_up
        })
    }

    /// The peer said who it is, or has nothing to say it with; whether that took it up. Of what it calls its software,
    /// only what is fit to be shown is kept.
    pub(super) fn introduced(&mut self, peer: &PeerId, agent: Option<&str>) -> bool {
        self.peers.get_mut(peer).is_some_and(|peer| {
            let was_up = peer.is_up();
            peer.introduced = true;
            peer.agent = agent.map(|agent| agent.chars().filter(|c| c.is_ascii_graphic()).take(40).collect());
            peer.is_up() != was_up
        })
    }

    /// Whether a message from this peer shows that its subscription was lost: it counts us in, but we not it.
    pub(super) fn lost_its_subscription(&self, peer: &PeerId, now: Instant) -> bool {
        self.peers.get(peer).is_some_and(|peer| {
            !peer.subscribed && peer.since().is_some_and(|since| now.since(since) >= OVERTAKE)
        })
    }

    /// The peer told on this connection what it subscribes to.
    pub(super) fn introduces(&mut self, peer: &PeerId, id: ConnectionId) {
        if let Some(connection) = self.connection(peer, id) {
            connection.is_first_for_peer = true;
        }
    }

    /// The peer answered a ping.
    pub(super) fn answered(&mut self, peer: &PeerId, id: ConnectionId, took: Duration, now: Instant) {
        if let Some(connection) = self.connection(peer, id) {
            connection.answered_at = Some(now);
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.ping = Some(took);
        }
    }

    /// When messages last came.
    pub(super) fn spoke(&mut self, last_word: impl Fn(ConnectionId) -> Option<Instant>) {
        for connection in self.peers.values_mut().flat_map(|peer| &mut peer.connections) {
            connection.spoke_at = last_word(connection.id);
        }
    }

    /// The peer knows no pings, so it cannot miss one.
    pub(super) fn knows_no_pings(&mut self, peer: &PeerId, id: ConnectionId) {
        if let Some(connection) = self.connection(peer, id) {
            connection.answered_at = None;
        }
    }

    fn connection(&mut self, peer: &PeerId, id: ConnectionId) -> Option<&mut Connection> {
        let peer = self.peers.get_mut(peer)?;
        peer.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// What has to be closed by now, and why.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(Close, &'static str)> {
        self.peers
            .iter()
            .flat_map(|(id, peer)| {
                let whole = self.spare(id, peer, now).or_else(|| never_up(id, peer, now));
                silent(id, peer, now).into_iter().chain(whole)
            })
            .collect()
    }

    /// Both sides must come to the same choice, or they close each other's and none is left.
    fn spare(&self, id: &PeerId, peer: &Peer, now: Instant) -> Option<(Close, &'static str)> {
        let [old, new, ..] = peer.connections.as_slice() else {
            return None;
        };
        let age = now.since(new.since);
        if age < SETTLE {
            return None;
        }
        let simultaneous = new.since.since(old.since) <= SIMULTANEOUS;
        if simultaneous && old.dialled() != new.dialled() {
            // Both dialled: the connection of the smaller id stays.
            let ours_stays = self.local < *id;
            let spare = if old.dialled() == ours_stays { new } else { old };
            Some((Close::Spare(spare.id), "both dialled"))
        } else if new.is_first_for_peer {
            // It started anew, perhaps at another address, and its old connection did not end. Only on a first connection will
            // gossipsub announce our subscription, so both go and are dialled anew.
            Some((
                Close::Peer(*id),
                "it has started anew, so it has lost the connection that we hold",
            ))
        } else if new.dialled() {
            // We dialled an address without knowing whose it is; now we know.
            Some((Close::Spare(new.id), "connected already"))
        } else if age >= FORGOTTEN {
            // The peer would have closed it if it knew of the old one.
            Some((
                Close::Peer(*id),
                "it dialled again, so it has lost the connection that we hold",
            ))
        } else {
            None
        }
    }

    /// Whether everybody is up, on one connection each: nothing is about to be closed, but for a peer that falls silent.
    pub(super) fn are_settled(&self) -> bool {
        let is_settled = |peer: &Peer| peer.is_up() && peer.connections.len() == 1;
        self.peers.values().all(is_settled)
    }

    pub(super) fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.peers.get(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.peers.iter()
    }

    /// Who is connected, of our network, and listens to the topic.
    pub(super) fn up(&self) -> BTreeSet<Address> {
        self.peers
            .values()
            .filter(|peer| peer.is_up())
            .map(|peer| peer.address)
            .collect()
    }
}

/// Connections on which nobody speaks.
fn silent(id: &PeerId, peer: &Peer, now: Instant) -> Vec<(Close, &'static str)> {
    let silent: Vec<_> = peer
        .connections
        .iter()
        .filter(|connection| connection.is_silent(now))
        .collect();
    if silent.len() == peer.connections.len() {
        return vec![(Close::Peer(*id), SILENT)];
    }
    let spare = silent
        .iter()
        .map(|connection| (Close::Spare(connection.id), SILENT));
    spare.collect()
}

fn never_up(id: &PeerId, peer: &Peer, now: Instant) -> Option<(Close, &'static str)> {
    let late = !peer.is_up() && now.since(peer.since()?) >= UP_WITHIN;
    let reason = if peer.subscribed {
        "it did not introduce itself"
    } else {
        "it did not subscribe to the topic"
    };
    late.then_some((Close::Peer(*id), reason))
}

/// Something about who is up that the Aggregator does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Up(Address),
    Down(Address),
}

/// Who is up as far as the Aggregator knows, so that a full mailbox delays the news and never loses it.
#[derive(Debug, Default)]
pub(super) struct Announced {
    up: BTreeSet<Address>,
}

impl Announced {
    /// What is to be sent, given who is up.
    pub(super) fn changes(&self, up: &BTreeSet<Address>) -> Vec<Change> {
        let down = self.up.difference(up).copied().map(Change::Down);
        down.chain(up.difference(&self.up).copied().map(Change::Up))
            .collect()
    }

    /// This was sent.
    pub(super) fn sent(&mut self, change: Change) {
        match change {
            Change::Up(address) => self.up.insert(address),
            Change::Down(address) => self.up.remove(&address),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn ids() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        (a.min(b), a.max(b))
    }

    fn conn(id: usize) -> ConnectionId {
        ConnectionId::new_unchecked(id)
    }

    fn connect(peers: &mut Peers, peer: PeerId, id: usize, via: Via, millis: u64) {
        let connection = Connection::new(conn(id), via, Multiaddr::empty(), at(millis));
        peers.connected(peer, Address::new([1; 20]), connection);
    }

    fn bring_up(peers: &mut Peers, peer: &PeerId) {
        peers.introduced(peer, None);
        peers.subscribed(peer, true);
    }

    #[test]
    fn a_peer_is_up_while_it_is_connected_introduced_and_subscribed() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        assert!(!peers.subscribed(&peer, true), "not even connected");
        connect(&mut peers, peer, 1, Via::Static, 0);
        assert!(!peers.introduced(&peer, None));
        assert!(peers.up().is_empty());
        assert!(peers.subscribed(&peer, true));
        assert!(!peers.subscribed(&peer, true), "no news");
        assert_eq!(peers.up().len(), 1);
        connect(&mut peers, peer, 2, Via::Inbound, 0);
        assert!(
            peers.closed(&peer, conn(1)).is_none(),
            "another connection is left"
        );
        assert_eq!(peers.up().len(), 1);
        assert!(peers.closed(&peer, conn(2)).is_some());
        assert!(peers.up().is_empty());
    }

    #[test]
    fn the_first_reason_to_close_is_the_one_that_is_told() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Static, 0);
        assert!(peers.closing(&peer, "a flood"));
        peers.closing(&peer, "not subscribed");
        assert_eq!(peers.closed(&peer, conn(1)).unwrap().1, Some("a flood"));
        assert!(!peers.closing(&peer, "a flood"));
    }

    #[test]
    fn of_two_simultaneous_dials_both_sides_keep_the_one_of_the_smaller_id() {
        let (small, large) = ids();
        let (mut here, mut there) = (Peers::new(small), Peers::new(large));
        // Connection 1 was dialled by the larger id, 2 by the smaller; each side saw them in another order.
        connect(&mut here, large, 1, Via::Inbound, 0);
        connect(&mut here, large, 2, Via::Static, 100);
        connect(&mut there, small, 2, Via::Inbound, 0);
        connect(&mut there, small, 1, Via::Mdns, 4_000);
        assert!(here.overdue(at(2_000)).is_empty(), "it has to settle first");
        assert_eq!(here.overdue(at(2_100)), [(Close::Spare(conn(1)), "both dialled")]);
        assert_eq!(
            there.overdue(at(6_000)),
            [(Close::Spare(conn(1)), "both dialled")]
        );
    }

    #[test]
    fn who_dials_a_peer_twice_closes_the_second() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        bring_up(&mut peers, &peer);
        connect(&mut peers, peer, 2, Via::Static, 60_000);
        peers.answered(&peer, conn(1), Duration::ZERO, at(60_000));
        assert_eq!(
            peers.overdue(at(62_000)),
            [(Close::Spare(conn(2)), "connected already")]
        );
    }

    #[test]
    fn a_peer_that_comes_a_second_time_and_keeps_both_starts_anew() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Static, 0);
        bring_up(&mut peers, &peer);
        connect(&mut peers, peer, 2, Via::Inbound, 60_000);
        peers.answered(&peer, conn(1), Duration::ZERO, at(60_000));
        assert!(
            peers.overdue(at(65_999)).is_empty(),
            "it may be about to close it itself"
        );
        assert!(matches!(peers.overdue(at(66_000))[..], [(Close::Peer(id), _)] if id == peer));
    }

    #[test]
    fn who_does_not_subscribe_is_let_go() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        assert!(peers.overdue(at(9_999)).is_empty());
        assert!(matches!(peers.overdue(at(10_000))[..], [(Close::Peer(id), _)] if id == peer));
        peers.subscribed(&peer, true);
        let overdue = peers.overdue(at(10_000));
        assert!(
            overdue[0].1.contains("introduce"),
            "nor is it enough alone: {overdue:?}"
        );
        bring_up(&mut peers, &peer);
        assert!(peers.overdue(at(10_000)).is_empty());
    }

    #[test]
    fn a_message_from_a_peer_that_is_not_subscribed_shows_that_its_subscription_was_lost() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        assert!(
            !peers.lost_its_subscription(&peer, at(1_999)),
            "the subscription may be under way"
        );
        assert!(peers.lost_its_subscription(&peer, at(2_000)));
        peers.subscribed(&peer, true);
        assert!(!peers.lost_its_subscription(&peer, at(2_000)));
    }

    #[test]
    fn who_answers_no_ping_for_the_time_of_one_is_given_up() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        bring_up(&mut peers, &peer);
        peers.answered(&peer, conn(1), Duration::from_millis(3), at(6_000));
        assert!(peers.overdue(at(75_000)).is_empty());
        assert_eq!(peers.overdue(at(75_001)), [(Close::Peer(peer), SILENT)]);
        peers.knows_no_pings(&peer, conn(1));
        assert!(peers.overdue(at(900_000)).is_empty(), "it never would");
    }

    #[test]
    fn who_has_spoken_and_falls_silent_is_given_up_when_it_would_have_spoken_again() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        bring_up(&mut peers, &peer);
        peers.spoke(|_| Some(at(10_000)));
        assert!(peers.overdue(at(55_000)).is_empty());
        assert_eq!(peers.overdue(at(55_001)), [(Close::Peer(peer), SILENT)]);
        peers.answered(&peer, conn(1), Duration::ZERO, at(55_000));
        assert!(peers.overdue(at(100_000)).is_empty(), "it had nothing to say");
    }

    #[test]
    fn a_peer_that_started_anew_elsewhere_is_dialled_anew_though_its_old_connection_stands() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Static, 0);
        peers.introduces(&peer, conn(1));
        bring_up(&mut peers, &peer);
        peers.answered(&peer, conn(1), Duration::ZERO, at(60_000));
        // We dialled its new address, or it dialled us.
        for via in [Via::Dns, Via::Inbound] {
            connect(&mut peers, peer, 2, via, 60_000);
            peers.introduces(&peer, conn(2));
            assert!(matches!(peers.overdue(at(62_000))[..], [(Close::Peer(id), _)] if id == peer));
            peers.closed(&peer, conn(2));
        }
    }

    #[test]
    fn what_a_peer_calls_itself_is_cut_before_it_is_shown() {
        let (local, peer) = ids();
        let mut peers = Peers::new(local);
        connect(&mut peers, peer, 1, Via::Inbound, 0);
        peers.introduced(&peer, Some(&format!("evil\n\u{1b}[31m {}", "x".repeat(1000))));
        let agent = peers.get(&peer).unwrap().agent.clone().unwrap();
        assert!(agent.len() == 40 && agent.starts_with("evil[31mxxx"), "{agent:?}");
    }

    #[test]
    fn a_change_is_due_until_it_is_sent() {
        let (a, b) = (Address::new([1; 20]), Address::new([2; 20]));
        let mut announced = Announced::default();
        let up = BTreeSet::from([a, b]);
        assert_eq!(announced.changes(&up), [Change::Up(a), Change::Up(b)]);
        announced.sent(Change::Up(a));
        assert_eq!(announced.changes(&up), [Change::Up(b)]);
        assert_eq!(announced.changes(&BTreeSet::new()), [Change::Down(a)]);
        announced.sent(Change::Down(a));
        assert!(announced.changes(&BTreeSet::new()).is_empty());
    }
}
