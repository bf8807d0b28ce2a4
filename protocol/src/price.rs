//! Prices as fixed-point numbers: no float anywhere, so that every node computes and signs the same bits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A price, scaled by 10^18 as Ethereum scales amounts. Always positive, at most [`Price::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u128);

/// Why a text is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePriceError {
    /// Something else than digits with at most one point (a sign, an exponent, `NaN`, a separator).
    #[error("{0:?} is not a plain decimal number")]
    NotDecimal(String),
    /// More than 18 digits behind the point that are not zero.
    #[error("{0:?} has more than 18 decimals")]
    TooPrecise(String),
    /// Zero is no price.
    #[error("{0:?} is zero")]
    Zero(String),
    /// More than [`Price::MAX`].
    #[error("{0:?} is larger than 10^18")]
    TooLarge(String),
}

/// Prices longer than this are cut in error messages: an exchange's answer is not ours to log whole.
const SHOWN_CHARS: usize = 40;

impl Price {
    /// Decimal places.
    pub const DECIMALS: u32 = 18;
    /// One unit of the quote currency.
    pub const ONE: Price = Price(10u128.pow(Self::DECIMALS));
    /// 10^18 units of the quote currency: far above any price, and low enough that no sum or product of ours overflows.
    pub const MAX: Price = Price(10u128.pow(36));

    /// A price from its scaled value; `None` for zero and above [`Price::MAX`].
    pub const fn from_scaled(scaled: u128) -> Option<Self> {
        if scaled == 0 || scaled > Self::MAX.0 {
            None
        } else {
            Some(Self(scaled))
        }
    }

    /// The price times 10^18.
    pub const fn scaled(self) -> u128 {
        self.0
    }

    /// Halfway between two prices, rounded down to 10^-18.
    pub const fn midpoint(self, other: Self) -> Self {
        Self(self.0.midpoint(other.0))
    }

    /// How far `self` is from `reference`, in basis points of the reference, rounded up; saturates at `u32::MAX`.
    ///
    /// Rounded up so that "at most 50" never lets 50.4 through.
    pub fn deviation_bps(self, reference: Self) -> u32 {
        let distance = self.0.abs_diff(reference.0);
        match distance.checked_mul(10_000) {
            Some(scaled) => u32::try_from(scaled.div_ceil(reference.0)).unwrap_or(u32::MAX),
            // More than 10^34 scaled units apart: divide first, the loss is below one part in 10^16.
            None => u32::try_from(distance / (reference.0 / 10_000).max(1)).unwrap_or(u32::MAX),
        }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / Self::ONE.0, self.0 % Self::ONE.0);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{fraction:018}").trim_end_matches('0'))
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Price {
    type Err = ParsePriceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(SHOWN_CHARS).collect::<String>();
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(ParsePriceError::NotDecimal(shown())),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(ParsePriceError::NotDecimal(shown()));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > Self::DECIMALS as usize {
            return Err(ParsePriceError::TooPrecise(shown()));
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > 19 {
            return Err(ParsePriceError::TooLarge(shown()));
        }
        let number = format!("{whole}{fraction:0<18}");
        // At most 19 + 18 digits: always fits in a u128.
        let scaled = number
            .parse::<u128>()
            .map_err(|_| ParsePriceError::TooLarge(shown()))?;
        match scaled {
            0 => Err(ParsePriceError::Zero(shown())),
            _ => Self::from_scaled(scaled).ok_or_else(|| ParsePriceError::TooLarge(shown())),
        }
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?
                .parse()
                .map_err(D::Error::custom);
        }
        let scaled = u128::deserialize(deserializer)?;
        Self::from_scaled(scaled)
            .ok_or_else(|| D::Error::custom("a price is above 0 and at most 10^36 when scaled"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn parses_plain_decimals_only() {
        assert_eq!(price("3012.45").scaled(), 3_012_450_000_000_000_000_000);
        assert_eq!(price("0.000000000000000001").scaled(), 1);
        assert_eq!(price("007.10"), price("7.1"));
        for garbage in [
            "", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "inf", "1,000", "0x10", " 1", "1 ", "१",
        ] {
            assert!(
                matches!(garbage.parse::<Price>(), Err(ParsePriceError::NotDecimal(_))),
                "{garbage:?}"
            );
        }
        assert!(matches!("0.00".parse::<Price>(), Err(ParsePriceError::Zero(_))));
        assert!(matches!(
            "1.0000000000000000001".parse::<Price>(),
            Err(ParsePriceError::TooPrecise(_))
        ));
        assert!(matches!(
            "1000000000000000001".parse::<Price>(),
            Err(ParsePriceError::TooLarge(_))
        ));
        assert!(
            matches!("9".repeat(5000).parse::<Price>(), Err(ParsePriceError::TooLarge(text)) if text.len() == 40)
        );
    }

    #[test]
    fn deviation_is_in_basis_points_of_the_reference_rounded_up() {
        assert_eq!(price("101").deviation_bps(price("100")), 100);
        assert_eq!(price("99").deviation_bps(price("100")), 100);
        assert_eq!(price("100.5001").deviation_bps(price("100")), 51);
        assert_eq!(price("100").deviation_bps(price("100")), 0);
        assert_eq!(Price::MAX.deviation_bps(Price(1)), u32::MAX);
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same_price(scaled in 1..=Price::MAX.0) {
            prop_assert_eq!(Price(scaled).to_string().parse(), Ok(Price(scaled)));
        }

        #[test]
        fn the_midpoint_lies_between(a in 1..=Price::MAX.0, b in 1..=Price::MAX.0) {
            let middle = Price(a).midpoint(Price(b)).0;
            prop_assert!(a.min(b) <= middle && middle <= a.max(b));
        }

        #[test]
        fn deviation_never_panics_and_is_zero_only_for_equals(a in 1..=Price::MAX.0, b in 1..=Price::MAX.0) {
            prop_assert_eq!(Price(a).deviation_bps(Price(b)) == 0, a == b);
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Price>();
        }
    }
}
