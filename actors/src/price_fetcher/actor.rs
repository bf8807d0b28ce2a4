//! The actor: timers, requests, logs and messages around the decisions of [`quorate_prices::Feeds`].

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    path::PathBuf,
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, Supervised, WrapFuture};
use quorate_prices::{Feeds, Fetch, FetchRules, SourceEvent};
use quorate_protocol::{Feed, rounds::FetchRequest};
use quorate_supervisor::{Mailbox, SupervisedActor};

use super::{
    board::SourceBoard,
    client::{self, ExchangeClient},
    messages::FetcherMessage,
    metrics::SourceMeasures,
    ways_out::WaysOut,
};
use crate::{Clock, aggregator::AggregatorMessage};

/// All that the actor needs.
#[derive(Debug, Clone)]
pub struct PriceFetcherSettings {
    /// What is priced.
    pub feeds: Vec<Feed>,
    /// Who is asked how often, and which answers make a price.
    pub rules: FetchRules,
    /// Where CoinGecko's API key stands, if there is one.
    pub coingecko_key_file: Option<PathBuf>,
    /// How exchanges are reached.
    pub ways_out: WaysOut,
    /// The process's clock.
    pub clock: Clock,
    /// Who gets the prices.
    pub aggregator: Mailbox<AggregatorMessage>,
    /// What is measured.
    pub measures: SourceMeasures,
    /// What sources said last.
    pub board: SourceBoard,
}

/// Fetches every feed once an interval, in the phase that the Aggregator asks for, and tells the Aggregator what the
/// exchanges agree on. Says nothing when they do not.
///
/// Make it on its arbiter (`PriceFetcher::start_in_arbiter(&arbiter, |_| PriceFetcher::new(settings))`): its HTTP client
/// belongs to one thread. `started` opens the client and fetches; `restarting` drops both and keeps only who rests.
pub struct PriceFetcher {
    feeds: Feeds,
    clock: Clock,
    aggregator: Mailbox<AggregatorMessage>,
    measures: SourceMeasures,
    board: SourceBoard,
    coingecko_key_file: Option<PathBuf>,
    ways_out: WaysOut,
    client: Option<ExchangeClient>,
    /// The one timer: at the next moment at which a fetch begins.
    timer: Option<SpawnHandle>,
}

impl PriceFetcher {
    /// An actor that does nothing until it is started.
    pub fn new(settings: PriceFetcherSettings) -> Self {
        Self {
            feeds: Feeds::new(&settings.feeds, settings.rules),
            clock: settings.clock,
            aggregator: settings.aggregator,
            measures: settings.measures,
            board: settings.board,
            coingecko_key_file: settings.coingecko_key_file,
            ways_out: settings.ways_out,
            client: None,
            timer: None,
        }
    }

    /// Sets the timer anew: what is wanted, or under way, has changed.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let now = self.clock.now();
        if let Some(start) = self.feeds.next_start(now) {
            self.timer = Some(ctx.run_later(start.since(now), Self::fetch));
        }
    }

    /// Begins the fetch that is due, if one is.
    fn fetch(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        if let Some(client) = self.client.clone()
            && let Some(fetch) = self.feeds.begin(self.clock.now())
        {
            let fetched = client::ask_all(client, fetch, self.feeds.rules().clone(), self.clock)
                .into_actor(self)
                .map(|fetch, actor, ctx| actor.fetched(fetch, ctx));
            ctx.spawn(fetched);
        }
        self.arm(ctx);
    }

    fn fetched(&mut self, fetch: Fetch, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let took_ms = now.since(fetch.began).as_millis();
        let (feed, asked) = (fetch.feed.clone(), fetch.asked.len());
        for (source, took) in fetch.answer_times() {
            self.measures.answered(source, took);
        }
        let unix_now = self.clock.unix_now();
        self.board.answered(&fetch, unix_now);
        let concluded = self.feeds.conclude(fetch, now, random);
        for event in &concluded.events {
            self.measures.take_event(event);
            self.board.take_event(&feed, event, now, unix_now);
            match event {
                SourceEvent::Back { .. } => log::info!("{event} feed={feed}"),
                SourceEvent::Failed { .. } | SourceEvent::Outlier { .. } | SourceEvent::Warned { .. } => {
                    log::warn!("{event} feed={feed}");
                }
            }
        }
        match concluded.price {
            Ok(price) => {
                log::info!(
                    "observation made: feed={feed} price={} sources={} took_ms={took_ms}",
                    price.price(),
                    price.evidence.quotes().len(),
                );
                self.aggregator
                    .send_or_log("price", AggregatorMessage::Price(price));
            }
            Err(reason) => log::warn!(
                "no price: feed={feed} reason=\"{reason}\" asked={asked} resting={} took_ms={took_ms}",
                self.feeds.rules().sources.len().saturating_sub(asked),
            ),
        }
        self.arm(ctx);
    }
}

/// A number that differs from node to node and from call to call: nothing secret hangs on it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Actor for PriceFetcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.client = Some(ExchangeClient::new(
            self.feeds.rules(),
            &self.ways_out,
            self.coingecko_key_file.clone(),
        ));
        self.arm(ctx);
    }
}

impl SupervisedActor for PriceFetcher {}

impl Supervised for PriceFetcher {
    fn restarting(&mut self, _: &mut Self::Context) {
        // The context has cancelled the timer and requests already; its handle means nothing any more.
        self.client = None;
        self.timer = None;
        self.feeds.restart();
    }
}

impl Handler<FetcherMessage> for PriceFetcher {
    type Result = ();

    fn handle(&mut self, FetcherMessage(request): FetcherMessage, ctx: &mut Self::Context) {
        let (feed, is_ours) = match request {
            FetchRequest::By { feed, at } => {
                let is_ours = self.feeds.want(&feed, at, self.clock.now());
                (feed, is_ours)
            }
            FetchRequest::Soon(feed) => {
                let is_ours = self.feeds.want_anew(&feed);
                (feed, is_ours)
            }
        };
        if is_ours {
            self.arm(ctx);
        } else {
            log::warn!("asked to fetch what is not configured: feed={feed}");
        }
    }
}
