//! What the API answers from: the database through a pool of its own, and the newest records in memory.

use std::time::Duration;

use quorate_actors::Clock;
use quorate_protocol::{Feed, Instant, Network, UnixMillis};
use quorate_store::{History, StoreError};
use tokio::sync::{Semaphore, watch};

use super::{live::Live, problem::Problem, scorecard::CountedBefore};
use crate::config::members::Names;

/// Questions that may wait for the database at a time. Beyond them a client is told to come again: its answer would come too late.
const MOST_WAITING: usize = 64;

/// A price that is older than this many windows is stale: one window without a record can happen on a good day.
const FRESH_WINDOWS: u32 = 2;

/// What a node is told about its feeds.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Where the node belongs.
    pub(crate) network: Network,
    /// What is priced.
    pub(crate) feeds: Vec<Feed>,
    /// The least time between two records.
    pub(crate) write_interval: Duration,
    /// The exchanges that this node asks.
    pub(crate) sources: Vec<&'static str>,
    /// How many of them make a price.
    pub(crate) min_sources: usize,
}

impl Rules {
    /// From this age on a price is stale.
    pub(crate) fn stale_after(&self) -> Duration {
        self.write_interval * FRESH_WINDOWS
    }
}

/// What the node shows of its feeds' history.
pub(crate) struct Reader {
    pub(crate) rules: Rules,
    /// The database.
    pub(super) history: History,
    /// The newest records.
    pub(crate) live: Live,
    /// What members are called.
    pub(super) names: watch::Receiver<Names>,
    clock: Clock,
    /// For the scorecard.
    pub(super) counted_before: CountedBefore,
    /// Turns at the database.
    turns: Semaphore,
}

impl Reader {
    /// Answers from this database, whose newest records are kept in memory elsewhere.
    pub(crate) fn new(
        rules: Rules,
        history: History,
        live: Live,
        names: watch::Receiver<Names>,
        clock: Clock,
    ) -> Self {
        Self {
            counted_before: CountedBefore::none_of(&rules.feeds),
            rules,
            history,
            live,
            names,
            clock,
            turns: Semaphore::new(MOST_WAITING),
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.unix_now()
    }

    /// The present on the stopwatch.
    pub(super) fn instant(&self) -> Instant {
        self.clock.now()
    }

    /// The feed that is meant.
    pub(super) fn feed(&self, named: Option<Feed>) -> Result<Feed, Problem> {
        let known = || {
            let names: Vec<&str> = self.rules.feeds.iter().map(Feed::as_str).collect();
            format!("the feeds of this node are {}", names.join(", "))
        };
        match (named, self.rules.feeds.as_slice()) {
            (Some(feed), feeds) if feeds.contains(&feed) => Ok(feed),
            (Some(feed), _) => Err(Problem::not_found(
                format!("feed: {feed} is not priced by this node"),
                known(),
            )),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(Problem::parameter(
                "feed",
                "",
                "is not given, and there are several",
                known(),
            )),
        }
    }

    /// The answer to a question to the database, if not too many wait for theirs.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        let Ok(_turn) = self.turns.try_acquire() else {
            let detail = format!("{MOST_WAITING} questions wait for the database already");
            return Err(Problem::unavailable(detail, "ask again later, or another node"));
        };
        Ok(question.await?)
    }

    /// What the members are called now.
    pub(super) fn names(&self) -> Names {
        self.names.borrow().clone()
    }
}
