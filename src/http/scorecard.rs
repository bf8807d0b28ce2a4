//! `/api/v1/scorecard`: which member is the weak one, and why. Whose work the records are is counted by the database; who had no part in
//! a window, and why, is what this node heard.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpResponse, web};
use quorate_actors::aggregator::AggregatorMessage;
use quorate_protocol::{Address, Feed, Instant, UnixMillis, rounds::FeedStatus, scorecard::Heard};
use quorate_store::{Range, Work};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};

use super::{
    Reader, Views,
    ask::ask,
    problem::Problem,
    query::{Asked, Given, Query},
    records::whole_ms,
    status::statuses,
};
use crate::{
    config::{members::Names, values::choice},
    show::rfc3339,
};

/// Records that one answer counts: what the database reads in a third of a second. With windows of 3.1 s or longer, all of a week.
const MOST_WINDOWS: u32 = 200_000;

/// Members that are listed: more than the largest network has.
const MOST_MEMBERS: usize = 256;

/// The past that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Period {
    #[default]
    Hour,
    Day,
    Week,
}

impl Period {
    /// What is written behind `period=`.
    pub(crate) const CHOICES: &'static [(&'static str, Self)] =
        &[("1h", Self::Hour), ("24h", Self::Day), ("7d", Self::Week)];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    pub(crate) fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
        }
    }

    /// How long an answer of the database serves: about a hundredth of the period, so that it is seldom asked for long ones.
    fn keep(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(30),
            Self::Day => Duration::from_mins(5),
            Self::Week => Duration::from_mins(15),
        }
    }
}

/// Which scorecard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ScorecardQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// `1h`, `24h` or `7d` up to now; an hour if not given.
    #[param(value_type = Option<String>, pattern = "^(1h|24h|7d)$")]
    period: Period,
}

impl Query for ScorecardQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let period = given.take("period", choice(Period::CHOICES))?;
        Ok(Self {
            feed,
            period: period.unwrap_or_default(),
        })
    }
}

/// What each member did for a feed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ScorecardAnswer {
    #[schema(example = "ETH/USD")]
    pub(crate) feed: String,
    #[schema(example = "1h")]
    pub(crate) period: &'static str,
    /// The records whose prices were observed from this time on.
    pub(crate) from: String,
    /// Up to this time: when the database was asked.
    pub(crate) to: String,
    /// How many records that are.
    pub(crate) records: u64,
    /// From when on windows were listened to: this node's start, or the begin of the first whole part of the period.
    pub(crate) heard_since: String,
    /// Who misses the largest share of its windows comes first.
    pub(crate) members: Vec<CardBody>,
}

/// What one member did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CardBody {
    pub(crate) address: String,
    /// What it is called, if it is listed.
    pub(crate) name: Option<String>,
    /// Whether it is the node that answers.
    pub(crate) this_node: bool,
    /// Whether it is a member now; in an open network, whether it was heard of lately.
    pub(crate) member: bool,
    /// Records with its signature.
    pub(crate) signed: u64,
    /// Records whose price it observed.
    pub(crate) observed: u64,
    /// Records that it wrote.
    pub(crate) wrote: u64,
    /// Windows in which this node listened to it.
    pub(crate) windows: u64,
    /// Those of them in which it had no part: it neither stated a price that others could sign, nor signed the record.
    pub(crate) missed: u64,
    /// Why, and how often: `absent`, `no_price`, `late`, `price_deviates`, `stale`, `clock_off`, `other_history`, `other`.
    pub(crate) misses: BTreeMap<&'static str, u64>,
    /// How often it was seen to have started anew.
    pub(crate) restarts: u64,
}

/// Who had a part in the windows of the last while: records signed, observed and written, windows missed and why, restarts.
#[utoipa::path(get, path = "/api/v1/scorecard", tag = "network", params(ScorecardQuery), responses(
    (status = 200, description = "What each member did", body = ScorecardAnswer),
    super::openapi::Problems,
))]
pub(super) async fn scorecard(
    Asked(ScorecardQuery { feed, period }): Asked<ScorecardQuery>,
    reader: web::Data<Reader>,
    views: web::Data<Views>,
) -> Result<HttpResponse, Problem> {
    let counted = reader.counted(&feed, period).await?;
    let heard = heard(&views, &feed, Some(period.length())).await;
    let statuses = statuses(&views).await.unwrap_or_default();
    let status = statuses.iter().find(|status| status.feed == feed);
    let (Some(heard), Some(status)) = (heard, status) else {
        return Err(Problem::unavailable(
            "the Aggregator does not answer",
            "ask again, and see /api/v1/actors",
        ));
    };
    let listened = views.clock.now().since(heard.since);
    Ok(HttpResponse::Ok().json(ScorecardAnswer {
        feed: feed.to_string(),
        period: period.label(),
        from: rfc3339(counted.from),
        to: rfc3339(counted.to),
        records: counted.work.records,
        heard_since: rfc3339(before(views.clock.unix_now(), listened)),
        members: cards(
            &counted.work,
            &heard,
            status,
            &views.names.borrow(),
            views.address,
        ),
    }))
}

/// What the members did, the weakest first.
pub(crate) fn cards(
    work: &Work,
    heard: &Heard,
    status: &FeedStatus,
    names: &Names,
    me: Address,
) -> Vec<CardBody> {
    let members: BTreeSet<Address> = status.nodes.iter().map(|node| node.address).collect();
    let others = work.nodes.keys().chain(heard.nodes.keys());
    let others = others.filter(|node| !members.contains(*node));
    let known: BTreeSet<Address> = members.iter().chain(others).copied().collect();
    let card = |node: Address| {
        let part = work.nodes.get(&node).copied().unwrap_or_default();
        let counts = heard.nodes.get(&node).copied().unwrap_or_default();
        let misses = counts.misses().map(|(miss, count)| (miss.label(), count));
        CardBody {
            address: node.to_string(),
            name: names.get(&node).cloned(),
            this_node: node == me,
            member: members.contains(&node),
            signed: part.signed,
            observed: part.observed,
            wrote: part.wrote,
            windows: counts.windows,
            missed: counts.missed(),
            misses: misses.collect(),
            restarts: counts.restarts,
        }
    };
    let mut cards: Vec<CardBody> = known.into_iter().map(card).collect();
    cards.sort_by_cached_key(|card| {
        // In parts of a million.
        let share = card.missed.saturating_mul(1_000_000) / card.windows.max(1);
        (
            !card.member,
            Reverse(share),
            card.name.clone(),
            card.address.clone(),
        )
    });
    cards.truncate(MOST_MEMBERS);
    cards
}

/// What the Aggregator heard of a feed's windows in the last while, or since the start; `None`: it does not answer.
pub(crate) async fn heard(views: &Views, feed: &Feed, period: Option<Duration>) -> Option<Heard> {
    ask(&views.aggregator, |asker| {
        AggregatorMessage::AskScorecard(feed.clone(), period, asker)
    })
    .await
}

/// What the database counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) from: UnixMillis,
    pub(crate) to: UnixMillis,
    pub(crate) work: Arc<Work>,
}

impl Default for Counted {
    /// No record of no time.
    fn default() -> Self {
        let never = UnixMillis::new(0);
        Self {
            from: never,
            to: never,
            work: Arc::default(),
        }
    }
}

/// A problem is kept so long, so that those who wait for the same answer do not all wait in turn for a database that is away.
const KEEP_PROBLEM: Duration = Duration::from_secs(2);

/// The database's last answers, each asked for by one at a time.
pub(super) struct CountedBefore(BTreeMap<(Feed, Period), Mutex<Option<Answer>>>);

/// What came of a question, and until when it serves.
type Answer = (Result<Counted, Problem>, Instant);

impl CountedBefore {
    pub(super) fn none_of(feeds: &[Feed]) -> Self {
        let all = feeds.iter().flat_map(|feed| {
            let periods = Period::CHOICES.iter();
            periods.map(|(_, period)| ((feed.clone(), *period), Mutex::new(None)))
        });
        Self(all.collect())
    }
}

impl Reader {
    /// Whose work the records of a feed's last while are, as the database counted not long ago.
    pub(crate) async fn counted(&self, feed: &Feed, period: Period) -> Result<Counted, Problem> {
        let Some(before) = self.counted_before.0.get(&(feed.clone(), period)) else {
            return self.count(feed, period).await;
        };
        let mut before = before.lock().await;
        if let Some((answer, until)) = &*before
            && self.instant() < *until
        {
            return answer.clone();
        }
        let answer = self.count(feed, period).await;
        let keep = if answer.is_ok() {
            period.keep()
        } else {
            KEEP_PROBLEM
        };
        *before = Some((answer.clone(), self.instant() + keep));
        answer
    }

    /// Whether somebody asks the database for it just now.
    pub(crate) fn is_counting(&self, feed: &Feed, period: Period) -> bool {
        let before = self.counted_before.0.get(&(feed.clone(), period));
        before.is_some_and(|before| before.try_lock().is_err())
    }

    async fn count(&self, feed: &Feed, period: Period) -> Result<Counted, Problem> {
        let to = self.now();
        let length = period.length().min(self.rules.write_interval * MOST_WINDOWS);
        let from = before(to, length);
        let range = Range {
            feed: feed.clone(),
            from,
            to,
        };
        let work = Arc::new(self.ask(self.history.work(range)).await?);
        Ok(Counted { from, to, work })
    }
}

fn before(time: UnixMillis, length: Duration) -> UnixMillis {
    UnixMillis::new(time.get().saturating_sub(whole_ms(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_a_small_part_of_its_period() {
        for (label, period) in Period::CHOICES {
            assert_eq!(*label, period.label());
            assert!(period.keep() * 100 <= period.length());
        }
    }
}
