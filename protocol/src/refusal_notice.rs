//! Why a node did not vouch for an observation, said to all: so that an operator sees why a price did not pass.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    address::Address,
    digest::{Digest, eip712},
    names::Network,
    signing::{NodeKey, Signature},
    time::UnixMillis,
};

const REFUSAL_TYPE: &str =
    "Refusal(bytes32 observation,address observer,string reason,address node,uint64 sentAt)";

const MAX_REASON_BYTES: usize = 32;

/// A signed word of a node that it refuses to sign an observation. It changes no decision of anybody.
///
/// On the wire: `[observation, observer, reason, node, sent_at, signature]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Wire")]
pub struct RefusalNotice {
    /// The digest of the observation.
    pub observation: Digest,
    /// Whose observation it is.
    pub observer: Address,
    /// The name of the reason, as in [`crate::cosign::Refusal::label`]: 1 to 32 of `a-z` and `_`.
    pub reason: String,
    /// Who refuses.
    pub node: Address,
    /// When, by its clock.
    pub sent_at: UnixMillis,
    /// The refusing node's signature over all of this.
    pub signature: Signature,
}

type Wire = (Digest, Address, String, Address, UnixMillis, Signature);

impl RefusalNotice {
    /// The notice of this refusal in the name of `key`.
    pub fn sign(
        observation: Digest,
        observer: Address,
        reason: &str,
        sent_at: UnixMillis,
        network: &Network,
        key: &NodeKey,
    ) -> Self {
        let node = key.address();
        let signature = key.sign(digest(network, observation, observer, reason, node, sent_at));
        Self {
            observation,
            observer,
            reason: reason.to_owned(),
            node,
            sent_at,
            signature,
        }
    }

    /// Whether the refusing node really said so.
    pub fn is_authentic(&self, network: &Network) -> bool {
        let Self {
            observation,
            observer,
            reason,
            node,
            sent_at,
            ..
        } = self;
        let digest = digest(network, *observation, *observer, reason, *node, *sent_at);
        self.signature.recover(digest) == Ok(*node)
    }
}

fn digest(
    network: &Network,
    observation: Digest,
    observer: Address,
    reason: &str,
    node: Address,
    sent_at: UnixMillis,
) -> Digest {
    let fields = [
        *observation.as_bytes(),
        eip712::address(&observer),
        eip712::string(reason),
        eip712::address(&node),
        eip712::uint(sent_at.get().into()),
    ];
    eip712::digest(network, REFUSAL_TYPE, &fields)
}

impl From<RefusalNotice> for Wire {
    fn from(n: RefusalNotice) -> Self {
        (
            n.observation,
            n.observer,
            n.reason,
            n.node,
            n.sent_at,
            n.signature,
        )
    }
}

impl<'de> Deserialize<'de> for RefusalNotice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (observation, observer, reason, node, sent_at, signature) = Wire::deserialize(deserializer)?;
        let fits = |b: u8| b.is_ascii_lowercase() || b == b'_';
        if !(1..=MAX_REASON_BYTES).contains(&reason.len()) || !reason.bytes().all(fits) {
            return Err(D::Error::custom("the reason is no name of 1 to 32 of a-z and _"));
        }
        Ok(Self {
            observation,
            observer,
            reason,
            node,
            sent_at,
            signature,
        })
    }
}
