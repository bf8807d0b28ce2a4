//! What is logged, and in which form.

use log::LevelFilter;

use super::{
    reader::Reader,
    setting::{Kind, Setting},
    value::choice,
};

const HEADING: &str = "Logging";

/// `--log-level`
pub(crate) const LOG_LEVEL: Setting = Setting {
    name: "log-level",
    kind: Kind::Value,
    value_name: "LEVEL",
    default: Some("info"),
    heading: HEADING,
    help: "off, error, warn, info, debug or trace, for quorate itself; libraries log warnings, gossipsub errors. RUST_LOG \
           wins, like quorate=debug,libp2p=info",
};
/// `--log-format`
pub(crate) const LOG_FORMAT: Setting = Setting {
    name: "log-format",
    kind: Kind::Value,
    value_name: "FORMAT",
    default: Some("text"),
    heading: HEADING,
    help: "text, or json: one object a line. Logs go to standard error",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 2] = [&LOG_LEVEL, &LOG_FORMAT];

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors of logs.
    Json,
}

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// For quorate itself.
    pub(crate) level: LevelFilter,
    /// The form.
    pub(crate) format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            format: LogFormat::Text,
        }
    }
}

/// Reads [`SETTINGS`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<LogConfig> {
    let levels: Vec<(String, LevelFilter)> = LevelFilter::iter()
        .map(|level| (level.as_str().to_ascii_lowercase(), level))
        .collect();
    let levels: Vec<(&str, LevelFilter)> = levels
        .iter()
        .map(|(name, level)| (name.as_str(), *level))
        .collect();
    let level = reader.value(&LOG_LEVEL, |text| choice(&levels, text));
    let format = reader.value(&LOG_FORMAT, |text| {
        choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)], text)
    });
    Some(LogConfig {
        level: level?,
        format: format?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    #[test]
    fn info_as_text_by_default() {
        let config = testing::read(&[], read).unwrap().config;
        assert_eq!(
            config,
            LogConfig {
                level: LevelFilter::Info,
                format: LogFormat::Text
            }
        );
        assert_eq!(
            testing::read(&[("log-level", &["loud"]), ("log-format", &["xml"])], read).unwrap_err(),
            [
                "--log-level: \"loud\" is not one of the choices: write off, error, warn, info, debug, trace",
                "--log-format: \"xml\" is not one of the choices: write text or json",
            ]
        );
    }
}
