//! What is logged, and in which form.

use clap::Args;
use log::LevelFilter;

use super::values::choice;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors of logs.
    Json,
}

const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogConfig {
    /// off, error, warn, info, debug or trace, for quorate itself; libraries log warnings, gossipsub errors. RUST_LOG wins, like
    /// quorate=debug,libp2p=info
    #[arg(id = "log-level", long, global = true, value_name = "LEVEL", default_value = "info", value_parser = choice(LEVELS))]
    pub(crate) level: LevelFilter,

    /// text, or json: one object a line. Logs go to standard error
    #[arg(id = "log-format", long, global = true, value_name = "FORMAT", default_value = "text", value_parser = choice(FORMATS))]
    pub(crate) format: LogFormat,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<LogConfig, Vec<String>> {
        testing::read(words, |config: LogConfig, _| Some(config)).map(|(config, _)| config)
    }

    #[test]
    fn info_as_text_by_default() {
        let expected = LogConfig {
            level: LevelFilter::Info,
            format: LogFormat::Text,
        };
        assert_eq!(read(&[]).unwrap(), expected);
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        assert_eq!(
            read(&["--log-level", "verbose", "--log-format", "xml"]).unwrap_err(),
            [
                "--log-level: \"verbose\" is not one of the choices: write off, error, warn, info, debug, trace",
                "--log-format: \"xml\" is not one of the choices: write text or json",
            ]
        );
    }
}
