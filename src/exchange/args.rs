//! The options of `quorate exchange`.

use std::net::SocketAddr;

use clap::{Args, FromArgMatches};
use quorate_protocol::Price;

use super::fault::FaultRule;

/// Answers like five exchanges, with prices that it makes up: for trying quorate without the
/// internet, and for seeing what it does when exchanges fail.
///
/// All five APIs answer on one port with their real paths and shapes, for example
///
///     curl http://127.0.0.1:8100/v2/prices/ETH-USD/spot
///
/// A node asks it with `--source coinbase=http://127.0.0.1:8100`, the other sources likewise.
/// While it runs, faults are set and cleared from this machine:
///
///     curl -X PUT -d offset:2000 http://127.0.0.1:8100/control/faults/kraken
///     curl http://127.0.0.1:8100/control
///     curl -X DELETE http://127.0.0.1:8100/control/faults/all
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExchangeArgs {
    /// Where it listens. Port 0 takes a free one and says which.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8100")]
    pub(crate) listen: SocketAddr,

    /// Where the random walk starts from. The same seed walks the same way every time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// What one ETH costs at first. BTC costs twenty times, every other coin a twentieth of it.
    #[arg(long, value_name = "PRICE", default_value = "3000")]
    pub(crate) start_price: Price,

    /// How far a price moves in a second at most, in basis points (1 is 0.01 %); 0 stands still, 1000 is the most.
    #[arg(long, value_name = "BPS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) volatility_bps: u32,

    /// Lets a source fail from the start; repeatable, `all` is every source. FAULT is one of
    ///
    ///   status:CODE                      an HTTP status instead of a price
    ///   status:CODE:retry-after=SECONDS  the same, asking to be left alone
    ///   delay:MILLISECONDS               the right answer, late
    ///   drop                             the connection is closed without an answer
    ///   redirect                         sends the asker elsewhere
    ///   garbage, html, empty, huge       what is no answer
    ///   wrong-currency                   prices in euro what was asked in dollars
    ///   zero, negative, nan              what is no price
    ///   stale:SECONDS, future:SECONDS    a wrong date, where answers have one
    ///   offset:BPS                       a lie: 2000 is 20 % too much
    #[arg(long = "fault", value_name = "SOURCE=FAULT", verbatim_doc_comment)]
    pub(crate) faults: Vec<FaultRule>,
}

impl ExchangeArgs {
    /// Understands options as the command line gives them; the reason, in a line, why not.
    pub(crate) fn from_words(words: &[String]) -> Result<Self, String> {
        let command = Self::augment_args(clap::Command::new("exchange").no_binary_name(true));
        command
            .try_get_matches_from(words)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}
