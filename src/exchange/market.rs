//! The price that all simulated exchanges follow: a random walk in whole numbers. Pure; the same seed walks the same way.

use std::{collections::HashMap, time::Duration};

use quorate_protocol::{Feed, Price};

/// A price moves once in this time. All requests between two steps see the same price, as nodes that ask within
/// milliseconds of each other would.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// Decimals of the walk: finer than any exchange quotes.
pub(crate) const DECIMALS: u32 = 6;
/// Steps that are made up for at most when nobody asked for long: a day's.
const MOST_STEPS: u64 = 86_400;

/// Millionths of the quote currency.
pub(crate) type Micros = u128;

/// One walk a feed.
#[derive(Debug)]
pub(crate) struct Market {
    seed: u64,
    start_price: Micros,
    volatility_bps: u32,
    walks: HashMap<Feed, Walk>,
}

#[derive(Debug)]
struct Walk {
    start: Micros,
    price: Micros,
    steps: u64,
    random: Random,
}

impl Market {
    /// ETH starts at `start_price`; a step changes a price by at most `volatility_bps` (capped at 1000).
    pub(crate) fn new(seed: u64, start_price: Price, volatility_bps: u32) -> Self {
        Self {
            seed,
            start_price: micros(start_price),
            volatility_bps: volatility_bps.min(1000),
            walks: HashMap::new(),
        }
    }

    /// The price of a feed that long after the start.
    pub(crate) fn price(&mut self, feed: &Feed, elapsed: Duration) -> Micros {
        let steps = elapsed.as_secs() / STEP.as_secs().max(1);
        let (seed, start) = (self.seed ^ mixed(feed), self.start_of(feed));
        let walk = self.walks.entry(feed.clone()).or_insert_with(|| Walk {
            start,
            price: start,
            steps: 0,
            random: Random(seed),
        });
        walk.steps = walk.steps.max(steps.saturating_sub(MOST_STEPS));
        while walk.steps < steps {
            walk.step(self.volatility_bps);
        }
        walk.price
    }

    /// Other feeds start at prices of a likely order: nobody mistakes one for another.
    fn start_of(&self, feed: &Feed) -> Micros {
        let start = match feed.codes().0 {
            "ETH" => self.start_price,
            "BTC" => self.start_price * 20,
            _ => self.start_price / 20,
        };
        start.max(1000)
    }
}

impl Walk {
    /// Moves by a random number of hundredths of basis points; turns back at half and at twice the start, so that a
    /// simulation may run for weeks.
    fn step(&mut self, volatility_bps: u32) {
        // At most 100,000: a step never takes more than a tenth.
        let most = u128::from(volatility_bps) * 100;
        let drawn = u128::from(self.random.next()) % (2 * most + 1);
        let price = self.price * (1_000_000 + drawn - most) / 1_000_000;
        self.price = price.clamp(self.start / 2, self.start * 2);
        self.steps += 1;
    }
}

fn micros(price: Price) -> Micros {
    price.scaled() / 10u128.pow(Price::DECIMALS - DECIMALS)
}

/// A number for a feed's name, so that feeds do not move alike (FNV-1a).
fn mixed(feed: &Feed) -> u64 {
    feed.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Feed {
        text.parse().unwrap()
    }

    fn market(seed: u64, volatility_bps: u32) -> Market {
        Market::new(seed, "3000".parse().unwrap(), volatility_bps)
    }

    fn walk(market: &mut Market, feed: &Feed, seconds: std::ops::Range<u64>) -> Vec<Micros> {
        seconds
            .map(|second| market.price(feed, Duration::from_secs(second)))
            .collect()
    }

    #[test]
    fn a_seed_walks_the_same_way_however_often_it_is_asked() {
        let eth = feed("ETH/USD");
        let walked = walk(&mut market(7, 10), &eth, 0..100);
        assert_eq!(walked[0], 3_000_000_000);
        assert_eq!(market(7, 10).price(&eth, Duration::from_secs(99)), walked[99]);
        assert_ne!(walk(&mut market(8, 10), &eth, 0..100), walked);
        assert_ne!(
            walk(&mut market(7, 10), &feed("ETH/EUR"), 0..100),
            walked,
            "feeds move apart"
        );
    }

    #[test]
    fn a_step_is_within_the_volatility_and_both_ways() {
        let walked = walk(&mut market(1, 5), &feed("ETH/USD"), 0..1000);
        for pair in walked.windows(2) {
            assert!(
                pair[0].abs_diff(pair[1]) * 10_000 <= pair[0] * 5 + 10_000,
                "{pair:?}"
            );
        }
        assert!(walked.windows(2).any(|pair| pair[0] < pair[1]));
        assert!(walked.windows(2).any(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn it_stays_between_half_and_twice_the_start() {
        for seed in 0..5 {
            for price in walk(&mut market(seed, 1000), &feed("ETH/USD"), 0..5000) {
                assert!((1_500_000_000..=6_000_000_000).contains(&price), "{price}");
            }
        }
    }

    #[test]
    fn without_volatility_it_stands_still() {
        assert_eq!(
            market(1, 0).price(&feed("ETH/USD"), Duration::from_secs(900)),
            3_000_000_000
        );
        assert_eq!(
            market(1, 0).price(&feed("BTC/USD"), Duration::ZERO),
            60_000_000_000
        );
    }

    #[test]
    fn years_of_silence_cost_no_more_than_a_day() {
        market(1, 5).price(&feed("ETH/USD"), Duration::from_secs(u64::MAX));
    }
}
