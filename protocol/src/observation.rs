//! What one node states.

use serde::{Deserialize, Serialize, de::Error as _};

use crate::{
    address::Address,
    digest::{Digest, eip712},
    evidence::Evidence,
    names::{Feed, Network},
    price::Price,
    time::UnixMillis,
};

/// The EIP-712 type of what is signed; part of the contract with every verifier.
pub(crate) const OBSERVATION_TYPE: &str =
    "PriceObservation(string feed,uint256 price,uint64 observedAt,address observer,bytes32 evidence)";

/// A price as one node saw it, with the quotes behind it. Its price is their median: checked on every way in.
///
/// On the wire: the array `[feed, price, observed_at, observer, quotes]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Wire")]
pub struct Observation {
    feed: Feed,
    price: Price,
    observed_at: UnixMillis,
    observer: Address,
    evidence: Evidence,
}

type Wire = (Feed, Price, UnixMillis, Address, Evidence);

impl Observation {
    /// States the median of `evidence`, observed at `observed_at` by `observer`.
    pub fn new(feed: Feed, observed_at: UnixMillis, observer: Address, evidence: Evidence) -> Self {
        Self {
            feed,
            price: evidence.median(),
            observed_at,
            observer,
            evidence,
        }
    }

    /// What is priced.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The price: the median of the quotes.
    pub fn price(&self) -> Price {
        self.price
    }

    /// When the observer made it, by its own clock.
    pub fn observed_at(&self) -> UnixMillis {
        self.observed_at
    }

    /// Who states it.
    pub fn observer(&self) -> Address {
        self.observer
    }

    /// The quotes behind the price.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The EIP-712 digest in `network`: what the observer and all who vouch for the observation sign.
    pub fn digest(&self, network: &Network) -> Digest {
        let fields = [
            eip712::string(self.feed.as_str()),
            eip712::uint(self.price.scaled()),
            eip712::uint(self.observed_at.get().into()),
            eip712::address(&self.observer),
            *self.evidence.hash().as_bytes(),
        ];
        eip712::digest(network, OBSERVATION_TYPE, &fields)
    }
}

impl From<Observation> for Wire {
    fn from(o: Observation) -> Self {
        (o.feed, o.price, o.observed_at, o.observer, o.evidence)
    }
}

impl<'de> Deserialize<'de> for Observation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (feed, price, observed_at, observer, evidence) = Wire::deserialize(deserializer)?;
        if observed_at > UnixMillis::MAX {
            return Err(D::Error::custom("the time lies behind the year 9999"));
        }
        let observation = Self::new(feed, observed_at, observer, evidence);
        if observation.price != price {
            return Err(D::Error::custom("the price is not the median of its quotes"));
        }
        Ok(observation)
    }
}
