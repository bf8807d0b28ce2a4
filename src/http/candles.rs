//! `/api/v1/candles` and `/api/v1/twap`: what the prices of a while come to. The database computes both; docs/api.md defines them.

use std::{ops::RangeInclusive, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use csv::{Terminator, WriterBuilder};
use quorate_protocol::{Feed, UnixMillis};
use quorate_store::{Candle, Range};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    problem::Problem,
    query::{Asked, Given, Query},
    reader::Reader,
    records::{keep, whole_ms},
    reply::{Format, Reply},
};
use crate::{
    config::values::{choice, duration},
    show::rfc3339,
};

/// Shorter candles would hold one record each; longer ones are weeks and months, which are no multiples of anything.
const STEPS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const USUAL_STEP: Duration = Duration::from_hours(1);

/// Candles of one answer, and how many there are if nobody says from when.
const MOST_CANDLES: u64 = 1000;
const USUAL_CANDLES: u64 = 100;

/// Write windows that one answer may sum up: what the database reads in half a second.
const MOST_WINDOWS: u64 = 200_000;

/// The candles of a range.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandlesAnswer {
    #[schema(example = "ETH/USD")]
    feed: String,
    /// How long a candle is.
    step_ms: u64,
    /// In the order of time. A while without a record has no candle.
    candles: Vec<CandleBody>,
}

/// The records of a while.
#[derive(Debug, Serialize, ToSchema)]
struct CandleBody {
    /// When it begins.
    opens_at: String,
    /// The first record's price, exactly.
    open: String,
    /// The highest price.
    high: String,
    /// The lowest price.
    low: String,
    /// The last record's price.
    close: String,
    /// How many records there are.
    records: u64,
    /// Whether its while is over.
    closed: bool,
}

/// Which candles.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CandlesQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// From the candle of this moment on; if not given, a hundred candles. Written as for records.
    #[param(value_type = Option<String>)]
    from: UnixMillis,
    /// Up to this moment, its candle included; if not given, up to now.
    #[param(value_type = Option<String>)]
    to: UnixMillis,
    /// How long a candle is: `1m`, `1h`, `1d`, up to a week; an hour if not given.
    #[param(value_type = Option<String>, example = "1h")]
    step: Duration,
    /// `json` or `csv`; if not given, as the header Accept says.
    #[param(value_type = Option<String>, pattern = "^(json|csv)$")]
    format: Option<Format>,
}

impl Query for CandlesQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let step = given.take("step", duration(STEPS))?.unwrap_or(USUAL_STEP);
        let step_ms = whole_ms(step);
        let usual = given.now().get().saturating_sub(USUAL_CANDLES * step_ms);
        let (from, to) = given.span(UnixMillis::new(usual))?;
        // Whole candles.
        let from = from.get() / step_ms * step_ms;
        let to = to.min(UnixMillis::MAX).get().div_ceil(step_ms) * step_ms;
        let count = (to - from) / step_ms;
        if count > MOST_CANDLES {
            let remedy = format!("ask for at most {MOST_CANDLES} at a time: a later from, or a longer step");
            return Err(Problem::parameter(
                "from",
                &from.to_string(),
                &format!("is {count} candles before to"),
                remedy,
            ));
        }
        let (from, to) = (UnixMillis::new(from), UnixMillis::new(to));
        given.check_windows(from, to, MOST_WINDOWS)?;
        Ok(Self {
            feed,
            from,
            to,
            step,
            format: given.take("format", choice(Format::CHOICES))?,
        })
    }
}

/// Open, high, low and close of each whole step.
#[utoipa::path(get, path = "/api/v1/candles", tag = "summaries", params(CandlesQuery), responses(
    (status = 200, description = "Candles", content((CandlesAnswer = "application/json"), (String = "text/csv"))),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn candles(
    request: HttpRequest,
    reader: web::Data<Reader>,
    Asked(query): Asked<CandlesQuery>,
) -> Result<HttpResponse, Problem> {
    let CandlesQuery {
        feed,
        from,
        to,
        step,
        format,
    } = query;
    let range = Range {
        feed: feed.clone(),
        from,
        to,
    };
    let found = reader.ask(reader.history.candles(range, step)).await?;
    let (now, step_ms) = (reader.now().get(), whole_ms(step));
    let is_closed = |candle: &Candle| candle.opens_at.get() + step_ms <= now;
    let candles: Vec<CandleBody> = found
        .iter()
        .map(|candle| CandleBody::new(candle, is_closed(candle)))
        .collect();
    let version = found
        .last()
        .map(|last| (found.len(), last.records, is_closed(last)));
    let reply = Reply::new(&request, &version, keep(to, &reader));
    Ok(match Format::of(format, &request) {
        Format::Csv => reply.csv(csv(&candles)?),
        Format::Json => reply.json(&CandlesAnswer {
            feed: feed.to_string(),
            step_ms,
            candles,
        }),
    })
}

impl CandleBody {
    fn new(candle: &Candle, closed: bool) -> Self {
        Self {
            opens_at: rfc3339(candle.opens_at),
            open: candle.open.to_string(),
            high: candle.high.to_string(),
            low: candle.low.to_string(),
            close: candle.close.to_string(),
            records: candle.records,
            closed,
        }
    }
}

fn csv(candles: &[CandleBody]) -> Result<String, Problem> {
    let failed =
        |error: &dyn std::error::Error| Problem::unavailable(error.to_string(), "ask for format=json");
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .has_headers(false)
        .from_writer(vec![]);
    // Said here, for an answer without candles has names too.
    let names = ["opens_at", "open", "high", "low", "close", "records", "closed"];
    writer.write_record(names).map_err(|error| failed(&error))?;
    for candle in candles {
        writer.serialize(candle).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A time-weighted average.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TwapAnswer {
    #[schema(example = "ETH/USD")]
    feed: String,
    /// From when.
    from: String,
    /// To when; not included.
    to: String,
    /// The average, rounded down to 18 decimals.
    #[schema(example = "3012.45")]
    price: String,
    /// For how much of the range there was a price that was fresh. The rest is left out of the average.
    covered_ms: u64,
    /// How long the range is.
    range_ms: u64,
    /// The records whose prices are in it.
    records: u64,
}

/// Over which range.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TwapQuery {
    /// The feed; needed only where the node prices several.
    #[param(value_type = Option<String>, example = "ETH/USD")]
    feed: Feed,
    /// From this moment on; if not given, the last hour. Written as for records.
    #[param(value_type = Option<String>)]
    from: UnixMillis,
    /// Before this moment; if not given, up to now.
    #[param(value_type = Option<String>)]
    to: UnixMillis,
}

impl Query for TwapQuery {
    fn read(given: &mut Given<'_>) -> Result<Self, Problem> {
        let feed = given.feed()?;
        let usual = given.now().get().saturating_sub(whole_ms(USUAL_STEP));
        let (from, to) = given.span(UnixMillis::new(usual))?;
        // The future has no price.
        let to = to.min(given.now());
        if from >= to {
            let remedy = "ask for a range that has begun";
            return Err(Problem::parameter(
                "from",
                &rfc3339(from),
                "lies in the future",
                remedy,
            ));
        }
        given.check_windows(from, to, MOST_WINDOWS)?;
        Ok(Self { feed, from, to })
    }
}

/// The time-weighted average price of a range.
#[utoipa::path(get, path = "/api/v1/twap", tag = "summaries", params(TwapQuery), responses(
    (status = 200, description = "The average", body = TwapAnswer),
    (status = 304, description = "Nothing has changed since the answer that If-None-Match names"),
    super::openapi::Problems,
))]
pub(super) async fn twap(
    request: HttpRequest,
    reader: web::Data<Reader>,
    Asked(TwapQuery { feed, from, to }): Asked<TwapQuery>,
) -> Result<HttpResponse, Problem> {
    let range = Range {
        feed: feed.clone(),
        from,
        to,
    };
    let Some(average) = reader
        .ask(reader.history.average(range, reader.rules.stale_after()))
        .await?
    else {
        let detail = format!(
            "there was no price of {feed} from {} to {}",
            rfc3339(from),
            rfc3339(to)
        );
        return Err(Problem::not_found(
            detail,
            "ask for a longer range, or a later one",
        ));
    };
    let answer = TwapAnswer {
        feed: feed.to_string(),
        from: rfc3339(from),
        to: rfc3339(to),
        price: average.price.to_string(),
        covered_ms: whole_ms(average.covered),
        range_ms: whole_ms(to.since(from)),
        records: average.records,
    };
    Ok(Reply::new(
        &request,
        &(&answer.price, answer.covered_ms, answer.range_ms),
        keep(to, &reader),
    )
    .json(&answer))
}
