//! Why the process must end, and with which code.

use std::fmt;
use std::time::Duration;

use super::cause::Cause;

/// The process's exit code after an actor was given up: `EX_SOFTWARE`, a fault inside the program.
pub const EXIT_GAVE_UP: u8 = 70;
/// The process's exit code after a thread was blocked: `EX_TEMPFAIL`, run it again.
pub const EXIT_BLOCKED: u8 = 75;

/// An actor that cannot be kept running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    /// Which.
    pub actor: &'static str,
    /// How many restarts did not help.
    pub restarts: u32,
    /// In how much time.
    pub within: Duration,
    /// Its last failure.
    pub cause: Cause,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            actor,
            restarts,
            within,
            cause,
        } = self;
        write!(
            f,
            "actor={actor} restarts={restarts} within={}s cause=\"{cause}\"",
            within.as_secs()
        )
    }
}
