//! The actor: timers, requests, logs and messages around the decisions of its neighbours.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, Supervised, WrapFuture};
use awc::Client;
use quorate_protocol::{AgreedPrice, Feed, Instant, rounds::FetchRequest};
use quorate_supervisor::SupervisedActor;

use super::{
    client,
    feed_state::{FeedState, SourceEvent},
    messages::FetcherMessage,
    quote_error::QuoteError,
    round::{Outcome, Round},
    settings::PriceFetcherSettings,
};
use crate::aggregator::AggregatorMessage;

/// Fetches every feed once an interval, in the phase that the Aggregator asks for, and tells its observers what the
/// exchanges agree on. Says nothing when they do not.
///
/// Make it on its arbiter (`PriceFetcher::start_in_arbiter(&arbiter, |_| PriceFetcher::new(settings))`): its HTTP client
/// belongs to one thread. `started` opens the client and fetches; `restarting` drops both and keeps only who rests.
pub struct PriceFetcher {
    settings: PriceFetcherSettings,
    client: Option<Client>,
    feeds: Vec<FeedState>,
    timers: Vec<Option<SpawnHandle>>,
}

impl PriceFetcher {
    /// An actor that does nothing until it is started. The settings are believed: [`super::check`] them first.
    pub fn new(settings: PriceFetcherSettings) -> Self {
        let feeds: Vec<FeedState> = settings
            .feeds
            .iter()
            .map(|feed| FeedState::new(feed.clone(), &settings.sources, settings.fetch_interval))
            .collect();
        Self {
            timers: vec![None; feeds.len()],
            settings,
            client: None,
            feeds,
        }
    }

    /// How long before answers are due a fetch of that feed begins.
    fn lead(&self, index: usize) -> Duration {
        self.feeds[index]
            .answer_time
            .lead()
            .min(self.settings.fetch_interval / 2)
    }

    /// Sets the one timer of a feed. While a fetch runs there is none: its end sets it.
    fn arm(&mut self, index: usize, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timers[index].take() {
            ctx.cancel_future(timer);
        }
        if self.feeds[index].is_in_flight {
            return;
        }
        let now = self.settings.clock.now();
        let start = self.feeds[index].schedule.next_start(now, self.lead(index));
        let timer = ctx.run_later(start.since(now), move |actor, ctx| actor.fetch(index, ctx));
        self.timers[index] = Some(timer);
    }

    fn fetch(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(client) = self.client.clone() else { return };
        let settings = &self.settings;
        let (now, lead) = (settings.clock.now(), self.lead(index));
        let state = &mut self.feeds[index];
        self.timers[index] = None;
        state.schedule.begin(now, lead);
        let (chosen, suspects) = state.whom_to_ask(settings.agreement.min_sources, now);
        let round = Round {
            feed: state.feed.clone(),
            asked: chosen
                .into_iter()
                .map(|source| settings.sources[source].clone())
                .collect(),
            suspects,
            agreement: settings.agreement,
            source_timeout: settings.source_timeout,
            patience: settings.patience,
            max_quote_age: settings.max_quote_age,
            clock: settings.clock,
        };
        state.is_in_flight = true;
        let done = round
            .run(client)
            .into_actor(self)
            .map(move |outcome, actor, ctx| actor.fetched(index, outcome, ctx));
        ctx.spawn(done);
    }

    fn fetched(&mut self, index: usize, outcome: Outcome, ctx: &mut Context<Self>) {
        let now = self.settings.clock.now();
        let took = now.since(outcome.began);
        let asked = outcome.answers.len() + outcome.failures.len();
        for answer in &outcome.answers {
            let answered_in = answer.in_instant.since(outcome.began);
            self.settings.measures.answered(&answer.quote.source, answered_in);
        }
        let state = &mut self.feeds[index];
        state.is_in_flight = false;
        let (agreed, events) = state.conclude(outcome, self.settings.agreement, now, random);
        let feed = state.feed.clone();
        for event in &events {
            self.settings.measures.take_event(event);
            match event {
                SourceEvent::Back { .. } => log::info!("{event} feed={feed}"),
                _ => log::warn!("{event} feed={feed}"),
            }
        }
        self.spread_demands(index, &events);
        match agreed {
            Ok(agreed) => {
                self.feeds[index].answer_time.took(took);
                log::info!(
                    "observation made: feed={feed} price={} sources={} took_ms={}",
                    agreed.evidence.median(),
                    agreed.evidence.quotes().len(),
                    took.as_millis()
                );
                let price = AgreedPrice {
                    feed,
                    evidence: agreed.evidence,
                    observed_at: agreed.observed_at,
                    observed: agreed.observed_instant,
                };
                self.settings
                    .aggregator
                    .send_or_log("price", AggregatorMessage::Price(price));
            }
            Err(reason) => log::warn!(
                "no price: feed={feed} reason=\"{reason}\" asked={asked} resting={} took_ms={}",
                self.settings.sources.len().saturating_sub(asked),
                took.as_millis()
            ),
        }
        self.arm(index, ctx);
    }

    /// An exchange that is asked too often is asked too often for every feed.
    fn spread_demands(&mut self, index: usize, events: &[SourceEvent]) {
        let now = self.settings.clock.now();
        for event in events {
            let SourceEvent::Failed { source, error, .. } = event else {
                continue;
            };
            let Some(demanded) = QuoteError::demanded_rest(error) else {
                continue;
            };
            for (other, state) in self.feeds.iter_mut().enumerate() {
                if other != index {
                    state.demand_rest(source, demanded, now, random());
                }
            }
        }
    }

    fn fetch_for(&mut self, feed: &Feed, at: Instant, ctx: &mut Context<Self>) {
        if let Some(index) = self.index(feed) {
            self.feeds[index].schedule.want(at, self.settings.clock.now());
            self.arm(index, ctx);
        }
    }

    fn fetch_anew(&mut self, feed: &Feed, ctx: &mut Context<Self>) {
        if let Some(index) = self.index(feed)
            && !self.feeds[index].is_in_flight
        {
            self.feeds[index].schedule.want_anew();
            self.arm(index, ctx);
        }
    }

    fn index(&self, feed: &Feed) -> Option<usize> {
        let index = self.feeds.iter().position(|state| state.feed == *feed);
        if index.is_none() {
            log::warn!("asked to fetch what is not configured: feed={feed}");
        }
        index
    }
}

/// A number that differs from node to node and from call to call: nothing secret hangs on it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Actor for PriceFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.client = Some(client::build(
            self.settings.source_timeout,
            self.settings.fetch_interval,
        ));
        for index in 0..self.feeds.len() {
            self.arm(index, ctx);
        }
    }
}

impl SupervisedActor for PriceFetcher {}

impl Supervised for PriceFetcher {
    fn restarting(&mut self, _: &mut Self::Context) {
        // The context has cancelled the timers and requests already; their handles mean nothing any more.
        self.client = None;
        self.timers.fill(None);
        for state in &mut self.feeds {
            state.restart(self.settings.fetch_interval);
        }
    }
}

impl Handler<FetcherMessage> for PriceFetcher {
    type Result = ();

    fn handle(&mut self, FetcherMessage(request): FetcherMessage, ctx: &mut Self::Context) {
        match request {
            FetchRequest::By { feed, at } => self.fetch_for(&feed, at, ctx),
            FetchRequest::Soon(feed) => self.fetch_anew(&feed, ctx),
        }
    }
}
