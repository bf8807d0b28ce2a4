//! `/api/v1/stream`: the records of a feed as they are written, as server-sent events.
//!
//! An event's id is feed and number, `ETH/USD:1042`. A client that comes back with the last one that it has, to this node or to another,
//! gets every record since, each once: first from the database, then as they come.

use std::{collections::VecDeque, str::FromStr, time::Duration};

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use futures::{Stream, stream::unfold};
use quorate_protocol::{Feed, Record};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};

use super::{
    live::Head,
    places::{Place, Places},
    problem::Problem,
    query::{Asked, Given, Query},
    reader::Reader,
    records::RecordBody,
};
use crate::config::{
    members::Names,
    values::{number, parsed},
};

/// A word when there is nothing to tell, so that neither end nor what lies between thinks the other gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Records that are fetched at once for a reader who is behind; the next are fetched when it has taken these.
const PAGE: u32 = 32;

/// A client that is farther ahead than a lagging replica can explain has a number of another history.
const AHEAD: u64 = 16;

/// What every stream begins with: clients come back after a second.
const OPENING: &str = "retry: 1000\n\n";

/// From where on, of which feed.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// Records after this one: an event's id, like `ETH/USD:1042`, or its number. The header Last-Event-ID, which browsers send when they
    /// come back, counts before it. Without either the newest record comes first.
    #[param(value_type = Option<String>)]
    after: Option<EventId>,
}

impl Query for StreamQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let after = given.take("after", parsed::<EventId>("an event's id"))?;
        Ok(Self { feed, after })
    }
}

/// Which record an event told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EventId {
    feed: Option<Feed>,
    sequence: u64,
}

impl FromStr for EventId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LIKE: &str = "write one like ETH/USD:1042, or a number";
        let (feed, digits) = match text.split_once(':') {
            Some((feed, digits)) => (Some(feed.parse().map_err(|_| LIKE)?), digits),
            None => (None, text),
        };
        let sequence = number(0..=i64::MAX)(digits).map_err(|_| LIKE)?.unsigned_abs();
        Ok(Self { feed, sequence })
    }
}

/// Why a stream ends, as the data of its last event, whose name is `end`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndBody {
    reason: String,
}

/// The records as they are written, as server-sent events. The name of an event is `record`, its id the feed and the record's number,
/// its data the record as JSON. Before the server ends a stream it says why in an event `end`.
#[utoipa::path(get, path = "/api/v1/stream", tag = "records", params(
    StreamQuery,
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the client has"),
), responses(
    (status = 200, description = "Events without end", body = String, content_type = "text/event-stream"),
    super::openapi::Problems,
))]
pub(super) async fn stream(
    request: HttpRequest,
    reader: web::Data<Reader>,
    places: web::Data<Places>,
    Asked(StreamQuery { feed, after }): Asked<StreamQuery>,
) -> Result<HttpResponse, Problem> {
    let after = match request
        .headers()
        .get("Last-Event-ID")
        .map(|value| value.to_str().unwrap_or_default())
    {
        // What browsers send before the first event.
        None | Some("") => after.map(|id| ("after", id)),
        Some(text) => {
            let wrong = |remedy| Problem::parameter("Last-Event-ID", text, "is not an event's id", remedy);
            Some(("Last-Event-ID", text.parse().map_err(wrong)?))
        }
    };
    let place = places.into_inner().take(request.peer_addr())?;
    let after = after
        .map(|(name, id)| check(name, id, &feed, &reader))
        .transpose()?;
    let follower = Follower::new(reader, feed, after, place)?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would hold events back.
        .insert_header(("X-Accel-Buffering", "no"))
        // So would a compressor, until it has enough for a block.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .streaming(follower.events()))
}

/// The number, if it can be one of this feed.
fn check(name: &str, id: EventId, feed: &Feed, reader: &Reader) -> Result<u64, Problem> {
    let sequence = id.sequence;
    let shown = id
        .feed
        .as_ref()
        .map_or_else(|| sequence.to_string(), |of| format!("{of}:{sequence}"));
    if id.feed.is_some_and(|of| of != *feed) {
        let rule = format!("is of another feed than {feed}");
        return Err(Problem::parameter(name, &shown, &rule, "give the same feed"));
    }
    let newest = reader.live.newest(feed).record.map(|kept| kept.record.sequence);
    match newest {
        Some(newest) if sequence > newest.saturating_add(AHEAD) => {
            let rule = format!("is a number that no record has: the last is {newest}");
            Err(Problem::parameter(
                name,
                &shown,
                &rule,
                "leave it out, or follow the network that it is from",
            ))
        }
        _ => Ok(sequence),
    }
}

/// A record as it is sent to everybody.
pub(super) fn event(record: &Record, names: &Names) -> Bytes {
    let data = serde_json::to_string(&RecordBody::new(record, names)).unwrap_or_default();
    let (feed, sequence) = (&record.feed, record.sequence);
    Bytes::from(format!("id: {feed}:{sequence}\nevent: record\ndata: {data}\n\n"))
}

/// One client's place in a feed.
struct Follower {
    reader: web::Data<Reader>,
    feed: Feed,
    /// The number of the record that it has not got.
    next: u64,
    head: watch::Receiver<Head>,
    rewinds: u64,
    /// Fetched, to be sent.
    fetched: VecDeque<Record>,
    /// Whether it got what came from memory; from then on it must keep up.
    is_live: bool,
    phase: Phase,
    /// Given back when the client is gone.
    _place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Running,
    Ended,
}

impl Follower {
    fn new(reader: web::Data<Reader>, feed: Feed, after: Option<u64>, place: Place) -> Result<Self, Problem> {
        let Some(head) = reader.live.follow(&feed) else {
            return Err(Problem::not_found(
                format!("feed: {feed} is not followed"),
                "see /api/v1/feeds",
            ));
        };
        let now = *head.borrow();
        Ok(Self {
            feed,
            next: after.map_or(now.sequence.max(1), |after| after.saturating_add(1)),
            head,
            rewinds: now.rewinds,
            fetched: VecDeque::new(),
            is_live: false,
            phase: Phase::Opening,
            _place: place,
            reader,
        })
    }

    fn events(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        unfold(self, |mut follower| async {
            let event = follower.next_event().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next_event(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Ended => return None,
            Phase::Opening => {
                self.phase = Phase::Running;
                return Some(Bytes::from_static(OPENING.as_bytes()));
            }
            Phase::Running => {}
        }
        loop {
            let head = *self.head.borrow_and_update();
            if head.rewinds != self.rewinds {
                self.rewind(head);
            }
            if let Some(record) = self.fetched.pop_front() {
                self.next = record.sequence + 1;
                return Some(event(&record, &self.reader.names.borrow()));
            }
            if head.sequence >= self.next {
                let least = self.reader.live.least(&self.feed);
                if least.is_some_and(|least| self.next >= least) {
                    if let Some(kept) = self.reader.live.numbered(&self.feed, self.next) {
                        self.is_live = true;
                        self.next = kept.record.sequence + 1;
                        return Some(kept.event(&self.reader.names));
                    }
                } else if self.is_live {
                    let reason = "this client takes events more slowly than they come; what it missed comes when it is back";
                    return Some(self.end(reason));
                } else if let Err(problem) = self.fetch().await {
                    return Some(self.end(&problem.to_string()));
                } else if !self.fetched.is_empty() {
                    continue;
                }
            }
            match tokio::time::timeout(HEARTBEAT, self.head.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some(self.end("this node ends")),
                Err(_) => return Some(Bytes::from_static(b": heartbeat\n\n")),
            }
        }
    }

    /// The database lost some records and has others under their numbers: they are told too.
    fn rewind(&mut self, head: Head) {
        self.rewinds = head.rewinds;
        if self.next > head.rewound_to {
            self.next = head.rewound_to;
            self.is_live = false;
            self.fetched.clear();
        }
    }

    async fn fetch(&mut self) -> Result<(), Problem> {
        let question = self.reader.history.onwards(self.feed.clone(), self.next, PAGE);
        self.fetched = self.reader.ask(question).await?.into();
        Ok(())
    }

    fn end(&mut self, reason: &str) -> Bytes {
        self.phase = Phase::Ended;
        let data = serde_json::to_string(&EndBody {
            reason: reason.to_owned(),
        })
        .unwrap_or_default();
        Bytes::from(format!("event: end\ndata: {data}\n\n"))
    }
}
