//! Values that must not be seen, and how they are kept out of logs, errors and listings.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use quorate_store::Secret;
use zeroize::Zeroizing;

/// Why a file gave no secret. Never holds any of the file's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    /// It is not there, or not readable by this user.
    #[error("{path} cannot be read ({error})", path = shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It holds nothing, or only a line end.
    #[error("{path} is empty", path = shown(.0))]
    Empty(PathBuf),
}

/// Reads a file and drops one line end at its end, which editors and `echo` leave there.
pub(crate) fn read(path: &Path) -> Result<Secret, SecretFileError> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| SecretFileError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(SecretFileError::Empty(path.to_owned()));
    }
    Ok(Secret::new(line))
}

/// Hides what looks like a secret in a text that a user typed in the wrong place: the credentials of a URL, `password=…`,
/// and 64 hex digits, which may be a key.
pub(crate) fn mask(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(mask_word).collect()
}

/// A path in quotes, as far as it may be shown: a URL or a key in its place is a slip that happens.
pub(crate) fn shown(path: &Path) -> String {
    format!("{:?}", mask(&path.display().to_string()))
}

fn mask_word(word: &str) -> String {
    mask_hex(&mask_password(&mask_credentials(word)))
}

/// Everything between `://` and the last `@`: a password may itself hold an `@` or a `/`.
fn mask_credentials(word: &str) -> String {
    match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &word[..scheme + 3], &word[at..]),
        _ => word.to_owned(),
    }
}

fn mask_password(word: &str) -> String {
    const NAME: &str = "password=";
    let Some(start) = word.to_ascii_lowercase().find(NAME).map(|at| at + NAME.len()) else {
        return word.to_owned();
    };
    let end = word[start..]
        .find(|c: char| c == '&' || c.is_whitespace())
        .map_or(word.len(), |length| start + length);
    format!("{}***{}", &word[..start], &word[end..])
}

fn mask_hex(word: &str) -> String {
    /// The digits of a secp256k1 key.
    const KEY_DIGITS: usize = 64;
    let mut masked = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars() {
        if c.is_ascii_hexdigit() {
            run.push(c);
        } else {
            masked.push_str(if run.len() >= KEY_DIGITS { "***" } else { &run });
            run.clear();
            masked.push(c);
        }
    }
    masked.push_str(if run.len() >= KEY_DIGITS { "***" } else { &run });
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_loses_one_line_end_and_must_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (content, secret) in [
            ("a b", "a b"),
            ("a b\n", "a b"),
            ("a b\r\n", "a b"),
            (" a\n\n", " a\n"),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read(&path).unwrap().reveal(), secret);
        }
        for empty in ["", "\n", "\r\n"] {
            fs::write(&path, empty).unwrap();
            assert!(matches!(read(&path), Err(SecretFileError::Empty(_))));
        }
        let missing = read(&folder.path().join("missing"));
        assert!(matches!(missing, Err(SecretFileError::Unreadable { .. })));
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_in_any_text() {
        for (text, masked) in [
            ("30s", "30s"),
            (
                "postgres://quorate:hunter2@db:5432/prices",
                "postgres://***@db:5432/prices",
            ),
            ("at postgres://u:p@ss/w@db now", "at postgres://***@db now"),
            ("postgres://db/prices", "postgres://db/prices"),
            ("host=db password=hunter2 user=q", "host=db password=*** user=q"),
            (
                "postgres://db/x?password=hunter2&sslmode=require",
                "postgres://db/x?password=***&sslmode=require",
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
        assert_eq!(mask(&format!("0x{},", "ab".repeat(32))), "0x***,");
        assert_eq!(
            mask(&format!("x{}", "AB".repeat(20))),
            format!("x{}", "AB".repeat(20))
        );
    }
}
