//! What an exchange is asked and what it says, in its documented shape, rightly or with a fault. Pure: the other direction of
//! `SourceKind::path` and `SourceKind::read`.

use std::collections::BTreeMap;

use quorate_prices::{SourceKind, coingecko, kraken};
use quorate_protocol::{Feed, UnixMillis};

use super::{
    fault::Fault,
    market::{DECIMALS, Micros},
};

/// Second halves of pairs that are written without a separator; longer ones first, since `ETHUSDT` ends in no `USD`.
const QUOTES: [&str; 14] = [
    "USDT", "USDC", "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "SGD", "XBT", "BTC", "ETH", "DAI",
];

/// Exchanges never quote exactly alike: by how much each differs from the market, in basis points.
pub(crate) fn usual_offset_bps(kind: SourceKind) -> i32 {
    match kind {
        SourceKind::Coinbase => 0,
        SourceKind::Kraken => 2,
        SourceKind::Bitstamp => -3,
        SourceKind::Gemini => 4,
        SourceKind::Coingecko => -1,
    }
}

fn shifted(price: Micros, bps: i32) -> Micros {
    let part = price * u128::from(bps.unsigned_abs()) / 10_000;
    if bps < 0 {
        price.saturating_sub(part)
    } else {
        price + part
    }
}

/// The body of an answer with status 200 about these feeds: one, where the exchange answers for one at a time.
pub(crate) fn body(
    kind: SourceKind,
    markets: &[(Feed, Micros)],
    now: UnixMillis,
    fault: Option<Fault>,
) -> String {
    let at = match fault {
        Some(Fault::Stale { secs }) => now.get().saturating_sub(secs.saturating_mul(1000)),
        Some(Fault::Future { secs }) => now.get().saturating_add(secs.saturating_mul(1000)),
        _ => now.get(),
    };
    let shown: Vec<(Feed, String)> = markets
        .iter()
        .map(|(feed, market)| match fault {
            Some(Fault::WrongCurrency) => (in_another_currency(feed), price(kind, *market, fault)),
            _ => (feed.clone(), price(kind, *market, fault)),
        })
        .collect();
    let whole = shape(kind, &shown, at);
    match fault {
        Some(Fault::Html) => "<!doctype html><html><title>Just a moment...</title></html>".to_owned(),
        Some(Fault::Empty) => String::new(),
        Some(Fault::Garbage) => whole.chars().take(whole.chars().count() / 2).collect(),
        Some(Fault::Huge) => whole + &" ".repeat(1 << 20),
        _ => whole,
    }
}

/// What the exchange says of a market, in its decimals.
fn price(kind: SourceKind, market: Micros, fault: Option<Fault>) -> String {
    let offset_bps = match fault {
        Some(Fault::Offset { bps }) => bps,
        _ => 0,
    };
    let price = shifted(shifted(market, usual_offset_bps(kind)), offset_bps);
    match fault {
        Some(Fault::Zero) => "0.00".to_owned(),
        Some(Fault::Negative) => format!("-{}", decimals(kind, price)),
        Some(Fault::Nan) => "NaN".to_owned(),
        _ => decimals(kind, price),
    }
}

fn in_another_currency(feed: &Feed) -> Feed {
    let (base, quote) = feed.codes();
    let other = if quote == "EUR" { "USD" } else { "EUR" };
    // Two codes of a feed make a feed again; if not, the right currency is the smaller evil.
    format!("{base}/{other}").parse().unwrap_or_else(|_| feed.clone())
}

/// With as many decimals as the exchange quotes; cheap coins with all there are.
fn decimals(kind: SourceKind, price: Micros) -> String {
    let unit = 10u128.pow(DECIMALS);
    let usual: u32 = match kind {
        SourceKind::Coinbase => 3,
        SourceKind::Kraken => 5,
        SourceKind::Bitstamp | SourceKind::Gemini => 2,
        SourceKind::Coingecko => DECIMALS,
    };
    let places = if price < 10 * unit { DECIMALS } else { usual };
    let fraction = price % unit / 10u128.pow(DECIMALS - places);
    format!("{}.{fraction:0width$}", price / unit, width = places as usize)
}

fn shape(kind: SourceKind, prices: &[(Feed, String)], at_millis: u64) -> String {
    match kind {
        SourceKind::Kraken => {
            let markets = prices.iter().map(|(feed, price)| {
                format!(
                    r#""{market}":{{"a":["{price}","1","1.000"],"b":["{price}","1","1.000"],"c":["{price}","0.10000000"],"v":["4083.67001100","4412.73601799"],"p":["{price}","{price}"],"t":[34619,38907],"l":["{price}","{price}"],"h":["{price}","{price}"],"o":"{price}"}}"#,
                    market = kraken_market(feed)
                )
            });
            let markets: Vec<String> = markets.collect();
            format!(r#"{{"error":[],"result":{{{}}}}}"#, markets.join(","))
        }
        SourceKind::Coingecko => {
            let mut coins: BTreeMap<&str, String> = BTreeMap::new();
            for (feed, price) in prices {
                let (base, quote) = feed.codes();
                let coin = coins.entry(coingecko::id(base).unwrap_or("unknown")).or_default();
                coin.push_str(&format!(r#""{}":{price},"#, quote.to_lowercase()));
            }
            let at_secs = at_millis / 1000;
            let coins = coins
                .iter()
                .map(|(id, coin)| format!(r#""{id}":{{{coin}"last_updated_at":{at_secs}}}"#));
            format!("{{{}}}", coins.collect::<Vec<_>>().join(","))
        }
        SourceKind::Coinbase | SourceKind::Bitstamp | SourceKind::Gemini => prices
            .first()
            .map(|(feed, price)| shape_of_one(kind, feed, price, at_millis))
            .unwrap_or_default(),
    }
}

/// The answer of an exchange that is asked for one pair at a time.
fn shape_of_one(kind: SourceKind, feed: &Feed, price: &str, at_millis: u64) -> String {
    let (base, quote) = feed.codes();
    let at_secs = at_millis / 1000;
    match kind {
        SourceKind::Coinbase => {
            format!(r#"{{"data":{{"amount":"{price}","base":"{base}","currency":"{quote}"}}}}"#)
        }
        SourceKind::Bitstamp => format!(
            r#"{{"timestamp":"{at_secs}","open":"{price}","high":"{price}","low":"{price}","last":"{price}","volume":"4312.81964756","vwap":"{price}","bid":"{price}","ask":"{price}","side":"0","open_24":"{price}","percent_change_24":"0.00","market_type":"SPOT","pair":"{base}/{quote}"}}"#
        ),
        // As the real one counts volumes: in steps of five minutes.
        _ => format!(
            r#"{{"bid":"{price}","ask":"{price}","last":"{price}","volume":{{"{base}":"2210.505328803","{quote}":"6635477.463379586263","timestamp":{step}}}}}"#,
            step = at_millis / 300_000 * 300_000
        ),
    }
}

/// The status and body with which the exchange refuses a pair that it does not list.
pub(crate) fn unknown_pair(kind: SourceKind) -> (u16, &'static str) {
    match kind {
        SourceKind::Coinbase => (
            404,
            r#"{"errors":[{"id":"not_found","message":"Invalid base currency"}]}"#,
        ),
        SourceKind::Kraken => (200, r#"{"error":["EQuery:Unknown asset pair"]}"#),
        SourceKind::Bitstamp => (404, r#"{"code":"API4000","reason":"Invalid currency pair"}"#),
        SourceKind::Gemini => (
            400,
            r#"{"result":"error","reason":"InvalidSymbol","message":"not a valid symbol"}"#,
        ),
        SourceKind::Coingecko => (200, "{}"),
    }
}

/// `ETH-USD`.
pub(crate) fn dashed(text: &str) -> Option<Feed> {
    text.replacen('-', "/", 1).parse().ok()
}

/// `ETHUSD` or `ethusd`.
pub(crate) fn joined(text: &str) -> Option<Feed> {
    let text = text.to_uppercase();
    QUOTES.iter().find_map(|quote| {
        let base = text.strip_suffix(quote)?;
        format!("{}/{}", kraken::usual_code(base), kraken::usual_code(quote))
            .parse()
            .ok()
    })
}

/// `XBTUSD,ETHUSD`; `None` if one of them is unknown: Kraken refuses them all then.
pub(crate) fn all_joined(text: &str) -> Option<Vec<Feed>> {
    text.split(',').map(joined).collect()
}

/// `ethereum,bitcoin` and `usd,eur`: every coin in every currency. CoinGecko is silent about what it does not know.
pub(crate) fn all_by_id(ids: &str, currencies: &str) -> Vec<Feed> {
    let in_all = |id| {
        currencies
            .split(',')
            .filter_map(move |currency| by_id(id, currency))
    };
    ids.split(',').flat_map(in_all).collect()
}

/// `ethereum` and `usd`.
fn by_id(id: &str, currency: &str) -> Option<Feed> {
    let base = coingecko::code(id)?;
    format!("{base}/{}", currency.to_uppercase()).parse().ok()
}

/// Kraken's name of a market: its oldest ones carry class letters.
pub(crate) fn kraken_market(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    let (own_base, own_quote) = (kraken::own_code(base), kraken::own_code(quote));
    let old_coin = |code: &str| ["BTC", "ETH", "LTC", "XRP", "DOGE"].contains(&code);
    let old_currency = |code: &str| ["USD", "EUR", "GBP", "JPY", "CAD"].contains(&code);
    if old_coin(base) && old_currency(quote) {
        format!("X{own_base}Z{own_quote}")
    } else if old_coin(base) && old_coin(quote) {
        format!("X{own_base}X{own_quote}")
    } else {
        format!("{own_base}{own_quote}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_prices::HttpAnswer;

    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_700_000_123_456);
    const MARKET: Micros = 3_012_456_789;
    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn said(kind: SourceKind, feed: &str, fault: Option<Fault>) -> Result<String, &'static str> {
        let feed: Feed = feed.parse().unwrap();
        let body = body(kind, &[(feed.clone(), MARKET)], NOW, fault);
        let quote = kind.read(&HttpAnswer::ok(body), &feed, NOW, FIVE_MINUTES);
        quote
            .map(|answered| answered.quote.price.to_string())
            .map_err(|error| error.name())
    }

    #[test]
    fn a_node_understands_every_exchange() {
        for (kind, price) in
            SourceKind::ALL
                .into_iter()
                .zip(["3012.456", "3013.05928", "3011.55", "3013.66", "3012.155544"])
        {
            assert_eq!(said(kind, "ETH/USD", None).as_deref(), Ok(price), "{kind}");
            for feed in ["BTC/USD", "BTC/EUR", "SOL/USD", "ETH/BTC", "DOGE/USD"] {
                assert!(said(kind, feed, None).is_ok(), "{kind} {feed}");
            }
        }
    }

    #[test]
    fn a_node_refuses_every_fault_by_name() {
        let rows = [
            (Fault::Garbage, "not_json"),
            (Fault::Html, "html"),
            (Fault::Empty, "empty"),
            (Fault::Zero, "zero"),
            (Fault::Negative, "negative"),
            (Fault::WrongCurrency, "wrong_pair"),
        ];
        for kind in SourceKind::ALL {
            for (fault, name) in rows {
                assert_eq!(said(kind, "ETH/USD", Some(fault)), Err(name), "{kind} {fault}");
            }
            // A bare NaN is no JSON.
            let nan = if kind == SourceKind::Coingecko {
                "not_json"
            } else {
                "not_a_number"
            };
            assert_eq!(said(kind, "ETH/USD", Some(Fault::Nan)), Err(nan), "{kind}");
            let eth = ("ETH/USD".parse().unwrap(), MARKET);
            assert!(body(kind, &[eth], NOW, Some(Fault::Huge)).len() > 1 << 20);
        }
        for kind in [SourceKind::Bitstamp, SourceKind::Gemini, SourceKind::Coingecko] {
            assert_eq!(
                said(kind, "ETH/USD", Some(Fault::Stale { secs: 3600 })),
                Err("stale"),
                "{kind}"
            );
            assert_eq!(
                said(kind, "ETH/USD", Some(Fault::Future { secs: 3600 })),
                Err("future"),
                "{kind}"
            );
        }
    }

    #[test]
    fn several_feeds_are_answered_at_once_and_a_node_finds_each() {
        let markets: Vec<(Feed, Micros)> = ["ETH/USD", "BTC/EUR", "ETH/EUR", "SOL/USD"]
            .into_iter()
            .zip(1..)
            .map(|(feed, n)| (feed.parse().unwrap(), n * MARKET))
            .collect();
        for kind in [SourceKind::Kraken, SourceKind::Coingecko] {
            let answer = HttpAnswer::ok(body(kind, &markets, NOW, None));
            for (feed, market) in &markets {
                let quote = kind.read(&answer, feed, NOW, FIVE_MINUTES).unwrap().quote;
                assert_eq!(
                    quote.price.to_string(),
                    price(kind, *market, None).trim_end_matches('0')
                );
            }
        }
        assert_eq!(all_joined("XBTUSD,ETHUSD").map(|feeds| feeds.len()), Some(2));
        assert_eq!(all_joined("XBTUSD,nonsense"), None);
        assert_eq!(all_by_id("ethereum,woof,bitcoin", "usd,eur").len(), 4);
    }

    #[test]
    fn an_offset_is_a_plausible_lie() {
        let lie = said(SourceKind::Coinbase, "ETH/USD", Some(Fault::Offset { bps: 2000 }));
        assert_eq!(lie.as_deref(), Ok("3614.948"));
        let lie = said(
            SourceKind::Coinbase,
            "ETH/USD",
            Some(Fault::Offset { bps: -2000 }),
        );
        assert_eq!(lie.as_deref(), Ok("2409.965"));
    }

    #[test]
    fn cheap_coins_keep_their_decimals() {
        assert_eq!(decimals(SourceKind::Gemini, 81_234), "0.081234");
        assert_eq!(decimals(SourceKind::Gemini, 3_012_056_789), "3012.05");
    }

    #[test]
    fn pairs_are_understood_in_every_exchanges_way() {
        let eth: Option<Feed> = "ETH/USD".parse().ok();
        assert_eq!(dashed("ETH-USD"), eth);
        assert_eq!(joined("ETHUSD"), eth);
        assert_eq!(joined("ethusd"), eth);
        assert_eq!(by_id("ethereum", "usd"), eth);
        assert_eq!(joined("XBTEUR"), "BTC/EUR".parse().ok());
        assert_eq!(joined("ETHUSDT"), "ETH/USDT".parse().ok());
        for nonsense in ["", "USD", "ETH", "!!USD", "ETHWHAT"] {
            assert_eq!(joined(nonsense), None, "{nonsense}");
        }
        assert_eq!(dashed("ETHUSD"), None);
        assert_eq!(by_id("woof", "usd"), None);
    }
}
