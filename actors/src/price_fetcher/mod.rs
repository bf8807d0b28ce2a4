//! Asks exchanges for prices and tells what they agree on: the right price or none.
//!
//! One fetch, in the order of the files: the [`Schedule`] says when it begins, so that the answers come when the
//! Aggregator wants them ([`AnswerTime`] estimates how long they take); [`quarantine`] says who is asked; a round asks all
//! of them at once ([`SourceSpec`], [`SourceKind`]) and refuses by name what is no price ([`QuoteError`]); the
//! [`Agreement`] says when the answers make one; [`PriceFetcher`] sends it on as `Observed`.

mod actor;
mod agreement;
mod answer_time;
mod client;
mod feed_state;
mod measures;
mod messages;
pub mod quarantine;
mod quote_error;
mod quoted;
mod retry_after;
mod round;
mod schedule;
mod settings;
mod source;
mod source_spec;

pub use actor::PriceFetcher;
pub use agreement::{Agreement, NoAgreement};
pub use answer_time::{AnswerTime, LONGEST_LEAD};
pub use measures::SourceMeasures;
pub use messages::FetcherMessage;
pub use quote_error::QuoteError;
pub use quoted::{MAX_AHEAD, Quoted};
pub use schedule::{MIN_GAP, Schedule};
pub use settings::{
    DEFAULT_MAX_QUOTE_AGE, DEFAULT_PATIENCE, DEFAULT_SOURCE_TIMEOUT, PriceFetcherSettings, SettingsError,
    check,
};
pub use source::{SourceKind, UnknownSource, UnsupportedFeed};
pub use source_spec::{ParseSourceError, SourceSpec};
