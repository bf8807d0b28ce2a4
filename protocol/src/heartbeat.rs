//! A node's sign of life.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    address::Address, digest::Digest, digest::eip712, encoding::bounded_list, names::Feed, names::Network,
    signing::NodeKey, signing::Signature, time::UnixMillis,
};

const HEARTBEAT_TYPE: &str = "Heartbeat(address node,string version,string[] feeds,uint64 sentAt,uint64 lastObservation,\
bytes32 lastRecord,uint64 uptime)";

/// Most feeds that a node may announce.
pub const MAX_FEEDS: usize = 16;
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
