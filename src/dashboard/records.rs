//! The price and the records behind it: the newest large, the last ones listed, all of them for the chart.

use quorate_protocol::{Address, Price, Record};

use super::{
    figures::{Moment, SplitPrice, bps, centi_bps, clock, duration, percent, price, short_time},
    page::Facts,
};

/// Records that are listed with their signers.
pub(super) const LISTED: usize = 10;

pub(super) struct Last {
    pub(super) sequence: u64,
    /// For screen readers, when it is new.
    pub(super) said: String,
    pub(super) price: SplitPrice,
    pub(super) change: Option<Change>,
    pub(super) verdict: String,
    pub(super) verdict_class: &'static str,
    /// From when on it is stale, whether this node answers then or not.
    pub(super) stale_at: u128,
    pub(super) at: Moment,
    pub(super) signatures: String,
    pub(super) spread: String,
    pub(super) writer: String,
}

pub(super) struct Change {
    pub(super) class: &'static str,
    pub(super) arrow: &'static str,
    pub(super) word: &'static str,
    pub(super) text: String,
    pub(super) since: u64,
}

pub(super) struct Window {
    pub(super) state: &'static str,
    pub(super) interval: u128,
    /// By this node's calendar.
    pub(super) opens: Option<u64>,
    pub(super) percent: u128,
    pub(super) seconds: String,
    pub(super) unit: &'static str,
    pub(super) caption: &'static str,
}

pub(super) struct Point {
    pub(super) sequence: u64,
    pub(super) ms: u64,
    pub(super) time: String,
    pub(super) raw: String,
    pub(super) raw_low: String,
    pub(super) raw_high: String,
    pub(super) price: String,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) signatures: usize,
}

pub(super) struct Listed {
    pub(super) sequence: u64,
    pub(super) digest: String,
    pub(super) at: Moment,
    pub(super) price: String,
    pub(super) spread: String,
    pub(super) took: String,
    pub(super) signers: Vec<Signer>,
}

pub(super) struct Signer {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) class: &'static str,
    pub(super) role: &'static str,
}

impl Facts<'_> {
    pub(super) fn last(&self, record: &Record) -> Last {
        let (_, now) = self.now;
        let (verdict_class, verdict) = self.verdict(record);
        let signatures = match self.status {
            Some(status) => format!("{}, {} required", record.signatures.len(), status.required),
            None => record.signatures.len().to_string(),
        };
        let shown = SplitPrice::of(record.price);
        Last {
            sequence: record.sequence,
            said: format!(
                "Record {}: {}, {} signatures",
                record.sequence,
                price(record.price),
                record.signatures.len()
            ),
            price: shown,
            change: self.recent.records.last().and_then(|since| change(record, since)),
            verdict,
            verdict_class,
            stale_at: u128::from(record.written_at.get()) + self.stale_after.as_millis(),
            at: Moment::of(record.written_at, now),
            signatures,
            spread: spread(record),
            writer: self.name(record.written_by),
        }
    }

    /// Whether this price may still be used.
    fn verdict(&self, record: &Record) -> (&'static str, String) {
        let (_, now) = self.now;
        match now.since(record.written_at).checked_sub(self.stale_after) {
            Some(over) if !over.is_zero() => ("bad", format!("Stale for {}", duration(over))),
            _ => ("good", "Fresh".to_owned()),
        }
    }

    /// When the next record may be written.
    pub(super) fn window(&self) -> Window {
        let (_, now) = self.now;
        let interval = self.write_interval.as_millis();
        let written = self.recent.records.first().map(|record| record.written_at);
        let opens = written.map(|at| at.get() + u64::try_from(interval).unwrap_or(u64::MAX));
        let left = opens.map(|opens| opens.saturating_sub(now.get()));
        let (state, seconds, unit, caption) = match left {
            None => ("unknown", "–".to_owned(), "", "until the first record"),
            Some(0) => ("open", "open".to_owned(), "", "the next record may be written"),
            Some(left) => (
                "closed",
                left.div_ceil(1000).to_string(),
                "s",
                "until the next write window",
            ),
        };
        Window {
            state,
            interval,
            opens,
            percent: left
                .map_or(0, |left| u128::from(left) * 100 / interval.max(1))
                .min(100),
            seconds,
            unit,
            caption,
        }
    }

    pub(super) fn listed(&self, record: &Record) -> Listed {
        let (_, now) = self.now;
        let signer = |signer: &Address| {
            let (is_observer, is_writer) = (*signer == record.observer, *signer == record.written_by);
            let role = match (is_observer, is_writer) {
                (true, true) => "stated, wrote",
                (true, false) => "stated",
                (false, true) => "wrote",
                (false, false) => "",
            };
            Signer {
                name: self.name(*signer),
                title: match role {
                    "" => format!("{signer} signed"),
                    role => format!("{signer} signed, {role} it"),
                },
                class: if is_observer { "observer" } else { "signer" },
                role,
            }
        };
        let mut signers: Vec<Signer> = record.signatures.iter().map(|by| signer(&by.signer)).collect();
        signers.sort_by(|a, b| a.name.cmp(&b.name));
        Listed {
            sequence: record.sequence,
            digest: record.digest.to_string(),
            at: Moment::of(record.written_at, now),
            price: price(record.price),
            spread: spread(record),
            took: short_time(record.written_at.since(record.observed_at)),
            signers,
        }
    }
}

/// How the price moved since another record.
fn change(record: &Record, since: &Record) -> Option<Change> {
    if record.digest == since.digest {
        return None;
    }
    let centi = centi_bps(record.price, since.price);
    let over = duration(record.written_at.since(since.written_at));
    let size = record.price.scaled().abs_diff(since.price.scaled());
    let size = Price::from_scaled(size).map_or_else(|| "0.00".to_owned(), price);
    // Of a large price nobody wants the last digits of a change.
    let size = match size.split_once('.') {
        Some((whole, fraction)) if record.price >= Price::ONE => {
            format!("{whole}.{}", fraction.get(..2).unwrap_or(fraction))
        }
        _ => size,
    };
    let (class, arrow, word) = match centi {
        _ if record.price == since.price => ("same", "M1 6h10", "unchanged,"),
        0.. => ("up", "M6 1.5 11 10.5H1z", "up"),
        _ => ("down", "M6 10.5 1 1.5h10z", "down"),
    };
    Some(Change {
        class,
        arrow,
        word,
        text: format!("{size} ({}) in {over}", percent(centi)),
        since: since.sequence,
    })
}

/// The lowest and the highest quote behind a record.
fn range(record: &Record) -> (Price, Price) {
    let quotes = record.evidence.quotes().iter().map(|quote| quote.price);
    quotes.fold((record.price, record.price), |(low, high), price| {
        (low.min(price), high.max(price))
    })
}

fn spread(record: &Record) -> String {
    let (low, high) = range(record);
    bps(centi_bps(high, low)).trim_start_matches('+').to_owned()
}

pub(super) fn point(record: &Record) -> Point {
    let (low, high) = range(record);
    Point {
        sequence: record.sequence,
        ms: record.observed_at.get(),
        time: clock(record.observed_at),
        raw: record.price.to_string(),
        raw_low: low.to_string(),
        raw_high: high.to_string(),
        price: price(record.price),
        low: price(low),
        high: price(high),
        signatures: record.signatures.len(),
    }
}
