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

/// What makes a certificate of a report: enough distinct signers and, where validators are named, one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumRule {
    /// Never fewer signatures than this.
    pub min_signatures: usize,
    /// With a fraction `f` and `n` members, more than `f * n` signatures too.
    pub fraction: Option<Fraction>,
    /// If there are any, at least one of them must have signed. Its signature counts like any other.
    pub validators: BTreeSet<Address>,
}

impl QuorumRule {
    /// `max(min_signatures, floor(fraction * members) + 1)`.
    pub fn required(&self, members: usize) -> usize {
        let share = self.fraction.map_or(0, |fraction| {
            let above = members as u128 * u128::from(fraction.numerator) / u128::from(fraction.denominator);
            usize::try_from(above).unwrap_or(usize::MAX).saturating_add(1)
        });
        self.min_signatures.max(share)
    }

    /// Whether these distinct signers are a quorum among `members` nodes.
    pub fn is_met<'a>(&self, signers: impl ExactSizeIterator<Item = &'a Address>, members: usize) -> bool {
        let enough = signers.len() >= self.required(members);
        enough && self.has_validator(signers)
    }

    /// Whether a validator is among the signers, or none is asked for.
    pub fn has_validator<'a>(&self, mut signers: impl Iterator<Item = &'a Address>) -> bool {
        self.validators.is_empty() || signers.any(|signer| self.validators.contains(signer))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(min_signatures: usize, fraction: &str) -> QuorumRule {
        QuorumRule {
            min_signatures,
            fraction: fraction.parse().ok(),
            validators: BTreeSet::new(),
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
    fn a_validator_is_required_besides_the_number() {
        let nodes: Vec<Address> = (1..=4).map(|n| Address::new([n; 20])).collect();
        let mut rule = rule(3, "");
        rule.validators.insert(nodes[3]);
        assert!(
            !rule.is_met(nodes[..3].iter(), 4),
            "three signatures, none a validator's"
        );
        assert!(rule.is_met(nodes[1..].iter(), 4));
        assert!(
            !rule.is_met(nodes[2..].iter(), 4),
            "a validator's signature, but only two"
        );
    }

    proptest! {
        #[test]
        fn two_quorums_of_more_than_half_share_a_member(members in 3usize..200) {
            prop_assert!(2 * rule(1, "1/2").required(members) > members);
        }
    }
}
