//! Which of the places that can set something wins: the command line, then the variables, then the file, then the default.

use std::collections::BTreeMap;

use super::{
    environment::Environment,
    file::{ConfigFile, Entry},
    problem::Origin,
    setting::{Kind, Setting},
};

/// Values as they were written, and where. A list replaces a lower layer's list; they are not merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// One value, or a list's.
    pub(crate) values: Vec<String>,
    /// Where they were written.
    pub(crate) origin: Origin,
    /// The file has an array where one value belongs.
    pub(crate) is_misplaced_array: bool,
}

/// The layers, read and not yet understood.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The flags that were given, by name.
    pub(crate) flags: BTreeMap<&'static str, Vec<String>>,
    /// The variables.
    pub(crate) environment: Environment,
    /// The file of `--config`.
    pub(crate) file: Option<ConfigFile>,
}

impl Layers {
    /// What the highest layer that says something says. `None`: nobody does, and there is no default.
    pub(crate) fn find(&self, setting: &Setting) -> Option<Given> {
        self.flag(setting)
            .or_else(|| self.variable(setting))
            .or_else(|| self.entry(setting))
            .or_else(|| default(setting))
    }

    fn flag(&self, setting: &Setting) -> Option<Given> {
        let values = self.flags.get(setting.name)?.clone();
        Some(Given {
            values,
            origin: Origin::Flag,
            is_misplaced_array: false,
        })
    }

    fn variable(&self, setting: &Setting) -> Option<Given> {
        if setting.kind == Kind::Arguments {
            return None;
        }
        let values = split(setting, self.environment.get(setting)?);
        Some(Given {
            values,
            origin: Origin::Variable(setting.variable()),
            is_misplaced_array: false,
        })
    }

    fn entry(&self, setting: &Setting) -> Option<Given> {
        let file = self.file.as_ref().filter(|_| setting.kind.is_in_files())?;
        let (values, is_array) = match file.get(setting.name)?.clone() {
            Entry::One(value) => (vec![value], false),
            Entry::Many(values) => (values, true),
        };
        let is_misplaced_array = is_array && setting.kind != Kind::List;
        Some(Given {
            values,
            origin: Origin::File(file.path.clone()),
            is_misplaced_array,
        })
    }
}

fn default(setting: &Setting) -> Option<Given> {
    let values = split(setting, setting.default?);
    Some(Given {
        values,
        origin: Origin::Default,
        is_misplaced_array: false,
    })
}

fn split(setting: &Setting, text: &str) -> Vec<String> {
    if setting.kind == Kind::List {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    } else {
        vec![text.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ONE: Setting = Setting {
        name: "a-b",
        kind: Kind::Value,
        value_name: "X",
        default: Some("default"),
        heading: "",
        help: "",
    };
    const LIST: Setting = Setting {
        kind: Kind::List,
        default: Some("d, e"),
        ..ONE
    };

    fn layers(flag: Option<&[&str]>, variable: Option<&str>, file: Option<&str>) -> Layers {
        let flags = flag.map(|values| ("a-b", values.iter().map(ToString::to_string).collect()));
        let variable = variable.map(|value| ("QUORATE_A_B".into(), value.into()));
        Layers {
            flags: flags.into_iter().collect(),
            environment: Environment::new(variable),
            file: file.and_then(|text| ConfigFile::parse(Path::new("q.toml"), text, &["a-b"]).0),
        }
    }

    #[test]
    fn flag_then_variable_then_file_then_default() {
        let found = |layers: Layers| {
            let Given { values, origin, .. } = layers.find(&ONE).unwrap();
            (values.join("|"), origin)
        };
        let variable = || Origin::Variable("QUORATE_A_B".into());
        let file = || Origin::File("q.toml".into());
        assert_eq!(
            found(layers(Some(&["f"]), Some("v"), Some("a-b='t'"))),
            ("f".into(), Origin::Flag)
        );
        assert_eq!(
            found(layers(None, Some("v"), Some("a-b='t'"))),
            ("v".into(), variable())
        );
        assert_eq!(
            found(layers(None, Some(""), Some("a-b='t'"))),
            ("t".into(), file())
        );
        assert_eq!(
            found(layers(None, None, None)),
            ("default".into(), Origin::Default)
        );
    }

    #[test]
    fn a_list_is_repeated_flags_a_comma_separated_variable_or_an_array() {
        let found = |layers: Layers| layers.find(&LIST).unwrap().values;
        assert_eq!(found(layers(Some(&["1", "2,3"]), None, None)), ["1", "2,3"]);
        assert_eq!(found(layers(None, Some(" 1, 2,,3 ,"), None)), ["1", "2", "3"]);
        assert_eq!(found(layers(None, None, Some("a-b=['1','2']"))), ["1", "2"]);
        assert_eq!(found(layers(None, None, Some("a-b='1'"))), ["1"]);
        assert_eq!(found(layers(None, None, None)), ["d", "e"]);
    }

    #[test]
    fn a_higher_layers_list_replaces_a_lower_ones() {
        assert_eq!(
            layers(Some(&["1"]), Some("2"), Some("a-b=['3']"))
                .find(&LIST)
                .unwrap()
                .values,
            ["1"]
        );
    }

    #[test]
    fn an_array_where_one_value_belongs_is_marked() {
        assert!(
            layers(None, None, Some("a-b=['1']"))
                .find(&ONE)
                .unwrap()
                .is_misplaced_array
        );
        assert!(
            !layers(None, None, Some("a-b=['1']"))
                .find(&LIST)
                .unwrap()
                .is_misplaced_array
        );
    }
}
