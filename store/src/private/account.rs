//! As whom the server runs when we are root, which it refuses to be.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `postgres`, as server packages make it, else `nobody`.
    pub(super) fn find() -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(name, &users))
    }

    /// Reads `name:password:uid:gid:…`; never root, whatever its name.
    fn named(name: &str, users: &str) -> Option<Self> {
        let user = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = user.split(':').skip(2);
        let mut number = || fields.next()?.parse().ok();
        let (uid, gid) = (number()?, number()?);
        (uid != 0).then_some(Self { uid, gid })
    }

    /// Makes a file or folder this account's.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Runs a program as this account (the standard library drops root's other groups too).
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Whether a file that we have made belongs to root: then we are root.
pub(super) fn is_roots(ours: &Path) -> io::Result<bool> {
    Ok(fs::metadata(ours)?.uid() == 0)
}

/// Whether everybody may pass through all folders above.
pub(super) fn others_can_enter(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .all(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/x\npostgres-exporter:x:5:5::/:/x\n";

    #[test]
    fn an_account_is_found_by_its_whole_name_and_is_never_root() {
        assert_eq!(
            Account::named("nobody", USERS),
            Some(Account {
                uid: 65534,
                gid: 65533
            })
        );
        assert_eq!(Account::named("postgres", USERS), None);
        assert_eq!(Account::named("root", USERS), None);
    }
}
