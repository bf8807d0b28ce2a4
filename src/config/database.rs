//! The database's address, which holds its password.

use std::path::PathBuf;

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

/// Where the API may read instead.
#[derive(Debug, Args)]
#[command(next_help_heading = "Database")]
pub(super) struct ReadDatabaseArgs {
    /// Where the API reads records, if not there where they are written: a replica. Like --database-url; --database-password-file holds
    /// for it too
    #[arg(long, value_name = "URL", value_parser = hidden)]
    database_read_url: Option<Secret>,

    /// A file that holds that URL
    #[arg(long, value_name = "FILE", value_parser = secret_file)]
    database_read_url_file: Option<SecretFile>,
}

impl DatabaseArgs {
    /// Whether one is named at all.
    pub(super) fn is_given(&self) -> bool {
        self.database_url.is_some() || self.database_url_file.is_some()
    }

    /// The one URL that is given, with the password that belongs to it. What comes from files is read anew when it lets nobody in.
    pub(super) fn resolve(self, problems: &mut Problems) -> Option<DatabaseUrl> {
        if self.database_url.is_none() && self.database_url_file.is_none() {
            if problems.are_right(&FILES) {
                let remedy =
                    "name a file that holds the URL with --database-url-file, or set QUORATE_DATABASE_URL";
                problems.reject("database-url", wrong("is missing", remedy));
            }
            return None;
        }
        let names = ["database-url", "database-url-file"];
        let (url, url_file) = one_of(names, self.database_url, self.database_url_file, problems)?;
        match self.database_password_file {
            Some(_) if url.password().is_some() => {
                let rule = "is given for a URL that has a password";
                let wrong = wrong(rule, "leave it out of the URL, or leave this out");
                problems.reject_as("database-password-file", Shown::Nothing, wrong);
                None
            }
            password => Some(with_files(url, url_file, password)),
        }
    }

    /// The password that also serves the URL to read from.
    pub(super) fn password(&self) -> Option<SecretFile> {
        self.database_password_file.clone()
    }
}

impl ReadDatabaseArgs {
    /// The URL, if one is given; with the database's password, if it has none of its own.
    pub(super) fn resolve(
        self,
        password: Option<SecretFile>,
        problems: &mut Problems,
    ) -> Option<DatabaseUrl> {
        let names = ["database-read-url", "database-read-url-file"];
        let (url, file) = one_of(
            names,
            self.database_read_url,
            self.database_read_url_file,
            problems,
        )?;
        let password = password.filter(|_| url.password().is_none());
        Some(with_files(url, file, password))
    }
}

/// What holds secrets. What cannot be read of it was rejected before.
const FILES: [&str; 2] = ["database-url-file", "database-password-file"];

/// The URL that is given, as a value or as a file; `None` for none, and for what is wrong.
fn one_of(
    [name, file_name]: [&str; 2],
    url: Option<Secret>,
    file: Option<SecretFile>,
    problems: &mut Problems,
) -> Option<(DatabaseUrl, Option<PathBuf>)> {
    let path = file.as_ref().map(|file| file.path.clone());
    let (name, rule, text) = match (url, file) {
        _ if !problems.are_right(&[FILES[1], file_name]) => return None,
        (Some(_), Some(_)) => {
            problems.reject_together(name, file_name);
            return None;
        }
        (Some(url), None) => (name, "is not a Postgres URL", url),
        (None, Some(file)) => (file_name, "holds no Postgres URL", file.secret),
        (None, None) => return None,
    };
    match text.reveal().parse::<DatabaseUrl>() {
        Ok(url) => Some((url, path)),
        Err(reason) => {
            let remedy = "write postgres://USER:PASSWORD@HOST:5432/DATABASE";
            problems.reject(name, wrong(format!("{rule} ({reason})"), remedy));
            None
        }
    }
}

/// The URL with the password, and with the files that both came from.
fn with_files(url: DatabaseUrl, url_file: Option<PathBuf>, password: Option<SecretFile>) -> DatabaseUrl {
    match password {
        None => url.from_files(url_file.as_deref(), None),
        Some(file) => url
            .with_password(file.secret)
            .from_files(url_file.as_deref(), Some(&file.path)),
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
    fn the_url_to_read_from_takes_the_databases_password_unless_it_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "secret\n").unwrap();
        let password = SecretFile {
            path: path.clone(),
            secret: Secret::new("secret"),
        };
        let read = |words: &[&str], password: Option<SecretFile>| {
            testing::read(words, |args: ReadDatabaseArgs, problems: &mut Problems| {
                Some(args.resolve(password, problems))
            })
            .map(|(url, _)| url.map(|url| url.reveal().to_owned()))
        };
        assert_eq!(read(&[], Some(password.clone())), Ok(None));
        let url = |url| {
            read(&["--database-read-url", url], Some(password.clone()))
                .unwrap()
                .unwrap()
        };
        assert_eq!(
            url("postgres://q@replica/prices"),
            "postgres://q:secret@replica:5432/prices"
        );
        assert_eq!(
            url("postgres://q:own@replica/prices"),
            "postgres://q:own@replica:5432/prices"
        );
        let wrong = read(&["--database-read-url", "mysql://replica"], None).unwrap_err();
        assert!(
            wrong[0].starts_with("--database-read-url: the hidden value is not a Postgres URL"),
            "{wrong:?}"
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
