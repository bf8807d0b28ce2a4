//! The server's keeper: a shell that waits for a pipe from us to close, and then stops the server.
//!
//! A pipe closes however its holder ends, by SIGKILL too, when no code of ours can run any more.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
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
