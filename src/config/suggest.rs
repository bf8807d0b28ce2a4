//! Guessing what was meant by a name that does not exist.

/// The known name that is nearest to `unknown`, if it is near: a third of the letters may differ.
pub(crate) fn did_you_mean<'a, S: AsRef<str>>(unknown: &str, known: &'a [S]) -> Option<&'a str> {
    let spelled = |text: &str| text.to_lowercase().replace('_', "-");
    let unknown = spelled(unknown);
    known
        .iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&unknown, &spelled(name.as_ref())),
                name.as_ref(),
            )
        })
        .min()
        .filter(|(distance, _)| distance * 3 <= unknown.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["write-interval", "fetch-interval", "peer"];
        assert_eq!(did_you_mean("writ-interval", &known), Some("write-interval"));
        assert_eq!(did_you_mean("write_interval", &known), Some("write-interval"));
        assert_eq!(did_you_mean("peers", &known), Some("peer"));
        assert_eq!(did_you_mean("colour", &known), None);
    }
}
