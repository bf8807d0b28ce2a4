//! One line of the log. Messages are words and `name=value` pairs, with values that hold blanks in quotes; whoever wrote a message
//! put any text between the quotes, and here it is made sure that it can be read back. Pure.

use chrono::{DateTime, SecondsFormat, Utc};
use log::{Level, Record};
use serde_json::json;

use crate::{names::Named, secret};

/// Columns of a line for people: what a wide terminal shows. Longer quoted values are cut; JSON has them whole.
const WIDTH: usize = 199;
/// No value is cut to less.
const SHORTEST: usize = 24;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// For people at a terminal.
    Colour,
    /// For collectors: one object a line.
    Json,
}

/// A record as a line with its end.
pub(super) fn of(form: Form, record: &Record<'_>, names: &Named, now: DateTime<Utc>) -> String {
    let message = record.args().to_string();
    let message = if record.target().starts_with("quorate") {
        message
    } else {
        // Ours never hold a secret; what a library puts into its words, nobody here has read.
        secret::mask(&message)
    };
    line(
        form,
        record.level(),
        record.target(),
        &names.in_text(&message),
        now,
    )
}

/// The line that tells of so many dropped ones.
pub(super) fn dropped(form: Form, count: u64, now: DateTime<Utc>) -> String {
    let message = format!("log lines dropped: count={count} reason=\"nobody read the log\"");
    line(form, Level::Warn, module_path!(), &message, now)
}

fn line(form: Form, level: Level, target: &str, message: &str, now: DateTime<Utc>) -> String {
    let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let (begin, end) = match (form, level) {
        (Form::Json, _) => return json_line(&time, level, target, message),
        (Form::Text, _) => ("", ""),
        (Form::Colour, Level::Error) => ("\u{1b}[1;31m", "\u{1b}[0m"),
        (Form::Colour, Level::Warn) => ("\u{1b}[33m", "\u{1b}[0m"),
        (Form::Colour, Level::Info) => ("\u{1b}[32m", "\u{1b}[0m"),
        (Form::Colour, Level::Debug | Level::Trace) => ("\u{1b}[36m", "\u{1b}[0m"),
    };
    let target = short(target);
    let columns = time.len() + target.len() + " LEVEL  : ".len();
    let message = fitted(parts(message), WIDTH.saturating_sub(columns));
    format!("{time} {begin}{level:<5}{end} {target}: {message}\n")
}

fn json_line(time: &str, level: Level, target: &str, message: &str) -> String {
    let level = level.as_str().to_ascii_lowercase();
    let object = json!({ "time": time, "level": level, "target": target, "message": message });
    format!("{object}\n")
}

/// Who speaks: one of the actors (`quorate_actors::aggregator::notes` is the `aggregator`) or a part of the executable
/// (`quorate::node`); of other crates the name is enough, of ours what it adds to the project's: `supervisor`.
fn short(target: &str) -> &str {
    let mut parts = target.split("::");
    match (parts.next(), parts.next()) {
        (Some("quorate" | "quorate_actors"), Some(module)) => module,
        (Some(name), _) => name.strip_prefix("quorate_").unwrap_or(name),
        _ => target,
    }
}

/// A piece of a message.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// As it is.
    Plain(&'a str),
    /// What stands between quotes, without them.
    Quoted(&'a str),
}

/// Takes a message apart. A value in quotes ends at a quote behind which the message ends or the next `name=` begins: those
/// before it are the value's own.
fn parts(message: &str) -> Vec<Part<'_>> {
    let mut parts = vec![];
    let mut rest = message;
    while let Some(begin) = rest.find("=\"").map(|at| at + 2) {
        let Some(end) = end_of_value(&rest[begin..]) else {
            break;
        };
        parts.push(Part::Plain(&rest[..begin - 1]));
        parts.push(Part::Quoted(&rest[begin..begin + end]));
        rest = &rest[begin + end + 1..];
    }
    parts.push(Part::Plain(rest));
    parts
}

fn end_of_value(text: &str) -> Option<usize> {
    let quotes = text.match_indices('"').map(|(at, _)| at);
    quotes.into_iter().find(|at| {
        let behind = &text[at + 1..];
        behind.is_empty() || behind.strip_prefix(' ').is_some_and(begins_with_name)
    })
}

/// Whether a text begins like `took_ms=`.
fn begins_with_name(text: &str) -> bool {
    let name = text.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    name.len() < text.len() && name.starts_with('=')
}

/// The message in so many columns, if cutting the longest quoted values can do it.
fn fitted(parts: Vec<Part<'_>>, width: usize) -> String {
    let mut shown: Vec<(bool, String)> = parts
        .into_iter()
        .map(|part| match part {
            Part::Plain(text) => (false, plain(text)),
            Part::Quoted(text) => (true, text.to_owned()),
        })
        .collect();
    loop {
        let message: String = shown
            .iter()
            .map(|(is_value, text)| if *is_value { quoted(text) } else { text.clone() })
            .collect();
        let excess = message.chars().count().saturating_sub(width);
        let values = shown.iter_mut().filter(|(is_value, _)| *is_value);
        let longest = values.max_by_key(|(_, text)| text.chars().count());
        match longest.map(|(_, text)| (text.chars().count(), text)) {
            Some((length, text)) if excess > 0 && length > SHORTEST => {
                // Escaping makes a text longer: what is too much may take another turn.
                let kept = length.saturating_sub(excess + 1).max(SHORTEST - 1);
                // What went wrong stands first, its last cause at the end.
                let head = kept - kept / 3;
                let (begin, end) = (text.chars().take(head), text.chars().skip(length - kept / 3));
                *text = begin.chain(['…']).chain(end).collect();
            }
            _ => return message,
        }
    }
}

/// A peer's text must not be able to begin a line of its own, nor to move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| shown(c, false)).collect()
}

fn quoted(text: &str) -> String {
    let inner: String = text.chars().map(|c| shown(c, true)).collect();
    format!("\"{inner}\"")
}

fn shown(c: char, in_quotes: bool) -> String {
    match c {
        '"' | '\\' if in_quotes => format!("\\{c}"),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-31T12:00:30.250Z";

    fn now() -> DateTime<Utc> {
        NOW.parse().unwrap()
    }

    fn text(message: &str) -> String {
        let line = line(
            Form::Text,
            Level::Warn,
            "quorate_actors::aggregator::notes",
            message,
            now(),
        );
        let message = line.strip_prefix(&format!("{NOW} WARN  aggregator: ")).unwrap();
        message.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn a_line_names_the_part_of_the_program_that_speaks() {
        for (target, name) in [
            ("quorate_actors::aggregator::turns", "aggregator"),
            ("quorate::node", "node"),
            ("quorate_supervisor::supervision", "supervisor"),
            ("quorate", "quorate"),
            ("libp2p_gossipsub::behaviour", "libp2p_gossipsub"),
        ] {
            assert_eq!(short(target), name);
        }
    }

    #[test]
    fn a_message_is_one_line_of_text() {
        assert_eq!(text("peer said: x=1 ünïcode"), "peer said: x=1 ünïcode");
        assert_eq!(text("a\nERROR forged\u{1b}[2J"), "a\\nERROR forged\\u{1b}[2J");
    }

    #[test]
    fn quotes_within_a_value_are_escaped_and_those_around_it_are_not() {
        for (message, shown) in [
            (
                r#"database gone: reason="database "x" does not exist" retry_in=1s"#,
                r#"database gone: reason="database \"x\" does not exist" retry_in=1s"#,
            ),
            (r#"a: one="x "y"" two="z""#, r#"a: one="x \"y\"" two="z""#),
            (r#"a: path="C:\new" b=1"#, r#"a: path="C:\\new" b=1"#),
            ("a: reason=\"two\nlines\"", r#"a: reason="two\nlines""#),
            (r#"a: empty="" b=1"#, r#"a: empty="" b=1"#),
            (r#"said "so" without a name"#, r#"said "so" without a name"#),
            (r#"never closed="x"#, r#"never closed="x"#),
        ] {
            assert_eq!(text(message), shown);
        }
    }

    #[test]
    fn a_long_value_is_cut_so_that_the_line_fits_and_the_next_one_can_be_read() {
        let (long, longer) = ("l".repeat(60), "\"".repeat(300));
        let message = format!("peer refuses us: reason=\"{long}\" remedy=\"{longer}\" times=3");
        let line = line(Form::Text, Level::Warn, "quorate::node", &message, now());
        assert!(line.trim_end().chars().count() <= WIDTH, "{line}");
        assert!(
            line.contains(&long) && line.ends_with("\\\"\" times=3\n"),
            "{line}"
        );
        let json = super::line(Form::Json, Level::Warn, "quorate::node", &message, now());
        assert!(json.contains(&longer.replace('"', "\\\"")), "{json}");
    }

    #[test]
    fn of_a_value_that_is_cut_the_beginning_and_the_end_are_left() {
        let message = format!("a: reason=\"no connection {} UnknownIssuer\"", "x".repeat(300));
        let shown = text(&message);
        assert!(shown.starts_with("a: reason=\"no connection xxx"), "{shown}");
        assert!(
            shown.contains("xx…xx") && shown.ends_with(" UnknownIssuer\""),
            "{shown}"
        );
    }

    #[test]
    fn a_librarys_words_are_masked() {
        let key = "ab".repeat(32);
        let arguments = format_args!("dialled postgres://u:hunter2@db/x with {key}");
        let record = |target| Record::builder().args(arguments).target(target).build();
        let line = of(Form::Text, &record("some_library"), &Named::none(), now());
        assert!(!line.contains("hunter2") && !line.contains("abab"), "{line}");
    }

    #[test]
    fn json_is_one_object_a_line_however_odd_the_message() {
        let message = "a \"quoted\"\nline \u{1b}[0m";
        let arguments = format_args!("{message}");
        let record = Record::builder()
            .args(arguments)
            .level(Level::Warn)
            .target("quorate::x")
            .build();
        let text = of(Form::Json, &record, &Named::none(), now());
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"time": NOW, "level": "warn", "target": "quorate::x", "message": message});
        assert_eq!(value, expected);
    }
}
