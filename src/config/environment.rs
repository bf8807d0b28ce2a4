//! The variables that are ours.

use std::{collections::BTreeMap, ffi::OsString};

use super::{
    problem::{Origin, Problem, Shown, wrong},
    setting::Setting,
    suggest::did_you_mean,
};

/// All our variables start so.
pub(crate) const PREFIX: &str = "QUORATE_";

/// A snapshot of the process's variables, so that nothing after the start depends on them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Environment {
    ours: BTreeMap<String, String>,
    /// Whether standard input is a terminal, so that a person can be asked.
    pub(crate) has_terminal: bool,
    /// Variables of ours whose bytes are no text.
    pub(crate) problems: Vec<Problem>,
}

impl Environment {
    /// Keeps our variables. An empty one counts as not set, as `${NAME:-}` in a compose file leaves it.
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) if name.starts_with(PREFIX) => {
                    environment.ours.insert(name, value);
                }
                Err(_) if name.starts_with(PREFIX) => environment.problems.push(Problem {
                    field: name,
                    origin: Origin::Flag,
                    value: Shown::Hidden,
                    wrong: wrong("is not UTF-8", "write it as UTF-8 text"),
                }),
                _ => {}
            }
        }
        environment
    }

    /// The same, knowing whether a person can be asked.
    pub(crate) fn at_terminal(self, has_terminal: bool) -> Self {
        Self { has_terminal, ..self }
    }

    /// The value of a setting's variable.
    pub(crate) fn get(&self, setting: &Setting) -> Option<&str> {
        self.variable(&setting.variable())
    }

    /// The value of one of our variables.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.ours.get(name).map(String::as_str)
    }

    /// One line for each variable of ours that no command knows: most likely a typing error. Only the name is shown.
    pub(crate) fn strangers(&self, known: &[String]) -> Vec<String> {
        self.ours
            .keys()
            .filter(|name| !known.contains(name) && !is_service_link(name))
            .map(|name| {
                let hint = did_you_mean(name, known)
                    .map_or(String::new(), |known| format!(", did you mean {known}?"));
                format!("unknown variable ignored: name={name}{hint}")
            })
            .collect()
    }
}

/// Kubernetes sets such variables for every Service of the namespace; one called `quorate` or `quorate-api` gives them our
/// prefix.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT") || name.contains("_PORT_") || name.contains("_SERVICE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(
            environment(&[("QUORATE_PEER", "")]).variable("QUORATE_PEER"),
            None
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_a_problem_of_ours_only() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = || OsString::from_vec(vec![0xff]);
        let environment = Environment::new([("QUORATE_PEER".into(), bytes()), ("PATH".into(), bytes())]);
        let lines: Vec<String> = environment.problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            lines,
            ["QUORATE_PEER: the hidden value is not UTF-8: write it as UTF-8 text"]
        );
    }

    #[test]
    fn an_unknown_variable_of_ours_is_named_without_its_value() {
        let known = ["QUORATE_WRITE_INTERVAL".to_owned()];
        let strangers =
            environment(&[("QUORATE_WRITE_INTREVAL", "hunter2"), ("PATH", "/bin")]).strangers(&known);
        assert_eq!(
            strangers,
            ["unknown variable ignored: name=QUORATE_WRITE_INTREVAL, did you mean QUORATE_WRITE_INTERVAL?"]
        );
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_called_quorate_is_no_stranger() {
        let links = [
            "QUORATE_PORT",
            "QUORATE_PORT_5000_TCP_ADDR",
            "QUORATE_API_SERVICE_HOST",
            "QUORATE_SERVICE_PORT_HTTP",
        ];
        let pairs: Vec<_> = links.iter().map(|name| (*name, "10.0.0.1")).collect();
        assert!(environment(&pairs).strangers(&[]).is_empty());
    }
}
