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
    /// What follows the command without a flag, any number; on the command line only.
    Arguments,
    /// One value that is never shown, in a variable only: a flag would show it in the list of processes.
    SecretVariable,
}

impl Kind {
    /// Whether the file of `--config` may hold it.
    pub(crate) fn is_in_files(self) -> bool {
        !matches!(self, Self::Arguments | Self::SecretVariable)
    }

    /// Whether its value may be shown.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::SecretVariable)
    }
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
    /// How it is called where something is wrong with it: `--write-interval`.
    pub(crate) fn flag(&self) -> String {
        match self.kind {
            Kind::Arguments => self.value_name.to_owned(),
            Kind::SecretVariable => self.variable(),
            _ => format!("--{}", self.name),
        }
    }

    /// The environment variable: `QUORATE_WRITE_INTERVAL`.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        format!("{}{name}", super::environment::PREFIX)
    }
}
