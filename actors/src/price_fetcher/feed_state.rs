//! What the fetcher knows of one feed: when it is next fetched, whom it asks, and what an outcome changes. No IO.

use std::{collections::BTreeMap, fmt, time::Duration};

use quorate_protocol::{Evidence, Feed, Instant, Quote, Source, UnixMillis};

use super::{
    agreement::{Agreement, NoAgreement},
    answer_time::AnswerTime,
    quarantine::{Cause, Quarantine, choose},
    quote_error::QuoteError,
    round::Outcome,
    schedule::Schedule,
    source_spec::SourceSpec,
};

/// One feed's state. What an exchange did is kept when the actor restarts; the rest is rebuilt.
pub(super) struct FeedState {
    pub(super) feed: Feed,
    pub(super) schedule: Schedule,
    pub(super) answer_time: AnswerTime,
    pub(super) is_in_flight: bool,
    quarantines: Vec<(Source, Quarantine)>,
}

/// A price and what it is made of.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) evidence: Evidence,
    /// When the last answer that the price rests on was in.
    pub(super) observed_at: UnixMillis,
    pub(super) observed_instant: Instant,
}

/// What happened to a source, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SourceEvent {
    /// It gave no usable answer and rests.
    Failed {
        source: Source,
        error: QuoteError,
        rest: Duration,
    },
    /// It stated another price than the others agree on, and rests.
    Outlier {
        source: Source,
        quote: Quote,
        deviation_bps: u32,
        rest: Duration,
    },
    /// It answers again.
    Back { source: Source },
}

impl fmt::Display for SourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { source, error, rest } => {
                write!(
                    f,
                    "source failed: source={source} error={} reason=\"{error}\" rest_s={}",
                    error.name(),
                    rest.as_secs()
                )
            }
            Self::Outlier {
                source,
                quote,
                deviation_bps,
                rest,
            } => {
                write!(
                    f,
                    "outlier left out: source={source} price={} deviation_bps={deviation_bps} rest_s={}",
                    quote.price,
                    rest.as_secs()
                )
            }
            Self::Back { source } => write!(f, "source is back: source={source}"),
        }
    }
}

impl FeedState {
    pub(super) fn new(feed: Feed, sources: &[SourceSpec], interval: Duration) -> Self {
        Self {
            feed,
            schedule: Schedule::new(interval),
            answer_time: AnswerTime::default(),
            is_in_flight: false,
            quarantines: sources
                .iter()
                .map(|spec| (spec.kind().source(), Quarantine::default()))
                .collect(),
        }
    }

    /// Forgets what this process had under way, but not what exchanges demanded: they do not care that we restarted.
    pub(super) fn restart(&mut self, interval: Duration) {
        self.schedule = Schedule::new(interval);
        self.is_in_flight = false;
    }

    /// The sources to ask now, as indices, and those of them that are under suspicion.
    pub(super) fn whom_to_ask(&self, min_sources: usize, now: Instant) -> (Vec<usize>, Vec<Source>) {
        let states: Vec<Quarantine> = self.quarantines.iter().map(|(_, state)| *state).collect();
        (choose(&states, min_sources, now), self.suspects())
    }

    fn suspects(&self) -> Vec<Source> {
        self.quarantines
            .iter()
            .filter(|(_, state)| state.is_suspect())
            .map(|(source, _)| source.clone())
            .collect()
    }

    /// An exchange demanded rest when asked for another feed.
    pub(super) fn demand_rest(&mut self, source: &Source, demanded: Duration, now: Instant, jitter: u64) {
        if let Some(state) = self.quarantine(source) {
            state.rest(Cause::Demanded(demanded), now, jitter);
        }
    }

    fn quarantine(&mut self, source: &Source) -> Option<&mut Quarantine> {
        self.quarantines
            .iter_mut()
            .find(|(name, _)| name == source)
            .map(|(_, state)| state)
    }

    /// Makes a price of an outcome, if it makes one, and sends to rest and back whom it concerns.
    pub(super) fn conclude(
        &mut self,
        outcome: Outcome,
        agreement: Agreement,
        now: Instant,
        mut jitter: impl FnMut() -> u64,
    ) -> (Result<Agreed, NoAgreement>, Vec<SourceEvent>) {
        let mut events = vec![];
        for (source, error) in outcome.failures {
            let cause = error.demanded_rest().map_or(Cause::Failed, Cause::Demanded);
            if let Some(state) = self.quarantine(&source) {
                let rest = state.rest(cause, now, jitter());
                events.push(SourceEvent::Failed { source, error, rest });
            }
        }
        let suspects = self.suspects();
        let quotes: Vec<Quote> = outcome
            .answers
            .iter()
            .map(|answer| answer.quote.clone())
            .collect();
        let reached = agreement.reach(quotes.clone(), &suspects);
        let outliers: BTreeMap<Source, Quote> = match &reached {
            Ok((_, outliers)) => outliers
                .iter()
                .map(|quote| (quote.source.clone(), quote.clone()))
                .collect(),
            Err(_) => BTreeMap::new(),
        };
        let median = reached.as_ref().ok().map(|(evidence, _)| evidence.median());
        for quote in quotes {
            let source = quote.source.clone();
            let Some(state) = self.quarantine(&source) else {
                continue;
            };
            match median.filter(|_| outliers.contains_key(&source)) {
                Some(median) => {
                    let rest = state.rest(Cause::Outlier, now, jitter());
                    let deviation_bps = quote.price.deviation_bps(median);
                    events.push(SourceEvent::Outlier {
                        source,
                        quote,
                        deviation_bps,
                        rest,
                    });
                }
                // Who agrees in a price is borne out: at least one of those in it is above suspicion.
                None if state.succeeded(reached.is_ok(), now) => events.push(SourceEvent::Back { source }),
                None => {}
            }
        }
        let agreed = reached.map(|(evidence, _)| {
            let in_it = outcome
                .answers
                .iter()
                .filter(|answer| evidence.quotes().contains(&answer.quote));
            let last = in_it
                .clone()
                .map(|answer| (answer.in_instant, answer.in_at))
                .max();
            let (observed_instant, observed_at) = last.unwrap_or((outcome.began, UnixMillis::new(0)));
            Agreed {
                evidence,
                observed_at,
                observed_instant,
            }
        });
        (agreed, events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price_fetcher::{quarantine::FIRST_OUTLIER_REST, round::Answer, source::SourceKind};

    const RULE: Agreement = Agreement {
        min_sources: 1,
        max_spread_bps: 200,
    };

    fn state() -> FeedState {
        let sources = [SourceKind::Coinbase, SourceKind::Kraken, SourceKind::Gemini].map(SourceSpec::from);
        FeedState::new("ETH/USD".parse().unwrap(), &sources, Duration::from_secs(30))
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn answer(kind: SourceKind, price: &str, second: u64) -> Answer {
        let in_at = UnixMillis::new(second * 1000);
        Answer {
            quote: Quote {
                source: kind.source(),
                price: price.parse().unwrap(),
                at: in_at,
            },
            in_at,
            in_instant: at(second),
        }
    }

    fn conclude(
        state: &mut FeedState,
        answers: Vec<Answer>,
        failures: Vec<(SourceKind, QuoteError)>,
        now: u64,
    ) -> (Result<Agreed, NoAgreement>, Vec<SourceEvent>) {
        let failures = failures
            .into_iter()
            .map(|(kind, error)| (kind.source(), error))
            .collect();
        state.conclude(
            Outcome {
                began: at(now),
                answers,
                failures,
            },
            RULE,
            at(now),
            || 0,
        )
    }

    #[test]
    fn a_price_is_dated_by_the_last_answer_that_it_rests_on() {
        let answers = vec![
            answer(SourceKind::Coinbase, "3000", 11),
            answer(SourceKind::Kraken, "3001", 12),
            answer(SourceKind::Gemini, "3600", 13),
        ];
        let (agreed, events) = conclude(&mut state(), answers, vec![], 14);
        let agreed = agreed.unwrap();
        assert_eq!(
            agreed.observed_at,
            UnixMillis::new(12_000),
            "the outlier at 13 does not count"
        );
        assert_eq!(agreed.observed_instant, at(12));
        assert_eq!(agreed.evidence.quotes().len(), 2);
        assert_eq!(
            events[0].to_string(),
            "outlier left out: source=gemini price=3600 deviation_bps=1999 rest_s=60"
        );
    }

    #[test]
    fn a_liar_never_speaks_alone_even_when_its_rest_is_over() {
        let mut state = state();
        let liar = |second| answer(SourceKind::Gemini, "3600", second);
        let honest = vec![
            answer(SourceKind::Coinbase, "3000", 1),
            answer(SourceKind::Kraken, "3001", 1),
        ];
        conclude(&mut state, [honest.clone(), vec![liar(1)]].concat(), vec![], 1)
            .0
            .unwrap();
        let (asked, _) = state.whom_to_ask(1, at(30));
        assert_eq!(asked, [0, 1], "it misses the next fetch");

        let down = || QuoteError::Status {
            status: 500,
            retry_after: None,
        };
        let later = 2 + FIRST_OUTLIER_REST.as_secs();
        let failures = vec![(SourceKind::Coinbase, down()), (SourceKind::Kraken, down())];
        let (nothing, _) = conclude(&mut state, vec![liar(later)], failures, later);
        assert_eq!(
            nothing.unwrap_err(),
            NoAgreement::OnlySuspects("gemini".to_owned())
        );

        let honest_again = answer(SourceKind::Gemini, "3000.5", later + 30);
        conclude(
            &mut state,
            [honest, vec![honest_again.clone()]].concat(),
            vec![],
            later + 30,
        )
        .0
        .unwrap();
        assert!(
            conclude(&mut state, vec![honest_again], vec![], later + 60)
                .0
                .is_ok(),
            "it was borne out"
        );
    }

    #[test]
    fn a_failure_rests_and_a_success_after_it_is_said_once() {
        let mut state = state();
        let all = |second| {
            SourceKind::ALL[..2]
                .iter()
                .map(|kind| answer(*kind, "3000", second))
                .collect::<Vec<_>>()
        };
        let limit = Duration::from_secs(3);
        let (_, events) = conclude(
            &mut state,
            all(1),
            vec![(SourceKind::Gemini, QuoteError::Timeout { limit })],
            1,
        );
        assert_eq!(
            events[0].to_string(),
            "source failed: source=gemini error=timeout reason=\"no answer within 3000 ms\" rest_s=5"
        );
        let with_gemini = |second| [all(second), vec![answer(SourceKind::Gemini, "3000", second)]].concat();
        let (_, events) = conclude(&mut state, with_gemini(31), vec![], 31);
        assert_eq!(
            events,
            [SourceEvent::Back {
                source: SourceKind::Gemini.source()
            }]
        );
        assert_eq!(conclude(&mut state, with_gemini(61), vec![], 61).1, []);
    }

    #[test]
    fn what_an_exchange_demands_survives_a_restart() {
        let mut state = state();
        let demand = QuoteError::RateLimited {
            retry_after: Some(Duration::from_secs(120)),
        };
        conclude(&mut state, vec![], vec![(SourceKind::Coinbase, demand)], 0)
            .0
            .unwrap_err();
        state.restart(Duration::from_secs(30));
        assert_eq!(state.whom_to_ask(3, at(100)).0, [1, 2]);
        assert_eq!(state.whom_to_ask(3, at(121)).0, [0, 1, 2]);
    }
}
