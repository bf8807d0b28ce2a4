//! `/api/v1/records`: the records of a feed, by range, number, digest and moment, each with all that verifies it and a verdict.

use std::{str::FromStr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use quorate_protocol::{Digest, Feed, Record, UnixMillis};
use quorate_store::{Position, Range};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    live::{Away, Newest},
    problem::Problem,
    query::{Asked, Given, Query},
    reader::Reader,
    reply::{Format, Keep, Reply},
};
use crate::{
    config::{
        members::Names,
        values::{choice, number, parsed},
    },
    show::{self, Output, rfc3339},
};

/// Records of one page: some 2 MB.
const MOST_RECORDS: u32 = 1000;
const USUAL_RECORDS: u32 = 100;

/// For how long others may keep an answer about this moment: less than people notice, and enough for a crowd to cost one question.
pub(super) const FOR_A_MOMENT: Keep = Keep::For(Duration::from_secs(1));

/// What was observed longer ago than this is all in the database: so late no record is written (docs/protocol.md), but for windows
/// that are longer still.
const SETTLED: Duration = Duration::from_mins(10);

/// A record, with all that verifies it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordBody {
    /// What is priced.
    #[schema(example = "ETH/USD")]
    feed: String,
    /// Its number among the records of its feed, from 1.
    sequence: u64,
    /// The digest of the record before it; zeros for the first.
    previous: String,
    /// The EIP-712 hash of the observation: what was signed.
    digest: String,
    /// The price, exactly.
    #[schema(example = "3012.45")]
    price: String,
    /// When it was observed, by the observer's clock.
    observed_at: String,
    /// The same in milliseconds since 1970, as it was signed.
    observed_at_ms: u64,
    /// Who stated it.
    observer: String,
    /// The quotes behind the price, which is their median.
    evidence: Vec<QuoteBody>,
    /// The network that the signatures are for.
    network: String,
    /// When it was written, by the database's clock.
    written_at: String,
    /// Who wrote it.
    written_by: String,
    /// Who vouches for it.
    signatures: Vec<SignatureBody>,
    /// Which of them are validators.
    validators: Vec<String>,
}

/// What one exchange said.
#[derive(Debug, Serialize, ToSchema)]
struct QuoteBody {
    /// Which exchange.
    source: String,
    /// Its price, exactly.
    price: String,
    /// When, in milliseconds since 1970.
    at: u64,
}

/// One signature.
#[derive(Debug, Serialize, ToSchema)]
struct SignatureBody {
    /// Whose it is.
    signer: String,
    /// What that member is called, if it is listed.
    name: Option<String>,
    /// r, s and v: 65 bytes.
    signature: String,
}

/// Whether a price can be relied on at a moment, and what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verdict {
    /// `fresh`, or `stale`: older than `stale_after_ms`.
    pub(super) state: State,
    /// The moment that the age is told for: the present, or the end of what was asked for.
    as_of: String,
    /// How long before that the price was observed.
    age_ms: u64,
    /// From this age on a price is stale: twice the write window.
    stale_after_ms: u64,
    /// Since when it has been stale.
    stale_since: Option<String>,
    /// The number of the record that this is about: the newest of the answer.
    sequence: u64,
    /// The exchanges behind it.
    sources: Vec<String>,
    /// The lowest of their quotes.
    lowest: String,
    /// The highest.
    highest: String,
    /// Who signed, by name where the member is listed.
    signers: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Fresh,
    Stale,
}

/// One record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordAnswer {
    verdict: Verdict,
    record: RecordBody,
}

/// The newest record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LatestAnswer {
    verdict: Verdict,
    record: RecordBody,
    /// Whether the database answers. If not, there may be a newer record than this one, which comes from memory.
    database: DatabaseBody,
}

/// How the database is, seen from this node.
#[derive(Debug, Serialize, ToSchema)]
struct DatabaseBody {
    /// Whether it answers.
    answers: bool,
    /// Since when it has not.
    away_since: Option<String>,
    /// Why not.
    reason: Option<String>,
}

/// A page of records, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordsAnswer {
    /// About the newest record of the page; `null` if there is none.
    verdict: Option<Verdict>,
    records: Vec<RecordBody>,
    /// What to ask for the next page with, as `cursor`; `null` on the last.
    next: Option<String>,
}

impl RecordBody {
    pub(super) fn new(record: &Record, names: &Names) -> Self {
        let quotes = record.evidence.quotes().iter().map(|quote| QuoteBody {
            source: quote.source.to_string(),
            price: quote.price.to_string(),
            at: quote.at.get(),
        });
        let signatures = record.signatures.iter().map(|by| SignatureBody {
            signer: by.signer.to_string(),
            name: names.get(&by.signer).cloned(),
            signature: by.signature.to_string(),
        });
        Self {
            feed: record.feed.to_string(),
            sequence: record.sequence,
            previous: record.previous.to_string(),
            digest: record.digest.to_string(),
            price: record.price.to_string(),
            observed_at: rfc3339(record.observed_at),
            observed_at_ms: record.observed_at.get(),
            observer: record.observer.to_string(),
            evidence: quotes.collect(),
            network: record.network.clone(),
            written_at: rfc3339(record.written_at),
            written_by: record.written_by.to_string(),
            signatures: signatures.collect(),
            validators: record.validators.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Verdict {
    pub(super) fn new(record: &Record, as_of: UnixMillis, stale_after: Duration, names: &Names) -> Self {
        let age = as_of.since(record.observed_at);
        let stale_after_ms = whole_ms(stale_after);
        let is_stale = age > stale_after;
        let stale_since = UnixMillis::new(record.observed_at.get().saturating_add(stale_after_ms));
        let quotes = record.evidence.quotes();
        let price = |quote: Option<&quorate_protocol::Quote>| {
            quote.map_or(record.price, |quote| quote.price).to_string()
        };
        Self {
            state: if is_stale { State::Stale } else { State::Fresh },
            as_of: rfc3339(as_of),
            age_ms: whole_ms(age),
            stale_after_ms,
            stale_since: is_stale.then(|| rfc3339(stale_since)),
            sequence: record.sequence,
            sources: quotes.iter().map(|quote| quote.source.to_string()).collect(),
            lowest: price(quotes.iter().min_by_key(|quote| quote.price)),
            highest: price(quotes.iter().max_by_key(|quote| quote.price)),
            signers: record
                .signatures
                .iter()
                .map(|by| {
                    names
                        .get(&by.signer)
                        .cloned()
                        .unwrap_or_else(|| by.signer.to_string())
                })
                .collect(),
        }
    }
}

pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Which records, and how many.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordsQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// Observed at this time or later: `2026-01-31T12:00:00Z`, `2026-01-31`, milliseconds since 1970, or how long ago, like `2h`.
    #[param(value_type = Option<String>)]
    from: UnixMillis,
    /// Observed before this time; if not given, up to now.
    #[param(value_type = Option<String>)]
    to: UnixMillis,
    /// At most this many, up to 1000; 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: u32,
    /// The `next` of the page before. It stays good however many records come.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// `json` or `csv`; if not given, as the header Accept says.
    #[param(value_type = Option<String>, pattern = "^(json|csv)$")]
    format: Option<Format>,
}

impl Query for RecordsQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let cursor = given.take("cursor", parsed::<Cursor>("a cursor"))?;
        let (from, to) = given.span(UnixMillis::new(0))?;
        Ok(Self {
            feed,
            from,
            to,
            limit: given
                .take("limit", number(1..=MOST_RECORDS))?
                .unwrap_or(USUAL_RECORDS),
            cursor,
            format: given.take("format", choice(Format::CHOICES))?,
        })
    }
}

/// Where a page ended, as text that only this API reads.
#[derive(Debug, Clone, Copy)]
struct Cursor(Position);

impl Cursor {
    fn to_text(self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.observed_at.get().to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.sequence.to_be_bytes());
        const_hex::encode(bytes)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; 16] = const_hex::decode_to_array(text)
            .map_err(|_| "take the whole `next` of the page before, or leave it out for the first page")?;
        let number = |half: &[u8]| half.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(Self(Position {
            observed_at: UnixMillis::new(number(&bytes[..8])),
            sequence: number(&bytes[8..]),
        }))
    }
}

/// Records of a range, the newest first, a page at a time.
#[utoipa::path(get, path = "/api/v1/records", tag = "records", params(RecordsQuery), responses(
    (status = 200, description = "A page of records", content(
        (RecordsAnswer = "application/json"), (String = "text/csv"))),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn list(
    request: HttpRequest,
    reader: web::Data<Reader>,
    Asked(query): Asked<RecordsQuery>,
) -> Result<HttpResponse, Problem> {
    let RecordsQuery {
        feed,
        from,
        to,
        limit,
        cursor,
        format,
    } = query;
    let range = Range { feed, from, to };
    let after = cursor.map(|cursor| cursor.0);
    // One more tells whether there is another page.
    let mut records = reader
        .ask(reader.history.page(range, after, limit.saturating_add(1)))
        .await?;
    let is_last = records.len() <= limit as usize;
    records.truncate(limit as usize);
    let next = records.last().filter(|_| !is_last).map(|last| {
        Cursor(Position {
            observed_at: last.observed_at,
            sequence: last.sequence,
        })
        .to_text()
    });
    let keep = keep(to, &reader);
    let as_of = to.min(reader.now());
    let names = reader.names();
    let verdict = records
        .first()
        .map(|newest| Verdict::new(newest, as_of, reader.rules.stale_after(), &names));
    let digests: Vec<[u8; 32]> = records.iter().map(|record| *record.digest.as_bytes()).collect();
    let version = (digests, verdict.as_ref().map(|verdict| verdict.state));
    let reply = Reply::new(&request, &version, keep).next(next.clone());
    match Format::of(format, &request) {
        Format::Csv => Ok(reply.csv(csv(&records)?)),
        Format::Json => Ok(reply.json(&RecordsAnswer {
            verdict,
            records: records
                .iter()
                .map(|record| RecordBody::new(record, &names))
                .collect(),
            next,
        })),
    }
}

fn csv(records: &[Record]) -> Result<String, Problem> {
    show::format(records, Output::Csv)
        .map_err(|error| Problem::unavailable(error.to_string(), "ask for format=json"))
}

/// What lies before `to` will never change, or may any moment.
pub(super) fn keep(to: UnixMillis, reader: &Reader) -> Keep {
    if reader.now().since(to) > SETTLED.max(reader.rules.write_interval * 10) {
        Keep::Forever
    } else {
        FOR_A_MOMENT
    }
}

/// Of which feed.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FeedQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
}

impl Query for FeedQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        Ok(Self { feed: given.feed()? })
    }
}

/// The newest record: from memory, so that it is told while the database is away too.
#[utoipa::path(get, path = "/api/v1/records/latest", tag = "records", params(FeedQuery), responses(
    (status = 200, description = "The newest record", body = LatestAnswer),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn latest(
    request: HttpRequest,
    reader: web::Data<Reader>,
    Asked(FeedQuery { feed }): Asked<FeedQuery>,
) -> Result<HttpResponse, Problem> {
    let Newest {
        record,
        away,
        is_known,
    } = reader.live.newest(&feed);
    let Some(record) = record else {
        return Err(match away {
            Some(Away { reason, .. }) => Problem::unavailable(reason, "ask again later, or another node"),
            None if !is_known => Problem::unavailable("the database has not been asked yet", "ask again"),
            None => Problem::not_found(
                format!("there is no record of {feed} yet"),
                "ask again in a write window",
            ),
        });
    };
    let names = reader.names();
    let verdict = Verdict::new(&record.record, reader.now(), reader.rules.stale_after(), &names);
    let version = (record.record.digest.as_bytes(), verdict.state, away.is_some());
    let reply = Reply::new(&request, &version, FOR_A_MOMENT);
    let database = DatabaseBody {
        answers: away.is_none(),
        away_since: away.as_ref().map(|away| rfc3339(away.since)),
        reason: away.map(|away| away.reason),
    };
    Ok(reply.json(&LatestAnswer {
        verdict,
        record: RecordBody::new(&record.record, &names),
        database,
    }))
}

/// At which moment.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AtQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// `2026-01-31T12:00:00Z`, `2026-01-31`, milliseconds since 1970, or how long ago, like `2h`.
    #[param(value_type = String, example = "2h")]
    time: UnixMillis,
}

impl Query for AtQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let time = given.moment("time")?;
        let time = time.ok_or_else(|| {
            Problem::parameter("time", "", "is not given", "write time=2026-01-31T12:00:00Z")
        })?;
        Ok(Self {
            feed,
            time: time.min(given.now()),
        })
    }
}

/// The record that was the newest at a moment, and whether it was fresh then.
#[utoipa::path(get, path = "/api/v1/records/at", tag = "records", params(AtQuery), responses(
    (status = 200, description = "The newest record whose price was observed at that moment or before", body = RecordAnswer),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn at(
    request: HttpRequest,
    reader: web::Data<Reader>,
    Asked(AtQuery { feed, time }): Asked<AtQuery>,
) -> Result<HttpResponse, Problem> {
    let found = reader.ask(reader.history.newest_at(feed.clone(), time)).await?;
    let Some(record) = found else {
        let detail = format!("there was no record of {feed} at {}", rfc3339(time));
        return Err(Problem::not_found(detail, "ask for a later moment"));
    };
    Ok(one(&request, &reader, &record, time, keep(time, &reader)))
}

/// In which feed.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OneQuery {
    /// The feed of a number; needed only where the node prices several. A digest needs none.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Option<Feed>,
}

impl Query for OneQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        Ok(Self {
            feed: given.take("feed", parsed("a feed"))?,
        })
    }
}

/// One record by its digest, or by its number.
#[utoipa::path(get, path = "/api/v1/records/{id}", tag = "records", params(
    ("id" = String, Path, description = "The record's digest (`0x` and 64 hex digits), or its number in its feed", example = "1"),
    OneQuery,
), responses(
    (status = 200, description = "The record", body = RecordAnswer),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn one_of(
    request: HttpRequest,
    reader: web::Data<Reader>,
    id: web::Path<String>,
    Asked(OneQuery { feed }): Asked<OneQuery>,
) -> Result<HttpResponse, Problem> {
    let found = if let Ok(digest) = id.parse::<Digest>() {
        reader.ask(reader.history.record(digest)).await?
    } else {
        let sequence = number(1..=i64::MAX)(&id).map_err(|_| {
            let remedy = "write 0x and 64 hex digits, or a number from 1";
            Problem::parameter("id", &id, "is neither a digest nor a number", remedy)
        })?;
        let (feed, sequence) = (reader.feed(feed)?, sequence.unsigned_abs());
        let found = reader.ask(reader.history.onwards(feed, sequence, 1)).await?;
        found.into_iter().find(|record| record.sequence == sequence)
    };
    let Some(record) = found else {
        return Err(Problem::not_found(
            format!("there is no record {}", *id),
            "see /api/v1/records",
        ));
    };
    let now = reader.now();
    Ok(one(&request, &reader, &record, now, FOR_A_MOMENT))
}

fn one(
    request: &HttpRequest,
    reader: &Reader,
    record: &Record,
    as_of: UnixMillis,
    keep: Keep,
) -> HttpResponse {
    let names = reader.names();
    let verdict = Verdict::new(record, as_of, reader.rules.stale_after(), &names);
    let reply = Reply::new(request, &(record.digest.as_bytes(), verdict.state), keep);
    reply.json(&RecordAnswer {
        verdict,
        record: RecordBody::new(record, &names),
    })
}
