//! When the answers at hand make a price, and when those still missing could not change that.

use quorate_protocol::{Evidence, Quote, Source};

/// More than half of that many sources: the least of which no others can say the contrary.
pub const fn majority(sources: usize) -> usize {
    sources / 2 + 1
}

/// What the operator requires of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Least number of answers that agree.
    pub min_sources: usize,
    /// How far an answer may lie from the median, in basis points.
    pub max_spread_bps: u32,
}

/// Why there is no price this time. The node abstains: no price is better than a wrong one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPrice {
    /// Fewer sources answered than the operator requires.
    #[error("{answered} sources answered, {required} are required")]
    TooFew {
        /// Usable answers.
        answered: usize,
        /// The operator's minimum.
        required: usize,
    },
    /// No majority of the answers lies together.
    #[error(
        "the sources disagree: only {together} of {answered} lie within {limit_bps} basis points of their median"
    )]
    Disagree {
        /// Answers near the median.
        together: usize,
        /// All usable answers.
        answered: usize,
        /// The operator's limit.
        limit_bps: u32,
    },
    /// Only sources answered whose last price the others contradicted, and nobody has borne out since.
    #[error("only {0} answered, which the others contradicted last time")]
    OnlySuspects(String),
}

impl Agreement {
    /// The quotes that agree, and the outliers beside them.
    ///
    /// Quotes further than `max_spread_bps` from the median are left out; what is left must be a majority of the answers and
    /// no fewer than `min_sources`. With two sources that differ widely there is no telling who lies, so there is no price;
    /// with three, the odd one out is dropped. `suspects` must not make a price by themselves.
    ///
    /// # Errors
    /// There is no such majority, or it is too small, or it consists of suspects.
    pub fn reach(&self, quotes: Vec<Quote>, suspects: &[Source]) -> Result<(Evidence, Vec<Quote>), NoPrice> {
        let answered = quotes.len();
        let required = self.min_sources.max(1);
        if answered < required {
            return Err(NoPrice::TooFew { answered, required });
        }
        // Fails only for two quotes of one source, or for more sources than an observation holds: no fetch has such.
        let unusable = |_| NoPrice::TooFew {
            answered: 0,
            required,
        };
        let middle = Evidence::sorted(quotes.clone()).map_err(unusable)?.median();
        let (near, outliers): (Vec<_>, Vec<_>) = quotes
            .into_iter()
            .partition(|quote| quote.price.deviation_bps(middle) <= self.max_spread_bps);
        let together = near.len();
        if together * 2 <= answered {
            return Err(NoPrice::Disagree {
                together,
                answered,
                limit_bps: self.max_spread_bps,
            });
        }
        if together < required {
            return Err(NoPrice::TooFew {
                answered: together,
                required,
            });
        }
        if near.iter().all(|quote| suspects.contains(&quote.source)) {
            let names: Vec<&str> = near.iter().map(|quote| quote.source.as_str()).collect();
            return Err(NoPrice::OnlySuspects(names.join(", ")));
        }
        let evidence = Evidence::sorted(near).map_err(unusable)?;
        Ok((evidence, outliers))
    }

    /// Whether the quotes at hand make a price and the answers still `pending` could not outvote them: those that agree
    /// are more than half of all that have come and may still come. Two sources never are, while one is missing: neither
    /// outvotes the other, so that the slower one is waited for.
    pub fn is_firm(&self, quotes: &[Quote], suspects: &[Source], pending: usize) -> bool {
        self.reach(quotes.to_vec(), suspects)
            .is_ok_and(|(evidence, _)| evidence.quotes().len() * 2 > quotes.len() + pending)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_protocol::{Price, UnixMillis};

    use super::*;

    const RULE: Agreement = Agreement {
        min_sources: 1,
        max_spread_bps: 200,
    };

    fn quotes(prices: &[&str]) -> Vec<Quote> {
        ["a", "b", "c", "d", "e"]
            .iter()
            .zip(prices)
            .map(|(source, price)| Quote {
                source: source.parse().unwrap(),
                price: price.parse().unwrap(),
                at: UnixMillis::new(1),
            })
            .collect()
    }

    #[test]
    fn a_liar_among_three_is_left_out() {
        let (evidence, outliers) = RULE.reach(quotes(&["3000", "3600", "3001"]), &[]).unwrap();
        assert_eq!(evidence.median(), "3000.5".parse().unwrap());
        assert_eq!(outliers, [quotes(&["3000", "3600"])[1].clone()]);
    }

    #[test]
    fn two_that_disagree_make_no_price() {
        assert_eq!(
            RULE.reach(quotes(&["3000", "3600"]), &[]),
            Err(NoPrice::Disagree {
                together: 0,
                answered: 2,
                limit_bps: 200
            })
        );
    }

    #[test]
    fn half_of_four_is_no_majority() {
        assert!(matches!(
            RULE.reach(quotes(&["3000", "3001", "3600", "3601"]), &[]),
            Err(NoPrice::Disagree { .. })
        ));
    }

    #[test]
    fn the_minimum_counts_what_is_left() {
        assert_eq!(
            RULE.reach(vec![], &[]),
            Err(NoPrice::TooFew {
                answered: 0,
                required: 1
            })
        );
        let three = Agreement {
            min_sources: 3,
            ..RULE
        };
        assert_eq!(
            three.reach(quotes(&["3000", "3600", "3001"]), &[]),
            Err(NoPrice::TooFew {
                answered: 2,
                required: 3
            })
        );
    }

    #[test]
    fn it_is_firm_once_the_missing_answers_cannot_outvote_it() {
        let rows: [(&[&str], usize, bool); 9] = [
            (&[], 3, false),
            (&["3000"], 0, true),
            (&["3000"], 1, false),
            (&["3000"], 2, false),
            (&["3000", "3001"], 1, true),
            (&["3000", "3001"], 2, false),
            (&["3000", "3600"], 1, false),
            (&["3000", "3001", "3600"], 1, false),
            (&["3000", "3001", "3002"], 2, true),
        ];
        for (prices, pending, firm) in rows {
            assert_eq!(
                RULE.is_firm(&quotes(prices), &[], pending),
                firm,
                "{prices:?} and {pending} pending"
            );
        }
        let three = Agreement {
            min_sources: 3,
            ..RULE
        };
        assert!(
            !three.is_firm(&quotes(&["3000", "3001"]), &[], 1),
            "the minimum is waited for"
        );
    }

    #[test]
    fn a_suspect_makes_no_price_alone_but_joins_one() {
        let suspects = ["a".parse().unwrap()];
        assert_eq!(
            RULE.reach(quotes(&["3600"]), &suspects),
            Err(NoPrice::OnlySuspects("a".to_owned()))
        );
        assert!(RULE.reach(quotes(&["3000", "3001"]), &suspects).is_ok());
    }

    proptest! {
        /// What makes not waiting safe: whatever the answers still missing say, they would not move the price further
        /// than the allowed spread out of what is here.
        #[test]
        fn what_is_firm_is_not_overturned_by_what_was_missing(
            near in proptest::collection::vec(990u128..=1010, 1..5),
            late in proptest::collection::vec(1u128..100_000, 0..4),
        ) {
            let quote = |index: usize, price: u128| Quote {
                source: format!("s{index}").parse().unwrap(),
                price: Price::from_scaled(price * Price::ONE.scaled()).unwrap(),
                at: UnixMillis::new(1),
            };
            let here: Vec<Quote> = near.iter().enumerate().map(|(i, p)| quote(i, *p)).collect();
            if RULE.is_firm(&here, &[], late.len()) {
                let all = here
                    .iter()
                    .cloned()
                    .chain(late.iter().enumerate().map(|(i, p)| quote(near.len() + i, *p)))
                    .collect();
                if let Ok((evidence, _)) = RULE.reach(all, &[]) {
                    let low = here.iter().map(|q| q.price.scaled()).min().unwrap();
                    let high = here.iter().map(|q| q.price.scaled()).max().unwrap();
                    let median = evidence.median().scaled();
                    // Outliers of the whole may be others than of the part, within the allowed spread.
                    prop_assert!(median * 100 >= low * 97 && median * 100 <= high * 103, "{median} not in {low}..{high}");
                }
            }
        }
    }
}
