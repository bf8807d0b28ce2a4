//! What is known between fetches: when each feed is next fetched, whose health allows to ask it, and what a fetch changes.

use std::{collections::BTreeMap, fmt, time::Duration};

use quorate_protocol::{AgreedPrice, Evidence, Feed, Instant, Quote, Source, UnixMillis};

use crate::{
    agreement::{Agreement, NoPrice},
    fetch::Fetch,
    health::{Cause, Health, choose},
    pace::Pace,
    quote_error::QuoteError,
    schedule::{AnswerTime, Schedule},
    source::{SourceKind, SourceSpec},
};

/// Feeds that an exchange is asked for at once, at most: Kraken's answer has half a kilobyte for each, and
/// [`crate::MAX_BODY_BYTES`] are read.
pub const MAX_TOGETHER: usize = 50;

/// How all feeds are fetched.
#[derive(Debug, Clone)]
pub struct FetchRules {
    /// Who is asked.
    pub sources: Vec<SourceSpec>,
    /// When answers make a price.
    pub agreement: Agreement,
    /// How often each feed is fetched.
    pub interval: Duration,
    /// How long one source may take.
    pub source_timeout: Duration,
    /// How long slower sources are waited for when the others agree.
    pub patience: Duration,
    /// How old a price may be by its exchange's time.
    pub max_quote_age: Duration,
}

impl FetchRules {
    /// For how long one source may take altogether: a TLS handshake and an answer on a bad line take 1 s.
    pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(3);
    /// How long slower sources are waited for when the others agree: below the lead of one second that the network plans
    /// between a price and its record.
    pub const PATIENCE: Duration = Duration::from_millis(500);
    /// How old a price may be by its exchange's time: CoinGecko renews its own every minute or two.
    pub const MAX_QUOTE_AGE: Duration = Duration::from_secs(300);
}

/// All feeds, each with its schedule and with the health of each source.
#[derive(Debug)]
pub struct Feeds {
    rules: FetchRules,
    states: Vec<FeedState>,
    pace: Pace,
}

/// What happened to a source, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// It gave no usable answer and rests.
    Failed {
        /// The source.
        source: Source,
        /// Why its answer was none.
        error: QuoteError,
        /// For how long it is not asked.
        rest: Duration,
    },
    /// It stated another price than the others agree on, and rests.
    Outlier {
        /// What it said.
        quote: Quote,
        /// How far that is from what the others agree on, in basis points.
        deviation_bps: u32,
        /// For how long it is not asked.
        rest: Duration,
    },
    /// It answers again.
    Back {
        /// The source.
        source: Source,
    },
    /// It said something new beside a good price.
    Warned {
        /// The source.
        source: Source,
        /// Its words.
        warning: String,
    },
}

impl fmt::Display for SourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { source, error, rest } => write!(
                f,
                "source failed: source={source} error={} reason=\"{error}\" rest_s={}",
                error.name(),
                rest.as_secs()
            ),
            Self::Outlier {
                quote,
                deviation_bps,
                rest,
            } => write!(
                f,
                "outlier left out: source={} price={} deviation_bps={deviation_bps} rest_s={}",
                quote.source,
                quote.price,
                rest.as_secs()
            ),
            Self::Back { source } => write!(f, "source is back: source={source}"),
            Self::Warned { source, warning } => {
                write!(
                    f,
                    "source warns beside a good price: source={source} warning={warning:?}"
                )
            }
        }
    }
}

/// What came of a fetch.
#[derive(Debug)]
pub struct Concluded {
    /// The price, dated by the last answer that it rests on; or why there is none.
    pub price: Result<AgreedPrice, NoPrice>,
    /// What it changed about sources.
    pub events: Vec<SourceEvent>,
}

impl Feeds {
    /// Feeds that were never fetched, and sources that nothing is held against.
    pub fn new(feeds: &[Feed], rules: FetchRules) -> Self {
        let states = feeds
            .iter()
            .map(|feed| FeedState::new(feed.clone(), &rules))
            .collect();
        let pace = Pace::new(feeds.len(), rules.interval);
        Self { rules, states, pace }
    }

    /// How they are fetched.
    pub fn rules(&self) -> &FetchRules {
        &self.rules
    }

    fn state(&mut self, feed: &Feed) -> Option<&mut FeedState> {
        self.states.iter_mut().find(|state| state.feed == *feed)
    }

    /// When the next fetch of any feed begins, `now` or later. `None` while all are under way.
    pub fn next_start(&self, now: Instant) -> Option<Instant> {
        let waiting = self.states.iter().filter(|state| !state.is_in_flight);
        let starts = waiting.map(|state| state.next_start(&self.rules, now));
        Some(self.pace.from(starts.min()?))
    }

    /// A price of this feed is wanted `at` that time. Returns whether it is one of these.
    pub fn want(&mut self, feed: &Feed, at: Instant, now: Instant) -> bool {
        let state = self.state(feed);
        state.map(|state| state.schedule.want(at, now)).is_some()
    }

    /// A price of this feed is wanted that nobody has heard, as soon as the gap allows; a fetch under way serves too.
    /// Returns whether it is one of these feeds.
    pub fn want_anew(&mut self, feed: &Feed) -> bool {
        let Some(state) = self.state(feed) else {
            return false;
        };
        if !state.is_in_flight {
            state.schedule.want_anew();
        }
        true
    }

    /// The next fetch begins now, if it is time: of the feeds that are due, one whose window waits for it, before those that are late
    /// anyway, and of these the one that was fetched longest ago.
    pub fn begin(&mut self, now: Instant) -> Option<Fetch> {
        if self.pace.from(now) > now {
            return None;
        }
        let due = |state: &&FeedState| !state.is_in_flight && state.next_start(&self.rules, now) <= now;
        let next = self.states.iter().filter(due);
        let feed = next
            .min_by_key(|state| state.urgency(&self.rules, now))?
            .feed
            .clone();
        self.begin_feed(&feed, now)
    }

    fn begin_feed(&mut self, feed: &Feed, now: Instant) -> Option<Fetch> {
        let state = self.states.iter_mut().find(|state| state.feed == *feed)?;
        if state.is_in_flight {
            return None;
        }
        let lead = state.lead(&self.rules);
        state.schedule.begin(now, lead);
        state.is_in_flight = true;
        let suspects = state.suspects();
        let agreement = self.rules.agreement;
        let healths: Vec<Health> = state.sources.iter().map(|(_, health)| *health).collect();
        let asked: Vec<SourceSpec> = choose(&healths, agreement.min_sources, now)
            .into_iter()
            .map(|index| self.rules.sources[index].clone())
            .collect();
        self.pace.begin(now);
        let kinds = asked.iter().map(SourceSpec::kind);
        let along = kinds.filter_map(|kind| Some((kind, self.soon(kind, kind.shelf_life()?, now))));
        let along = along.collect();
        Some(Fetch::new(feed.clone(), now, asked, along, suspects, agreement))
    }

    /// The feeds whose fetch will ask this source within that time, soonest first.
    fn soon(&self, kind: SourceKind, time: Duration, now: Instant) -> Vec<Feed> {
        let source = kind.source();
        let mut soon: Vec<(Instant, Urgency, &Feed)> = self
            .states
            .iter()
            .filter(|state| !state.is_in_flight && !state.rests(&source, now))
            .map(|state| {
                let start = state.next_start(&self.rules, now);
                (start, state.urgency(&self.rules, now), &state.feed)
            })
            .filter(|(start, ..)| *start <= now + time)
            .collect();
        soon.sort_unstable();
        let most = self.pace.within(time).min(MAX_TOGETHER - 1);
        soon.into_iter()
            .take(most)
            .map(|(.., feed)| feed.clone())
            .collect()
    }

    /// Makes a price of a fetch, if it makes one, and sends to rest and back whom it concerns. `jitter` gives anything; it
    /// lengthens rests, so that nodes do not come back together.
    pub fn conclude(&mut self, fetch: Fetch, now: Instant, mut jitter: impl FnMut() -> u64) -> Concluded {
        let feed = fetch.feed.clone();
        let Some(state) = self.state(&feed) else {
            // Not one that these feeds began: there is no health to change, and no price to make.
            let (answered, required) = (0, fetch.agreement.min_sources);
            let price = Err(NoPrice::TooFew { answered, required });
            return Concluded {
                price,
                events: vec![],
            };
        };
        state.is_in_flight = false;
        let concluded = state.conclude(fetch, now, &mut jitter);
        // An exchange that is asked too often is asked too often for every feed.
        for event in &concluded.events {
            let SourceEvent::Failed { source, error, .. } = event else {
                continue;
            };
            if let Some(demanded) = error.demanded_rest() {
                for other in self.states.iter_mut().filter(|other| other.feed != feed) {
                    other.rest(source, Cause::Demanded(demanded), now, jitter());
                }
            }
        }
        concluded
    }

    /// Forgets what this process had under way, but not what exchanges demanded: they do not care that we restarted.
    pub fn restart(&mut self) {
        for state in &mut self.states {
            state.schedule = Schedule::new(self.rules.interval);
            state.is_in_flight = false;
        }
    }
}

/// The lowest is fetched first: whether no window waits for it; when it should have begun, if one does; when it was last fetched.
type Urgency = (bool, Option<Instant>, Option<Instant>);

/// One feed.
#[derive(Debug)]
struct FeedState {
    feed: Feed,
    schedule: Schedule,
    answer_time: AnswerTime,
    is_in_flight: bool,
    /// In the order of the rules.
    sources: Vec<(Source, Health)>,
    /// What each has warned of last: it is said once, not with every answer.
    warnings: BTreeMap<Source, String>,
}

impl FeedState {
    fn new(feed: Feed, rules: &FetchRules) -> Self {
        Self {
            feed,
            schedule: Schedule::new(rules.interval),
            answer_time: AnswerTime::default(),
            is_in_flight: false,
            sources: rules
                .sources
                .iter()
                .map(|spec| (spec.kind().source(), Health::default()))
                .collect(),
            warnings: BTreeMap::new(),
        }
    }

    /// When it is next fetched, `now` or later.
    fn next_start(&self, rules: &FetchRules, now: Instant) -> Instant {
        self.schedule.next_start(now, self.lead(rules))
    }

    fn urgency(&self, rules: &FetchRules, now: Instant) -> Urgency {
        let planned = self.schedule.planned_start(self.lead(rules));
        let waits = planned.filter(|planned| *planned <= now);
        (waits.is_none(), waits, self.schedule.last_began())
    }

    fn rests(&self, source: &Source, now: Instant) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|(name, health)| name == source && health.is_resting(now))
    }

    /// How long before answers are due a fetch begins.
    fn lead(&self, rules: &FetchRules) -> Duration {
        self.answer_time.lead().min(rules.interval / 2)
    }

    fn suspects(&self) -> Vec<Source> {
        let suspect = self.sources.iter().filter(|(_, health)| health.is_suspect());
        suspect.map(|(source, _)| source.clone()).collect()
    }

    fn health(&mut self, source: &Source) -> Option<&mut Health> {
        let found = self.sources.iter_mut().find(|(name, _)| name == source);
        found.map(|(_, health)| health)
    }

    /// Sends a source to rest; returns for how long. `None`: it is none of ours.
    fn rest(&mut self, source: &Source, cause: Cause, now: Instant, jitter: u64) -> Option<Duration> {
        self.health(source).map(|health| health.rest(cause, now, jitter))
    }

    fn conclude(&mut self, fetch: Fetch, now: Instant, jitter: &mut impl FnMut() -> u64) -> Concluded {
        let mut events = vec![];
        for (source, error) in fetch.failures.iter().chain(&fetch.outdated()) {
            let cause = error.demanded_rest().map_or(Cause::Failed, Cause::Demanded);
            if let Some(rest) = self.rest(source, cause, now, jitter()) {
                events.push(SourceEvent::Failed {
                    source: source.clone(),
                    error: error.clone(),
                    rest,
                });
            }
        }
        for answer in &fetch.answers {
            let source = answer.quote.source.clone();
            let Some(warning) = answer.warning.clone() else {
                continue;
            };
            if self.warnings.insert(source.clone(), warning.clone()).as_ref() != Some(&warning) {
                events.push(SourceEvent::Warned { source, warning });
            }
        }
        let reached = fetch.agreement.reach(fetch.quotes(), &self.suspects());
        let (median, outliers) = match &reached {
            Ok((evidence, outliers)) => (Some(evidence.median()), outliers.as_slice()),
            Err(_) => (None, [].as_slice()),
        };
        for quote in fetch.quotes() {
            if let Some(median) = median
                && outliers.contains(&quote)
            {
                if let Some(rest) = self.rest(&quote.source, Cause::Outlier, now, jitter()) {
                    let deviation_bps = quote.price.deviation_bps(median);
                    events.push(SourceEvent::Outlier {
                        quote,
                        deviation_bps,
                        rest,
                    });
                }
            } else if let Some(health) = self.health(&quote.source)
                // Who agrees in a price is borne out: at least one of those in it is above suspicion.
                && health.succeeded(median.is_some(), now)
            {
                let source = quote.source;
                events.push(SourceEvent::Back { source });
            }
        }
        let price = reached.map(|(evidence, _)| dated(&fetch, evidence));
        if price.is_ok() {
            self.answer_time.took(now.since(fetch.began));
        }
        Concluded { price, events }
    }
}

/// A price is as old as the last answer that it rests on.
fn dated(fetch: &Fetch, evidence: Evidence) -> AgreedPrice {
    let in_it = fetch
        .answers
        .iter()
        .filter(|answer| evidence.quotes().contains(&answer.quote));
    let last = in_it.map(|answer| (answer.in_instant, answer.in_at)).max();
    let (observed, observed_at) = last.unwrap_or((fetch.began, UnixMillis::new(0)));
    AgreedPrice {
        feed: fetch.feed.clone(),
        evidence,
        observed_at,
        observed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::FIRST_OUTLIER_REST, source::Answered};

    const THREE: [SourceKind; 3] = [SourceKind::Coinbase, SourceKind::Kraken, SourceKind::Gemini];
    const LIMIT: Duration = Duration::from_secs(3);

    fn eth() -> Feed {
        "ETH/USD".parse().unwrap()
    }

    fn feeds_of(names: &[&str], min_sources: usize) -> Feeds {
        let names: Vec<Feed> = names.iter().map(|name| name.parse().unwrap()).collect();
        let rules = FetchRules {
            sources: THREE.map(SourceSpec::from).to_vec(),
            agreement: Agreement {
                min_sources,
                max_spread_bps: 200,
            },
            interval: Duration::from_secs(30),
            source_timeout: LIMIT,
            patience: FetchRules::PATIENCE,
            max_quote_age: FetchRules::MAX_QUOTE_AGE,
        };
        Feeds::new(&names, rules)
    }

    fn feeds() -> Feeds {
        feeds_of(&["ETH/USD"], 1)
    }

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn asked(fetch: &Fetch) -> Vec<SourceKind> {
        fetch.asked.iter().map(SourceSpec::kind).collect()
    }

    /// Whom a fetch would ask at that second.
    fn would_ask(feeds: &mut Feeds, second: u64) -> Vec<SourceKind> {
        let fetch = feeds.begin_feed(&eth(), at(second)).unwrap();
        feeds.state(&eth()).unwrap().is_in_flight = false;
        asked(&fetch)
    }

    /// A price and at which second it came, or why there is none.
    type Said<'a> = Result<(&'a str, u64), QuoteError>;

    /// A fetch in which sources answer that price at that second, or fail. Those that are not asked do not get to answer.
    fn fetched(feeds: &mut Feeds, second: u64, said: &[(SourceKind, Said<'_>)]) -> Concluded {
        let mut fetch = feeds.begin_feed(&eth(), at(second)).unwrap();
        for (kind, outcome) in said {
            let (second, outcome) = match outcome {
                Ok((price, second)) => {
                    let quote = Quote {
                        source: kind.source(),
                        price: price.parse().unwrap(),
                        at: UnixMillis::new(second * 1000),
                    };
                    let warning = None;
                    (*second, Ok(Answered { quote, warning }))
                }
                Err(error) => (second, Err(error.clone())),
            };
            fetch.take(
                &kind.source(),
                outcome,
                at(second),
                UnixMillis::new(second * 1000),
            );
        }
        fetch.leave_behind(FetchRules::PATIENCE);
        feeds.conclude(fetch, at(second), || 0)
    }

    fn all_say(feeds: &mut Feeds, second: u64, prices: [&str; 3]) -> Concluded {
        let said: Vec<_> = THREE
            .into_iter()
            .zip(prices)
            .map(|(kind, price)| (kind, Ok((price, second))))
            .collect();
        fetched(feeds, second, &said)
    }

    fn down() -> QuoteError {
        QuoteError::Status {
            status: 500,
            retry_after: None,
            said: None,
        }
    }

    fn limited(seconds: u64) -> QuoteError {
        QuoteError::RateLimited {
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn an_answer_far_older_than_its_neighbours_is_left_out_by_name_whatever_its_price() {
        let mut feeds = feeds();
        let said = [
            (SourceKind::Coinbase, Ok(("3000", 200))),
            (SourceKind::Kraken, Ok(("3001", 201))),
            (SourceKind::Gemini, Ok(("3002", 50))),
        ];
        let concluded = fetched(&mut feeds, 10, &said);
        assert_eq!(concluded.price.unwrap().evidence.quotes().len(), 2);
        assert_eq!(
            concluded.events[0].to_string(),
            "source failed: source=gemini error=outdated reason=\"the price is 151 s older than the others', at most 150 s are \
             allowed\" rest_s=5"
        );
        let said = said.map(|(kind, said)| (kind, said.map(|(price, second)| (price, second.min(60)))));
        let concluded = fetched(&mut feeds, 20, &said);
        assert!(concluded.price.is_ok(), "{concluded:?}");
    }

    #[test]
    fn a_price_is_dated_by_the_last_answer_that_it_rests_on() {
        let said = [
            (SourceKind::Coinbase, Ok(("3000", 11))),
            (SourceKind::Kraken, Ok(("3001", 12))),
            (SourceKind::Gemini, Ok(("3600", 13))),
        ];
        let concluded = fetched(&mut feeds(), 10, &said);
        let price = concluded.price.unwrap();
        assert_eq!(
            price.observed_at,
            UnixMillis::new(12_000),
            "the outlier at 13 does not count"
        );
        assert_eq!(price.observed, at(12));
        assert_eq!(price.evidence.quotes().len(), 2);
        assert_eq!(
            concluded.events[0].to_string(),
            "outlier left out: source=gemini price=3600 deviation_bps=1999 rest_s=60"
        );
    }

    #[test]
    fn one_that_lies_by_a_fifth_is_left_out_and_not_asked_next_time() {
        for lie in ["3600", "2400"] {
            let mut feeds = feeds();
            let price = all_say(&mut feeds, 0, ["3000", "3000", lie]).price.unwrap();
            assert_eq!(price.evidence.median(), "3000".parse().unwrap());
            assert_eq!(would_ask(&mut feeds, 30), THREE[..2]);
        }
    }

    #[test]
    fn a_liar_never_speaks_alone_even_when_its_rest_is_over() {
        let mut feeds = feeds();
        all_say(&mut feeds, 1, ["3000", "3001", "3600"]).price.unwrap();
        let later = 2 + FIRST_OUTLIER_REST.as_secs();
        let alone = |price, second| {
            [
                (SourceKind::Coinbase, Err(down())),
                (SourceKind::Kraken, Err(down())),
                (SourceKind::Gemini, Ok((price, second))),
            ]
        };
        let nothing = fetched(&mut feeds, later, &alone("3600", later));
        assert_eq!(
            nothing.price.unwrap_err(),
            NoPrice::OnlySuspects("gemini".to_owned())
        );
        all_say(&mut feeds, later + 30, ["3000", "3001", "3000.5"])
            .price
            .unwrap();
        let borne_out = fetched(&mut feeds, later + 60, &alone("3000.5", later + 60));
        assert!(borne_out.price.is_ok(), "it was borne out");
    }

    #[test]
    fn a_failure_rests_and_a_success_after_it_is_said_once() {
        let mut feeds = feeds();
        let said = [
            (SourceKind::Coinbase, Ok(("3000", 1))),
            (SourceKind::Kraken, Ok(("3000", 1))),
            (
                SourceKind::Gemini,
                Err(QuoteError::Timeout {
                    limit: LIMIT,
                    stage: String::new(),
                }),
            ),
        ];
        assert_eq!(
            fetched(&mut feeds, 1, &said).events[0].to_string(),
            "source failed: source=gemini error=timeout reason=\"no answer within 3000 ms\" rest_s=5"
        );
        let back = SourceEvent::Back {
            source: SourceKind::Gemini.source(),
        };
        assert_eq!(all_say(&mut feeds, 31, ["3000"; 3]).events, [back]);
        assert_eq!(all_say(&mut feeds, 61, ["3000"; 3]).events, []);
    }

    #[test]
    fn with_all_down_there_is_no_price_and_as_many_as_one_needs_are_asked_before_their_rest_is_over() {
        let mut feeds = feeds_of(&["ETH/USD"], 2);
        let all_down = THREE.map(|kind| (kind, Err(down())));
        assert!(fetched(&mut feeds, 0, &all_down).price.is_err());
        assert_eq!(would_ask(&mut feeds, 1), THREE[..2]);
        let two = [
            (SourceKind::Coinbase, Ok(("3000", 1))),
            (SourceKind::Kraken, Ok(("3000", 1))),
        ];
        assert!(fetched(&mut feeds, 1, &two).price.is_ok());
    }

    #[test]
    fn what_an_exchange_demands_holds_for_all_feeds_after_a_restart_and_when_it_is_the_last_one() {
        let mut feeds = feeds_of(&["BTC/USD", "ETH/USD"], 3);
        let said = [
            (SourceKind::Coinbase, Err(limited(120))),
            (SourceKind::Kraken, Err(down())),
            (SourceKind::Gemini, Err(down())),
        ];
        fetched(&mut feeds, 0, &said).price.unwrap_err();
        feeds.restart();
        let btc = feeds.begin_feed(&"BTC/USD".parse().unwrap(), at(1)).unwrap();
        assert_eq!(asked(&btc), THREE[1..]);
        assert_eq!(would_ask(&mut feeds, 100), THREE[1..]);
        assert_eq!(would_ask(&mut feeds, 121), THREE);
    }

    #[test]
    fn while_a_fetch_is_under_way_no_other_begins_and_it_serves_who_wants_one_anew() {
        let mut feeds = feeds();
        let fetch = feeds.begin_feed(&eth(), at(0)).unwrap();
        assert!(feeds.begin_feed(&eth(), at(1)).is_none());
        assert_eq!(feeds.next_start(at(1)), None);
        assert!(feeds.want_anew(&eth()));
        feeds.conclude(fetch, at(1), || 0).price.unwrap_err();
        let next = feeds.next_start(at(1)).unwrap();
        assert_eq!(next, at(30));
        assert!(feeds.want_anew(&eth()));
        assert_eq!(feeds.next_start(at(2)), Some(at(2)));
    }

    #[test]
    fn a_restart_fetches_at_once() {
        let mut feeds = feeds();
        feeds.begin_feed(&eth(), at(0)).unwrap();
        feeds.restart();
        assert_eq!(feeds.next_start(at(7)), Some(at(7)));
    }

    #[test]
    fn a_feed_that_is_not_configured_is_told_apart() {
        let mut feeds = feeds();
        let other = "BTC/USD".parse().unwrap();
        assert!(!feeds.want(&other, at(1), at(0)) && !feeds.want_anew(&other));
        assert!(feeds.begin_feed(&other, at(0)).is_none());
    }

    #[test]
    fn an_answer_after_the_first_word_of_its_source_or_of_nobody_asked_counts_for_nothing() {
        let mut fetch = feeds().begin_feed(&eth(), at(0)).unwrap();
        let quote = |kind: SourceKind| {
            let quote = Quote {
                source: kind.source(),
                price: "3000".parse().unwrap(),
                at: UnixMillis::new(1),
            };
            let warning = Some("WGeneral:Deprecated".to_owned());
            Ok(Answered { quote, warning })
        };
        for kind in [SourceKind::Coinbase, SourceKind::Coinbase, SourceKind::Bitstamp] {
            fetch.take(&kind.source(), quote(kind), at(1), UnixMillis::new(1));
        }
        assert_eq!(fetch.answer_times().count(), 1);
        assert!(!fetch.is_firm(), "one of three");
        fetch.take(
            &SourceKind::Kraken.source(),
            quote(SourceKind::Kraken),
            at(1),
            UnixMillis::new(1),
        );
        assert!(fetch.is_firm(), "two of three");
    }

    #[test]
    fn a_warning_beside_a_good_price_is_said_once() {
        let mut feeds = feeds();
        let mut warned = |second| {
            let mut fetch = feeds.begin_feed(&eth(), at(second)).unwrap();
            let quote = Quote {
                source: SourceKind::Kraken.source(),
                price: "3000".parse().unwrap(),
                at: UnixMillis::new(1),
            };
            let source = quote.source.clone();
            let warning = Some("WGeneral:Deprecated".to_owned());
            fetch.take(
                &source,
                Ok(Answered { quote, warning }),
                at(second),
                UnixMillis::new(1),
            );
            feeds.conclude(fetch, at(second), || 0).events
        };
        assert_eq!(
            warned(0)[0].to_string(),
            "source warns beside a good price: source=kraken warning=\"WGeneral:Deprecated\""
        );
        assert_eq!(warned(30), []);
    }

    fn begun(feeds: &mut Feeds, second: u64) -> Option<String> {
        let fetch = feeds.begin(at(second))?;
        let feed = fetch.feed.to_string();
        feeds.conclude(fetch, at(second), || 0).price.unwrap_err();
        Some(feed)
    }

    #[test]
    fn feeds_that_are_due_together_begin_one_after_the_other_and_each_has_its_turn() {
        let mut feeds = feeds_of(&["A0/USD", "B0/USD", "C0/USD"], 1);
        assert_eq!(begun(&mut feeds, 0).as_deref(), Some("A0/USD"));
        assert_eq!(begun(&mut feeds, 0), None);
        assert_eq!(feeds.next_start(at(0)), Some(at(1)));
        for feed in feeds.states.iter_mut() {
            feed.schedule.want_anew();
        }
        let order: Vec<_> = (1..5).map(|second| begun(&mut feeds, second)).collect();
        let names = ["B0/USD", "C0/USD", "A0/USD"].map(|name| Some(name.to_owned()));
        assert_eq!(order[..3], names);
        assert_eq!(order[3], None, "all have had theirs");
    }

    #[test]
    fn a_feed_whose_window_waits_goes_before_those_that_are_late_anyway() {
        let mut feeds = feeds_of(&["A0/USD", "B0/USD", "C0/USD"], 1);
        feeds.want(&"C0/USD".parse().unwrap(), at(1), at(0));
        assert_eq!(
            begun(&mut feeds, 0).as_deref(),
            Some("A0/USD"),
            "its time has not come"
        );
        assert_eq!(begun(&mut feeds, 1).as_deref(), Some("C0/USD"));
        assert_eq!(begun(&mut feeds, 2).as_deref(), Some("B0/USD"));
    }

    #[test]
    fn those_that_are_fetched_next_are_asked_for_along_unless_the_source_rests_for_them() {
        let mut feeds = feeds_of(&["A0/USD", "B0/USD", "C0/USD"], 1);
        let along = |fetch: &Fetch| -> Vec<String> {
            let along = &fetch.along[&SourceKind::Kraken];
            along.iter().map(Feed::to_string).collect()
        };
        let first = feeds.begin(at(0)).unwrap();
        assert_eq!(
            along(&first),
            ["B0/USD", "C0/USD"],
            "they begin within Kraken's two seconds"
        );
        assert_eq!(first.along.len(), 1, "others are asked for one at a time");
        feeds.states[2].rest(&SourceKind::Kraken.source(), Cause::Failed, at(0), 0);
        let second = feeds.begin(at(1)).unwrap();
        assert_eq!((second.feed.as_str(), along(&second).len()), ("B0/USD", 0));
    }
}
