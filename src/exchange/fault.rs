//! What a simulated exchange does wrong on request, how that is written, and who fails how now.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_prices::SourceKind;

/// One way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with a status code and no price.
    Status {
        code: u16,
        retry_after_secs: Option<u64>,
    },
    /// Answers rightly, but late.
    Delay(Duration),
    /// Closes the connection instead of answering.
    Drop,
    /// Sends the asker to another address.
    Redirect,
    /// JSON that is cut short.
    Garbage,
    /// A block page.
    Html,
    /// Nothing.
    Empty,
    /// A megabyte.
    Huge,
    /// Prices in another currency than was asked for.
    WrongCurrency,
    /// Price zero.
    Zero,
    /// The price with a minus.
    Negative,
    /// `NaN`.
    Nan,
    /// A price dated that long ago; without effect where answers have no time (coinbase, kraken).
    Stale { secs: u64 },
    /// A price dated that far ahead; without effect where answers have no time.
    Future { secs: u64 },
    /// A price that is off by so many basis points.
    Offset { bps: i32 },
}

/// How faults are written, for help and errors.
pub(crate) const GRAMMAR: &str = "status:CODE, status:CODE:retry-after=SECONDS, delay:MILLISECONDS, drop, redirect, \
     garbage, html, empty, huge, wrong-currency, zero, negative, nan, stale:SECONDS, future:SECONDS or offset:BPS \
     (2000 is 20 % too much, -2000 too little)";

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseFaultError {
    /// Not of the grammar.
    #[error("{0:?} is no fault; write {GRAMMAR}")]
    Fault(String),
    /// No `=`.
    #[error(
        "{0:?} names no source; write SOURCE=FAULT, like kraken=status:429:retry-after=5 or all=delay:800"
    )]
    NoSource(String),
    /// Neither a source nor `all`.
    #[error(
        "{0:?} is no source; known are coinbase, kraken, bitstamp, gemini, coingecko, and all for every one"
    )]
    Source(String),
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).ok_or_else(|| ParseFaultError::Fault(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Fault> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    Some(match (name, value) {
        ("status", Some(value)) => {
            let (code, retry_after_secs) = match value.split_once(":retry-after=") {
                Some((code, secs)) => (code, Some(secs.parse().ok()?)),
                None => (value, None),
            };
            let code = code.parse().ok().filter(|code| (200..=599).contains(code))?;
            Fault::Status {
                code,
                retry_after_secs,
            }
        }
        ("delay", Some(millis)) => Fault::Delay(Duration::from_millis(millis.parse().ok()?)),
        ("stale", Some(secs)) => Fault::Stale {
            secs: secs.parse().ok()?,
        },
        ("future", Some(secs)) => Fault::Future {
            secs: secs.parse().ok()?,
        },
        // Less than -100 % would be negative: there is a fault for that.
        ("offset", Some(bps)) => Fault::Offset {
            bps: bps
                .parse()
                .ok()
                .filter(|bps| (-9_999..=1_000_000).contains(bps))?,
        },
        ("drop", None) => Fault::Drop,
        ("redirect", None) => Fault::Redirect,
        ("garbage", None) => Fault::Garbage,
        ("html", None) => Fault::Html,
        ("empty", None) => Fault::Empty,
        ("huge", None) => Fault::Huge,
        ("wrong-currency", None) => Fault::WrongCurrency,
        ("zero", None) => Fault::Zero,
        ("negative", None) => Fault::Negative,
        ("nan", None) => Fault::Nan,
        _ => return None,
    })
}

impl fmt::Display for Fault {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status {
                code,
                retry_after_secs: None,
            } => write!(f, "status:{code}"),
            Self::Status {
                code,
                retry_after_secs: Some(secs),
            } => write!(f, "status:{code}:retry-after={secs}"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_millis()),
            Self::Stale { secs } => write!(f, "stale:{secs}"),
            Self::Future { secs } => write!(f, "future:{secs}"),
            Self::Offset { bps } => write!(f, "offset:{bps}"),
            Self::Drop => f.write_str("drop"),
            Self::Redirect => f.write_str("redirect"),
            Self::Garbage => f.write_str("garbage"),
            Self::Html => f.write_str("html"),
            Self::Empty => f.write_str("empty"),
            Self::Huge => f.write_str("huge"),
            Self::WrongCurrency => f.write_str("wrong-currency"),
            Self::Zero => f.write_str("zero"),
            Self::Negative => f.write_str("negative"),
            Self::Nan => f.write_str("nan"),
        }
    }
}

/// Which sources: the name of one, or `all`.
pub(crate) fn sources(text: &str) -> Result<Vec<SourceKind>, ParseFaultError> {
    if text == "all" {
        return Ok(SourceKind::ALL.to_vec());
    }
    text.parse()
        .map(|kind| vec![kind])
        .map_err(|_| ParseFaultError::Source(text.chars().take(40).collect()))
}

/// `SOURCE=FAULT`, or `all=FAULT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FaultRule {
    /// Who fails.
    pub(crate) sources: Vec<SourceKind>,
    /// How.
    pub(crate) fault: Fault,
}

impl FromStr for FaultRule {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, fault) = text
            .split_once('=')
            .ok_or_else(|| ParseFaultError::NoSource(text.chars().take(80).collect()))?;
        Ok(Self {
            sources: sources(source)?,
            fault: fault.parse()?,
        })
    }
}

/// Which source fails how, now. Shared by all requests; at most one fault a source.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<BTreeMap<SourceKind, Fault>>);

impl Faults {
    /// A faults with these faults; a later rule replaces an earlier one.
    pub(crate) fn new(rules: &[FaultRule]) -> Self {
        let faults = Self::default();
        for rule in rules {
            faults.set(&rule.sources, rule.fault);
        }
        faults
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceKind, Fault>> {
        // A map of plain values is whole even if a thread died with it in hand.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sources fail like this from now on.
    pub(crate) fn set(&self, sources: &[SourceKind], fault: Fault) {
        self.lock().extend(sources.iter().map(|kind| (*kind, fault)));
    }

    /// The sources answer rightly from now on.
    pub(crate) fn clear(&self, sources: &[SourceKind]) {
        self.lock().retain(|kind, _| !sources.contains(kind));
    }

    /// How a source fails.
    pub(crate) fn of(&self, kind: SourceKind) -> Option<Fault> {
        self.lock().get(&kind).copied()
    }

    /// All faults, by the source's name, as they are written.
    pub(crate) fn list(&self) -> BTreeMap<&'static str, String> {
        self.lock()
            .iter()
            .map(|(kind, fault)| (kind.name(), fault.to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_parses_to_the_same_fault() {
        for text in [
            "status:500",
            "status:429:retry-after=5",
            "delay:800",
            "drop",
            "redirect",
            "garbage",
            "html",
            "empty",
            "huge",
            "wrong-currency",
            "zero",
            "negative",
            "nan",
            "stale:3600",
            "future:3600",
            "offset:2000",
            "offset:-2000",
        ] {
            assert_eq!(
                text.parse::<Fault>().map(|fault| fault.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn a_rule_names_one_source_or_all() {
        let rule: FaultRule = "kraken=status:429:retry-after=5".parse().unwrap();
        assert_eq!(rule.sources, [SourceKind::Kraken]);
        assert_eq!(
            rule.fault,
            Fault::Status {
                code: 429,
                retry_after_secs: Some(5)
            }
        );
        assert_eq!("all=drop".parse::<FaultRule>().unwrap().sources.len(), 5);
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_grammar() {
        for wrong in [
            "",
            "status",
            "status:99",
            "status:abc",
            "status:429:retry-after=x",
            "delay:2s",
            "offset:20%",
            "offset:-10000",
            "drop:1",
            "boom",
        ] {
            let error = wrong.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains("offset:BPS"), "{error}");
        }
        assert!(matches!(
            "kraken".parse::<FaultRule>(),
            Err(ParseFaultError::NoSource(_))
        ));
        assert!(matches!(
            "binance=drop".parse::<FaultRule>(),
            Err(ParseFaultError::Source(_))
        ));
    }
}
