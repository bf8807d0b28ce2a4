//! One fetch of one feed: who is asked, what has come, and whether it is worth waiting for more.

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{Feed, Instant, Quote, Source, UnixMillis};

use crate::{
    agreement::Agreement,
    quote_error::QuoteError,
    source::{Answered, SourceKind, SourceSpec},
};

/// How much older than the newest answer of a fetch one may be: CoinGecko renews its price every minute or two, and says so.
const MAX_BEHIND: Duration = Duration::from_secs(150);

/// A fetch under way. [`crate::Feeds::begin`] makes it, the shell asks [`Fetch::asked`] all at once and tells it what came,
/// and [`crate::Feeds::conclude`] makes a price of it.
#[derive(Debug)]
pub struct Fetch {
    /// What is priced.
    pub feed: Feed,
    /// When the sources were asked.
    pub began: Instant,
    /// Who is asked.
    pub asked: Vec<SourceSpec>,
    /// Feeds that are fetched next, soonest first, and may be asked for with this one; for each source that can be asked so.
    pub along: BTreeMap<SourceKind, Vec<Feed>>,
    /// Those whose last price the others contradicted.
    pub(crate) suspects: Vec<Source>,
    pub(crate) agreement: Agreement,
    /// Who has neither answered nor failed.
    missing: Vec<Source>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) failures: Vec<(Source, QuoteError)>,
}

/// A usable answer and when it was in, by both clocks.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) quote: Quote,
    pub(crate) warning: Option<String>,
    pub(crate) in_at: UnixMillis,
    pub(crate) in_instant: Instant,
}

impl Fetch {
    pub(crate) fn new(
        feed: Feed,
        began: Instant,
        asked: Vec<SourceSpec>,
        along: BTreeMap<SourceKind, Vec<Feed>>,
        suspects: Vec<Source>,
        agreement: Agreement,
    ) -> Self {
        Self {
            feed,
            began,
            missing: asked.iter().map(|spec| spec.kind().source()).collect(),
            asked,
            along,
            suspects,
            agreement,
            answers: vec![],
            failures: vec![],
        }
    }

    /// What came of asking `source`, and when by both clocks. Only the first word of each source that was asked counts.
    pub fn take(
        &mut self,
        source: &Source,
        outcome: Result<Answered, QuoteError>,
        in_instant: Instant,
        in_at: UnixMillis,
    ) {
        let Some(index) = self.missing.iter().position(|missing| missing == source) else {
            return;
        };
        self.missing.swap_remove(index);
        match outcome {
            Ok(Answered { quote, warning }) => self.answers.push(Answer {
                quote,
                warning,
                in_at,
                in_instant,
            }),
            Err(error) => self.failures.push((source.clone(), error)),
        }
    }

    /// Whether a price is at hand that those still missing could not overturn ([`Agreement::is_firm`]): from now on they
    /// are waited for only as long as [`crate::FetchRules::patience`] allows.
    pub fn is_firm(&self) -> bool {
        self.agreement
            .is_firm(&self.quotes(), &self.suspects, self.missing.len())
    }

    /// Whoever is still missing has been waited for long enough: it failed.
    pub fn leave_behind(&mut self, waited: Duration) {
        let behind = self.missing.drain(..);
        self.failures
            .extend(behind.map(|source| (source, QuoteError::LeftBehind { waited })));
    }

    /// How long each source took that gave a price.
    pub fn answer_times(&self) -> impl Iterator<Item = (&Source, Duration)> {
        self.answers
            .iter()
            .map(|answer| (&answer.quote.source, answer.in_instant.since(self.began)))
    }

    /// What came, whether it counts or not, and how long each took.
    pub fn answers(&self) -> impl Iterator<Item = (&Quote, Duration)> {
        self.answers
            .iter()
            .map(|answer| (&answer.quote, answer.in_instant.since(self.began)))
    }

    /// The quotes that are about as old as the newest one.
    pub(crate) fn quotes(&self) -> Vec<Quote> {
        let is_current = |answer: &&Answer| self.behind(answer).is_none();
        let current = self.answers.iter().filter(is_current);
        current.map(|answer| answer.quote.clone()).collect()
    }

    /// Those that are older, and why they do not count.
    pub(crate) fn outdated(&self) -> Vec<(Source, QuoteError)> {
        let outdated = self.answers.iter().filter_map(|answer| {
            let behind = self.behind(answer)?;
            let limit = MAX_BEHIND;
            Some((
                answer.quote.source.clone(),
                QuoteError::Outdated { behind, limit },
            ))
        });
        outdated.collect()
    }

    /// By how much an answer is older than the newest, if by too much. One from the future is as new as one of now.
    fn behind(&self, answer: &Answer) -> Option<Duration> {
        let newest = self
            .answers
            .iter()
            .map(|answer| answer.quote.at.min(answer.in_at))
            .max()?;
        let behind = newest.since(answer.quote.at);
        (behind > MAX_BEHIND).then_some(behind)
    }
}
