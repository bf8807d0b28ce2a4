//! `quorate archive`: records of the database in a file that proves itself, and then, if it is wanted, no longer in the database.
//!
//! Nothing is removed before the file has been written, read again and verified. The last record of a feed always stays: the next
//! one follows it.

pub(crate) mod format;

use std::{
    error::Error,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::DateTime;
use futures::TryStreamExt;
use quorate_protocol::{Feed, UnixMillis};
use quorate_store::{Archived, FeedSpan, RecordQuery, Store, StoreConfig, StoreError};
use tempfile::NamedTempFile;

use self::format::{Header, Trailer, Writer};
use crate::{
    config::{
        archive::{ArchiveConfig, Before, Out},
        verify::{Input, Verdict, VerifyConfig},
    },
    output,
    verify::{self, Tally, first_written_since},
};

/// What a whole page of records takes, on a server that is busy.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// So many records are removed at once: a second of a small server's work, for which no node has to wait.
const REMOVED_AT_ONCE: u64 = 5000;

/// Writes the archive, verifies it, removes what is in it, and says what was done.
pub(crate) async fn run(config: ArchiveConfig) -> Result<(), Box<dyn Error>> {
    let store = Store::new(StoreConfig {
        application_name: "quorate archive".to_owned(),
        statement_timeout: STATEMENT_TIMEOUT,
        pool_size: 1,
        ..StoreConfig::new(config.database_url.clone())
    });
    match archive(&store, &config).await {
        Err(error) => match error.downcast::<StoreError>() {
            Ok(error) => Err(store.explain(*error).await.into()),
            Err(other) => Err(other),
        },
        done => done,
    }
}

async fn archive(store: &Store, config: &ArchiveConfig) -> Result<(), Box<dyn Error>> {
    let header = Header {
        quorum_fraction: config
            .trusted
            .quorum_fraction
            .map(|fraction| fraction.to_string()),
        ..verify::header(store).await?
    };
    if config.remove {
        store.check_may_remove().await?;
    }
    let ranges = ranges(store, config).await?;
    if ranges.is_empty() {
        output::print(
            "nothing to archive: no record is that old, but for the last one of each feed, which stays\n",
        )?;
        return Ok(());
    }
    let path = path(
        &config.out,
        header.network.as_deref().unwrap_or_default(),
        config.now,
    );
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot = |error: std::io::Error| format!("{} cannot be written ({error})", path.display());
    // Beside its place, so that it comes there whole or not at all.
    let file = NamedTempFile::new_in(folder).map_err(cannot)?;
    let trailer = write(store, file.reopen().map_err(cannot)?, &header, &ranges).await?;
    verify_file(file.path(), store, config).await?;
    let size = file.as_file().metadata().map_err(cannot)?.len();
    file.persist_noclobber(&path)
        .map_err(|error| cannot(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)?;

    let mut text = format!(
        "{}: {} records, {size} bytes, verified\n",
        path.display(),
        trailer.records
    );
    for (feed, end) in &trailer.feeds {
        text += &format!(
            "{feed}: records {} to {}, the last is {}\n",
            end.first, end.last, end.digest
        );
    }
    if config.remove {
        for range in &ranges {
            let removed = remove(store, range).await?;
            text += &format!("{}: {removed} records removed from the database\n", range.feed);
        }
    }
    output::print(&text)?;
    Ok(())
}

/// What there is to archive of each feed: at least one record, never the last.
async fn ranges(store: &Store, config: &ArchiveConfig) -> Result<Vec<FeedSpan>, StoreError> {
    let mut ranges = Vec::new();
    for span in store.feeds().await? {
        if !config.feeds.is_empty() && !config.feeds.contains(&span.feed) {
            continue;
        }
        let end = match config.before {
            Before::Time(time) => first_written_since(store, &span, time).await?,
            Before::Sequence(sequence) => sequence,
        };
        let last = end.min(span.last).saturating_sub(1);
        if last >= span.first {
            ranges.push(FeedSpan { last, ..span });
        }
    }
    Ok(ranges)
}

async fn write(
    store: &Store,
    file: File,
    header: &Header,
    ranges: &[FeedSpan],
) -> Result<Trailer, Box<dyn Error>> {
    let mut writer = Writer::new(BufWriter::new(file), header)?;
    for FeedSpan { feed, first, last } in ranges {
        let bar = verify::progress(feed.as_str(), last - first + 1);
        let query = RecordQuery {
            feed: Some(feed.clone()),
            up_to: Some(*last),
            ..RecordQuery::default()
        };
        let mut records = std::pin::pin!(store.stream(query));
        while let Some(record) = records.try_next().await? {
            writer.write(&record)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    let (file, trailer) = writer.finish()?;
    file.into_inner()?.sync_all()?;
    Ok(trailer)
}

/// Reads the file back, and holds it against what is known: also where its records have to begin.
async fn verify_file(path: &Path, store: &Store, config: &ArchiveConfig) -> Result<(), Box<dyn Error>> {
    let beginnings = verify::beginnings(store).await?;
    let read = VerifyConfig {
        inputs: vec![Input::File(path.to_owned())],
        database: None,
        trusted: config.trusted.clone(),
        output: Verdict::Text,
    };
    let mut tally = Tally::new(config.trusted.clone());
    for (feed, sequence, digest) in beginnings {
        tally.begin_after(feed, sequence, digest);
    }
    verify::all(&read, &mut tally)?;
    if tally.faults() == 0 {
        return Ok(());
    }
    output::print(&tally.text())?;
    let faults = tally.faults();
    Err(format!("{faults} faults: no archive was made, nothing was removed").into())
}

/// Removes the records of the range, the oldest first.
async fn remove(store: &Store, range: &FeedSpan) -> Result<u64, Box<dyn Error>> {
    let FeedSpan { feed, first, last } = range;
    let (mut removed, mut next) = (0, *first);
    while next <= *last {
        let end = next.saturating_add(REMOVED_AT_ONCE - 1).min(*last);
        removed += store.remove_archived(&end_at(store, feed, end).await?).await?;
        next = end + 1;
    }
    Ok(removed)
}

async fn end_at(store: &Store, feed: &Feed, sequence: u64) -> Result<Archived, Box<dyn Error>> {
    match store.record_at(feed, sequence).await? {
        Some(record) => Ok(Archived {
            feed: feed.clone(),
            sequence,
            digest: record.digest,
        }),
        None => Err(format!("record {sequence} of {feed} has gone from the database meanwhile").into()),
    }
}

/// `mainnet-20260131T120000Z.jsonl.gz` in a folder: in the order of their names, archives join.
fn path(out: &Out, network: &str, now: UnixMillis) -> PathBuf {
    let folder = match out {
        Out::File(path) => return path.clone(),
        Out::Folder(folder) => folder,
    };
    let date = i64::try_from(now.get())
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    let time = date.map_or_else(
        || now.to_string(),
        |date| date.format("%Y%m%dT%H%M%SZ").to_string(),
    );
    folder.join(format!("{network}-{time}.jsonl.gz"))
}
