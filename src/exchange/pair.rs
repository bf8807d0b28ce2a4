//! Which feed a request asks for: the other direction of `SourceKind::path`.

use quorate_protocol::Feed;

/// Second halves of pairs that are written without a separator; longer ones first, since `ETHUSDT` ends in no `USD`.
const QUOTES: [&str; 14] = [
    "USDT", "USDC", "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "SGD", "XBT", "BTC", "ETH", "DAI",
];

/// CoinGecko's ids that are simulated.
const IDS: [(&str, &str); 8] = [
    ("bitcoin", "BTC"),
    ("cardano", "ADA"),
    ("chainlink", "LINK"),
    ("dogecoin", "DOGE"),
    ("ethereum", "ETH"),
    ("litecoin", "LTC"),
    ("ripple", "XRP"),
    ("solana", "SOL"),
];

/// `ETH-USD`.
pub(crate) fn dashed(text: &str) -> Option<Feed> {
    text.replacen('-', "/", 1).parse().ok()
}

/// `ETHUSD` or `ethusd`.
pub(crate) fn joined(text: &str) -> Option<Feed> {
    let text = text.to_uppercase();
    QUOTES.iter().find_map(|quote| {
        let base = text.strip_suffix(quote)?;
        format!("{}/{}", usual(base), usual(quote)).parse().ok()
    })
}

/// `ethereum` and `usd`.
pub(crate) fn by_id(id: &str, currency: &str) -> Option<Feed> {
    let (_, base) = IDS.iter().find(|(known, _)| *known == id)?;
    format!("{base}/{}", currency.to_uppercase()).parse().ok()
}

/// CoinGecko's id of a feed's base.
pub(crate) fn id(feed: &Feed) -> Option<&'static str> {
    let base = feed.codes().0;
    IDS.iter().find(|(_, code)| *code == base).map(|(id, _)| *id)
}

/// Kraken's codes as everybody else writes them.
fn usual(code: &str) -> &str {
    match code {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

/// Kraken's name of a market: its oldest ones carry class letters.
pub(crate) fn kraken_market(feed: &Feed) -> String {
    let (base, quote) = feed.codes();
    let kraken = |code: &str| match code {
        "BTC" => "XBT".to_owned(),
        "DOGE" => "XDG".to_owned(),
        other => other.to_owned(),
    };
    let old_coin = |code: &str| ["BTC", "ETH", "LTC", "XRP", "DOGE"].contains(&code);
    let old_currency = |code: &str| ["USD", "EUR", "GBP", "JPY", "CAD"].contains(&code);
    if old_coin(base) && old_currency(quote) {
        format!("X{}Z{}", kraken(base), kraken(quote))
    } else if old_coin(base) && old_coin(quote) {
        format!("X{}X{}", kraken(base), kraken(quote))
    } else {
        format!("{}{}", kraken(base), kraken(quote))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
