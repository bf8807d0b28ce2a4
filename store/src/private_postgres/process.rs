//! How the server runs: as which user, and how it ends when we end.
//!
//! It refuses to be root's, so when we are root it runs as somebody else. And it must not outlive us: a shell, its keeper,
//! waits for a pipe from us to close, and then stops it. A pipe closes however its holder ends, by SIGKILL too, when no code
//! of ours can run any more.

use std::{
    fs,
    io::{self, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

/// `$1` the server, `$2` its folder. The reader ends when a line comes or the pipe closes, and asks the server for a fast
/// shutdown (SIGINT: sessions are ended, data is saved). It ends with 0 if the folder is to be kept, 3 if we are gone;
/// anything else means that the server has ended by itself, and its folder is left for us to look at.
const KEEPER: &str = r#"
exec 3<&0 </dev/null
"$1" -D "$2/data" 3<&- >>"$2/log" 2>&1 &
server=$!
(
    read -r word <&3
    kill -INT "$server"
    [ "$word" = keep ] || exit 3
) 2>/dev/null &
reader=$!
exec 3<&-
wait "$server"
kill "$reader" 2>/dev/null
wait "$reader"
[ $? -ne 3 ] || rm -rf "$2"
"#;

/// A fast shutdown ends sessions and writes a checkpoint; a slow disk may take seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// A running server and its keeper. Dropped, the server stops and its folder is removed.
#[derive(Debug)]
pub(super) struct Guard {
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts `server` on `folder/data`.
    pub(super) fn start(
        server: &Path,
        folder: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        prepare(&mut command);
        command
            .args(["-c", KEEPER, "quorate-postgres"])
            .args([server, folder])
            // Ctrl-C in a terminal goes to a whole process group: it is ours to decide when the server stops.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut keeper = command.spawn()?;
        let pipe = keeper.stdin.take();
        Ok(Self { keeper, pipe })
    }

    /// Whether the server has not ended by itself.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Stops the server, keeps its folder, and returns when it has ended.
    pub(super) fn stop_and_keep(mut self) -> io::Result<()> {
        if let Some(mut pipe) = self.pipe.take() {
            // The keeper may be gone already.
            let _ = pipe.write_all(b"keep\n");
        }
        self.wait()
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.keeper.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it has not stopped within {STOP_PATIENCE:?}"),
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Nobody is left to tell; the keeper goes on without us.
        let _ = self.wait();
    }
}

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
