//! From layers to typed values: reads on after a problem, so that all of them are reported at once.

use std::{collections::BTreeSet, fmt::Display, path::PathBuf};

use super::{
    layers::{Given, Layers},
    problem::{Origin, Problem, Shown, Wrong, wrong},
    setting::Setting,
    value::switch,
};
use crate::secret::{self, Secret};

/// Collects problems and warnings while a command's configuration is read. A `None` from its methods means that the value is
/// wrong and that the problem is noted.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// A configuration that is right, and what its user should still know.
#[derive(Debug)]
pub(crate) struct Resolved<T> {
    /// The configuration.
    pub(crate) config: T,
    /// Lines for the log.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Starts with the problems that reading the layers had.
    pub(crate) fn new(layers: &'a Layers, problems: Vec<Problem>) -> Self {
        Self {
            layers,
            problems,
            warnings: Vec::new(),
        }
    }

    /// A value that must be given or have a default.
    pub(crate) fn value<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.optional(setting, parse)?;
        if value.is_none() {
            self.reject(
                setting,
                wrong("is missing", format!("give it, or set {}", setting.variable())),
            );
        }
        value
    }

    /// A value that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Option<T>> {
        let Some(given) = self.layers.find(setting) else {
            return Some(None);
        };
        if given.is_misplaced_array {
            let key = setting.name;
            self.reject(
                setting,
                wrong("is an array", format!("write one value: {key} = \"…\"")),
            );
            return None;
        }
        let text = given.values.last()?;
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(wrong) => {
                self.reject(setting, wrong);
                None
            }
        }
    }

    /// A list; every item that is wrong is noted.
    pub(crate) fn list<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let Some(Given { values, origin, .. }) = self.layers.find(setting) else {
            return Some(Vec::new());
        };
        let mut parsed = Vec::with_capacity(values.len());
        for text in &values {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(wrong) => self.note(setting, origin.clone(), Shown::Text(text.clone()), wrong),
            }
        }
        (parsed.len() == values.len()).then_some(parsed)
    }

    /// A list whose items differ in what `key` makes of them.
    pub(crate) fn distinct<T, K: Ord + Display>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Wrong>,
        key: impl Fn(&T) -> K,
    ) -> Option<Vec<T>> {
        let items = self.list(setting, parse)?;
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> = items
            .iter()
            .map(&key)
            .filter(|item| !seen.insert(key_text(item)))
            .map(|k| key_text(&k))
            .collect();
        if twice.is_empty() {
            return Some(items);
        }
        let names = twice.into_iter().collect::<Vec<_>>().join(", ");
        self.reject_as(
            setting,
            Shown::Text(names),
            wrong("is given twice", "name it once"),
        );
        None
    }

    /// `true` or `false`.
    pub(crate) fn switch(&mut self, setting: &Setting) -> Option<bool> {
        self.optional(setting, switch).map(Option::unwrap_or_default)
    }

    /// A path, not looked at yet.
    pub(crate) fn path(&mut self, setting: &Setting) -> Option<Option<PathBuf>> {
        self.optional(setting, |text| match text {
            "" => Err(wrong("is empty", "name a file")),
            path => Ok(PathBuf::from(path)),
        })
    }

    /// The secret in the file that `setting` names.
    pub(crate) fn secret_file(&mut self, setting: &Setting) -> Option<Option<Secret>> {
        let Some(path) = self.path(setting)? else {
            return Some(None);
        };
        match secret::read(&path) {
            Ok(secret) => Some(Some(secret)),
            Err(error) => {
                let remedy = "name a file that this user can read and that holds the secret alone";
                self.reject_as(setting, Shown::Nothing, wrong(error.to_string(), remedy));
                None
            }
        }
    }

    /// A secret that is given either as a value or as a file.
    pub(crate) fn secret(&mut self, value: &Setting, file: &Setting) -> Option<Option<Secret>> {
        let inline = self.layers.find(value);
        if let (Some(_), Some(given)) = (&inline, self.layers.find(file)) {
            let rule = format!("is given together with {}{}", file.flag(), given.origin);
            self.reject_as(
                value,
                Shown::Nothing,
                wrong(rule, "keep one of them, best the file"),
            );
            return None;
        }
        match inline {
            Some(_) => self.optional(value, |text| match text {
                "" => Err(wrong(
                    "is empty",
                    format!("name a file that holds it with {}", file.flag()),
                )),
                text => Ok(Secret::new(text)),
            }),
            None => self.secret_file(file),
        }
    }

    /// Whether a person at a terminal can be asked for what is missing.
    pub(crate) fn can_ask(&self) -> bool {
        self.layers.environment.has_terminal
    }

    /// Whether nobody but the default says what this is.
    pub(crate) fn is_default(&self, setting: &Setting) -> bool {
        self.layers
            .find(setting)
            .is_none_or(|given| given.origin == Origin::Default)
    }

    /// Notes a problem with a setting's value.
    pub(crate) fn reject(&mut self, setting: &Setting, wrong: Wrong) {
        let shown = match self.layers.find(setting) {
            None => Shown::Nothing,
            Some(_) if setting.kind.is_secret() => Shown::Hidden,
            Some(given) => Shown::Text(given.values.join(",")),
        };
        self.reject_as(setting, shown, wrong);
    }

    /// Notes a problem with a part of a setting's value, or without showing one.
    pub(crate) fn reject_as(&mut self, setting: &Setting, shown: Shown, wrong: Wrong) {
        let origin = self
            .layers
            .find(setting)
            .map_or(Origin::Default, |given| given.origin);
        self.note(setting, origin, shown, wrong);
    }

    fn note(&mut self, setting: &Setting, origin: Origin, value: Shown, wrong: Wrong) {
        self.problems.push(Problem {
            field: setting.flag(),
            origin,
            value,
            wrong,
        });
    }

    /// Notes what the user should know though it is allowed. It must read as a line of the log.
    pub(crate) fn warn(&mut self, line: impl Into<String>) {
        self.warnings.push(line.into());
    }

    /// The configuration, or everything that is wrong with it.
    pub(crate) fn finish<T>(self, config: Option<T>) -> Result<Resolved<T>, Vec<Problem>> {
        let is_explained = config.is_some() || !self.problems.is_empty();
        debug_assert!(is_explained, "a value is missing without a problem that says so");
        match config {
            Some(config) if self.problems.is_empty() => Ok(Resolved {
                config,
                warnings: self.warnings,
            }),
            _ => Err(self.problems),
        }
    }
}

fn key_text(key: &impl Display) -> String {
    key.to_string()
}
