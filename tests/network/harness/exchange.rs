//! The simulated exchange as a process, and its controls.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    SOON, http,
    process::{Process, read_log},
    wait::eventually,
};

/// The exchange heeds signals only, so a shell waits for the end of its own standard input and ends it then.
const KEEPER: &str = r#""$@" & read -r _; kill -KILL $!"#;

pub(crate) struct Exchange {
    process: Process,
    pub(super) port: u16,
    pub(super) log: PathBuf,
}

impl Exchange {
    /// Starts it with these faults (`kraken=offset:2000`).
    pub(super) fn start(log: &Path, faults: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", KEEPER, "sh", env!("CARGO_BIN_EXE_quorate")])
            .args(["exchange", "--listen", "127.0.0.1:0"])
            .args(faults.iter().flat_map(|fault| ["--fault", fault]))
            .env_clear();
        let process = Process::start(command, log);
        let log = log.to_owned();
        let port = eventually("the exchange is open", SOON, || port_in(&read_log(&log)));
        Self { process, port, log }
    }

    /// Lets `source` (or `all`) fail from now on.
    pub(crate) fn fail(&self, source: &str, fault: &str) {
        self.control("PUT", source, fault);
    }

    /// Lets all sources answer rightly.
    pub(crate) fn heal(&self) {
        self.control("DELETE", "all", "");
    }

    fn control(&self, method: &str, source: &str, fault: &str) {
        let path = format!("/control/faults/{source}");
        let (status, body) = http::ask(method, self.port, &path, fault).unwrap();
        assert_eq!(status, 200, "{body}");
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.process.close_stdin();
        let _ = self.process.exit_code(SOON);
    }
}

fn port_in(log: &str) -> Option<u16> {
    let (_, after) = log.split_once("exchange is open: url=http://127.0.0.1:")?;
    let (port, _) = after.split_once(' ')?;
    port.parse().ok()
}
