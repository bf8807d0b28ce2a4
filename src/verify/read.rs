//! Reading what is to be verified: files first, then a database, in one stream of items. Runs on a thread of its own, and shows
//! at a terminal how far it is.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    time::Duration,
};

use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_protocol::{Digest, Feed, UnixMillis, history::Fault};
use quorate_store::{FeedSpan, Order, RecordQuery, Store, StoreConfig, StoreError};

use super::{
    file::{Piece, RecordFile},
    pipeline::{Feeder, Gone, Item},
    report::committee,
};
use crate::{
    archive::format::{Header, MemberJson, VERSION},
    config::verify::{Input, Range, Trusted, VerifyConfig},
};

/// What a whole page of records takes, on a server that is busy.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why reading has ended early: the database says no, or nobody follows.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

impl From<Gone> for Failure {
    fn from(Gone: Gone) -> Self {
        "the check has stopped".into()
    }
}

/// All that is to be verified, in its order.
pub(crate) fn all(config: &VerifyConfig, feeder: &mut Feeder) -> Result<(), Failure> {
    let mut archived = BTreeMap::new();
    for input in &config.inputs {
        let name = match input {
            Input::StandardInput => "standard input".to_owned(),
            Input::File(path) => path.display().to_string(),
        };
        let (bar, opened): (_, Box<dyn Read + Send>) = match input {
            Input::StandardInput => (spinner(&name), Box::new(io::stdin())),
            Input::File(path) => {
                let file = File::open(path)?;
                (progress(&name, file.metadata()?.len()), Box::new(file))
            }
        };
        feeder.put(Item::Source(name))?;
        from_file(bar.wrap_read(opened), &config.trusted, feeder, &mut archived)?;
        bar.finish_and_clear();
    }
    let Some((url, range)) = &config.database else {
        return Ok(());
    };
    let store = Store::new(StoreConfig {
        application_name: "quorate verify".to_owned(),
        statement_timeout: STATEMENT_TIMEOUT,
        pool_size: 1,
        ..StoreConfig::new(url.clone())
    });
    feeder.put(Item::Source(url.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match from_database(&store, range, &config.trusted, feeder, &archived).await {
            Err(Stop::Store(error)) => Err(store.explain(error).await.into()),
            Err(Stop::Gone(gone)) => Err(gone.into()),
            Ok(()) => Ok(()),
        }
    })
}

/// Hands on what is in the file. `archived`: the last number of each feed in the archives so far.
fn from_file(
    input: impl Read + Send,
    trusted: &Trusted,
    feeder: &mut Feeder,
    archived: &mut BTreeMap<Feed, u64>,
) -> Result<(), Gone> {
    let pieces = || -> Result<Result<(), Gone>, Fault> {
        let mut file = RecordFile::open(input)?;
        loop {
            let text = feeder.text();
            let start = text.len();
            let item = match file.next(text)? {
                None => return Ok(Ok(())),
                Some(Piece::Record) => Item::Text(start..text.len()),
                Some(Piece::Trailer(trailer)) => {
                    archived.extend(trailer.feeds.iter().map(|(feed, end)| (feed.clone(), end.last)));
                    Item::Trailer(trailer)
                }
                Some(Piece::Header(header)) => {
                    if let Err(gone) = feeder.judge_by(committee(trusted, Some(&header))) {
                        return Ok(Err(gone));
                    }
                    Item::Header(header)
                }
            };
            if let Err(gone) = feeder.put(item) {
                return Ok(Err(gone));
            }
        }
    };
    pieces().unwrap_or_else(|fault| feeder.put(Item::Fault(fault)))
}

/// Why reading a database has ended early.
enum Stop {
    Store(StoreError),
    Gone(Gone),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Gone> for Stop {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// Hands on the records of this range, feed by feed; of those that were in the archives, only what follows.
async fn from_database(
    store: &Store,
    range: &Range,
    trusted: &Trusted,
    feeder: &mut Feeder,
    archived: &BTreeMap<Feed, u64>,
) -> Result<(), Stop> {
    let header = header(store).await?;
    feeder.judge_by(committee(trusted, Some(&header)))?;
    feeder.put(Item::Header(header))?;
    let is_whole = range.first.is_none() && range.from.is_none();
    if is_whole {
        for (feed, sequence, digest) in beginnings(store).await? {
            feeder.put(Item::Begins(feed, sequence, digest))?;
        }
    }
    for span in store.feeds().await? {
        if !range.feeds.is_empty() && !range.feeds.contains(&span.feed) {
            continue;
        }
        let behind_archive = archived.get(&span.feed).map_or(0, |last| last + 1);
        let (mut first, mut last) = (
            range.first.unwrap_or(0).max(behind_archive),
            range.last.unwrap_or(u64::MAX),
        );
        if let Some(from) = range.from {
            first = first.max(first_written_since(store, &span, from).await?);
        }
        if let Some(to) = range.to {
            last = last.min(first_written_since(store, &span, to).await?.saturating_sub(1));
        }
        let query = RecordQuery {
            feed: Some(span.feed.clone()),
            after: Some(first.saturating_sub(1)),
            up_to: Some(last.min(span.last)),
            ..RecordQuery::default()
        };
        let count = last
            .min(span.last)
            .saturating_add(1)
            .saturating_sub(first.max(span.first));
        let bar = progress(span.feed.as_str(), count);
        let mut records = std::pin::pin!(store.stream(query));
        while let Some(record) = records.next().await {
            match record {
                Ok(record) => feeder.put(Item::Record(Box::new(record)))?,
                Err(StoreError::Damaged { record, reason }) => {
                    feeder.put(Item::Unreadable(Fault::Unreadable(format!("{record}: {reason}"))))?;
                }
                Err(error) => return Err(error.into()),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    Ok(())
}

/// What the database says of its network.
pub(crate) async fn header(store: &Store) -> Result<Header, StoreError> {
    let settings = store.settings().await?;
    let members = store
        .memberships()
        .await?
        .into_iter()
        .map(|membership| MemberJson {
            address: membership.member.address,
            name: membership.member.name,
        });
    Ok(Header {
        quorate_archive: VERSION,
        network: store.network().await?,
        write_interval_ms: u64::try_from(settings.write_interval.as_millis()).unwrap_or(u64::MAX),
        min_signatures: settings.min_signatures,
        quorum_fraction: None,
        members: members.collect(),
    })
}

/// Which record the first one of each feed in the database follows: none, or the last that was archived.
pub(crate) async fn beginnings(store: &Store) -> Result<Vec<(Feed, u64, Digest)>, StoreError> {
    let archived = store.archived().await?;
    let beginning = |span: FeedSpan| match archived.iter().find(|archived| archived.feed == span.feed) {
        Some(archived) => (span.feed, archived.sequence, archived.digest),
        None => (span.feed, 0, Digest::new([0; 32])),
    };
    Ok(store.feeds().await?.into_iter().map(beginning).collect())
}

/// The lowest number of a record that was written at this time or later; behind the last if there is none. Times of writing grow
/// with the numbers, so a few records say it.
pub(crate) async fn first_written_since(
    store: &Store,
    span: &FeedSpan,
    time: UnixMillis,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (span.first, span.last.saturating_add(1));
    while low < high {
        let middle = low.midpoint(high);
        let query = RecordQuery {
            feed: Some(span.feed.clone()),
            after: Some(middle.saturating_sub(1)),
            order: Order::BySequence,
            limit: 1,
            ..RecordQuery::default()
        };
        match store.records(query).await?.first() {
            Some(record) if record.written_at < time => low = record.sequence + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Bytes of a file, or records of a database. Shown at a terminal only, on standard error.
pub(crate) fn progress(name: &str, length: u64) -> ProgressBar {
    styled(
        ProgressBar::new(length),
        name,
        "{prefix} {wide_bar} {percent} %  {eta} left",
    )
}

/// What has no end that is known.
fn spinner(name: &str) -> ProgressBar {
    styled(ProgressBar::new_spinner(), name, "{prefix} {spinner} {bytes}")
}

fn styled(bar: ProgressBar, name: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(name.to_owned())
}
