//! Whom to dial and when: every known address is tried, with a growing pause, for as long as its peer is not connected.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use quorate_protocol::Instant;

use super::{config::DnsPeers, peers::Via};

/// The first pause. A node that restarts is back within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest. A third of the default write window, so that a node that comes back misses one record at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A connection that lasted this long was a success; one that breaks sooner counts as a failed attempt, so that a peer that
/// hangs up on us is not dialled four times a second.
const LASTING: Duration = Duration::from_secs(10);
/// How often the schedule looks whether a known peer is still connected.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Pause after an address turned out to be our own, of another network, or of no member: it may belong to somebody else later.
const NOT_FOR_US: Duration = Duration::from_secs(60);
/// Of two nodes that find each other by multicast, the one with the larger id waits, so that one dials and not both.
const LARGER_ID_WAITS: Duration = Duration::from_secs(1);
/// Addresses known. Multicast answers and names could bring any number.
const MAX_TARGETS: usize = 512;
/// Dials started in one go: below the gate's limit of handshakes in progress.
const MAX_DIALS: usize = 16;

#[derive(Debug)]
struct Target {
    via: Via,
    /// The name that resolved to it.
    name: Option<DnsPeers>,
    /// Who must answer.
    expected: Option<PeerId>,
    /// Who answered last.
    met: Option<PeerId>,
    met_at: Option<Instant>,
    failures: u32,
    next: Instant,
    dialling: bool,
}

impl Target {
    fn peer(&self) -> Option<PeerId> {
        self.expected.or(self.met)
    }
}

/// An address to dial now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) address: Multiaddr,
    pub(super) expected: Option<PeerId>,
}

/// A dial that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) address: Multiaddr,
    pub(super) via: Via,
    /// In a row, this one included.
    pub(super) failures: u32,
    pub(super) pause: Duration,
}

#[derive(Debug)]
pub(super) struct DialQueue {
    local: PeerId,
    targets: BTreeMap<Multiaddr, Target>,
    dialling: HashMap<ConnectionId, Multiaddr>,
}

impl DialQueue {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            targets: BTreeMap::new(),
            dialling: HashMap::new(),
        }
    }

    /// Learns an address, to be dialled at once. `false` if it is known, our own, or one too many.
    pub(super) fn add(&mut self, address: Multiaddr, via: Via, now: Instant) -> bool {
        self.insert(address, via, None, now)
    }

    fn insert(&mut self, address: Multiaddr, via: Via, name: Option<DnsPeers>, now: Instant) -> bool {
        let (address, expected) = split(address);
        if expected == Some(self.local)
            || self.targets.contains_key(&address)
            || self.targets.len() >= MAX_TARGETS
        {
            return false;
        }
        let waits = via == Via::Mdns && expected.is_some_and(|peer| self.local > peer);
        let target = Target {
            via,
            name,
            expected,
            met: None,
            met_at: None,
            failures: 0,
            next: if waits { now + LARGER_ID_WAITS } else { now },
            dialling: false,
        };
        self.targets.insert(address, target);
        true
    }

    /// Forgets a multicast answer that expired. What is connected stays connected.
    pub(super) fn expired(&mut self, address: Multiaddr) {
        let (address, _) = split(address);
        if self
            .targets
            .get(&address)
            .is_some_and(|target| target.via == Via::Mdns)
        {
            self.targets.remove(&address);
        }
    }

    /// Takes over what a name resolves to now: new addresses come in, vanished ones go.
    pub(super) fn resolved(&mut self, name: &DnsPeers, addresses: &[Multiaddr], now: Instant) {
        self.targets
            .retain(|address, target| target.name.as_ref() != Some(name) || addresses.contains(address));
        for address in addresses {
            self.insert(address.clone(), Via::Dns, Some(name.clone()), now);
        }
    }

    /// Takes over where members listen now: new addresses come in, those of removed members go.
    pub(super) fn listed(&mut self, endpoints: &[Multiaddr], now: Instant) {
        let addresses: Vec<Multiaddr> = endpoints
            .iter()
            .map(|endpoint| split(endpoint.clone()).0)
            .collect();
        self.targets
            .retain(|address, target| target.via != Via::Members || addresses.contains(address));
        for endpoint in endpoints {
            self.insert(endpoint.clone(), Via::Members, None, now);
        }
    }

    /// Whether a peer is known by its multicast answers only: it may be of another network on the same wire.
    pub(super) fn is_known_by_multicast(&self, peer: &PeerId) -> bool {
        let mut known = self
            .targets
            .values()
            .filter(|target| target.peer() == Some(*peer))
            .peekable();
        known.peek().is_some() && known.all(|target| target.via == Via::Mdns)
    }

    /// What to dial now. Each must be followed by [`DialQueue::dialling`] or [`DialQueue::skipped`].
    /// A peer that the gate does not admit is not dialled where its id is known; where it is not, who answers may be another one.
    pub(super) fn due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
        is_admitted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Dial> {
        let mut dials = Vec::new();
        for (address, target) in &mut self.targets {
            if target.dialling || target.next > now {
                continue;
            }
            // In this order: whether it is admitted takes some computing.
            if target.peer().is_some_and(|peer| is_connected(&peer))
                || target.expected.is_some_and(|peer| !is_admitted(&peer))
            {
                target.next = now + LOOK_AGAIN;
            } else if dials.len() < MAX_DIALS {
                target.dialling = true;
                dials.push(Dial {
                    address: address.clone(),
                    expected: target.expected,
                });
            }
        }
        dials
    }

    /// When the next dial is due: nothing while whoever is known is connected, or being dialled.
    pub(super) fn next_due(
        &self,
        is_connected: impl Fn(&PeerId) -> bool,
        is_admitted: impl Fn(&PeerId) -> bool,
    ) -> Option<Instant> {
        let waits = |target: &&Target| {
            !target.dialling
                && !target.peer().is_some_and(|peer| is_connected(&peer))
                && target.expected.is_none_or(|peer| is_admitted(&peer))
        };
        let waiting = self.targets.values().filter(waits);
        waiting.map(|target| target.next).min()
    }

    /// The dial of `address` is under way as this connection.
    pub(super) fn dialling(&mut self, address: Multiaddr, connection: ConnectionId) {
        self.dialling.insert(connection, address);
    }

    /// The dial of `address` was not even begun, since the peer is being dialled elsewhere or connected.
    pub(super) fn skipped(&mut self, address: &Multiaddr, now: Instant) {
        if let Some(target) = self.targets.get_mut(address) {
            target.dialling = false;
            target.next = now + LOOK_AGAIN;
        }
    }

    /// A connection that we dialled stands; how its address was found.
    pub(super) fn connected(&mut self, connection: ConnectionId, peer: PeerId, now: Instant) -> Option<Via> {
        let address = self.dialling.remove(&connection)?;
        let target = self.targets.get_mut(&address)?;
        target.dialling = false;
        target.met = Some(peer);
        target.met_at = Some(now);
        target.next = now + LOOK_AGAIN;
        Some(target.via)
    }

    /// A dial failed; `jitter` is any number.
    pub(super) fn failed(&mut self, connection: ConnectionId, now: Instant, jitter: u64) -> Option<Failure> {
        let address = self.dialling.remove(&connection)?;
        self.postpone(address, now, jitter)
    }

    /// A dial could not be begun.
    pub(super) fn refused(&mut self, address: &Multiaddr, now: Instant, jitter: u64) -> Option<Failure> {
        self.postpone(address.clone(), now, jitter)
    }

    fn postpone(&mut self, address: Multiaddr, now: Instant, jitter: u64) -> Option<Failure> {
        let target = self.targets.get_mut(&address)?;
        let pause = pause(target.failures, jitter);
        target.dialling = false;
        target.failures = target.failures.saturating_add(1);
        target.next = now + pause;
        Some(Failure {
            via: target.via,
            failures: target.failures,
            pause,
            address,
        })
    }

    /// The address of a dial turned out to be our own.
    pub(super) fn answered_by_ourselves(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(target) = self
            .dialling
            .remove(&connection)
            .and_then(|address| self.targets.get_mut(&address))
        {
            target.dialling = false;
            target.next = now + NOT_FOR_US;
        }
    }

    /// Who answered a dial is no member; the address.
    pub(super) fn answered_by_stranger(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        now: Instant,
    ) -> Option<Multiaddr> {
        let address = self.dialling.remove(&connection)?;
        let target = self.targets.get_mut(&address)?;
        target.dialling = false;
        target.met = Some(peer);
        target.met_at = None;
        target.next = now + NOT_FOR_US;
        Some(address)
    }

    /// Who may be connected has changed: all addresses that wait are looked at now.
    pub(super) fn all_are_due(&mut self, now: Instant) {
        for target in self.targets.values_mut() {
            target.next = now;
            target.failures = 0;
        }
    }

    /// The last connection to a peer closed: its addresses are due again.
    pub(super) fn lost(&mut self, peer: &PeerId, now: Instant, jitter: u64) {
        for target in self.targets.values_mut() {
            if target.dialling || target.peer() != Some(*peer) {
                continue;
            }
            let lasted = target.met_at.take().map(|since| now.since(since));
            let pause = match lasted {
                Some(lasted) if lasted < LASTING => {
                    target.failures = target.failures.saturating_add(1);
                    pause(target.failures - 1, jitter)
                }
                _ => {
                    target.failures = 0;
                    pause(0, jitter)
                }
            };
            target.next = now + pause;
        }
    }

    /// The peer is not for us (another network): look again much later.
    pub(super) fn not_for_us(&mut self, peer: &PeerId, now: Instant) {
        for target in self.targets.values_mut() {
            if target.peer() == Some(*peer) {
                target.next = now + NOT_FOR_US;
            }
        }
    }
}

/// `FIRST_PAUSE * 2^failures`, at most `LONGEST_PAUSE`, give or take a quarter.
fn pause(failures: u32, jitter: u64) -> Duration {
    let pause = FIRST_PAUSE
        .saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(LONGEST_PAUSE);
    // Between 750 and 1250 thousandths.
    pause * (750 + u32::try_from(jitter % 501).unwrap_or(0)) / 1000
}

/// The address as it is dialled, and the peer that it asks for.
fn split(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The middle of the jitter: no change.
    const EVEN: u64 = 250;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn conn(id: usize) -> ConnectionId {
        ConnectionId::new_unchecked(id)
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn nobody(_: &PeerId) -> bool {
        false
    }

    fn everybody(_: &PeerId) -> bool {
        true
    }

    fn dial(queue: &mut DialQueue, millis: u64, id: usize) -> bool {
        let due = queue.due(at(millis), nobody, everybody);
        for dial in &due {
            queue.dialling(dial.address.clone(), conn(id));
        }
        due.len() == 1
    }

    #[test]
    fn pauses_double_from_a_quarter_second_to_ten() {
        let mut queue = DialQueue::new(PeerId::random());
        queue.add(address(1), Via::Static, at(0));
        let (mut now, mut pauses) = (0, Vec::new());
        for id in 0..8 {
            assert!(dial(&mut queue, now, id));
            assert!(!dial(&mut queue, now, 99), "never twice at a time");
            let failure = queue.failed(conn(id), at(now), EVEN).unwrap();
            assert_eq!(failure.failures, id as u32 + 1);
            let pause = failure.pause.as_millis() as u64;
            assert!(!dial(&mut queue, now + pause - 1, 99));
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert!(
            pause(40, 0) == Duration::from_millis(7_500) && pause(40, 500) == Duration::from_millis(12_500)
        );
    }

    #[test]
    fn a_connected_peer_is_left_alone_and_dialled_soon_after_it_is_lost() {
        let (mut queue, peer) = (DialQueue::new(PeerId::random()), PeerId::random());
        queue.add(address(1), Via::Static, at(0));
        assert!(dial(&mut queue, 0, 1));
        assert_eq!(queue.connected(conn(1), peer, at(100)), Some(Via::Static));
        for second in 1..20 {
            assert!(
                queue
                    .due(at(second * 1000), |id| *id == peer, everybody)
                    .is_empty()
            );
        }
        assert_eq!(queue.next_due(|id| *id == peer, everybody), None);
        queue.lost(&peer, at(20_000), EVEN);
        assert_eq!(queue.next_due(nobody, everybody), Some(at(20_250)));
        assert!(!dial(&mut queue, 20_249, 2));
        assert!(dial(&mut queue, 20_250, 2));
    }

    #[test]
    fn a_peer_that_hangs_up_at_once_is_dialled_ever_more_rarely() {
        let (mut queue, peer) = (DialQueue::new(PeerId::random()), PeerId::random());
        queue.add(address(1), Via::Static, at(0));
        let (mut now, mut dials) = (0, 0);
        while now < 60_000 {
            if dial(&mut queue, now, dials) {
                queue.connected(conn(dials), peer, at(now));
                queue.lost(&peer, at(now), EVEN);
                dials += 1;
            }
            now += 50;
        }
        assert!(dials < 12, "{dials}");
    }

    #[test]
    fn our_own_address_is_not_dialled() {
        let local = PeerId::random();
        let mut queue = DialQueue::new(local);
        assert!(!queue.add(address(1).with(Protocol::P2p(local)), Via::Static, at(0)));
        // Without an id in it, the first dial shows.
        queue.add(address(2), Via::Dns, at(0));
        assert!(dial(&mut queue, 0, 1));
        queue.answered_by_ourselves(conn(1), at(0));
        assert!(!dial(&mut queue, 59_999, 2));
    }

    #[test]
    fn a_stranger_is_dialled_rarely_where_others_may_answer_and_never_where_only_it_can() {
        let stranger = PeerId::random();
        let mut queue = DialQueue::new(PeerId::random());
        let pinned = address(2).with(Protocol::P2p(stranger));
        queue.add(address(1), Via::Static, at(0));
        queue.add(pinned, Via::Static, at(0));
        let dialled = |queue: &mut DialQueue, now| {
            let due = queue.due(now, nobody, |peer| *peer != stranger);
            due.into_iter().map(|dial| dial.address).collect::<Vec<_>>()
        };
        assert_eq!(dialled(&mut queue, at(0)), [address(1)]);
        queue.dialling(address(1), conn(1));
        assert_eq!(
            queue.answered_by_stranger(conn(1), stranger, at(0)),
            Some(address(1))
        );
        for second in 1..60 {
            assert!(dialled(&mut queue, at(second * 1000)).is_empty());
        }
        assert_eq!(dialled(&mut queue, at(60_000)), [address(1)]);
        queue.dialling(address(1), conn(2));
        queue.answered_by_stranger(conn(2), stranger, at(60_000));
        // It becomes a member.
        queue.all_are_due(at(60_001));
        assert_eq!(queue.due(at(60_001), nobody, everybody).len(), 2);
    }

    #[test]
    fn of_two_that_find_each_other_by_multicast_the_larger_id_waits() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let (small, large) = (a.min(b), a.max(b));
        let (mut here, mut there) = (DialQueue::new(small), DialQueue::new(large));
        here.add(address(2).with(Protocol::P2p(large)), Via::Mdns, at(0));
        there.add(address(1).with(Protocol::P2p(small)), Via::Mdns, at(0));
        assert!(dial(&mut here, 0, 1));
        assert!(!dial(&mut there, 999, 1));
        assert!(dial(&mut there, 1_000, 1), "in case the other cannot reach us");
    }

    #[test]
    fn an_expired_multicast_answer_is_forgotten_but_not_what_the_operator_named() {
        let (mut queue, peer) = (DialQueue::new(PeerId::random()), PeerId::random());
        queue.add(address(1), Via::Static, at(0));
        queue.add(address(2).with(Protocol::P2p(peer)), Via::Mdns, at(0));
        for port in [1, 2] {
            queue.expired(address(port).with(Protocol::P2p(peer)));
        }
        assert_eq!(queue.targets.keys().collect::<Vec<_>>(), [&address(1)]);
    }

    #[test]
    fn who_is_known_by_multicast_only_may_be_of_another_network() {
        let (mut queue, peer) = (DialQueue::new(PeerId::random()), PeerId::random());
        let named = |port| address(port).with(Protocol::P2p(peer));
        assert!(!queue.is_known_by_multicast(&peer));
        queue.add(named(1), Via::Mdns, at(0));
        assert!(queue.is_known_by_multicast(&peer));
        queue.add(named(2), Via::Static, at(0));
        assert!(!queue.is_known_by_multicast(&peer), "the operator named it too");
    }

    #[test]
    fn a_name_stands_for_what_it_resolves_to_now() {
        let mut queue = DialQueue::new(PeerId::random());
        let (name, other) = ("a:1".parse().unwrap(), "b:1".parse().unwrap());
        queue.add(address(9), Via::Static, at(0));
        queue.resolved(&other, &[address(7)], at(0));
        queue.resolved(&name, &[address(1), address(2)], at(0));
        queue.resolved(&name, &[address(2), address(3)], at(0));
        let known: Vec<_> = queue.targets.keys().cloned().collect();
        assert_eq!(known, [2, 3, 7, 9].map(address));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let mut queue = DialQueue::new(PeerId::random());
        for port in 0..2000 {
            queue.add(address(port), Via::Mdns, at(0));
        }
        assert_eq!(queue.targets.len(), MAX_TARGETS);
        assert_eq!(queue.due(at(0), nobody, everybody).len(), MAX_DIALS);
        assert_eq!(
            queue.due(at(0), nobody, everybody).len(),
            MAX_DIALS,
            "the next ones, not the same"
        );
    }
}
