//! When a node vouches for another's observation: never blind, and for a refusal there is always a named reason.

mod journal;

use std::time::Duration;

pub use journal::SigningJournal;

use crate::{
    address::Address,
    digest::Digest,
    evidence::AgreedPrice,
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
    /// How far ahead of this node's clock an observation may be dated.
    pub future_tolerance: Duration,
}

impl CosignPolicy {
    /// Whether a node that sees `own`, or has a reason to believe no price of its own, may vouch for `observation`. Membership
    /// and signatures were judged before.
    pub fn vouch(
        &self,
        observation: &Observation,
        own: Result<&AgreedPrice, Refusal>,
        now: Instant,
        unix_now: UnixMillis,
    ) -> Result<(), Refusal> {
        let limit = self.max_age;
        let age = unix_now.since(observation.observed_at());
        if age > limit {
            return Err(Refusal::Stale { age, limit });
        }
        let (ahead, tolerance) = (observation.observed_at().since(unix_now), self.future_tolerance);
        if ahead > tolerance {
            return Err(Refusal::Future {
                ahead,
                limit: tolerance,
            });
        }
        let own = own?;
        let own_age = now.since(own.observed);
        if own_age > limit {
            return Err(Refusal::OwnPriceStale { age: own_age, limit });
        }
        let (ours, theirs, limit_bps) = (own.price(), observation.price(), self.max_deviation_bps);
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

/// This many sources of one node are believed however far a price has moved: with two of them one exchange decides.
pub const AGREEING_SOURCES: usize = 3;
/// After so many windows a price is believed that stands far from the last record: what an exchange states that long is no slip.
pub const PATIENT_WINDOWS: u32 = 3;

/// How far a price may lie from the last record that is `elapsed` old: `max_move_bps` for the first window and as much again for
/// each further one, in parts. Saturates.
pub fn move_limit_bps(max_move_bps: u32, elapsed: Duration, window: Duration) -> u32 {
    let (elapsed, window) = (elapsed.max(window).as_millis(), window.as_millis().max(1));
    u32::try_from(u128::from(max_move_bps) * elapsed / window).unwrap_or(u32::MAX)
}

/// The least time since the last record after which [`move_limit_bps`] lets a price be so far from it. Saturates.
pub fn time_to_move(max_move_bps: u32, moved_bps: u32, window: Duration) -> Duration {
    let millis = window.as_millis().saturating_mul(u128::from(moved_bps));
    let millis = millis.div_ceil(u128::from(max_move_bps.max(1)));
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
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
    /// The observation is dated ahead of our clock: one of two clocks is wrong.
    #[error("it is dated {ahead:?} ahead, the limit is {limit:?}")]
    Future {
        /// How far ahead.
        ahead: Duration,
        /// The tolerance.
        limit: Duration,
    },
    /// Our own price is far from the last record, on the word of few sources and for a short time: a market crashes seldom, an
    /// exchange errs often. It says nothing about the observer.
    #[error(
        "our own price {ours} is {moved_bps} bps from the last record {record}, the limit is {limit_bps} until {AGREEING_SOURCES} \
         of our sources agree on it ({sources} do) or it has stood for {PATIENT_WINDOWS} windows"
    )]
    MovedTooFar {
        /// What we see.
        ours: Price,
        /// The last record's price.
        record: Price,
        /// How far apart they are.
        moved_bps: u32,
        /// How far a price may have moved in the time since.
        limit_bps: u32,
        /// How many of our sources agree on it.
        sources: usize,
    },
    /// Its observer made two statements for one window not long ago.
    #[error("its observer equivocated, and is in quarantine for another {left:?}")]
    Quarantined {
        /// How long it stays there.
        left: Duration,
    },
    /// A validator vouches for the other signers too, and has not heard of this one.
    #[error("its signer {signer} is not known to be alive")]
    SignerNotAlive {
        /// Who signed it.
        signer: Address,
    },
    /// It follows another record than the last one that this node knows: one of the two has missed something.
    #[error("record {sequence} follows {ours} here, and {theirs} there")]
    OtherHistory {
        /// Its number.
        sequence: u64,
        /// The record before it as we know it.
        ours: Digest,
        /// As the observer does.
        theirs: Digest,
    },
    /// We have signed another observation of that observer for that window.
    #[error("{observer} stated something else for the same window, and that is signed already")]
    SignedAnother {
        /// Who made both.
        observer: Address,
    },
    /// It was made before the signer (re)started, which no longer knows what it signed then.
    #[error("it was observed before this signer started")]
    BeforeStart,
}

impl Refusal {
    /// Every [`Refusal::label`].
    pub const LABELS: [&'static str; 11] = [
        "no_own_price",
        "own_price_stale",
        "price_deviates",
        "observation_stale",
        "observation_future",
        "moved_too_far",
        "quarantined",
        "signer_not_alive",
        "other_history",
        "signed_another",
        "before_start",
    ];

    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoOwnPrice => "no_own_price",
            Self::OwnPriceStale { .. } => "own_price_stale",
            Self::Deviates { .. } => "price_deviates",
            Self::Stale { .. } => "observation_stale",
            Self::Future { .. } => "observation_future",
            Self::MovedTooFar { .. } => "moved_too_far",
            Self::Quarantined { .. } => "quarantined",
            Self::SignerNotAlive { .. } => "signer_not_alive",
            Self::OtherHistory { .. } => "other_history",
            Self::SignedAnother { .. } => "signed_another",
            Self::BeforeStart => "before_start",
        }
    }

    /// Whether it is for lack of knowledge, and says nothing about the observer.
    pub fn is_abstention(&self) -> bool {
        matches!(
            self,
            Self::NoOwnPrice
                | Self::OwnPriceStale { .. }
                | Self::MovedTooFar { .. }
                | Self::OtherHistory { .. }
                | Self::BeforeStart
        )
    }

    /// Whether the price is off by more than twice what is tolerated, so that nobody who looked can have signed it.
    pub fn is_far_off(&self) -> bool {
        matches!(self, Self::Deviates { deviation_bps, limit_bps, .. } if *deviation_bps > limit_bps.saturating_mul(2))
    }

    /// Whether a new price of our own, or news of who is alive, may change the answer.
    pub fn may_change(&self) -> bool {
        matches!(
            self,
            Self::NoOwnPrice
                | Self::OwnPriceStale { .. }
                | Self::Deviates { .. }
                | Self::MovedTooFar { .. }
                | Self::SignerNotAlive { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{Evidence, Quote},
        link::Link,
    };

    const LIMIT: Duration = Duration::from_secs(15);
    const POLICY: CosignPolicy = CosignPolicy {
        max_deviation_bps: 50,
        max_age: LIMIT,
        future_tolerance: Duration::from_secs(5),
    };
    const NOON: u64 = 1_700_000_000_000;

    fn observation(price: &str, at: u64) -> Observation {
        let at = UnixMillis::new(at);
        Observation::new(
            "ETH/USD".parse().unwrap(),
            Link::FIRST,
            at,
            crate::Address::new([1; 20]),
            evidence(price, at),
        )
    }

    fn evidence(price: &str, at: UnixMillis) -> Evidence {
        let quote = Quote {
            source: "coinbase".parse().unwrap(),
            price: price.parse().unwrap(),
            at,
        };
        Evidence::new(vec![quote]).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn own(price: &str) -> AgreedPrice {
        AgreedPrice {
            feed: "ETH/USD".parse().unwrap(),
            evidence: evidence(price, UnixMillis::new(NOON)),
            observed_at: UnixMillis::new(NOON),
            observed: at(100),
        }
    }

    #[test]
    fn the_time_after_which_a_move_is_allowed_is_the_first_at_which_its_limit_is_reached() {
        let (window, ms) = (Duration::from_secs(30), Duration::from_millis(1));
        for moved_bps in [1001, 1500, 2000, 3000, 9999, 29_999] {
            let time = time_to_move(1000, moved_bps, window);
            assert!(move_limit_bps(1000, time, window) >= moved_bps, "{moved_bps}");
            assert!(move_limit_bps(1000, time - ms, window) < moved_bps, "{moved_bps}");
        }
    }

    #[test]
    fn a_node_vouches_for_what_it_sees_itself() {
        let vouch = |theirs: &str, ours: &str| {
            POLICY.vouch(
                &observation(theirs, NOON),
                Ok(&own(ours)),
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
            POLICY.vouch(&observation, Err(Refusal::NoOwnPrice), at(100), now),
            Err(Refusal::NoOwnPrice)
        );
        let stale = POLICY
            .vouch(&observation, Ok(&own("3000")), at(116), now)
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
        let refusal = POLICY.vouch(&observation("3000", NOON), Ok(&own("3000")), at(100), now);
        assert_eq!(
            refusal,
            Err(Refusal::Stale {
                age: Duration::from_millis(15_001),
                limit: LIMIT
            })
        );
    }

    #[test]
    fn an_observation_that_is_dated_ahead_is_refused_by_name() {
        let vouch = |at: u64| {
            POLICY.vouch(
                &observation("3000", at),
                Ok(&own("3000")),
                self::at(100),
                UnixMillis::new(NOON),
            )
        };
        assert_eq!(vouch(NOON + 5000), Ok(()));
        let (ahead, limit) = (Duration::from_millis(5001), Duration::from_secs(5));
        assert_eq!(vouch(NOON + 5001), Err(Refusal::Future { ahead, limit }));
    }
}
