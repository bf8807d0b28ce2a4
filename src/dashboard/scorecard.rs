//! The scorecard: which member is the weak one, and why.

use std::time::Duration;

use quorate_protocol::scorecard::Heard;

use super::{
    figures::duration,
    page::{Facts, query},
};
use crate::http::scorecard::{CardBody, Counted, Period, cards};

/// Who misses more than one window in so many is worth a look.
const WEAK: u64 = 20;
/// Who misses more than one in so many is what the chart's alert wakes people for.
const BAD: u64 = 4;

/// What the scorecard is made of.
#[derive(Clone, Copy, Default)]
pub(super) struct Scores<'a> {
    pub(super) period: Period,
    /// `None`: the Aggregator does not answer.
    pub(super) heard: Option<&'a Heard>,
    /// `None`: the database does not answer.
    pub(super) counted: Option<&'a Counted>,
}

/// The table, and what it comes to.
pub(super) struct Scorecard {
    pub(super) periods: Vec<PeriodLink>,
    pub(super) finding: String,
    pub(super) class: &'static str,
    /// How many records were counted.
    pub(super) records: String,
    pub(super) since: String,
    pub(super) cards: Vec<ShownCard>,
}

pub(super) struct PeriodLink {
    pub(super) text: &'static str,
    pub(super) query: String,
    pub(super) is_shown: bool,
}

pub(super) struct ShownCard {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) remark: String,
    pub(super) is_me: bool,
    pub(super) class: &'static str,
    /// The share of windows in which it had a part.
    pub(super) share: String,
    /// The same as the length of a bar of 100.
    pub(super) bar: u64,
    pub(super) missed: String,
    pub(super) reasons: Vec<String>,
    pub(super) signed: String,
    pub(super) observed: String,
    pub(super) wrote: String,
    pub(super) restarts: u64,
}

impl Facts<'_> {
    pub(super) fn scorecard(&self) -> Scorecard {
        let Scores {
            period,
            heard,
            counted,
        } = self.scores;
        let link = |(label, other): &(&'static str, Period)| PeriodLink {
            text: match other {
                Period::Hour => "1 hour",
                Period::Day => "24 hours",
                Period::Week => "7 days",
            },
            query: format!("feed={}&period={label}", query(self.feed)),
            is_shown: *other == period,
        };
        let nothing = Counted::default();
        let cards = match (self.status, heard) {
            (Some(status), Some(heard)) => {
                let work = &counted.unwrap_or(&nothing).work;
                cards(work, heard, status, self.names, self.me)
            }
            _ => vec![],
        };
        let (now, _) = self.now;
        let listened = heard.map_or(Duration::ZERO, |heard| now.since(heard.since));
        let (class, finding) = self.finding(&cards);
        Scorecard {
            periods: Period::CHOICES.iter().map(link).collect(),
            finding,
            class,
            records: counted.map_or_else(|| "—".to_owned(), |counted| counted.work.records.to_string()),
            since: format!("Windows heard here in the last {}", duration(listened)),
            cards: cards
                .iter()
                .map(|card| self.card(card, counted.is_some()))
                .collect(),
        }
    }

    /// The weak one and why, in one sentence.
    fn finding(&self, cards: &[CardBody]) -> (&'static str, String) {
        let members = || cards.iter().filter(|card| card.member && card.windows > 0);
        let weak = |card: &&CardBody| card.missed * WEAK > card.windows;
        let Some(first) = members().next() else {
            return ("quiet", "No whole window was heard yet".to_owned());
        };
        let (class, name) = (class(first), self.name_of(first));
        let reasons = reasons(first).join(", ");
        match members().filter(weak).count() {
            0 => ("good", "Nobody missed more than one window in twenty".to_owned()),
            count => {
                let others = match count {
                    1 => String::new(),
                    2 => ". One other missed more than one in twenty".to_owned(),
                    many => format!(". {} others missed more than one in twenty", many - 1),
                };
                let (missed, windows) = (first.missed, first.windows);
                let finding = format!(
                    "{name} is the weakest: missed {missed} of {windows} windows ({reasons}){others}"
                );
                (class, finding)
            }
        }
    }

    fn card(&self, card: &CardBody, is_counted: bool) -> ShownCard {
        // In tenths of a percent, rounded down, so that 100 % is all.
        let share = (card.windows.saturating_sub(card.missed) * 1000).checked_div(card.windows);
        let count = |count: u64| match is_counted {
            true => count.to_string(),
            false => "—".to_owned(),
        };
        ShownCard {
            name: self.name_of(card),
            address: card.address.clone(),
            remark: match card.member {
                true => card.address.chars().take(10).collect(),
                false => "no member now".to_owned(),
            },
            is_me: card.this_node,
            class: class(card),
            share: share.map_or_else(
                || "—".to_owned(),
                |share| format!("{}.{} %", share / 10, share % 10),
            ),
            bar: share.unwrap_or_default() / 10,
            missed: match card.windows {
                0 => "—".to_owned(),
                windows => format!("{} of {windows}", card.missed),
            },
            reasons: reasons(card),
            signed: count(card.signed),
            observed: count(card.observed),
            wrote: count(card.wrote),
            restarts: card.restarts,
        }
    }

    fn name_of(&self, card: &CardBody) -> String {
        let short = || card.address.chars().take(10).collect();
        card.name.clone().unwrap_or_else(short)
    }
}

fn class(card: &CardBody) -> &'static str {
    match (card.windows, card.missed) {
        (0, _) => "off",
        (windows, missed) if missed * BAD > windows => "bad",
        (windows, missed) if missed * WEAK > windows => "warn",
        _ => "good",
    }
}

/// Why it missed windows, the most frequent reason first.
fn reasons(card: &CardBody) -> Vec<String> {
    let mut misses: Vec<(&str, u64)> = card
        .misses
        .iter()
        .map(|(label, count)| (*label, *count))
        .collect();
    misses.sort_by_key(|(label, count)| (std::cmp::Reverse(*count), *label));
    let words = |(label, count): (&str, u64)| format!("{} × {count}", label.replace('_', " "));
    misses.into_iter().map(words).collect()
}
