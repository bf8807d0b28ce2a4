//! What the sources' answers are worth: each by itself, and all together as a price.

use std::{collections::BTreeMap, time::Duration};

use quorate_actors::price_fetcher::Probed;
use quorate_prices::Agreement;
use quorate_protocol::{Evidence, Feed, Price, Quote};

use super::{Check, Grade, Verdict, clocks::Ahead};

/// The fetch is timed so that it needs no more.
const GOOD: Duration = Duration::from_secs(1);
/// A source is given up after 3 s; one that takes two is given up now and then.
const FAIR: Duration = Duration::from_secs(2);
/// A `Date` is in whole seconds.
const SECOND_MS: u64 = 999;

/// When an answer counts.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Limits {
    pub(in super::super) agreement: Agreement,
    /// A node that sees another price by more than this does not sign.
    pub(in super::super) max_deviation_bps: u32,
}

/// Each source, then each feed's price.
pub(in super::super) fn prices(feeds: &[Feed], probed: &[Probed], limits: Limits) -> Vec<Verdict> {
    let quotes = |feed: &Feed| -> Vec<Quote> {
        let of_feed = probed.iter().filter(|one| one.feed == *feed);
        of_feed.filter_map(|one| one.outcome.clone().ok()).collect()
    };
    let medians: BTreeMap<&Feed, Price> = (feeds.iter())
        .filter_map(|feed| {
            let quotes = quotes(feed);
            let evidence = Evidence::sorted(quotes).ok()?;
            Some((feed, evidence.median()))
        })
        .collect();
    let sources = probed
        .iter()
        .map(|one| source(one, medians.get(&one.feed).copied(), limits));
    let prices = feeds
        .iter()
        .map(|feed| price(feed, quotes(feed), limits.agreement));
    sources.chain(prices).collect()
}

/// What all answers say of our clock.
pub(in super::super) fn ahead_of_sources(probed: &[Probed]) -> Option<Ahead> {
    let one = |one: &Probed| {
        let sent = one.sent_at?.get();
        let took = u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX);
        let asked = one.asked_at.get();
        let ours = [asked, asked.saturating_add(took)];
        Some(Ahead::new(ours, [sent, sent + SECOND_MS]))
    };
    Ahead::of_all(probed.iter().filter_map(one).collect())
}

fn source(one: &Probed, median: Option<Price>, limits: Limits) -> Verdict {
    let (spec, took_ms) = (&one.spec, one.took.as_millis() as u64);
    let subject = format!("{} {}", spec.kind().name(), one.feed);
    let verdict = match &one.outcome {
        Err((step, error)) => {
            let verdict = Verdict::new(
                Check::Source,
                subject,
                Grade::Poor,
                format!("lost at {step}: {error}"),
            );
            verdict
                .with("step", step.to_string())
                .with("reason", error.to_string())
        }
        Ok(quote) => {
            let off_bps = median.map_or(0, |median| quote.price.deviation_bps(median));
            let by_price = match off_bps {
                off if off > limits.agreement.max_spread_bps => Grade::Poor,
                off if off > limits.max_deviation_bps => Grade::Fair,
                _ => Grade::Good,
            };
            let by_time = match one.took {
                took if took > FAIR => Grade::Poor,
                took if took > GOOD => Grade::Fair,
                _ => Grade::Good,
            };
            let measured = format!("{} in {took_ms} ms, {off_bps} bps from the median", quote.price);
            let verdict = Verdict::new(Check::Source, subject, by_price.max(by_time), measured);
            let verdict = match by_price {
                Grade::Poor => {
                    verdict.advise("it is left out of the price while the others agree: look at the exchange")
                }
                _ => verdict,
            };
            verdict
                .with("price", quote.price.to_string())
                .with("deviation_bps", off_bps)
        }
    };
    verdict.with("took_ms", took_ms).with("asked", spec.base())
}

fn price(feed: &Feed, quotes: Vec<Quote>, agreement: Agreement) -> Verdict {
    let required = agreement.min_sources;
    let answered = quotes.len();
    let verdict = match agreement.reach(quotes, &[]) {
        Err(reason) => Verdict::new(Check::Price, feed.as_str(), Grade::Fail, reason.to_string()),
        Ok((evidence, _)) => {
            let agreeing = evidence.quotes().len();
            let grade = if agreeing > required {
                Grade::Good
            } else {
                Grade::Fair
            };
            let price = evidence.median();
            let measured = format!("{price} by {agreeing} sources, {required} are required");
            Verdict::new(Check::Price, feed.as_str(), grade, measured).with("price", price.to_string())
        }
    };
    verdict.with("answered", answered).with("required", required)
}

#[cfg(test)]
mod tests {
    use quorate_actors::price_fetcher::Step;
    use quorate_prices::QuoteError;
    use quorate_protocol::UnixMillis;

    use super::*;

    const LIMITS: Limits = Limits {
        agreement: Agreement {
            min_sources: 2,
            max_spread_bps: 200,
        },
        max_deviation_bps: 50,
    };

    fn feed() -> Feed {
        "ETH/USD".parse().unwrap()
    }

    fn answer(source: &str, price: &str, took_ms: u64) -> Probed {
        let at = UnixMillis::new(10_000);
        Probed {
            spec: source.parse().unwrap(),
            feed: feed(),
            asked_at: at,
            took: Duration::from_millis(took_ms),
            sent_at: Some(UnixMillis::new(9_000)),
            outcome: Ok(Quote {
                source: source.parse().unwrap(),
                price: price.parse().unwrap(),
                at,
            }),
        }
    }

    fn grades(probed: &[Probed]) -> Vec<Grade> {
        let verdicts = prices(&[feed()], probed, LIMITS);
        verdicts.iter().map(|verdict| verdict.grade).collect()
    }

    #[test]
    fn a_source_is_graded_by_its_time_and_its_price() {
        use Grade::{Fair, Good, Poor};
        let probed = [
            answer("coinbase", "3000", 100),
            answer("kraken", "3000", 1_500),
            answer("bitstamp", "3000", 2_500),
            answer("gemini", "3030", 100),
            answer("coingecko", "3600", 100),
        ];
        assert_eq!(grades(&probed), [Good, Fair, Poor, Fair, Poor, Good]);
    }

    #[test]
    fn a_price_needs_as_many_sources_as_are_asked_for_and_better_one_more() {
        let mut lost = answer("kraken", "3000", 100);
        lost.outcome = Err((
            Step::Name,
            QuoteError::Unreachable("the name x is not found".to_owned()),
        ));
        let both = [
            answer("coinbase", "3000", 1),
            answer("gemini", "3000", 1),
            lost.clone(),
        ];
        assert_eq!(grades(&both)[2..], [Grade::Poor, Grade::Fair]);
        let one = [answer("coinbase", "3000", 1), lost];
        let verdicts = prices(&[feed()], &one, LIMITS);
        assert_eq!(verdicts[1].measured, "lost at name: the name x is not found");
        assert_eq!(verdicts[1].values["step"], "name");
        assert_eq!(verdicts[2].grade, Grade::Fail);
        assert_eq!(verdicts[2].measured, "1 sources answered, 2 are required");
        assert_eq!(grades(&[]), [Grade::Fail], "nobody answered");
    }

    #[test]
    fn the_dates_of_answers_bound_our_clock() {
        let ahead = ahead_of_sources(&[answer("coinbase", "3000", 200)]);
        assert_eq!(
            ahead,
            Some(Ahead {
                least_ms: 1,
                most_ms: 1_200
            })
        );
        assert_eq!(ahead_of_sources(&[]), None);
    }
}
