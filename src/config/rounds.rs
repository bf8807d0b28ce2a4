//! `quorate rounds`: which node to ask, and how to show what it says.

use clap::Args;
use quorate_protocol::{Feed, KEPT_ROUNDS};

use super::{
    prices::OutputArgs,
    problems::Problems,
    values::{api_address, number, parsed, wrong},
};
use crate::show::Output;

/// Everything that can be asked, in the order of the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rounds")]
pub(crate) struct RoundsArgs {
    /// The API of the node to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = api_address)]
    api: String,

    /// The feed; needed only where the node prices several
    #[arg(long = "feed", value_name = "BASE/QUOTE", value_parser = parsed::<Feed>("a feed"))]
    feeds: Vec<Feed>,

    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value = "20", value_parser = number(1..=KEPT_ROUNDS + 1))]
    limit: usize,

    #[command(flatten)]
    output: OutputArgs,
}

/// Which rounds to show, and how.
#[derive(Debug, Clone)]
pub(crate) struct RoundsConfig {
    /// `http://…`
    pub(crate) api: String,
    /// `None`: the node's only one.
    pub(crate) feed: Option<Feed>,
    /// At most this many.
    pub(crate) limit: usize,
    /// The form.
    pub(crate) output: Output,
}

impl RoundsArgs {
    /// Rounds are those of one feed.
    pub(crate) fn resolve(self, problems: &mut Problems) -> RoundsConfig {
        if self.feeds.len() > 1 {
            problems.reject(
                "feed",
                wrong("is given more than once", "ask about one at a time"),
            );
        }
        RoundsConfig {
            api: self.api,
            feed: self.feeds.into_iter().next(),
            limit: self.limit,
            output: self.output.resolve(),
        }
    }
}
