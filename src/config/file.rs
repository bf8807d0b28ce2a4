//! The TOML file: keys are the flags' names without the dashes in front.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    problems::{Origin, Problem, Shown, did_you_mean},
    values::wrong,
};

/// What the file says, as the texts that flags would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// Where it stands.
    pub(crate) path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A string, number, boolean or date.
    One(String),
    /// An array of them.
    Many(Vec<String>),
}

impl ConfigFile {
    /// Reads the file. The keys of any command are known: one file may serve several.
    pub(crate) fn read(path: &Path, origin: Origin, known: &[String]) -> (Option<Self>, Vec<Problem>) {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text, known),
            Err(error) => {
                let problem = Problem {
                    field: "--config".to_owned(),
                    origin,
                    value: Shown::Text(path.display().to_string()),
                    wrong: wrong(format!("cannot be read ({error})"), "name a readable TOML file"),
                };
                (None, vec![problem])
            }
        }
    }

    /// Reads the file's text. What can be used is, so that the rest can be checked too.
    pub(crate) fn parse(path: &Path, text: &str, known: &[String]) -> (Option<Self>, Vec<Problem>) {
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => return (None, vec![syntax_problem(path, text, &error)]),
        };
        let mut entries = BTreeMap::new();
        let mut problems = Vec::new();
        for (key, value) in table {
            let problem = |wrong| Problem {
                field: key.clone(),
                origin: Origin::File(path.to_owned()),
                value: Shown::Nothing,
                wrong,
            };
            if !known.contains(&key) {
                let remedy = match did_you_mean(&key, known) {
                    Some(name) => format!("did you mean {name}?"),
                    None => "keys are the names of the flags without --; remove it".to_owned(),
                };
                problems.push(problem(wrong("is not a known setting", remedy)));
            } else if let Some(entry) = entry(value) {
                entries.insert(key, entry);
            } else {
                let remedy = "write a string, a number, true, false, or an array of these";
                problems.push(problem(wrong("is a table", remedy)));
            }
        }
        let file = Self {
            path: path.to_owned(),
            entries,
        };
        (Some(file), problems)
    }

    /// What the file says about a key.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }
}

fn entry(value: Value) -> Option<Entry> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(scalar)
            .collect::<Option<_>>()
            .map(Entry::Many),
        value => scalar(value).map(Entry::One),
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Table(_) => None,
        plain => Some(plain.to_string()),
    }
}

/// Only the parser's message and the line's number: its own rendering quotes the line, which may hold a secret.
fn syntax_problem(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let line = error.span().map_or(1, |span| {
        1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count()
    });
    Problem {
        field: format!("line {line}"),
        origin: Origin::File(path.to_owned()),
        value: Shown::Nothing,
        wrong: wrong(
            format!("is not TOML ({})", error.message()),
            "write lines like write-interval = \"30s\"",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<ConfigFile>, Vec<String>) {
        let known = [
            "write-interval",
            "peer",
            "mdns",
            "quorum-fraction",
            "min-signatures",
        ]
        .map(str::to_owned);
        let (file, problems) = ConfigFile::parse(Path::new("q.toml"), text, &known);
        (file, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_scalar_becomes_the_text_that_a_flag_would_have() {
        let (file, problems) = parse(
            "write-interval = '30s'\npeer = ['a', 'b']\nmdns = false\nquorum-fraction = 0.5\nmin-signatures = 3\n",
        );
        let file = file.unwrap();
        assert_eq!(problems, [""; 0]);
        assert_eq!(file.get("write-interval"), Some(&Entry::One("30s".into())));
        assert_eq!(file.get("peer"), Some(&Entry::Many(vec!["a".into(), "b".into()])));
        assert_eq!(file.get("mdns"), Some(&Entry::One("false".into())));
        assert_eq!(file.get("quorum-fraction"), Some(&Entry::One("0.5".into())));
        assert_eq!(file.get("min-signatures"), Some(&Entry::One("3".into())));
    }

    #[test]
    fn unknown_keys_and_tables_are_all_reported() {
        let (_, problems) = parse("write_interval = '30s'\ncolour = 1\n[peer]\na = 1\n");
        assert_eq!(
            problems,
            [
                "colour (from q.toml): is not a known setting: keys are the names of the flags without --; remove it",
                "peer (from q.toml): is a table: write a string, a number, true, false, or an array of these",
                "write_interval (from q.toml): is not a known setting: did you mean write-interval?",
            ]
        );
    }

    #[test]
    fn a_syntax_error_names_the_line_and_quotes_nothing() {
        let (file, problems) = parse("mdns = true\npeer = postgres://quorate:hunter2@db\n");
        assert_eq!(file, None);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("line 2 (from q.toml): is not TOML ("),
            "{}",
            problems[0]
        );
        assert!(!problems[0].contains("hunter2"), "{}", problems[0]);
    }
}
