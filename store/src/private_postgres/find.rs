//! Where an installed server's programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of a server's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries(PathBuf);

/// Where packages install several versions side by side: the folder, and what stands before a version's number.
const PACKAGES: [(&str, &str); 5] = [
    // Debian and Ubuntu; Red Hat and Fedora with PostgreSQL's own packages; Homebrew (two kinds of Mac); Postgres.app.
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

impl Binaries {
    /// The newest of the known packages, then what `pg_config` names, then `PATH`. Packages do not put a server's programs
    /// into `PATH`, and `pg_config` may belong to a client without a server.
    pub(super) fn find() -> Option<Self> {
        let from_path = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect::<Vec<_>>())
            .unwrap_or_default();
        PACKAGES
            .iter()
            .flat_map(|(parent, prefix)| newest_first(installed(parent, prefix)))
            .chain(pg_config())
            .chain(from_path)
            .find(|folder| is_server(folder))
            .map(Self)
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

fn is_server(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

/// `parent/PREFIXversion/bin` for every version that is there.
fn installed(parent: &str, prefix: &str) -> Vec<(Vec<u32>, PathBuf)> {
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

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
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
}
