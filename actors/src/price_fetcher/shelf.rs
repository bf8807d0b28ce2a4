//! Answers about several feeds: who asks first asks for those that are fetched next too, and these find their answer here.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use futures::{FutureExt, future::Shared};
use quorate_prices::{Alone, Answered, FetchRules, HttpAnswer, QuoteError, SourceKind, SourceSpec};
use quorate_protocol::{Feed, Instant, UnixMillis};
use tokio::task::JoinHandle;

use super::client::ExchangeClient;
use crate::Clock;

/// What a source answered, and when by both clocks.
type Arrived = (Result<HttpAnswer, QuoteError>, Instant, UnixMillis);

/// An answer that may still be on its way. The task that waits for it ends within the source's time, whoever waits with it.
#[derive(Clone)]
struct Awaited(Shared<futures::future::LocalBoxFuture<'static, Arrived>>);

impl Awaited {
    fn new(task: JoinHandle<Arrived>, clock: Clock) -> Self {
        let arrived = task.map(move |ended| {
            ended.unwrap_or_else(|error| {
                let broken = QuoteError::Unreachable(format!("the request was given up: {error}"));
                (Err(broken), clock.now(), clock.unix_now())
            })
        });
        Self(arrived.boxed_local().shared())
    }
}

/// The answers that feeds have not fetched yet: at most one for each source and feed.
#[derive(Default)]
pub(super) struct Shelf {
    waiting: RefCell<BTreeMap<(SourceKind, Feed), (Instant, Awaited)>>,
    alone: RefCell<Alone>,
}

impl Shelf {
    /// A quote of this feed, and when its answer was in: out of an answer that is at hand or on its way, or of a new one, for
    /// which those `along` are asked too. Where it is no price and another feed may be why, it is asked for alone, once.
    pub(super) async fn quote(
        &self,
        client: &ExchangeClient,
        spec: &SourceSpec,
        feed: &Feed,
        along: &[Feed],
        rules: &FetchRules,
        clock: Clock,
    ) -> (Result<Answered, QuoteError>, Instant, UnixMillis) {
        let kind = spec.kind();
        let shared = match kind.shelf_life() {
            Some(life) => self.answer(client, spec, feed, along, life, rules, clock),
            None => None,
        };
        if let Some(awaited) = shared {
            let (answer, now, at) = awaited.0.await;
            let quote = answer.and_then(|answer| kind.read(&answer, feed, at, rules.max_quote_age));
            match quote {
                Err(error) if error.may_be_anothers() && self.alone.borrow_mut().insert(kind, feed) => {}
                quote => return (quote, now, at),
            }
        }
        let answer = client.ask(spec, feed, rules.source_timeout).await;
        let (now, at) = (clock.now(), clock.unix_now());
        let answer = answer.map_err(|(_, error)| error);
        let quote = answer.and_then(|answer| kind.read(&answer, feed, at, rules.max_quote_age));
        if quote.is_ok() {
            self.alone.borrow_mut().remove(kind, feed);
        }
        (quote, now, at)
    }

    /// An answer about this feed and others; `None`: it is to be asked for alone.
    #[expect(
        clippy::too_many_arguments,
        reason = "who is asked, for what, and by which rules"
    )]
    fn answer(
        &self,
        client: &ExchangeClient,
        spec: &SourceSpec,
        feed: &Feed,
        along: &[Feed],
        life: Duration,
        rules: &FetchRules,
        clock: Clock,
    ) -> Option<Awaited> {
        let (kind, now) = (spec.kind(), clock.now());
        let mut waiting = self.waiting.borrow_mut();
        let is_fresh = |asked: &Instant| now.since(*asked) <= life;
        // Whoever takes an answer has had it: the next fetch gets another.
        if let Some((asked, awaited)) = waiting.remove(&(kind, feed.clone()))
            && is_fresh(&asked)
        {
            return Some(awaited);
        }
        let alone = self.alone.borrow();
        if alone.contains(kind, feed) {
            return None;
        }
        let has_none = |other: &&Feed| {
            let at_hand = waiting.get(&(kind, (*other).clone()));
            !alone.contains(kind, other) && !at_hand.is_some_and(|(asked, _)| is_fresh(asked))
        };
        let others: Vec<Feed> = along.iter().filter(has_none).cloned().collect();
        if others.is_empty() {
            return None;
        }
        let together: Vec<Feed> = std::iter::once(feed).chain(&others).cloned().collect();
        let url = spec.url_together(&together)?;
        let (client, spec, limit) = (client.clone(), spec.clone(), rules.source_timeout);
        let task = tokio::task::spawn_local(async move {
            let answer = client.ask_at(&spec, url, limit).await;
            let answer = answer.map_err(|(_, error)| error);
            (answer, clock.now(), clock.unix_now())
        });
        let awaited = Awaited::new(task, clock);
        waiting.extend(
            others
                .into_iter()
                .map(|other| ((kind, other), (now, awaited.clone()))),
        );
        Some(awaited)
    }
}
