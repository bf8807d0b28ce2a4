//! When a report is quorate.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::address::Address;

/// A share of the members, such as `2/3` or `0.5`: at least 0, below 1, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    numerator: u32,
    denominator: u32,
}

/// Why a text is no fraction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a fraction of at least 0 and below 1, like 2/3 or 0.5")]
pub struct ParseFractionError;

impl FromStr for Fraction {
    type Err = ParseFractionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            plain
                .then(|| digits.parse::<u32>().ok())
                .flatten()
                .ok_or(ParseFractionError)
        };
        let (numerator, denominator) = match (text.split_once('/'), text.split_once('.')) {
            (Some((above, below)), None) => (number(above)?, number(below)?),
            (None, Some(("0" | "", decimals))) => (
                number(decimals)?,
                10u32.pow(u32::try_from(decimals.len()).map_err(|_| ParseFractionError)?),
            ),
            (None, None) if text == "0" => (0, 1),
            _ => return Err(ParseFractionError),
        };
        if numerator < denominator {
            Ok(Self {
                numerator,
                denominator,
            })
        } else {
            Err(ParseFractionError)
        }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// How many signatures, and of whom, make a certificate of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumRule {
    /// Never fewer signatures than this.
    pub min_signatures: usize,
    /// With a fraction `f` and `n` members, more than `f * n` signatures too.
    pub fraction: Option<Fraction>,
    /// The nodes that must sign besides the number. Their signatures count like any other.
    pub validators: BTreeSet<Address>,
    /// If there are validators, so many of them must have signed.
    pub min_validators: usize,
}

impl QuorumRule {
    /// So many signatures, and no more is asked.
    pub fn at_least(min_signatures: usize) -> Self {
        Self {
            min_signatures,
            fraction: None,
            validators: BTreeSet::new(),
            min_validators: 1,
        }
    }

    /// `max(min_signatures, floor(fraction * members) + 1)`.
    pub fn required(&self, members: usize) -> usize {
        let share = self.fraction.map_or(0, |fraction| {
            let above = members as u128 * u128::from(fraction.numerator) / u128::from(fraction.denominator);
            usize::try_from(above).unwrap_or(usize::MAX).saturating_add(1)
        });
        self.min_signatures.max(share)
    }

    /// How many validators have yet to sign.
    pub fn validators_missing<'a>(&self, signers: impl Iterator<Item = &'a Address>) -> usize {
        if self.validators.is_empty() {
            return 0;
        }
        let signed = signers.filter(|signer| self.validators.contains(signer));
        self.min_validators.saturating_sub(signed.count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(min_signatures: usize, fraction: &str) -> QuorumRule {
        QuorumRule {
            fraction: fraction.parse().ok(),
            ..QuorumRule::at_least(min_signatures)
        }
    }

    #[test]
    fn a_fraction_is_exact_and_below_one() {
        assert_eq!(
            "2/3".parse(),
            Ok(Fraction {
                numerator: 2,
                denominator: 3
            })
        );
        assert_eq!(
            "0.67".parse(),
            Ok(Fraction {
                numerator: 67,
                denominator: 100
            })
        );
        for wrong in [
            "",
            "1",
            "1.0",
            "3/3",
            "4/3",
            "1/0",
            "-1/3",
            "0.",
            "a/b",
            "1/2/3",
            "1e-1",
            "0.0000000001",
        ] {
            assert_eq!(wrong.parse::<Fraction>(), Err(ParseFractionError), "{wrong:?}");
        }
    }

    #[test]
    fn more_than_the_fraction_and_never_fewer_than_the_minimum() {
        assert_eq!(rule(3, "").required(100), 3);
        assert_eq!(rule(3, "2/3").required(3), 3);
        assert_eq!(rule(3, "2/3").required(10), 7);
        assert_eq!(rule(3, "2/3").required(30), 21);
        assert_eq!(rule(3, "2/3").required(100), 67);
        assert_eq!(rule(3, "1/2").required(4), 3);
    }

    #[test]
    fn validators_are_missing_until_enough_of_them_have_signed() {
        let nodes: Vec<Address> = (1..=4).map(|n| Address::new([n; 20])).collect();
        let mut rule = rule(3, "");
        assert_eq!(rule.validators_missing(nodes.iter()), 0, "nobody is one");
        rule.validators.extend([nodes[2], nodes[3]]);
        assert_eq!(rule.validators_missing(nodes[..2].iter()), 1);
        assert_eq!(rule.validators_missing(nodes[..3].iter()), 0);
        rule.min_validators = 2;
        assert_eq!(rule.validators_missing(nodes[..3].iter()), 1);
        assert_eq!(rule.validators_missing(nodes.iter()), 0);
    }

    proptest! {
        #[test]
        fn two_quorums_of_more_than_half_share_a_member(members in 3usize..200) {
            prop_assert!(2 * rule(1, "1/2").required(members) > members);
        }
    }
}
