//! What is wrong with a configuration, said so that it can be put right without reading the manual.

use std::{fmt, path::PathBuf};

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag | Self::Default => Ok(()),
            Self::Variable(name) => write!(f, " (from {name})"),
            Self::File(path) => write!(f, " (from {})", path.display()),
        }
    }
}

/// The rule that a value breaks, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Reads after the value: `is not a duration`.
    pub(crate) rule: String,
    /// Says what to do: `write a number and a unit, like 30s`.
    pub(crate) remedy: String,
}

/// A [`Wrong`] from its two halves.
pub(crate) fn wrong(rule: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong {
        rule: rule.into(),
        remedy: remedy.into(),
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

/// One thing to put right: field, value, rule and remedy.
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer values are cut: the beginning is enough to recognize one's own typing.
        const LONGEST: usize = 100;
        let Self {
            field,
            origin,
            value,
            wrong: Wrong { rule, remedy },
        } = self;
        write!(f, "{field}{origin}: ")?;
        match value {
            Shown::Nothing => {}
            Shown::Hidden => f.write_str("the hidden value ")?,
            Shown::Text(text) => {
                let masked = mask(text);
                let cut: String = masked.chars().take(LONGEST).collect();
                let dots = if cut.len() < masked.len() { "…" } else { "" };
                write!(f, "{cut:?}{dots} ")?;
            }
        }
        write!(f, "{}: {remedy}", mask(rule))
    }
}

/// Everything that is wrong, to be read in one go.
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
}
