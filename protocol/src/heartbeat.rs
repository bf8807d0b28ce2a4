//! A node's sign of life.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    address::Address,
    digest::{Digest, eip712},
    encoding::bounded_list,
    names::{Feed, Network},
    signing::{NodeKey, Signature},
    time::{Instant, UnixMillis},
};

const HEARTBEAT_TYPE: &str = "Heartbeat(address node,string version,string[] feeds,uint64 sentAt,uint64 lastObservation,\
bytes32 lastRecord,uint64 uptime)";

/// How long a node may say nothing before it says that it is alive. Longer than the usual write window of 30 s, and a late one: who
/// states a price in each needs no other sign of life.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(35);

/// Without a sign of life for this long, a node is not counted as alive: one that hangs is forgotten with the second window that it
/// misses. The interval, and time for the message on a busy network.
pub const ALIVE_FOR: Duration = Duration::from_secs(45);

/// A node that says other things all the time tells its version so often all the same: to who has just forgotten it.
const LONGEST_WITHOUT: Duration = Duration::from_secs(600);

/// How long newcomers wait for a sign of life: those that come together get one.
const NEWCOMERS_WAIT: Duration = Duration::from_secs(1);

/// Most feeds that a node may price and announce; docs/feeds.md says what so many cost.
pub const MAX_FEEDS: usize = 100;
const MAX_VERSION_BYTES: usize = 32;

/// Who is alive, and what it last did.
///
/// On the wire: `[node, version, feeds, sent_at, last_observation, last_record, uptime_s, signature]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Wire")]
pub struct Heartbeat {
    /// Who sends it.
    pub node: Address,
    /// The version of its software.
    pub version: String,
    /// The feeds that it prices.
    pub feeds: Vec<Feed>,
    /// When it was sent, by the sender's clock.
    pub sent_at: UnixMillis,
    /// When the sender last observed a price; 0 if never.
    pub last_observation: UnixMillis,
    /// The last record that the sender knows of; zeros if none.
    pub last_record: Digest,
    /// Seconds since the sender started.
    pub uptime_s: u64,
    /// The sender's signature over all of this.
    pub signature: Signature,
}

type Wire = (
    Address,
    String,
    Feeds,
    UnixMillis,
    UnixMillis,
    Digest,
    u64,
    Signature,
);

#[derive(Serialize, Deserialize)]
struct Feeds(#[serde(deserialize_with = "bounded_list::<_, _, MAX_FEEDS>")] Vec<Feed>);

impl Heartbeat {
    /// The EIP-712 digest that the sender signs.
    pub fn digest(&self, network: &Network) -> Digest {
        let fields = [
            eip712::address(&self.node),
            eip712::string(&self.version),
            eip712::strings(self.feeds.iter().map(Feed::as_str)),
            eip712::uint(self.sent_at.get().into()),
            eip712::uint(self.last_observation.get().into()),
            *self.last_record.as_bytes(),
            eip712::uint(self.uptime_s.into()),
        ];
        eip712::digest(network, HEARTBEAT_TYPE, &fields)
    }

    /// The same heartbeat in the name of `key`, signed by it.
    pub fn signed(mut self, network: &Network, key: &NodeKey) -> Self {
        self.node = key.address();
        self.signature = key.sign(self.digest(network));
        self
    }

    /// Whether the signature is the sender's.
    pub fn is_authentic(&self, network: &Network) -> bool {
        self.signature.recover(self.digest(network)) == Ok(self.node)
    }
}

impl From<Heartbeat> for Wire {
    fn from(h: Heartbeat) -> Self {
        let feeds = Feeds(h.feeds);
        (
            h.node,
            h.version,
            feeds,
            h.sent_at,
            h.last_observation,
            h.last_record,
            h.uptime_s,
            h.signature,
        )
    }
}

impl<'de> Deserialize<'de> for Heartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (node, version, Feeds(feeds), sent_at, last_observation, last_record, uptime_s, signature) =
            Wire::deserialize(deserializer)?;
        if version.len() > MAX_VERSION_BYTES || !version.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(D::Error::custom(
                "the version is longer than 32 bytes, or not printable",
            ));
        }
        Ok(Self {
            node,
            version,
            feeds,
            sent_at,
            last_observation,
            last_record,
            uptime_s,
            signature,
        })
    }
}

/// When a node's next sign of life is due: when it has said nothing else for a while, when somebody came who has not heard
/// one, and now and then for what only a sign of life tells.
#[derive(Debug, Default)]
pub struct HeartbeatSchedule {
    /// When this node last said anything that others know it to be alive by.
    spoke: Option<Instant>,
    /// When it last gave a sign of life.
    sent: Option<Instant>,
    /// When the first of those came who have not heard one.
    newcomers_since: Option<Instant>,
}

impl HeartbeatSchedule {
    /// The node published an observation of its own.
    pub fn on_observation(&mut self, now: Instant) {
        self.spoke = Some(now);
    }

    /// A peer came.
    pub fn on_peer_up(&mut self, now: Instant) {
        self.newcomers_since.get_or_insert(now);
    }

    /// When to call [`HeartbeatSchedule::take_due`] at the latest, if the node says nothing else before.
    pub fn next_due(&self, now: Instant) -> Instant {
        let silent = self.spoke.map_or(now, |spoke| spoke + HEARTBEAT_INTERVAL);
        let without = self.sent.map_or(now, |sent| sent + LONGEST_WITHOUT);
        let newcomers = self.newcomers_since.map(|since| since + NEWCOMERS_WAIT);
        silent.min(without).min(newcomers.unwrap_or(silent))
    }

    /// Whether a sign of life is due; then it is taken for given.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.next_due(now) <= now;
        if is_due {
            (self.spoke, self.sent, self.newcomers_since) = (Some(now), Some(now), None);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_silent_node_says_every_35_s_that_it_is_alive() {
        let mut schedule = HeartbeatSchedule::default();
        let due: Vec<u64> = (0..=110)
            .filter(|second| schedule.take_due(at(*second)))
            .collect();
        assert_eq!(due, [0, 35, 70, 105]);
        assert_eq!(schedule.next_due(at(110)), at(140));
        assert!(
            HEARTBEAT_INTERVAL < ALIVE_FOR,
            "or it would be forgotten in between"
        );
    }

    #[test]
    fn observations_are_signs_of_life_but_one_in_ten_minutes_tells_the_rest() {
        let mut schedule = HeartbeatSchedule::default();
        let due: Vec<u64> = (0..=1210)
            .filter(|second| {
                if second % 30 == 0 {
                    schedule.on_observation(at(*second));
                }
                schedule.take_due(at(*second))
            })
            .collect();
        assert_eq!(due, [0, 600, 1200]);
    }

    #[test]
    fn newcomers_get_to_know_a_node_within_a_second_and_together() {
        let mut schedule = HeartbeatSchedule::default();
        assert!(schedule.take_due(at(0)));
        schedule.on_peer_up(at(2));
        assert!(!schedule.take_due(at(2)));
        schedule.on_peer_up(at(3));
        assert!(schedule.take_due(at(3)));
        assert!(!schedule.take_due(at(4)));
    }
}
