//! Why a node does not sign.

use std::time::Duration;

use crate::{address::Address, price::Price};

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
    pub const LABELS: [&'static str; 9] = [
        "no_own_price",
        "own_price_stale",
        "price_deviates",
        "observation_stale",
        "observation_future",
        "quarantined",
        "signer_not_alive",
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
            Self::Quarantined { .. } => "quarantined",
            Self::SignerNotAlive { .. } => "signer_not_alive",
            Self::SignedAnother { .. } => "signed_another",
            Self::BeforeStart => "before_start",
        }
    }

    /// Whether it is for lack of knowledge, and says nothing about the observer.
    pub fn is_abstention(&self) -> bool {
        matches!(
            self,
            Self::NoOwnPrice | Self::OwnPriceStale { .. } | Self::BeforeStart
        )
    }

    /// Whether a new price of our own, or news of who is alive, may change the answer.
    pub fn may_change(&self) -> bool {
        matches!(
            self,
            Self::NoOwnPrice
                | Self::OwnPriceStale { .. }
                | Self::Deviates { .. }
                | Self::SignerNotAlive { .. }
        )
    }
}
