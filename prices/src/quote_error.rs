//! Why a source's answer is refused, and what that says.

use std::time::Duration;

use quorate_protocol::Price;

/// Why a source gave no usable price. Every one of them sends the source to rest; none ends the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum QuoteError {
    /// Nothing came back within the time: the exchange or the way to it is slow or gone. Likely to pass.
    #[error("no answer within {} ms{}", limit.as_millis(), shown_stage(stage))]
    Timeout {
        /// `source_timeout`.
        limit: Duration,
        /// What was waited for, with the address; empty if nobody knows.
        stage: String,
    },
    /// The others agreed already and this one kept them waiting: nothing is wrong with it but its speed.
    #[error("still no answer {} ms after the others agreed", waited.as_millis())]
    LeftBehind {
        /// `patience`.
        waited: Duration,
    },
    /// No connection, or it broke: name resolution, routing, TLS or the exchange. Likely to pass; if it does not and
    /// other sources fail alike, it is this node's network.
    #[error("{0}")]
    Unreachable(String),
    /// The API key that is to be sent cannot be: its file changed. What stands in it is never shown.
    #[error("the API key cannot be sent: {0}")]
    NoKey(String),
    /// The exchange asks to be left alone: this node, or others behind the same address, ask too often.
    #[error("rate limited by the exchange, retry after {}", shown_wait(*retry_after))]
    RateLimited {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// A status that is no success. 5xx: the exchange's trouble; 403 and 451: it does not serve this address; 404: it
    /// has no such pair, or the base URL is wrong.
    #[error("HTTP status {status}{}", shown_words(said.as_deref()))]
    Status {
        /// The status code.
        status: u16,
        /// How long the exchange asks to be left alone, if it does.
        retry_after: Option<Duration>,
        /// Why, in the exchange's own words, if its answer says so.
        said: Option<String>,
    },
    /// The address moved. Redirects are not followed, so that nobody can send the node elsewhere: set the new base URL.
    #[error(
        "HTTP status {status} redirects to {}, and redirects are not followed; if that is the exchange's new address, set it as \
         the source's base URL",
        location.as_deref().unwrap_or("an unsaid place")
    )]
    Redirect {
        /// The status code.
        status: u16,
        /// Where to, without its query.
        location: Option<String>,
    },
    /// The body is compressed though nothing was asked for: a proxy on the way does as it likes.
    #[error(
        "the answer is compressed ({0}), which was not asked for and is not read: something on the way to the exchange does this"
    )]
    Compressed(String),
    /// The answer is longer than any price: a wrong page, or an attempt to exhaust this node.
    #[error("the answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// What is read at most.
        limit_bytes: usize,
    },
    /// The body is empty.
    #[error("the answer is empty")]
    Empty,
    /// A web page: usually a captive portal, a block page or a maintenance notice.
    #[error("the answer is an HTML page, no JSON")]
    Html,
    /// No JSON at all, or cut short.
    #[error("the answer is no JSON (at line {line}, column {column})")]
    NotJson {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// JSON of another shape than the exchange documents: its API changed, or the base URL is another service's.
    #[error("the answer has another shape than documented (at line {line}, column {column})")]
    WrongShape {
        /// Where it departs.
        line: usize,
        /// Where it departs.
        column: usize,
    },
    /// An object has one key twice: which of the two values is meant nobody knows.
    #[error("the answer has the key {0:?} twice, which of the two values counts is unknown")]
    DuplicateKey(String),
    /// JSON of the documented shape without a field that we need.
    #[error("the answer has no field {0:?}")]
    MissingField(&'static str),
    /// The exchange says in its own words that it will not answer (Kraken does so with status 200).
    #[error("the exchange refused: {0:?}")]
    Refused(String),
    /// The answer prices something else than was asked for. Never to be believed, however plausible the number.
    #[error("the answer is for {said:?}, asked was {asked:?}")]
    WrongPair {
        /// What was asked for.
        asked: String,
        /// What came.
        said: String,
    },
    /// The price is zero: a suspended market or a defect.
    #[error("the price is zero")]
    Zero,
    /// The price is negative: a defect.
    #[error("the price {0:?} is negative")]
    Negative(String),
    /// The price is no number: `NaN`, `null`, a word, a plus, a space or a comma.
    #[error(
        "the price {0:?} is no decimal number: only digits with at most one point and an exponent are taken"
    )]
    NotANumber(String),
    /// The price is above 10^18, or so small that 18 decimals would not hold it to half a basis point.
    #[error("the price {0:?} does not fit: at most 10^18, and not so small that 18 decimals falsify it")]
    OutOfRange(String),
    /// The last trade lies outside of what is bid and asked now: it is old, however fresh the answer.
    #[error(
        "the last trade {price} lies outside of the book, bid {bid} and ask {ask}: nobody has traded for long"
    )]
    OffMarket {
        /// The last trade.
        price: Price,
        /// What is bid now.
        bid: Price,
        /// What is asked now.
        ask: Price,
    },
    /// The time in the answer is no time.
    #[error("the time {0:?} is no Unix time")]
    BadTime(String),
    /// The time is in another unit than documented: the exchange's API changed. It says nothing about any clock.
    #[error("the time {said:?} is in {came} where {due} are documented: the exchange's API has changed")]
    #[strum(serialize = "bad_time")]
    WrongUnit {
        /// What came.
        said: String,
        /// What is documented.
        due: &'static str,
        /// What it looks like.
        came: &'static str,
    },
    /// The exchange's own time says that the price is old: its feed stands still.
    #[error("the price is {} s old, at most {} s are allowed", age.as_secs(), limit.as_secs())]
    Stale {
        /// By the exchange's time and ours.
        age: Duration,
        /// `max_quote_age`.
        limit: Duration,
    },
    /// The price is far older than those that others gave in the same fetch, by their own times: this one stands still, or comes
    /// out of a cache. The others' times are compared, so that this node's clock plays no part.
    #[error("the price is {} s older than the others', at most {} s are allowed", behind.as_secs(), limit.as_secs())]
    Outdated {
        /// By how much.
        behind: Duration,
        /// The most that is allowed.
        limit: Duration,
    },
    /// The exchange's own time lies ahead of this node's clock. If all sources say so, it is this node's clock.
    #[error(
        "the price is from {} s in the future, at most {} s are allowed; check this node's clock",
        ahead.as_secs(),
        limit.as_secs()
    )]
    Future {
        /// By how much.
        ahead: Duration,
        /// The tolerance.
        limit: Duration,
    },
}

/// How much of an exchange's words is kept: it is not ours to log whole.
const SHOWN_CHARS: usize = 60;

/// The first characters of what an exchange said.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

fn shown_stage(stage: &str) -> String {
    if stage.is_empty() {
        return String::new();
    }
    format!(", {stage}")
}

fn shown_words(words: Option<&str>) -> String {
    words.map(|words| format!(": {words:?}")).unwrap_or_default()
}

fn shown_wait(wait: Option<Duration>) -> String {
    wait.map_or_else(
        || "an unsaid time".to_owned(),
        |wait| format!("{} s", wait.as_secs()),
    )
}

/// For how long a source that limits us without saying for how long is left alone.
const UNSAID_WAIT: Duration = Duration::from_secs(60);

impl QuoteError {
    /// For how long the exchange itself demands to be left alone; `None` when the rest is our own idea.
    pub fn demanded_rest(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(retry_after.unwrap_or(UNSAID_WAIT)),
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether an answer about several feeds may be refused so because of another of them: this one, asked for alone, may get a price.
    pub fn may_be_anothers(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::TooLong { .. }
            | Self::NotJson { .. }
            | Self::DuplicateKey(_)
            | Self::WrongShape { .. }
            | Self::MissingField(_)
            | Self::WrongPair { .. } => true,
            // Bad request, not found, URI too long.
            Self::Status { status, .. } => matches!(status, 400 | 404 | 414),
            _ => false,
        }
    }

    /// A short name for counters: one of a fixed set.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantNames;

    use super::QuoteError;

    #[test]
    fn every_refusal_stands_in_the_documentation() {
        let page = include_str!("../../docs/sources.md");
        for name in QuoteError::VARIANTS {
            let documented = page
                .lines()
                .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
                .any(|cell| cell.contains(&format!("`{name}`")));
            assert!(documented, "{name}");
        }
    }
}
