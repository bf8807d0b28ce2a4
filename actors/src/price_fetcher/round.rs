//! One fetch of one feed: all sources at once, for as long as it is worth waiting.

use std::time::Duration;

use awc::Client;
use futures::{StreamExt, stream::FuturesUnordered};
use quorate_protocol::{Feed, Instant, Quote, Source, UnixMillis};
use tokio::time::sleep;

use super::{agreement::Agreement, client, quote_error::QuoteError, source_spec::SourceSpec};
use crate::Clock;

/// What a round needs to know; it runs apart from the actor.
pub(super) struct Round {
    pub(super) feed: Feed,
    pub(super) asked: Vec<SourceSpec>,
    pub(super) suspects: Vec<Source>,
    pub(super) agreement: Agreement,
    pub(super) source_timeout: Duration,
    pub(super) patience: Duration,
    pub(super) max_quote_age: Duration,
    pub(super) clock: Clock,
}

/// A usable answer and when it was in, by both clocks.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) quote: Quote,
    pub(super) in_at: UnixMillis,
    pub(super) in_instant: Instant,
}

/// What came of a round.
pub(super) struct Outcome {
    pub(super) began: Instant,
    pub(super) answers: Vec<Answer>,
    pub(super) failures: Vec<(Source, QuoteError)>,
}

impl Round {
    /// Asks all at once and ends when all have answered or failed; or `patience` after the answers at hand are firm
    /// ([`Agreement::is_firm`]), so that one slow exchange does not make every price late. Who is still missing then counts
    /// as failed.
    pub(super) async fn run(self, client: Client) -> Outcome {
        let began = self.clock.now();
        let mut pending: FuturesUnordered<_> = self
            .asked
            .iter()
            .map(|spec| async { (spec.kind().source(), self.ask(&client, spec).await) })
            .collect();
        let mut missing: Vec<Source> = self.asked.iter().map(|spec| spec.kind().source()).collect();
        let mut answers: Vec<Answer> = vec![];
        let mut failures = vec![];
        let mut waited_enough = None;
        loop {
            let answered = match &mut waited_enough {
                None => pending.next().await,
                Some(timer) => tokio::select! {
                    biased;
                    answered = pending.next() => answered,
                    () = timer => break,
                },
            };
            let Some((source, result)) = answered else { break };
            missing.retain(|other| *other != source);
            match result {
                Ok(answer) => answers.push(answer),
                Err(error) => failures.push((source, error)),
            }
            let quotes: Vec<Quote> = answers.iter().map(|answer| answer.quote.clone()).collect();
            if waited_enough.is_none() && self.agreement.is_firm(&quotes, &self.suspects, pending.len()) {
                waited_enough = Some(Box::pin(sleep(self.patience)));
            }
        }
        let waited = self.patience;
        failures.extend(
            missing
                .into_iter()
                .map(|source| (source, QuoteError::LeftBehind { waited })),
        );
        drop(pending);
        Outcome {
            began,
            answers,
            failures,
        }
    }

    async fn ask(&self, client: &Client, spec: &SourceSpec) -> Result<Answer, QuoteError> {
        let kind = spec.kind();
        let body = client::get(client, &spec.url(&self.feed), self.source_timeout, self.clock).await?;
        let quoted = kind.parse(&body, &self.feed)?;
        let (in_at, in_instant) = (self.clock.unix_now(), self.clock.now());
        let coarseness = kind.time_coarseness();
        quoted.check_time(in_at, self.max_quote_age, coarseness)?;
        let said_at = quoted.at.filter(|_| coarseness.is_zero());
        let quote = Quote {
            source: kind.source(),
            price: quoted.price,
            at: said_at.unwrap_or(in_at),
        };
        Ok(Answer {
            quote,
            in_at,
            in_instant,
        })
    }
}
