//! What one node states.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize, de::Error as _};

use crate::{
    address::Address,
    digest::{Digest, eip712, keccak256},
    evidence::Evidence,
    link::Link,
    names::{Feed, Network},
    price::Price,
    time::UnixMillis,
};

/// The EIP-712 type of what is signed; part of the contract with every verifier.
pub(crate) const OBSERVATION_TYPE: &str = "PriceObservation(string feed,uint64 sequence,bytes32 previous,uint256 price,uint64 observedAt,address observer,\
bytes32 evidence)";

/// A price as one node saw it, with the quotes behind it and the record that it follows. Its price is the median of the
/// quotes: checked on every way in.
///
/// On the wire: the array `[feed, sequence, previous, price, observed_at, observer, quotes]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    feed: Feed,
    link: Link,
    price: Price,
    observed_at: UnixMillis,
    observer: Address,
    evidence: Evidence,
}

impl Observation {
    /// States the median of `evidence`, observed at `observed_at` by `observer`, as the record of `feed` with this place.
    pub fn new(
        feed: Feed,
        link: Link,
        observed_at: UnixMillis,
        observer: Address,
        evidence: Evidence,
    ) -> Self {
        Self {
            feed,
            link,
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

    /// The place in the feed's history that it is stated for.
    pub fn link(&self) -> Link {
        self.link
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
        let Self {
            feed,
            link,
            price,
            observed_at,
            observer,
            evidence,
        } = self;
        digest(network, feed, *link, *price, *observed_at, observer, evidence)
    }
}

/// The digest of an observation with these contents.
pub(crate) fn digest(
    network: &Network,
    feed: &Feed,
    link: Link,
    price: Price,
    observed_at: UnixMillis,
    observer: &Address,
    evidence: &Evidence,
) -> Digest {
    static TYPE_HASH: LazyLock<Digest> = LazyLock::new(|| keccak256([OBSERVATION_TYPE.as_bytes()]));
    let fields = [
        eip712::string(feed.as_str()),
        eip712::uint(link.sequence().into()),
        *link.previous().as_bytes(),
        eip712::uint(price.scaled()),
        eip712::uint(observed_at.get().into()),
        eip712::address(observer),
        *evidence.hash().as_bytes(),
    ];
    eip712::digest_of_type(network, &TYPE_HASH, &fields)
}

impl Serialize for Observation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            feed,
            link,
            price,
            observed_at,
            observer,
            evidence,
        } = self;
        let (sequence, previous) = (link.sequence(), link.previous());
        (feed, sequence, previous, price, observed_at, observer, evidence).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Observation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (feed, sequence, previous, price, observed_at, observer, evidence) =
            <(Feed, u64, Digest, Price, UnixMillis, Address, Evidence)>::deserialize(deserializer)?;
        let link = Link::new(sequence, previous).map_err(D::Error::custom)?;
        if observed_at > UnixMillis::MAX {
            return Err(D::Error::custom("the time lies behind the year 9999"));
        }
        let observation = Self::new(feed, link, observed_at, observer, evidence);
        if observation.price != price {
            return Err(D::Error::custom("the price is not the median of its quotes"));
        }
        Ok(observation)
    }
}
