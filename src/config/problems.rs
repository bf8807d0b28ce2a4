//! What is wrong with a configuration, said so that it can be put right without reading the manual: all of it at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    path::PathBuf,
};

use super::values::{Wrong, wrong};
use crate::secret::mask;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Variable(String),
    /// This TOML file.
    File(PathBuf),
    /// Nobody gave one.
    Default,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag | Self::Default => Ok(()),
            Self::Variable(name) => write!(f, " (from {name})"),
            Self::File(path) => write!(f, " (from {})", path.display()),
        }
    }
}

/// The value in question, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// There is none.
    Nothing,
    /// It is a secret.
    Hidden,
    /// It is this; what looks like a secret is masked.
    Text(String),
}

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The flag, or the key or line of a file.
    pub(crate) field: String,
    /// Where the value came from.
    pub(crate) origin: Origin,
    /// The value.
    pub(crate) value: Shown,
    /// What is wrong with it.
    pub(crate) wrong: Wrong,
}

impl Problem {
    /// The value and what is wrong with it, without the setting and without the remedy.
    pub(crate) fn finding(&self) -> String {
        /// Longer values are cut: the beginning is enough to recognize one's own typing.
        const LONGEST: usize = 100;
        let value = match &self.value {
            Shown::Nothing => String::new(),
            Shown::Hidden => "the hidden value ".to_owned(),
            Shown::Text(text) => {
                let masked = mask(text);
                let cut: String = masked.chars().take(LONGEST).collect();
                let dots = if cut.len() < masked.len() { "…" } else { "" };
                format!("{cut:?}{dots} ")
            }
        };
        format!("{value}{}", mask(&self.wrong.rule))
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, origin, remedy) = (&self.field, &self.origin, &self.wrong.remedy);
        write!(f, "{field}{origin}: {}: {remedy}", self.finding())
    }
}

/// A setting as it was given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// How it is called in a problem: `--write-interval`.
    pub(crate) field: String,
    /// What was written, or the default.
    pub(crate) values: Vec<String>,
    /// Where.
    pub(crate) origin: Origin,
    /// Whether it is never shown.
    pub(crate) is_secret: bool,
}

/// Everything that is wrong with one command's settings, and what its user should know though it is allowed.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// All settings of the command by name, in the order of the help.
    given: Vec<(String, Given)>,
    /// With the place of its setting in that order; those of files come first.
    found: Vec<(usize, Problem)>,
    rejected: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Problems {
    /// Of a command that has been given these settings, of which nothing is known to be wrong.
    pub(crate) fn new(given: Vec<(String, Given)>, in_files: Vec<Problem>) -> Self {
        Self {
            given,
            found: in_files.into_iter().map(|problem| (0, problem)).collect(),
            ..Self::default()
        }
    }

    /// Notes a problem with a setting's value.
    pub(crate) fn reject(&mut self, name: &str, wrong: Wrong) {
        let given = self.given(name).1;
        let shown = match given.values.as_slice() {
            [] => Shown::Nothing,
            _ if given.is_secret => Shown::Hidden,
            values => Shown::Text(values.join(",")),
        };
        self.reject_as(name, shown, wrong);
    }

    /// Notes a problem with a part of a setting's value, or with none to show.
    pub(crate) fn reject_as(&mut self, name: &str, value: Shown, wrong: Wrong) {
        let (place, given) = self.given(name);
        let problem = Problem {
            field: given.field.clone(),
            origin: given.origin.clone(),
            value,
            wrong,
        };
        self.found.push((place + 1, problem));
        self.rejected.insert(name.to_owned());
    }

    /// Notes that a secret is given both as itself and as a file.
    pub(crate) fn reject_together(&mut self, name: &str, file: &str) {
        let given = self.given(file).1;
        let rule = format!("is given together with {}{}", given.field, given.origin);
        let wrong = wrong(rule, "keep one of them, best the file");
        self.reject_as(name, Shown::Nothing, wrong);
    }

    /// Notes the items of a list that stand there twice.
    pub(crate) fn reject_repeated<T: Display>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        let mut counts = BTreeMap::new();
        for item in items {
            *counts.entry(item.to_string()).or_insert(0) += 1;
        }
        let twice: Vec<String> = (counts.into_iter())
            .filter(|(_, count)| *count > 1)
            .map(|(item, _)| item)
            .collect();
        if !twice.is_empty() {
            let shown = Shown::Text(twice.join(", "));
            self.reject_as(name, shown, wrong("is given twice", "name it once"));
        }
    }

    /// Whether nothing is known to be wrong with any of these settings. A rule between settings asks this first: a value that is
    /// wrong by itself was replaced by its default, of which nothing should be said.
    pub(crate) fn are_right(&self, names: &[&str]) -> bool {
        names.iter().all(|name| !self.rejected.contains(*name))
    }

    /// What was written for a setting, or its defaults.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        &self.given(name).1.values
    }

    /// Takes out the problems with settings of these names, which are then nobody else's: `quorate check` tells them as verdicts.
    pub(crate) fn take(&mut self, is_meant: impl Fn(&str) -> bool) -> Vec<(String, Problem)> {
        let found = std::mem::take(&mut self.found);
        let mut taken = Vec::new();
        for (place, problem) in found {
            match place.checked_sub(1).and_then(|place| self.given.get(place)) {
                Some((name, _)) if is_meant(name) => taken.push((name.clone(), problem)),
                _ => self.found.push((place, problem)),
            }
        }
        taken
    }

    /// Whether there is anything wrong but with settings of these names.
    pub(crate) fn has_others_than(&self, names: &[&str]) -> bool {
        self.found.iter().any(|(place, _)| {
            let setting = place.checked_sub(1).and_then(|place| self.given.get(place));
            setting.is_none_or(|(name, _)| !names.contains(&name.as_str()))
        })
    }

    /// Takes out what the user should know.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Whether somebody has said what this is, and not only the default.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given(name).1.origin != Origin::Default
    }

    /// Notes what the user should know though it is allowed. It must read as a line of the log.
    pub(crate) fn warn(&mut self, line: impl Into<String>) {
        self.warnings.push(line.into());
    }

    /// The configuration and the warnings, or everything that is wrong in the order of the help.
    pub(crate) fn finish<T>(mut self, config: Option<T>) -> Result<(T, Vec<String>), Vec<Problem>> {
        match config {
            Some(config) if self.found.is_empty() => Ok((config, self.warnings)),
            _ => {
                debug_assert!(!self.found.is_empty(), "refused without a reason");
                self.found.sort_by_key(|(place, _)| *place);
                Err(self.found.into_iter().map(|(_, problem)| problem).collect())
            }
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "a slip in a rule's code, which every test of the rule shows"
    )]
    fn given(&self, name: &str) -> (usize, &Given) {
        let place = self.given.iter().position(|(known, _)| known == name);
        let place = place.expect("rules name settings of their command");
        (place, &self.given[place].1)
    }
}

/// All of them, to be read in one go.
pub(crate) fn report(command: &str, problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    let lines: String = problems.iter().map(|problem| format!("  {problem}\n")).collect();
    format!(
        "error: {count} with the configuration of `quorate {command}`\n{lines}`quorate {command} --help` explains every option\n"
    )
}

/// The known name that is nearest to `unknown`, if it is near: a third of the letters may differ.
pub(crate) fn did_you_mean<'a, S: AsRef<str>>(unknown: &str, known: &'a [S]) -> Option<&'a str> {
    let spelled = |text: &str| text.to_lowercase().replace('_', "-");
    let unknown = spelled(unknown);
    known
        .iter()
        .map(|name| {
            let name = name.as_ref();
            (strsim::damerau_levenshtein(&unknown, &spelled(name)), name)
        })
        .min()
        .filter(|(distance, _)| distance * 3 <= unknown.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(origin: Origin, value: Shown) -> String {
        Problem {
            field: "--x".into(),
            origin,
            value,
            wrong: wrong("is not so", "write it so"),
        }
        .to_string()
    }

    #[test]
    fn names_field_origin_value_rule_and_remedy() {
        let text = || Shown::Text("30".into());
        assert_eq!(
            problem(Origin::Flag, text()),
            r#"--x: "30" is not so: write it so"#
        );
        assert_eq!(
            problem(Origin::Variable("QUORATE_X".into()), text()),
            r#"--x (from QUORATE_X): "30" is not so: write it so"#
        );
        assert_eq!(
            problem(Origin::File("q.toml".into()), text()),
            r#"--x (from q.toml): "30" is not so: write it so"#
        );
        assert_eq!(
            problem(Origin::Flag, Shown::Nothing),
            "--x: is not so: write it so"
        );
    }

    #[test]
    fn never_shows_what_may_be_a_secret() {
        assert_eq!(
            problem(Origin::Flag, Shown::Hidden),
            "--x: the hidden value is not so: write it so"
        );
        let pasted = Shown::Text("postgres://quorate:hunter2@db/prices".into());
        assert!(!problem(Origin::Flag, pasted).contains("hunter2"));
    }

    #[test]
    fn a_long_value_is_cut() {
        let line = problem(Origin::Flag, Shown::Text("é".repeat(5000)));
        assert!(line.chars().count() < 150, "{line}");
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["write-interval", "fetch-interval", "peer"];
        assert_eq!(did_you_mean("writ-interval", &known), Some("write-interval"));
        assert_eq!(did_you_mean("write_interval", &known), Some("write-interval"));
        assert_eq!(did_you_mean("peers", &known), Some("peer"));
        assert_eq!(did_you_mean("colour", &known), None);
    }
}
