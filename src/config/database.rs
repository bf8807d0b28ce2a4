//! The database's address, which holds its password.

use quorate_store::DatabaseUrl;

use super::{
    problem::{Shown, wrong},
    reader::Reader,
    setting::{Kind, Setting},
};

const HEADING: &str = "Database";

/// `--database-url`
pub(crate) const DATABASE_URL: Setting = Setting {
    name: "database-url",
    kind: Kind::Secret,
    value_name: "URL",
    default: None,
    heading: HEADING,
    help: "postgres://USER:PASSWORD@HOST:5432/DATABASE. Other users of this machine can see it in the list of processes: \
           prefer the file",
};
/// `--database-url-file`
pub(crate) const DATABASE_URL_FILE: Setting = Setting {
    name: "database-url-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: HEADING,
    help: "A file that holds the URL",
};

/// `--database-password-file`
pub(crate) const DATABASE_PASSWORD_FILE: Setting = Setting {
    name: "database-password-file",
    kind: Kind::Value,
    value_name: "FILE",
    default: None,
    heading: HEADING,
    help: "A file that holds the password alone, for a URL without one",
};

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 3] = [&DATABASE_URL, &DATABASE_URL_FILE, &DATABASE_PASSWORD_FILE];

/// Reads [`SETTINGS`]; a URL must be given.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<DatabaseUrl> {
    let (url, password) = (read_url(reader), reader.secret_file(&DATABASE_PASSWORD_FILE));
    let (url, password) = (url?, password?);
    match password {
        None => Some(url),
        Some(password) if url.password().is_none() => Some(url.with_password(password)),
        Some(_) => {
            let remedy = "leave it out of the URL, or leave this out";
            reader.reject_as(
                &DATABASE_PASSWORD_FILE,
                Shown::Nothing,
                wrong("is given for a URL that has a password", remedy),
            );
            None
        }
    }
}

fn read_url(reader: &mut Reader<'_>) -> Option<DatabaseUrl> {
    let Some(url) = reader.secret(&DATABASE_URL, &DATABASE_URL_FILE)? else {
        let remedy = "name a file that holds the URL with --database-url-file, or set QUORATE_DATABASE_URL";
        reader.reject(&DATABASE_URL, wrong("is missing", remedy));
        return None;
    };
    let problem = match url.reveal().parse::<DatabaseUrl>() {
        Ok(url) => return Some(url),
        Err(problem) => problem,
    };
    let setting = if reader.is_default(&DATABASE_URL) {
        &DATABASE_URL_FILE
    } else {
        &DATABASE_URL
    };
    let rule = if setting.kind == Kind::Secret {
        "is not a Postgres URL"
    } else {
        "holds no Postgres URL"
    };
    reader.reject(
        setting,
        wrong(
            format!("{rule} ({problem})"),
            "write postgres://USER:PASSWORD@HOST:5432/DATABASE",
        ),
    );
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::testing;

    #[test]
    fn given_as_a_value_or_as_a_file_and_hidden_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        fs::write(&path, "postgresql://q:hunter2@db/prices\n").unwrap();
        let from_file = testing::read(&[("database-url-file", &[path.to_str().unwrap()])], read).unwrap();
        let from_flag =
            testing::read(&[("database-url", &["postgresql://q:hunter2@db/prices"])], read).unwrap();
        assert_eq!(from_file.config.reveal(), from_flag.config.reveal());
        assert!(!format!("{from_file:?} {from_flag:?}").contains("hunter2"));
    }

    #[test]
    fn the_password_can_come_from_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "p@ss/w\n").unwrap();
        let with = |url| {
            let flags: [(&str, &[&str]); 2] = [
                ("database-url", &[url]),
                ("database-password-file", &[path.to_str().unwrap()]),
            ];
            testing::read(&flags, read).map(|resolved| resolved.config)
        };
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
            testing::read(&[], read).unwrap_err(),
            [
                "--database-url: is missing: name a file that holds the URL with --database-url-file, or set \
              QUORATE_DATABASE_URL"
            ]
        );
        assert_eq!(
            testing::read(
                &[
                    ("database-url", &["postgres://db"]),
                    ("database-url-file", &["f"])
                ],
                read
            )
            .unwrap_err(),
            ["--database-url: is given together with --database-url-file: keep one of them, best the file"]
        );
    }

    #[test]
    fn a_wrong_one_is_not_shown() {
        let wrong = testing::read(&[("database-url", &["mysql://q:hunter2@db"])], read).unwrap_err();
        assert_eq!(
            wrong,
            [
                "--database-url: the hidden value is not a Postgres URL (a database URL starts with postgres:// or \
                 postgresql://): write postgres://USER:PASSWORD@HOST:5432/DATABASE"
            ]
        );
        let swapped =
            testing::read(&[("database-url-file", &["postgres://q:hunter2@db"])], read).unwrap_err();
        assert!(!swapped[0].contains("hunter2"), "{swapped:?}");
        assert!(swapped[0].contains("cannot be read"), "{swapped:?}");
    }
}
