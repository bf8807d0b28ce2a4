//! When a node vouches for another's observation: never blind, and for a refusal there is always a named reason.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    address::Address,
    feed::Feed,
    keccak::Digest,
    observation::Observation,
    price::Price,
    time::{Instant, UnixMillis},
};

/// What a node asks of an observation before it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CosignPolicy {
    /// Furthest from the node's own price, in basis points of that.
    pub max_deviation_bps: u32,
    /// Oldest observation to sign, and oldest price of one's own to compare with.
    pub max_age: Duration,
}

/// A node's own latest price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnPrice {
    /// The price.
    pub price: Price,
    /// When it was observed.
    pub observed: Instant,
}

/// Why a node does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no price to compare with, so it abstains.
    #[error("no price of our own to compare with")]
    NoOwnPrice,
    /// Its own price is too old to compare with, so it abstains.
    #[error("our own price is {age:?} old, the limit is {limit:?}")]
    OwnPriceStale {
        /// Its age.
        age: Duration,
        /// The oldest that counts.
        limit: Duration,
    },
    /// The prices differ too much: one of the two nodes is wrong, or was lied to.
    #[error("its price {theirs} is {deviation_bps} bps from ours {ours}, the limit is {limit_bps}")]
    Deviates {
        /// What we see.
        ours: Price,
        /// What was observed.
        theirs: Price,
        /// The difference.
        deviation_bps: u32,
        /// The most that is allowed.
        limit_bps: u32,
    },
    /// The observation is too old to vouch for.
    #[error("it is {age:?} old, the limit is {limit:?}")]
    Stale {
        /// Its age.
        age: Duration,
        /// The oldest that counts.
        limit: Duration,
    },
    /// We have signed another observation of that observer for that time.
    #[error("{observer} stated something else for the same moment, and that is signed already")]
    SignedAnother {
        /// Who made both.
        observer: Address,
    },
    /// It was made before the signer (re)started, which no longer knows what it signed then.
    #[error("it was observed before this signer started")]
    BeforeStart,
}

impl Refusal {
    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoOwnPrice => "no_own_price",
            Self::OwnPriceStale { .. } => "own_price_stale",
            Self::Deviates { .. } => "price_deviates",
            Self::Stale { .. } => "observation_stale",
            Self::SignedAnother { .. } => "signed_another",
            Self::BeforeStart => "before_start",
        }
    }

    /// Whether a new price of our own may change the answer.
    pub fn is_abstention(&self) -> bool {
        matches!(self, Self::NoOwnPrice | Self::OwnPriceStale { .. })
    }
}

impl CosignPolicy {
    /// Whether a node that sees `own` may vouch for `observation`. Membership and signatures were judged before.
    pub fn vouch(
        &self,
        observation: &Observation,
        own: Option<&OwnPrice>,
        now: Instant,
        unix_now: UnixMillis,
    ) -> Result<(), Refusal> {
        let limit = self.max_age;
        let age = unix_now.since(observation.observed_at());
        if age > limit {
            return Err(Refusal::Stale { age, limit });
        }
        let own = own.ok_or(Refusal::NoOwnPrice)?;
        let own_age = now.since(own.observed);
        if own_age > limit {
            return Err(Refusal::OwnPriceStale { age: own_age, limit });
        }
        let (ours, theirs, limit_bps) = (own.price, observation.price(), self.max_deviation_bps);
        let deviation_bps = theirs.deviation_bps(ours);
        if deviation_bps > limit_bps {
            return Err(Refusal::Deviates {
                ours,
                theirs,
                deviation_bps,
                limit_bps,
            });
        }
        Ok(())
    }
}

/// What the signer has put its name to: the last gate, beside the key, whatever it is asked.
///
/// It lives as long as the signer's memory; a new one refuses everything observed before it began, since its
/// predecessor may have signed the opposite.
#[derive(Debug)]
pub struct SigningJournal {
    not_before: UnixMillis,
    signed: HashMap<(Feed, Address, UnixMillis), Digest>,
    order: VecDeque<(Feed, Address, UnixMillis)>,
}

/// Entries kept: at one co-signature a second, over an hour, and no observation lives that long.
const MAX_JOURNAL: usize = 4096;

impl SigningJournal {
    /// An empty journal that begins at `now`.
    pub fn new(now: UnixMillis) -> Self {
        Self {
            not_before: now,
            signed: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The journal of a signer that begins anew at `now` and does not trust its memory: empty, and refusing all that this one
    /// may have signed, which an observer's clock may have dated ahead of `now`.
    pub fn successor(&self, now: UnixMillis) -> Self {
        let after = |at: UnixMillis| UnixMillis::new(at.get().saturating_add(1));
        let signed = self.order.iter().map(|(_, _, observed_at)| after(*observed_at));
        Self::new(signed.fold(now.max(self.not_before), UnixMillis::max))
    }

    /// Enters a co-signature, or says why it must not be made. Entering the same one again is fine.
    pub fn enter(&mut self, observation: &Observation, digest: Digest) -> Result<(), Refusal> {
        let (observer, observed_at) = (observation.observer(), observation.observed_at());
        if observed_at < self.not_before {
            return Err(Refusal::BeforeStart);
        }
        let key = (observation.feed().clone(), observer, observed_at);
        match self.signed.get(&key) {
            Some(signed) if *signed == digest => return Ok(()),
            Some(_) => return Err(Refusal::SignedAnother { observer }),
            None => {}
        }
        if self.order.len() == MAX_JOURNAL
            && let Some(oldest) = self.order.pop_front()
        {
            // What is forgotten must never be signed anew.
            self.not_before = self.not_before.max(UnixMillis::new(oldest.2.get() + 1));
            self.signed.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.signed.insert(key, digest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Quote};

    const LIMIT: Duration = Duration::from_secs(15);
    const POLICY: CosignPolicy = CosignPolicy {
        max_deviation_bps: 50,
        max_age: LIMIT,
    };
    const NOON: u64 = 1_700_000_000_000;

    fn observation(price: &str, at: u64) -> Observation {
        let at = UnixMillis::new(at);
        let quote = Quote {
            source: "coinbase".parse().unwrap(),
            price: price.parse().unwrap(),
            at,
        };
        let evidence = Evidence::new(vec![quote]).unwrap();
        Observation::new("ETH/USD".parse().unwrap(), at, Address::new([1; 20]), evidence)
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn own(price: &str) -> OwnPrice {
        OwnPrice {
            price: price.parse().unwrap(),
            observed: at(100),
        }
    }

    #[test]
    fn a_node_vouches_for_what_it_sees_itself() {
        let vouch = |theirs: &str, ours: &str| {
            POLICY.vouch(
                &observation(theirs, NOON),
                Some(&own(ours)),
                at(101),
                UnixMillis::new(NOON + 1000),
            )
        };
        assert_eq!(vouch("3000", "3000"), Ok(()));
        assert_eq!(vouch("3015", "3000"), Ok(()), "exactly 50 bps");
        assert!(matches!(
            vouch("3015.01", "3000"),
            Err(Refusal::Deviates {
                deviation_bps: 51,
                ..
            })
        ));
        assert!(matches!(
            vouch("2400", "3000"),
            Err(Refusal::Deviates {
                deviation_bps: 2000,
                ..
            })
        ));
    }

    #[test]
    fn without_a_fresh_price_of_its_own_it_abstains() {
        let observation = observation("3000", NOON);
        let now = UnixMillis::new(NOON);
        assert_eq!(
            POLICY.vouch(&observation, None, at(100), now),
            Err(Refusal::NoOwnPrice)
        );
        let stale = POLICY
            .vouch(&observation, Some(&own("3000")), at(116), now)
            .unwrap_err();
        assert_eq!(
            stale,
            Refusal::OwnPriceStale {
                age: Duration::from_secs(16),
                limit: LIMIT
            }
        );
        assert!(stale.is_abstention());
    }

    #[test]
    fn a_stale_observation_is_refused_by_name() {
        let now = UnixMillis::new(NOON + 15_001);
        let refusal = POLICY.vouch(&observation("3000", NOON), Some(&own("3000")), at(100), now);
        assert_eq!(
            refusal,
            Err(Refusal::Stale {
                age: Duration::from_millis(15_001),
                limit: LIMIT
            })
        );
    }

    #[test]
    fn a_signer_never_puts_its_name_to_two_statements_for_one_moment() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON));
        let (first, second) = (observation("3000", NOON), observation("3001", NOON));
        assert_eq!(journal.enter(&first, first.digest(&network)), Ok(()));
        assert_eq!(
            journal.enter(&first, first.digest(&network)),
            Ok(()),
            "the same again"
        );
        let observer = first.observer();
        assert_eq!(
            journal.enter(&second, second.digest(&network)),
            Err(Refusal::SignedAnother { observer })
        );
    }

    #[test]
    fn a_new_signer_refuses_what_its_predecessor_may_have_signed() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON));
        let before = observation("3000", NOON - 1);
        assert_eq!(
            journal.enter(&before, before.digest(&network)),
            Err(Refusal::BeforeStart)
        );
    }

    #[test]
    fn a_successor_refuses_what_was_signed_also_when_it_was_dated_ahead() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON));
        let ahead = observation("3000", NOON + 4000);
        assert_eq!(journal.enter(&ahead, ahead.digest(&network)), Ok(()));
        let mut successor = journal.successor(UnixMillis::new(NOON + 1000));
        let mut enter = |price, at| {
            let observation = observation(price, at);
            successor.enter(&observation, observation.digest(&network))
        };
        assert_eq!(enter("3001", NOON + 4000), Err(Refusal::BeforeStart));
        assert_eq!(enter("3001", NOON + 4001), Ok(()));
        let empty = SigningJournal::new(UnixMillis::new(NOON)).successor(UnixMillis::new(NOON + 1000));
        assert_eq!(empty.not_before, UnixMillis::new(NOON + 1000));
    }

    #[test]
    fn what_the_journal_forgets_can_never_be_signed_again() {
        let network = "local".parse().unwrap();
        let mut journal = SigningJournal::new(UnixMillis::new(NOON));
        for n in 0..=MAX_JOURNAL as u64 {
            let observation = observation("3000", NOON + n);
            assert_eq!(journal.enter(&observation, observation.digest(&network)), Ok(()));
        }
        assert_eq!(journal.signed.len(), MAX_JOURNAL);
        let forgotten = observation("3001", NOON);
        assert_eq!(
            journal.enter(&forgotten, forgotten.digest(&network)),
            Err(Refusal::BeforeStart)
        );
    }
}
