//! Passwords: kept out of logs, errors and debug output.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// A text that is never shown, and erased when it is dropped. It must be asked for by name: [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// What a file holds, without one line end at its end, which editors and `echo` leave there.
    pub fn read(path: &Path) -> Result<Self, SecretFileError> {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| SecretFileError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(SecretFileError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self::new(line))
    }

    /// The text. Not for logs or errors.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why a file gave no secret. Holds nothing of what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It is not there, not readable by this user, or no text.
    #[error("{} cannot be read ({error})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It holds nothing, or only a line end.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
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
            assert_eq!(Secret::read(&path).unwrap().reveal(), secret);
        }
        for empty in ["", "\n", "\r\n"] {
            fs::write(&path, empty).unwrap();
            assert!(matches!(Secret::read(&path), Err(SecretFileError::Empty { .. })));
        }
        let missing = Secret::read(&folder.path().join("missing"));
        assert!(matches!(missing, Err(SecretFileError::Unreadable { .. })));
    }
}
