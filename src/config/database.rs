//! The database's address, which holds its password.

use clap::Args;
use quorate_store::DatabaseUrl;

use super::{
    problems::{Problems, Shown},
    values::{SecretFile, hidden, secret_file, wrong},
};
use crate::secret::Secret;

/// Where the database is, and how to log in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub(super) struct DatabaseArgs {
    /// postgres://USER:PASSWORD@HOST:5432/DATABASE, with libpq's options behind a ? (sslmode=verify-full, sslrootcert, sslcert, …).
    /// Other users of this machine can see it in the list of processes: prefer the file
    #[arg(long, value_name = "URL", value_parser = hidden)]
    database_url: Option<Secret>,

    /// A file that holds the URL
    #[arg(long, value_name = "FILE", value_parser = secret_file)]
    database_url_file: Option<SecretFile>,

    /// A file that holds the password alone, for a URL without one
    #[arg(long, value_name = "FILE", value_parser = secret_file)]
    database_password_file: Option<SecretFile>,
}

impl DatabaseArgs {
    /// The one URL that is given, with the password that belongs to it. What comes from files is read anew when it lets nobody in.
    pub(super) fn resolve(self, problems: &mut Problems) -> Option<DatabaseUrl> {
        let url_file = self.database_url_file.as_ref().map(|file| file.path.clone());
        let (name, rule, text) = match (self.database_url, self.database_url_file) {
            _ if !problems.are_right(&["database-url-file", "database-password-file"]) => return None,
            (Some(_), Some(_)) => {
                problems.reject_together("database-url", "database-url-file");
                return None;
            }
            (Some(url), None) => ("database-url", "is not a Postgres URL", url),
            (None, Some(file)) => ("database-url-file", "holds no Postgres URL", file.secret),
            (None, None) => {
                let remedy =
                    "name a file that holds the URL with --database-url-file, or set QUORATE_DATABASE_URL";
                problems.reject("database-url", wrong("is missing", remedy));
                return None;
            }
        };
        let url = match text.reveal().parse::<DatabaseUrl>() {
            Ok(url) => url,
            Err(reason) => {
                let remedy = "write postgres://USER:PASSWORD@HOST:5432/DATABASE";
                problems.reject(name, wrong(format!("{rule} ({reason})"), remedy));
                return None;
            }
        };
        match self.database_password_file {
            None => Some(url.from_files(url_file.as_deref(), None)),
            Some(file) if url.password().is_none() => Some(
                url.with_password(file.secret)
                    .from_files(url_file.as_deref(), Some(&file.path)),
            ),
            Some(_) => {
                let rule = "is given for a URL that has a password";
                let wrong = wrong(rule, "leave it out of the URL, or leave this out");
                problems.reject_as("database-password-file", Shown::Nothing, wrong);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    fn read(words: &[&str]) -> Result<DatabaseUrl, Vec<String>> {
        testing::read(words, DatabaseArgs::resolve).map(|(url, _)| url)
    }

    #[test]
    fn given_as_a_value_or_as_a_file_and_hidden_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "postgresql://q:hunter2@db/prices\n").unwrap();
        let from_file = read(&["--database-url-file", path.to_str().unwrap()]).unwrap();
        let from_flag = read(&["--database-url", "postgresql://q:hunter2@db/prices"]).unwrap();
        assert_eq!(from_file.reveal(), from_flag.reveal());
        assert!(!format!("{from_file:?} {from_flag:?}").contains("hunter2"));
    }

    #[test]
    fn the_password_can_come_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "p@ss/w\n").unwrap();
        let password = ["--database-password-file", path.to_str().unwrap()];
        let with = |url| read(&[&["--database-url", url], &password[..]].concat());
        let url = with("postgres://q@db/prices").unwrap();
        assert_eq!(url.reveal(), "postgres://q:p%40ss%2Fw@db:5432/prices");
        assert_eq!(
            with("postgres://q:hunter2@db/prices").unwrap_err(),
            [
                "--database-password-file: is given for a URL that has a password: leave it out of the URL, or leave this out"
            ]
        );
    }

    #[test]
    fn exactly_one_of_the_two() {
        assert_eq!(
            read(&[]).unwrap_err(),
            [
                "--database-url: is missing: name a file that holds the URL with --database-url-file, or set \
              QUORATE_DATABASE_URL"
            ]
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "postgres://db").unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(
            read(&["--database-url", "postgres://db", "--database-url-file", file]).unwrap_err(),
            ["--database-url: is given together with --database-url-file: keep one of them, best the file"]
        );
    }

    #[test]
    fn a_wrong_one_is_not_shown() {
        assert_eq!(
            read(&["--database-url", "mysql://q:hunter2@db"]).unwrap_err(),
            [
                "--database-url: the hidden value is not a Postgres URL (a database URL starts with postgres:// or \
                 postgresql://): write postgres://USER:PASSWORD@HOST:5432/DATABASE"
            ]
        );
        let swapped = read(&["--database-url-file", "postgres://q:hunter2@db"]).unwrap_err();
        assert!(!swapped[0].contains("hunter2"), "{swapped:?}");
        assert!(swapped[0].contains("cannot be read"), "{swapped:?}");
    }
}
