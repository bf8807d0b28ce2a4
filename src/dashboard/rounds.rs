//! The last rounds: how a record came about, on an axis of time, and what stood in the way.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{RoundTrace, UnixMillis};

use super::{figures::short_time, page::Facts};

/// Refusals of one round that are listed; the API has all.
const MOST_REFUSALS: usize = 6;
/// Rounds that are shown.
pub(super) const ROUNDS: usize = 8;
/// What the axis of a round reaches over: at least, and at most; what took longer stands at its end.
const SPAN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// The ends of that axis.
const COURSE: (u128, u128) = (4, 232);

pub(super) struct ShownRound {
    pub(super) sequence: u64,
    pub(super) marks: Vec<Mark>,
    pub(super) stated: usize,
    pub(super) quorate: String,
    pub(super) written: String,
    pub(super) reason: String,
    pub(super) refusals: Vec<String>,
}

/// Something that happened in a round, where it stands on its axis.
pub(super) struct Mark {
    pub(super) class: &'static str,
    pub(super) x: u128,
}

impl Facts<'_> {
    /// What the axes of all rounds reach over: the longest from the first price to the record.
    pub(super) fn span(&self) -> Duration {
        let shown = self.rounds.iter().take(ROUNDS);
        let longest = shown.filter_map(|round| Some(round.record.as_ref()?.at.since(round.began_at?)));
        longest.max().unwrap_or_default().clamp(SPAN.0, SPAN.1)
    }

    pub(super) fn round(&self, round: &RoundTrace) -> ShownRound {
        let (from, to) = COURSE;
        let began = round.began_at;
        let mark = |class, at: UnixMillis| {
            let after = began.map_or(Duration::ZERO, |began| at.since(began));
            let share = after.min(self.span()).as_millis() * (to - from) / self.span().as_millis().max(1);
            Mark {
                class,
                x: from + share,
            }
        };
        let after =
            |at: UnixMillis| began.map_or_else(|| "—".to_owned(), |began| short_time(at.since(began)));
        let stated = round
            .statements
            .iter()
            .map(|statement| mark("stated", statement.heard_at));
        let quorate = round.quorum.iter().map(|quorum| mark("quorate", quorum.at));
        let written = round.record.iter().map(|record| mark("written", record.at));
        let refusals: BTreeSet<String> = round
            .statements
            .iter()
            .flat_map(|statement| {
                let of = self.name(statement.observer);
                let told = statement.refusals.iter().filter(|refused| !refused.abstains);
                told.map(move |refused| (of.clone(), refused))
            })
            .map(|(of, refused)| {
                let reason = refused.reason.replace('_', " ");
                format!("{}: {reason} ({of}’s)", self.name(refused.node))
            })
            .collect();
        ShownRound {
            sequence: round.sequence,
            marks: stated.chain(quorate).chain(written).collect(),
            stated: round.statements.len(),
            quorate: round
                .quorum
                .as_ref()
                .map_or_else(|| "—".to_owned(), |quorum| after(quorum.at)),
            written: match &round.record {
                Some(record) => format!("{}, {}", self.name(record.writer), after(record.at)),
                None => "under way".to_owned(),
            },
            reason: match (&round.reason, round.missed_windows) {
                (None, _) => String::new(),
                (Some(reason), 1) => format!("One window missed: {reason}"),
                (Some(reason), many) => format!("{many} windows missed: {reason}"),
            },
            refusals: refusals.into_iter().take(MOST_REFUSALS).collect(),
        }
    }
}
