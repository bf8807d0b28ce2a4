//! What an exchange answers, what quotes agree on, whom to ask when. Pure: no clock, no socket; time is an argument.
//!
//! One answer's walk, in the order of the files:
//!
//! 1. `schedule` says when a feed is fetched, so that answers are in when the next record needs them; `pace` keeps many feeds apart.
//! 2. `health` says who is asked: not those that rest after an error or a lie, nor those that asked to be left alone.
//! 3. [`SourceSpec`] says where: `source/` has a file for each exchange with its paths and the shape of its answers. Some are asked for
//!    several feeds at once, but for those that [`Alone`] names.
//! 4. [`SourceKind::read`] makes a quote of an [`HttpAnswer`], or refuses it by name ([`QuoteError`]): `answer` has what HTTP and JSON
//!    say, `ticker` prices and times.
//! 5. [`Fetch`] collects the quotes of one fetch and says when waiting for more could change nothing.
//! 6. [`Agreement`] makes a price of them, or says why there is none ([`NoPrice`]).
//! 7. [`Feeds`] holds all that is known between fetches, and learns from each: whose health it changes, how long
//!    answers take.
//!
//! The PriceFetcher of `quorate-actors` carries this out: it has the timers and the HTTP client.

mod agreement;
mod alone;
mod answer;
mod feeds;
mod fetch;
mod health;
mod pace;
mod quote_error;
mod schedule;
mod source;
mod ticker;

pub use agreement::{Agreement, NoPrice, majority};
pub use alone::Alone;
pub use answer::{HttpAnswer, MAX_BODY_BYTES};
pub use feeds::{Concluded, Feeds, FetchRules, MAX_TOGETHER, SourceEvent};
pub use fetch::Fetch;
pub use quote_error::QuoteError;
pub use schedule::{LONGEST_LEAD, MIN_GAP};
pub use source::{
    Answered, ParseSourceError, SourceKind, SourceSpec, UnknownSource, UnsupportedFeed, coingecko, kraken,
};
