//! A child of this process. It ends when it is dropped, or, by its closed standard input, when we are killed.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::wait::eventually;

pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts it with its output appended to `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(super) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(super) fn terminate(&self) {
        // The shell's own: not every machine has the program.
        let kill = format!("kill -TERM {}", self.id());
        assert!(
            Command::new("/bin/sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(super) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit code, once it has ended by itself.
    pub(super) fn exit_code(&mut self, within: Duration) -> Option<i32> {
        eventually("the process ends", within, || self.child.try_wait().unwrap()).code()
    }

    /// How often its threads have gone to sleep so far, and so were woken.
    pub(super) fn sleeps(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let sleeps = threads.filter_map(|thread| {
            // It may have ended meanwhile.
            let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
            let line = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        sleeps.sum()
    }

    /// Memory in use, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process has logged so far.
pub(super) fn read_log(log: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}
