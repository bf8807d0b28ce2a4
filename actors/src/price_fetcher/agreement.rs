//! When the answers at hand make a price, and when those still missing could not change that. Pure.

use quorate_protocol::{Evidence, NoPrice, Quote, Source, consolidate};

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
pub enum NoAgreement {
    /// Too few answers, or they disagree.
    #[error(transparent)]
    NoPrice(#[from] NoPrice),
    /// Only sources answered whose last price the others contradicted, and nobody has borne out since.
    #[error("only {0} answered, which the others contradicted last time")]
    OnlySuspects(String),
}

impl Agreement {
    /// The quotes that agree, and those left out. `suspects` must not make a price by themselves.
    pub fn reach(
        &self,
        quotes: Vec<Quote>,
        suspects: &[Source],
    ) -> Result<(Evidence, Vec<Quote>), NoAgreement> {
        let (evidence, outliers) = consolidate(quotes, self.min_sources, self.max_spread_bps)?;
        if evidence
            .quotes()
            .iter()
            .all(|quote| suspects.contains(&quote.source))
        {
            let names: Vec<&str> = evidence
                .quotes()
                .iter()
                .map(|quote| quote.source.as_str())
                .collect();
            return Err(NoAgreement::OnlySuspects(names.join(", ")));
        }
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
            Err(NoAgreement::OnlySuspects("a".to_owned()))
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
