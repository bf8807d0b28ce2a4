//! The log: lines on standard error, for people or for collectors. Standard output is for what a command was asked for.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use env_logger::fmt::Formatter;
use log::{LevelFilter, Record};
use serde_json::json;

use crate::config::logging::{LogConfig, LogFormat};

/// Begins to log. `rust_log` wins over the level, as users of Rust programs expect. A line that nobody can read any more is
/// dropped.
pub(crate) fn init(config: &LogConfig, rust_log: Option<&str>) -> Result<(), log::SetLoggerError> {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&rust_log.map_or_else(|| filters(config.level), str::to_owned));
    match config.format {
        LogFormat::Text => builder.format(|out, record| write_text(out, record, Utc::now())),
        LogFormat::Json => builder.format(|out, record| write_json(out, record, Utc::now())),
    };
    builder.try_init()
}

/// Our crates at `level`, all of which start so; the libraries, which say much, at warnings. Gossipsub warns of single messages,
/// of which a hostile peer can send any number: only its errors are shown, and the gossip bridge tells of such messages in sum.
fn filters(level: LevelFilter) -> String {
    let [libraries, gossipsub] = [LevelFilter::Warn, LevelFilter::Error].map(|most| level.min(most));
    format!("{libraries},libp2p_gossipsub={gossipsub},quorate={level}")
}

/// `2026-01-31T12:00:30.250Z INFO  aggregator: record written: feed=ETH/USD`
fn write_text(out: &mut Formatter, record: &Record<'_>, now: DateTime<Utc>) -> io::Result<()> {
    let style = out.default_level_style(record.level());
    let (time, level, target) = (timestamp(now), record.level(), short(record.target()));
    writeln!(
        out,
        "{time} {style}{level:<5}{style:#} {target}: {}",
        one_line(&record.args().to_string())
    )
}

fn write_json(out: &mut impl Write, record: &Record<'_>, now: DateTime<Utc>) -> io::Result<()> {
    let line = json!({
        "time": timestamp(now),
        "level": record.level().as_str().to_ascii_lowercase(),
        "target": record.target(),
        "message": record.args().to_string(),
    });
    writeln!(out, "{line}")
}

fn timestamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Our crates' names say nothing new: `quorate_actors::aggregator::turns` is the `aggregator`; of others, and of the supervisor, which
/// is one thing, the crate is enough.
fn short(target: &str) -> &str {
    let mut parts = target.split("::");
    match (parts.next(), parts.next()) {
        (Some("quorate_supervisor"), _) => "supervisor",
        (Some(own), Some(module)) if own.starts_with("quorate") => module,
        (Some(name), _) => name,
        _ => target,
    }
}

/// A peer's text must not be able to begin a line of its own, nor to move the cursor.
fn one_line(message: &str) -> String {
    if message.contains(char::is_control) {
        message
            .chars()
            .flat_map(|c| {
                if c.is_control() {
                    c.escape_default().collect()
                } else {
                    vec![c]
                }
            })
            .collect()
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn libraries_log_warnings_and_gossipsub_errors_whatever_our_level_is() {
        for (level, expected) in [
            (LevelFilter::Debug, "WARN,libp2p_gossipsub=ERROR,quorate=DEBUG"),
            (LevelFilter::Error, "ERROR,libp2p_gossipsub=ERROR,quorate=ERROR"),
            (LevelFilter::Off, "OFF,libp2p_gossipsub=OFF,quorate=OFF"),
        ] {
            assert_eq!(filters(level), expected);
        }
    }

    #[test]
    fn a_line_names_the_part_of_the_program_that_speaks() {
        for (target, name) in [
            ("quorate_actors::aggregator::turns", "aggregator"),
            ("quorate_supervisor::watchdog", "supervisor"),
            ("quorate::node", "node"),
            ("quorate", "quorate"),
            ("libp2p_gossipsub::behaviour", "libp2p_gossipsub"),
        ] {
            assert_eq!(short(target), name);
        }
    }

    #[test]
    fn a_message_is_one_line_of_text() {
        assert_eq!(one_line("peer said: x=1 ünïcode"), "peer said: x=1 ünïcode");
        assert_eq!(one_line("a\nERROR forged\u{1b}[2J"), "a\\nERROR forged\\u{1b}[2J");
    }

    #[test]
    fn json_is_one_object_a_line_however_odd_the_message() {
        let mut out = Vec::new();
        let now = DateTime::from_timestamp_millis(1_769_860_830_250).unwrap();
        let message = "a \"quoted\"\nline \u{1b}[0m";
        let arguments = format_args!("{message}");
        let record = Record::builder()
            .args(arguments)
            .level(Level::Warn)
            .target("quorate::x")
            .build();
        write_json(&mut out, &record, now).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"time": "2026-01-31T12:00:30.250Z", "level": "warn", "target": "quorate::x", "message": message});
        assert_eq!(value, expected);
    }
}
