//! The newest records of each feed, in memory as the database has them. Whoever follows a feed is woken when there are more, and one look
//! at the database serves all of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use actix_web::web::Bytes;
use quorate_actors::Clock;
use quorate_protocol::{Feed, Instant, Record, UnixMillis};
use quorate_store::{History, StoreError};
use tokio::sync::watch;

use super::stream;
use crate::config::members::Names;

/// Records of a feed that are kept: half an hour at a window of 30 s, for those who come back after a node's restart. 200 kB.
pub(super) const KEPT: usize = 64;

/// Records that one look takes over at most; there is another look at once if there are more.
const LOOK: u32 = 256;

/// After the news of a record the database is asked until it has it: at once, and on a replica that lags, later.
const AFTER_NEWS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// Without news the database is asked this often: a node that is alone hears of no record.
const WITHOUT_NEWS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// While the database is away.
const AWAY: Duration = Duration::from_secs(2);

/// The newest records of all feeds. Clones share them.
#[derive(Clone)]
pub(crate) struct Live {
    tails: Arc<BTreeMap<Feed, Tail>>,
    turn: Arc<Turn>,
}

/// Feeds take turns on the one connection: in its pool they would wait against the pool's clock, and call that a failure of the database. Holds
/// when the database was last found away and why: those who waited meanwhile are told the same.
type Turn = tokio::sync::Mutex<Option<(Instant, String)>>;

/// The newest records of one feed.
struct Tail {
    state: Mutex<State>,
    head: watch::Sender<Head>,
}

/// How far a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// The newest record's number; 0 before the first.
    pub(super) sequence: u64,
    /// How often the database had other records than before: after a failover that lost some.
    pub(super) rewinds: u64,
    /// From which number on they were others, the last time.
    pub(super) rewound_to: u64,
}

/// What is known of a feed's last record.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// As the database told it last.
    pub(super) record: Option<Arc<Kept>>,
    /// If the database does not answer now.
    pub(super) away: Option<Away>,
    /// Whether it has answered at all.
    pub(super) is_known: bool,
}

/// The newest records of a feed, for people.
#[derive(Default)]
pub(crate) struct Recent {
    /// The newest first.
    pub(crate) records: Vec<Record>,
    /// Why the database does not answer now.
    pub(crate) problem: Option<String>,
}

/// A record in memory, and as everybody who follows the feed is sent it: made once.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Record,
    event: OnceLock<Bytes>,
}

impl Kept {
    /// The event that tells it.
    pub(super) fn event(&self, names: &watch::Receiver<Names>) -> Bytes {
        self.event
            .get_or_init(|| stream::event(&self.record, &names.borrow()))
            .clone()
    }

    fn sequence(&self) -> u64 {
        self.record.sequence
    }
}

#[derive(Default)]
struct State {
    records: VecDeque<Arc<Kept>>,
    /// Since when the database has not answered, and what it said.
    away: Option<Away>,
    /// Whether it has answered at all.
    is_known: bool,
}

/// The database does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Away {
    /// Since when.
    pub(super) since: UnixMillis,
    /// Why, in its words.
    pub(super) reason: String,
}

impl Live {
    /// Nothing is known yet of these feeds.
    pub(crate) fn new(feeds: &[Feed]) -> Self {
        let tail = || Tail {
            state: Mutex::default(),
            head: watch::Sender::default(),
        };
        Self {
            tails: Arc::new(feeds.iter().map(|feed| (feed.clone(), tail())).collect()),
            turn: Arc::default(),
        }
    }

    /// The newest record, and what it is worth.
    pub(super) fn newest(&self, feed: &Feed) -> Newest {
        self.tails.get(feed).map_or_else(Newest::default, |tail| {
            let state = tail.state();
            Newest {
                record: state.records.back().cloned(),
                away: state.away.clone(),
                is_known: state.is_known,
            }
        })
    }

    /// The newest records, and whether there may be newer ones.
    pub(crate) fn recent(&self, feed: &Feed) -> Recent {
        self.tails.get(feed).map_or_else(Recent::default, |tail| {
            let state = tail.state();
            Recent {
                records: state
                    .records
                    .iter()
                    .rev()
                    .map(|kept| kept.record.clone())
                    .collect(),
                problem: state.away.as_ref().map(|away| away.reason.clone()),
            }
        })
    }

    /// The record with this number, if it is among the newest.
    pub(super) fn numbered(&self, feed: &Feed, sequence: u64) -> Option<Arc<Kept>> {
        let state = self.tails.get(feed)?.state();
        let first = state.records.front()?.sequence();
        let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
        // They are consecutive, but for what somebody removed from the database.
        let found = state
            .records
            .get(index)
            .filter(|record| record.sequence() == sequence);
        found
            .or_else(|| state.records.iter().find(|record| record.sequence() >= sequence))
            .cloned()
    }

    /// The least number that is kept.
    pub(super) fn least(&self, feed: &Feed) -> Option<u64> {
        Some(self.tails.get(feed)?.state().records.front()?.sequence())
    }

    /// Tells how far the feed is, and when it is farther.
    pub(super) fn follow(&self, feed: &Feed) -> Option<watch::Receiver<Head>> {
        Some(self.tails.get(feed)?.head.subscribe())
    }

    /// Keeps up with what the database has of a feed for as long as it runs. `written` changes when a record was seen written.
    pub(crate) async fn keep_up(
        self,
        feed: Feed,
        history: History,
        clock: Clock,
        write_interval: Duration,
        mut written: watch::Receiver<u64>,
    ) {
        let Some(tail) = self.tails.get(&feed) else { return };
        let idle = write_interval.clamp(WITHOUT_NEWS.0, WITHOUT_NEWS.1);
        loop {
            let before = tail.head();
            for wait in AFTER_NEWS {
                tokio::time::sleep(wait).await;
                let looked = self.look(tail, &feed, &history, clock).await;
                tail.note(looked, clock.unix_now());
                // What is away is asked again later, and not as often as a replica that lags.
                if tail.head() != before || tail.state().away.is_some() {
                    break;
                }
            }
            let is_away = tail.state().away.is_some();
            let patience = if is_away { AWAY } else { idle };
            if let Ok(Err(_)) = tokio::time::timeout(patience, written.changed()).await {
                // The Aggregator is gone for good: the process ends.
                tokio::time::sleep(patience).await;
            }
        }
    }

    /// Looks when it is this feed's turn; or why the database does not answer.
    async fn look(&self, tail: &Tail, feed: &Feed, history: &History, clock: Clock) -> Result<(), String> {
        let mut failed = self.turn.lock().await;
        if let Some((at, reason)) = &*failed
            && clock.now().since(*at) < AWAY
        {
            return Err(reason.clone());
        }
        let looked = tail.look(feed, history).await;
        *failed = match &looked {
            Err(error @ StoreError::Unavailable { .. }) => Some((clock.now(), error.to_string())),
            // A damaged row is the matter of its own feed.
            Ok(()) | Err(_) => None,
        };
        looked.map_err(|error| error.to_string())
    }

    /// Takes records over as if the database had told them.
    #[cfg(test)]
    pub(super) fn told(&self, feed: &Feed, records: Vec<Record>) {
        self.tails[feed].state().is_known = true;
        self.tails[feed].take(records);
    }
}

impl Tail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Notes whether the database answered now, and if not, why.
    fn note(&self, looked: Result<(), String>, now: UnixMillis) {
        let mut state = self.state();
        match looked {
            Ok(()) => (state.away, state.is_known) = (None, true),
            Err(reason) => {
                let since = state.away.as_ref().map_or(now, |away| away.since);
                state.away = Some(Away { since, reason });
            }
        }
    }

    /// Takes over what the database has more, or otherwise, than is known here.
    async fn look(&self, feed: &Feed, history: &History) -> Result<(), StoreError> {
        loop {
            let last = self.state().records.back().cloned();
            let mut found = match &last {
                None => vec![],
                Some(last) => history.onwards(feed.clone(), last.sequence(), LOOK).await?,
            };
            // It begins with our last record, or history is not what it was.
            let goes_on = last.is_some_and(|last| {
                found
                    .first()
                    .is_some_and(|first| first.digest == last.record.digest)
            });
            if !goes_on {
                found = history
                    .newest(feed.clone(), KEPT.try_into().unwrap_or(u32::MAX))
                    .await?;
            }
            let is_all = !goes_on || found.len() < LOOK as usize;
            self.take(found);
            if is_all {
                return Ok(());
            }
        }
    }

    /// Takes over the newest records of the database, in their order.
    fn take(&self, found: Vec<Record>) {
        let mut state = self.state();
        let records = &mut state.records;
        let newest = found.last().map_or(0, |record| record.sequence);
        let mut rewound_to = None;
        let mut forget_from = |records: &mut VecDeque<Arc<Kept>>, sequence: u64| {
            while records.back().is_some_and(|last| last.sequence() >= sequence) {
                records.pop_back();
                rewound_to = Some(sequence);
            }
        };
        for record in found {
            if records.iter().any(|known| known.record.digest == record.digest) {
                continue;
            }
            forget_from(records, record.sequence);
            records.push_back(Arc::new(Kept {
                record,
                event: OnceLock::new(),
            }));
        }
        forget_from(records, newest.saturating_add(1));
        records.drain(..records.len().saturating_sub(KEPT));
        drop(state);
        self.head.send_if_modified(|head| {
            let before = *head;
            head.sequence = newest;
            if let Some(sequence) = rewound_to {
                head.rewinds += 1;
                head.rewound_to = sequence;
            }
            *head != before
        });
    }
}

#[cfg(test)]
mod tests {
    use quorate_store::StoreConfig;
    use quorate_testkit::wait::eventually;
    use tokio::net::TcpListener;

    use super::*;

    /// Two feeds have one connection: what keeps it busy is no failure of the database.
    #[actix_rt::test]
    async fn of_a_database_that_stands_still_each_feed_tells_the_same_reason() {
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://node@{}/quorate", mute.local_addr().unwrap());
        let history = History::new(StoreConfig {
            connect_timeout: Duration::from_millis(400),
            pool_size: 1,
            ..StoreConfig::new(url.parse().unwrap())
        });
        let feeds: Vec<Feed> = ["ETH/USD", "BTC/USD", "SOL/USD"]
            .map(|name| name.parse().unwrap())
            .into();
        let live = Live::new(&feeds);
        let (_written, written) = watch::channel(0);
        for feed in feeds.clone() {
            let (history, written) = (history.clone(), written.clone());
            actix_rt::spawn(
                live.clone()
                    .keep_up(feed, history, Clock::system(), AWAY, written),
            );
        }
        let reasons = eventually("all know that it is away", async || {
            let reasons = feeds.iter().map(|feed| Some(live.newest(feed).away?.reason));
            reasons.collect::<Option<Vec<_>>>()
        })
        .await;
        assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
        assert!(reasons[0].contains("no connection within"), "{reasons:?}");
    }
}
