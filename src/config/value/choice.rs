//! One of a few words.

use crate::config::problem::{Wrong, wrong};

/// The value that belongs to the word.
pub(crate) fn choice<T: Copy>(choices: &[(&str, T)], text: &str) -> Result<T, Wrong> {
    let found = choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        wrong(
            "is not one of the choices",
            format!(
                "write {}",
                words
                    .join(", ")
                    .replacen(", ", " or ", usize::from(words.len() == 2))
            ),
        )
    })
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, Wrong> {
    choice(&[("true", true), ("false", false)], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_word_of_the_list_and_names_the_list_otherwise() {
        let words = [("text", 1), ("json", 2), ("csv", 3)];
        assert_eq!(choice(&words, "json"), Ok(2));
        assert_eq!(
            choice(&words, "yaml"),
            Err(wrong("is not one of the choices", "write text, json, csv"))
        );
        assert_eq!(
            switch("yes"),
            Err(wrong("is not one of the choices", "write true or false"))
        );
    }
}
