//! `quorate prices --follow`: records as they are written, from the database or from a node's stream, until the reader goes away.

use std::{collections::BTreeMap, error::Error, time::Duration};

use actix_web::web::Bytes;
use awc::{Client, ClientResponse, error::PayloadError};
use futures::{Stream, StreamExt};
use quorate_protocol::{Feed, Record};
use quorate_store::{Order, RecordQuery, Store, StoreConfig};
use serde_json::Value;

use crate::{
    config::prices::{FollowConfig, FollowFrom},
    output, record_json,
    show::{self, Output, Row},
};

/// Between two looks at the database: what it costs nobody notices, and a record comes every some seconds at most.
const LOOK: Duration = Duration::from_millis(500);

/// Before a node, or the database, is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A node says something every 15 s; one that has not for so long is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// A node that is not there is noticed.
const CONNECTING: Duration = Duration::from_secs(10);

/// An event has some 3 kB.
const MOST_BYTES: usize = 64 * 1024;

/// Prints records until nobody reads them, or there is no sense in going on.
pub(crate) async fn run(config: FollowConfig) -> Result<(), Box<dyn Error>> {
    let shown = Shown {
        output: config.output,
        is_first: true,
    };
    match config.from {
        FollowFrom::Database(url) => {
            let store = Store::new(StoreConfig {
                application_name: "quorate prices --follow".to_owned(),
                pool_size: 1,
                ..StoreConfig::new(*url)
            });
            from_database(&store, config.feed, shown).await
        }
        FollowFrom::Api(url) => from_stream(&url, config.feed, shown).await,
    }
}

/// What was printed, and how.
struct Shown {
    output: Output,
    is_first: bool,
}

impl Shown {
    /// Prints a record, under the names of the columns if it is the first; `false` when nobody reads any more.
    fn print(&mut self, record: &Record) -> Result<bool, Box<dyn Error>> {
        let text = match self.output {
            Output::Json => format!("{}\n", record.json()),
            output => {
                let text = show::format(std::slice::from_ref(record), output)?;
                let rows = text.split_once('\n').map_or("", |(_, rows)| rows).to_owned();
                if self.is_first { text } else { rows }
            }
        };
        self.is_first = false;
        Ok(output::print_more(&text)?)
    }
}

/// Looks again and again. A database that goes away is waited for; one that was never there is not.
async fn from_database(store: &Store, feed: Option<Feed>, mut shown: Shown) -> Result<(), Box<dyn Error>> {
    let mut last: BTreeMap<Feed, u64> = BTreeMap::new();
    let mut was_there = false;
    loop {
        match news(store, feed.as_ref(), &last).await {
            Ok(records) => {
                was_there = true;
                for record in records {
                    if !shown.print(&record)? {
                        return Ok(());
                    }
                    last.insert(record.feed.clone(), record.sequence);
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(error) if was_there => {
                log::warn!("no news for now: from=database reason=\"{error}\"");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(store.explain(error).await.into()),
        }
    }
}

/// Of each feed the newest record, then those behind the last that is known.
async fn news(
    store: &Store,
    feed: Option<&Feed>,
    last: &BTreeMap<Feed, u64>,
) -> Result<Vec<Record>, quorate_store::StoreError> {
    let feeds = match feed {
        Some(feed) => vec![feed.clone()],
        None => store.feeds().await?.into_iter().map(|span| span.feed).collect(),
    };
    let mut found = vec![];
    for feed in feeds {
        let query = match last.get(&feed) {
            Some(last) => RecordQuery {
                after: Some(*last),
                order: Order::BySequence,
                ..RecordQuery::default()
            },
            None => RecordQuery {
                limit: 1,
                ..RecordQuery::default()
            },
        };
        found.extend(
            store
                .records(RecordQuery {
                    feed: Some(feed),
                    ..query
                })
                .await?,
        );
    }
    Ok(found)
}

/// Reads the stream, and goes on where it stopped when it breaks. What a node tells is verified before it is shown.
async fn from_stream(url: &str, feed: Option<Feed>, mut shown: Shown) -> Result<(), Box<dyn Error>> {
    let feed = feed.map_or_else(String::new, |feed| format!("?feed={feed}"));
    let url = format!("{}/api/v1/stream{feed}", url.trim_end_matches('/'));
    let client = Client::builder().timeout(CONNECTING).finish();
    let mut last_id: Option<String> = None;
    loop {
        let mut request = client.get(&url);
        if let Some(id) = &last_id {
            request = request.insert_header(("Last-Event-ID", id.as_str()));
        }
        let reason = match request.send().await {
            Ok(answer) if answer.status().is_success() => {
                let mut events = Events::of(answer);
                loop {
                    match events.next().await {
                        Ok(Some(Event { name, id, data })) if name == "record" => {
                            let record = record_json::read(data.as_bytes())
                                .map_err(|reason| format!("{id} cannot be read: {reason}"))?;
                            record
                                .verify()
                                .map_err(|fault| format!("{id} is not genuine: {fault}"))?;
                            last_id = Some(id);
                            if !shown.print(&record)? {
                                return Ok(());
                            }
                        }
                        Ok(Some(end)) => break format!("the node says {}", end.data),
                        Ok(None) => break "the connection ended".to_owned(),
                        Err(error) => break error.to_string(),
                    }
                }
            }
            // It is asked wrongly, or it has no place: to ask again helps in the second case only.
            Ok(answer) if answer.status().is_client_error() => return Err(problem(answer).await.into()),
            Ok(answer) => problem(answer).await,
            Err(error) if last_id.is_none() => {
                return Err(format!("{url} cannot be followed ({error})").into());
            }
            Err(error) => error.to_string(),
        };
        log::warn!("no news for now: from={url} reason=\"{reason}\"");
        tokio::time::sleep(AGAIN).await;
    }
}

/// The node's own words, or the status that came in their place.
async fn problem<S>(mut answer: ClientResponse<S>) -> String
where
    S: Stream<Item = Result<Bytes, PayloadError>> + 'static,
{
    let status = answer.status();
    let body = answer.body().limit(MOST_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (body["detail"].as_str(), body["remedy"].as_str()) {
        (Some(detail), Some(remedy)) => format!("{detail}: {remedy}"),
        _ => format!("HTTP status {status}"),
    }
}

/// One event.
struct Event {
    name: String,
    id: String,
    data: String,
}

/// The events of one stream.
struct Events<S> {
    answer: ClientResponse<S>,
    text: String,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> Events<S> {
    fn of(answer: ClientResponse<S>) -> Self {
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Result<Option<Event>, Box<dyn Error>>
    where
        S: Unpin,
    {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let value = event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    value.map(str::to_owned)
                };
                let event = field("data").map(|data| Event {
                    name: field("event").unwrap_or_default(),
                    id: field("id").unwrap_or_default(),
                    data,
                });
                self.text = rest.to_owned();
                // Comments and waiting times are no events.
                if event.is_some() {
                    return Ok(event);
                }
            }
            if self.text.len() > MOST_BYTES {
                return Err(format!("an event is longer than {MOST_BYTES} bytes").into());
            }
            let heard = tokio::time::timeout(SILENCE, self.answer.next()).await;
            match heard.map_err(|_| format!("nothing was heard for {SILENCE:?}"))? {
                Some(chunk) => self.text += std::str::from_utf8(&chunk?)?,
                None => return Ok(None),
            }
        }
    }
}
