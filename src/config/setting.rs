//! What can be set. One declaration gives a setting its flag, its variable, its key in the file and its help.

/// How many values a setting takes, and whether they may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value.
    Value,
    /// One value that is never shown.
    Secret,
    /// Any number: the flag repeated, the variable separated by commas, an array in the file.
    List,
    /// `true` or `false`; the flag alone means `true`.
    Switch,
}

/// One setting: `--write-interval`, `QUORATE_WRITE_INTERVAL`, and `write-interval` in the file.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The name in kebab case.
    pub(crate) name: &'static str,
    /// How many values.
    pub(crate) kind: Kind,
    /// What stands for the value in the help: `DURATION`.
    pub(crate) value_name: &'static str,
    /// The value when none is given, as a user would write it; for a list separated by commas.
    pub(crate) default: Option<&'static str>,
    /// The section of the help.
    pub(crate) heading: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
}

impl Setting {
    /// The flag as typed: `--write-interval`.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// The environment variable: `QUORATE_WRITE_INTERVAL`.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        format!("{}{name}", super::environment::PREFIX)
    }
}
