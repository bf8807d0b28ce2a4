//! How many signatures make a quorum, and of whom; and the `n` of that rule in an open network.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use crate::{address::Address, time::Instant};

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

/// A tenth of the nodes, and at least one, may be written off in a window. So whoever cuts a node off from the others, or
/// stops them, cannot lower the quorum by more: a network of 10 that loses half counts 5 after five windows.
const TENTH: usize = 10;

/// How many nodes count.
#[derive(Debug)]
pub(crate) struct Headcount {
    counted: usize,
    lowered_at: Instant,
}

impl Headcount {
    /// One node alone.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            counted: 1,
            lowered_at: now,
        }
    }

    /// Follows the number of live nodes.
    pub(crate) fn follow(&mut self, live: usize, now: Instant, window: Duration) {
        if live >= self.counted {
            (self.counted, self.lowered_at) = (live, now);
        }
        while self.counted > live && now.since(self.lowered_at) >= window {
            let step = (self.counted / TENTH).max(1);
            self.counted = live.max(self.counted - step);
            self.lowered_at = self.lowered_at + window;
        }
    }

    pub(crate) fn get(&self) -> usize {
        self.counted
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

    const WINDOW: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn it_rises_at_once_and_falls_by_one_node_a_window() {
        let mut count = Headcount::new(at(0));
        let mut follow = |live, seconds| {
            count.follow(live, at(seconds), WINDOW);
            count.get()
        };
        assert_eq!(follow(10, 1), 10);
        assert_eq!(follow(5, 2), 10);
        assert_eq!(follow(5, 30), 10, "a window has not passed since ten were alive");
        assert_eq!(follow(5, 31), 9);
        assert_eq!(follow(5, 32), 9);
        assert_eq!(follow(5, 121), 6);
        assert_eq!(follow(7, 122), 7, "two came back");
        assert_eq!(follow(5, 1000), 5, "never below who is alive");
    }

    #[test]
    fn a_large_network_is_written_off_by_a_tenth_a_window() {
        let mut count = Headcount::new(at(0));
        count.follow(100, at(0), WINDOW);
        count.follow(1, at(30), WINDOW);
        assert_eq!(count.get(), 90);
        count.follow(1, at(60), WINDOW);
        assert_eq!(count.get(), 81);
    }

    proptest! {
        #[test]
        fn two_quorums_of_more_than_half_share_a_member(members in 3usize..200) {
            prop_assert!(2 * rule(1, "1/2").required(members) > members);
        }
    }
}
