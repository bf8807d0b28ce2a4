//! A password that a person types.

use std::io;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    /// The terminal cannot be read.
    #[error("the password cannot be read from the terminal ({0})")]
    Terminal(#[from] io::Error),
    /// Nothing was typed.
    #[error("an empty password protects nothing: try again")]
    Empty,
    /// The second time was another text than the first.
    #[error("the two passwords differ: try again")]
    Differ,
}

/// Asks twice on the terminal, without showing what is typed.
pub(crate) fn new_password() -> Result<Secret, PromptError> {
    agreed(|prompt| rpassword::prompt_password(prompt))
}

fn agreed(mut ask: impl FnMut(&str) -> io::Result<String>) -> Result<Secret, PromptError> {
    let first = Zeroizing::new(ask("password of the new keystore: ")?);
    if first.is_empty() {
        return Err(PromptError::Empty);
    }
    let second = Zeroizing::new(ask("the same again: ")?);
    if first != second {
        return Err(PromptError::Differ);
    }
    Ok(Secret::new(first.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(texts: &[&str]) -> Result<Secret, PromptError> {
        let mut texts = texts.iter();
        agreed(|_| {
            texts
                .next()
                .map(ToString::to_string)
                .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        })
    }

    #[test]
    fn a_password_is_what_was_typed_twice() {
        assert_eq!(typed(&["hunter2", "hunter2"]).unwrap().reveal(), "hunter2");
        assert!(matches!(typed(&["hunter2", "Hunter2"]), Err(PromptError::Differ)));
        assert!(matches!(typed(&["", ""]), Err(PromptError::Empty)));
        assert!(matches!(typed(&["hunter2"]), Err(PromptError::Terminal(_))));
    }
}
