//! The database's address, which holds its password.

use quorate_store::DatabaseUrl;

use super::{
    problem::wrong,
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

/// Everything here, in the order of the help.
pub(crate) const SETTINGS: [&Setting; 2] = [&DATABASE_URL, &DATABASE_URL_FILE];

/// Reads [`SETTINGS`]; one of them must be given.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<DatabaseUrl> {
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
