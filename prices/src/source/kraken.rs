//! Kraken: `GET /0/public/Ticker?pair=ETHUSD` gives `{"error":[],"result":{"XETHZUSD":{"c":["3012.45","0.1"],...}}}`,
//! where `c` is the last trade's price and lot, `b` and `a` the best bid and ask; several pairs are separated by commas, and one that
//! it does not know refuses them all. No time. `error` holds texts: one that
//! begins with W is a warning beside a good result, others say why there is none, with status 200.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{Feed, UnixMillis};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Api, Together};
use crate::{
    answer,
    quote_error::{QuoteError, shown},
    ticker::{self, Ticker},
};

pub(super) const API: Api = Api {
    name: "kraken",
    public_base: "https://api.kraken.com",
    path: |feed| path(std::slice::from_ref(feed)),
    together: Some(Together {
        path,
        // A last trade has no time of its own, so that an answer is as good as new only for a moment: the widest gap between two
        // feeds, and some more.
        shelf_life: Duration::from_secs(2),
    }),
    documented_a_minute: None,
    parse,
    lacks: |_| None,
    time_coarseness: Duration::ZERO,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    error: Vec<String>,
    /// Each market as it came: what is wrong with one is not held against others.
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

#[derive(Deserialize)]
struct Market<'a> {
    /// The last trade.
    #[serde(borrow)]
    c: Option<Vec<&'a RawValue>>,
    /// The best bid.
    #[serde(borrow)]
    b: Option<Vec<&'a RawValue>>,
    /// The best ask.
    #[serde(borrow)]
    a: Option<Vec<&'a RawValue>>,
}

/// Kraken's own names for two coins, and everybody else's.
const OWN_CODES: [(&str, &str); 2] = [("BTC", "XBT"), ("DOGE", "XDG")];

/// Kraken's name of a coin or currency: `BTC` is `XBT`.
pub fn own_code(usual: &str) -> &str {
    OWN_CODES
        .iter()
        .find(|(known, _)| *known == usual)
        .map_or(usual, |(_, own)| own)
}

/// Everybody else's name: `XBT` is `BTC`.
pub fn usual_code(own: &str) -> &str {
    OWN_CODES
        .iter()
        .find(|(_, known)| *known == own)
        .map_or(own, |(usual, _)| usual)
}

fn path(feeds: &[Feed]) -> String {
    let pairs = feeds.iter().map(|feed| {
        let (base, quote) = feed.codes();
        format!("{}{}", own_code(base), own_code(quote))
    });
    format!("/0/public/Ticker?pair={}", pairs.collect::<Vec<_>>().join(","))
}

/// Older markets are named with a class letter before each code (X for coins, Z for currencies), newer ones without.
fn is_pair(name: &str, feed: &Feed) -> bool {
    let (base, quote) = feed.codes();
    let classes = ["", "X", "Z"];
    classes.iter().any(|base_class| {
        classes.iter().any(|quote_class| {
            name == format!("{base_class}{}{quote_class}{}", own_code(base), own_code(quote))
        })
    })
}

fn parse<'a>(body: &'a [u8], feed: &Feed, now: UnixMillis) -> Result<Ticker, QuoteError> {
    let answer = answer::json::<Answer<'_>>(body)?;
    let (warnings, errors): (Vec<_>, Vec<_>) =
        answer.error.into_iter().partition(|said| said.starts_with('W'));
    if let Some(said) = errors.first() {
        return Err(refused(said, now));
    }
    let result = answer.result.ok_or(QuoteError::MissingField("result"))?;
    let mut ours = result.iter().filter(|(name, _)| is_pair(name, feed));
    let (Some((_, market)), None) = (ours.next(), ours.next()) else {
        return Err(match result.keys().next() {
            Some(other) => QuoteError::WrongPair {
                asked: feed.to_string(),
                said: shown(other),
            },
            None => QuoteError::MissingField("result.<pair>"),
        });
    };
    let market = answer::json::<Market<'_>>(market.get().as_bytes())?;
    let last_trade = market.c.ok_or(QuoteError::MissingField("result.<pair>.c"))?;
    let price = ticker::price("result.<pair>.c[0]", last_trade.first().copied())?;
    let best = |side: Option<Vec<&'a RawValue>>| side?.first().copied();
    ticker::near_book(price, best(market.b), best(market.a))?;
    Ok(Ticker {
        price,
        at: None,
        warning: warnings.first().map(|said| shown(said)),
    })
}

/// After its documentation a lockout lasts about a quarter of an hour.
const LOCKOUT: Duration = Duration::from_secs(15 * 60);

/// What an error says: `<E for error><category>:<what>[: <more>]`.
fn refused(said: &str, now: UnixMillis) -> QuoteError {
    let said_lowercase = said.to_lowercase();
    let retry_after = if said_lowercase.contains("lockout") {
        Some(LOCKOUT)
    } else if said_lowercase.contains("throttled") {
        // `EService: Throttled: [UNIX timestamp]`: until then.
        let digits = said.split(|c: char| !c.is_ascii_digit());
        let until = digits.filter_map(|digits| digits.parse::<u64>().ok()).next_back();
        until.map(|until| UnixMillis::new(until.saturating_mul(1000)).since(now))
    } else if said_lowercase.contains("rate limit") || said_lowercase.contains("too many requests") {
        None
    } else {
        return QuoteError::Refused(shown(said));
    };
    QuoteError::RateLimited { retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitcoin_and_dogecoin_have_krakens_own_codes() {
        let feeds = ["BTC/USD", "ETH/BTC", "DOGE/EUR"].map(|feed| feed.parse().unwrap());
        assert_eq!(path(&feeds[..1]), "/0/public/Ticker?pair=XBTUSD");
        assert_eq!(path(&feeds), "/0/public/Ticker?pair=XBTUSD,ETHXBT,XDGEUR");
    }

    #[test]
    fn only_errors_refuse_and_those_that_demand_rest_say_for_how_long() {
        let now = UnixMillis::new(1_700_000_000_000);
        let rows = [
            ("EGeneral:Temporary lockout", Some(Some(900))),
            ("EService:Throttled: 1700000042", Some(Some(42))),
            ("EService: Throttled: [1700000042]", Some(Some(42))),
            ("EService:Throttled: 1600000000", Some(Some(0))),
            ("EService:Throttled", Some(None)),
            ("EAPI:Rate limit exceeded", Some(None)),
            ("EGeneral:Too many requests", Some(None)),
            ("EService:Unavailable", None),
            ("EService:Busy", None),
            ("EService:Market in cancel_only mode", None),
            ("EQuery:Unknown asset pair", None),
            ("something else", None),
        ];
        let eth: Feed = "ETH/USD".parse().unwrap();
        let body =
            |errors: &str| format!(r#"{{"error":{errors},"result":{{"XETHZUSD":{{"c":["3000.5","1"]}}}}}}"#);
        for (said, limited) in rows {
            let refused = match limited {
                Some(secs) => QuoteError::RateLimited {
                    retry_after: secs.map(Duration::from_secs),
                },
                None => QuoteError::Refused(said.to_owned()),
            };
            for errors in [
                format!(r#"["{said}"]"#),
                format!(r#"["WGeneral:Deprecated","{said}"]"#),
            ] {
                assert_eq!(
                    parse(body(&errors).as_bytes(), &eth, now),
                    Err(refused.clone()),
                    "{errors}"
                );
            }
        }
        let warned = parse(body(r#"["WGeneral:Deprecated"]"#).as_bytes(), &eth, now).unwrap();
        assert_eq!(warned.price, "3000.5".parse().unwrap());
        assert_eq!(warned.warning.as_deref(), Some("WGeneral:Deprecated"));
        let alone = parse(br#"{"error":["WGeneral:Deprecated"]}"#, &eth, now);
        assert_eq!(alone, Err(QuoteError::MissingField("result")));
    }

    #[test]
    fn old_and_new_names_of_a_market_are_known_and_others_are_not() {
        let rows = [
            ("XETHZUSD", "ETH/USD", true),
            ("ETHUSD", "ETH/USD", true),
            ("XXBTZUSD", "BTC/USD", true),
            ("XETHXXBT", "ETH/BTC", true),
            ("USDTZUSD", "USDT/USD", true),
            ("SOLUSD", "SOL/USD", true),
            ("XETHZEUR", "ETH/USD", false),
            ("XETCZUSD", "ETH/USD", false),
            ("WETHUSD", "ETH/USD", false),
            ("BTCUSD", "BTC/USD", false),
        ];
        for (name, feed, known) in rows {
            assert_eq!(is_pair(name, &feed.parse().unwrap()), known, "{name} for {feed}");
        }
    }
}
